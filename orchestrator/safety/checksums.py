"""Check digits: what tells a number that somebody was given from one that merely looks like it. Pure."""

from datetime import date
from typing import Final

_VERHOEFF_D: Final = (
    "0123456789", "1234067895", "2340178956", "3401289567", "4012395678",
    "5987604321", "6598710432", "7659821043", "8765932104", "9876543210",
)  # fmt: skip
_VERHOEFF_P: Final = (
    "0123456789", "1576283094", "5803796142", "8916043527", "9453126870", "4286573901", "2793806415", "7046913258",
)  # fmt: skip
#: Lengths of account numbers by country, from the register of ISO 13616.
IBAN_CHARS: Final = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BR": 29, "BY": 28,
    "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24, "FI": 18,
    "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HR": 21, "HU": 28, "IE": 22,
    "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LC": 32, "LI": 21, "LT": 20,
    "LU": 20, "LV": 21, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MR": 27, "MT": 31, "MU": 30, "NL": 18, "NO": 15,
    "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "SA": 24, "SC": 31, "SE": 24, "SI": 19,
    "SK": 24, "SM": 27, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20,
}  # fmt: skip


def luhn(digits: str) -> bool:
    """Cards, and Canadian insurance numbers. ISO/IEC 7812-1, annex B."""
    total = 0
    for at, digit in enumerate(map(int, reversed(digits))):
        doubled = digit * 2 if at % 2 else digit
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10 == 0


def card(digits: str) -> bool:
    """A payment card: its length and first digits belong to a network, and the check digit fits."""
    if len(set(digits)) == 1 or not luhn(digits):
        return False
    first2, first4 = int(digits[:2]), int(digits[:4])
    match len(digits):
        case 15:
            return first2 in {34, 37}
        case 14:
            return first2 in {30, 36, 38, 39}
        case 13:
            return digits[0] == "4"
        case 16 | 17 | 18 | 19:
            return (
                digits[0] == "4"
                or 51 <= first2 <= 55
                or 2221 <= first4 <= 2720
                or first2 in {50, 56, 57, 58, 60, 62, 63, 64, 65, 67, 68, 69, 81}
                or 3528 <= first4 <= 3589
            )
        case _:
            return False


def iban(text: str) -> bool:
    """An account number of ISO 13616: length of its country, and 1 modulo 97."""
    if IBAN_CHARS.get(text[:2]) != len(text):
        return False
    turned = text[4:] + text[:4]
    return int("".join(str(int(char, 36)) for char in turned)) % 97 == 1


def us_ssn(digits: str) -> bool:
    """United States: no area 000, 666 or 900 and above, no group 00, no serial 0000."""
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    return area not in {"000", "666"} and area < "900" and group != "00" and serial != "0000"


def uk_nino(text: str) -> bool:
    """United Kingdom: which letters a national insurance number may begin with."""
    pair = text[:2]
    return not set(pair) & set("DFIQUV") and pair[1] != "O" and pair not in {"BG", "GB", "KN", "NK", "NT", "TN", "ZZ"}


def es_dni(text: str) -> bool:
    """Spain, DNI and NIE: the letter is the number modulo 23."""
    number = text[:-1].translate(str.maketrans("XYZ", "012"))
    return "TRWAGMYFPDXBNJZSQVHLCKE"[int(number) % 23] == text[-1]


def fr_nir(digits: str) -> bool:
    """France: the last two of fifteen digits are 97 less the rest modulo 97."""
    return digits[0] in "12" and 97 - int(digits[:13]) % 97 == int(digits[13:])


def de_tax(digits: str) -> bool:
    """Germany, tax number: one digit of the first ten twice or thrice, and ISO 7064 mod 11,10."""
    counts = sorted(digits[:10].count(digit) for digit in set(digits[:10]))
    if digits[0] == "0" or counts[-1] not in {2, 3} or counts[-2:-1] not in ([], [1]):
        return False
    product = 10
    for digit in map(int, digits[:10]):
        product = ((digit + product) % 10 or 10) * 2 % 11
    return (11 - product) % 10 == int(digits[10])


def nl_bsn(digits: str) -> bool:
    """Netherlands: the test of eleven."""
    weights = (9, 8, 7, 6, 5, 4, 3, 2, -1)
    total = sum(weight * int(digit) for weight, digit in zip(weights, digits, strict=True))
    return total % 11 == 0 and len(set(digits)) > 1


def be_rrn(digits: str) -> bool:
    """Belgium: 97 less the first nine digits modulo 97; who was born from 2000 on has a 2 before them."""
    body, check = digits[:9], int(digits[9:])
    return check in {97 - int(body) % 97, 97 - int("2" + body) % 97}


def pl_pesel(digits: str) -> bool:
    """Poland: a date of birth, and a weighted sum."""
    weights = (1, 3, 7, 9, 1, 3, 7, 9, 1, 3)
    total = sum(weight * int(digit) for weight, digit in zip(weights, digits[:10], strict=True))
    month = int(digits[2:4])
    century = {0: 1900, 1: 2000, 2: 2100, 3: 2200, 4: 1800}[month // 20]
    return (10 - total % 10) % 10 == int(digits[10]) and _is_date(
        century + int(digits[:2]), month % 20, int(digits[4:6])
    )


def it_fiscal(text: str) -> bool:
    """Italy: the last letter follows from the others, which count differently at odd and even places."""
    odd = dict(zip("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", (
        1, 0, 5, 7, 9, 13, 15, 17, 19, 21,
        1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23,
    ), strict=True))  # fmt: skip
    total = sum(
        odd[char] if at % 2 == 0 else (int(char) if char.isdigit() else ord(char) - 65)
        for at, char in enumerate(text[:15])
    )
    return chr(65 + total % 26) == text[15]


def br_cpf(digits: str) -> bool:
    """Brazil: two check digits modulo 11."""
    if len(set(digits)) == 1:
        return False
    for length in (9, 10):
        total = sum((length + 1 - at) * int(digit) for at, digit in enumerate(digits[:length]))
        if (total * 10 % 11) % 10 != int(digits[length]):
            return False
    return True


def in_aadhaar(digits: str) -> bool:
    """India: the scheme of Verhoeff."""
    if digits[0] in "01":
        return False
    check = 0
    for at, digit in enumerate(reversed(digits)):
        check = int(_VERHOEFF_D[check][int(_VERHOEFF_P[at % 8][int(digit)])])
    return check == 0


def se_personnummer(digits: str) -> bool:
    """Sweden: a date and the check digit of Luhn."""
    day = int(digits[4:6])
    return luhn(digits) and _is_date(2000, int(digits[2:4]), day - 60 if day > 60 else day)


def ca_sin(digits: str) -> bool:
    """Canada: Luhn, and no 0 or 8 at the front."""
    return digits[0] not in "08" and luhn(digits)


def ipv4(text: str) -> bool:
    """An address: four numbers up to 255, none written with a zero in front, and not one of no machine."""
    parts = text.split(".")
    return all(part == str(int(part)) and int(part) < 256 for part in parts) and parts[0] != "0"


def _is_date(year: int, month: int, day: int) -> bool:
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True
