"""Finds people's data and secrets in text by their form and their check digits. Pure, bounded, and no language model.

It knows forms, not meanings: names, street addresses and anything else without a form of its own pass unseen. A number
whose form is common counts only with its check digit, and where that is weak, only near a word that names it.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Literal, get_args

from orchestrator.safety import checksums as check

Kind = Literal["email", "phone", "card", "iban", "national_id", "key", "address"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
AnyKind = Kind | Literal["person", "place"]  #: those that are known by meaning alone too; see `ports.recogniser`
MATCH_CHARS_MAX: Final = 2_048  #: of one find; private keys are the longest
CONTEXT_CHARS: Final = 48  #: before a number, in which a word may name it


@dataclass(frozen=True, slots=True)
class Find:
    """A place in a text."""

    start: int
    end: int
    kind: Kind


@dataclass(frozen=True, slots=True)
class _Form:
    kind: Kind
    pattern: re.Pattern[str]
    sound: Callable[[str], bool] | None = None  #: asked with the find without its separators
    near: re.Pattern[str] | None = None  #: must stand in the `CONTEXT_CHARS` before
    group: int = 0  #: the part that is struck
    hints: tuple[str, ...] = ()  #: a text in small letters without any of them holds no such find: it saves time


def _d(text: str) -> str:
    return re.sub(r"[\s.\-/()]", "", text)


def _ipv6(text: str) -> bool:
    try:
        return ipaddress.IPv6Address(text) is not None and text.count(":") >= 2 and len(text) > 3
    except ValueError:
        return False


def _phone(text: str) -> bool:
    digits = re.sub(r"\D", "", text)
    return 7 <= len(digits) <= 15 and len(set(digits)) > 2


_I: Final = re.IGNORECASE
_ID: Final = r"(?<![\w.\-/])"  #: a number begins here
_END: Final = r"(?![\w]|[.\-/]\d)"
_NUMBERED: Final = (
    # kind of number, words near it (empty: none needed), pattern, check
    ("card", "", r"\d{4}([ \-])\d{4}\1\d{4}\1\d{4}|\d{4}[ \-]\d{6}[ \-]\d{4,5}|\d{13,19}", check.card),
    ("national_id", "", r"\d{3}-\d{2}-\d{4}", check.us_ssn),
    ("national_id", r"ssn|social security", r"\d{3} ?\d{2} ?\d{4}", check.us_ssn),
    ("national_id", "", r"[A-Z]{2} ?\d{2} ?\d{2} ?\d{2} ?[A-D]", check.uk_nino),
    ("national_id", "", r"(?:\d{8}|[XYZ]\d{7})-?[A-Z]", check.es_dni),
    ("national_id", "", r"[12] ?\d{2} ?\d{2} ?\d{2} ?\d{3} ?\d{3} ?\d{2}", check.fr_nir),
    ("national_id", r"steuer|idnr|tin\b|tax", r"\d{2} ?\d{3} ?\d{3} ?\d{3}", check.de_tax),
    ("national_id", r"bsn|burgerservice|sofi", r"\d{4}[.]?\d{2}[.]?\d{3}|\d{9}", check.nl_bsn),
    ("national_id", "", r"\d{2}\.\d{2}\.\d{2}-\d{3}\.\d{2}", check.be_rrn),
    ("national_id", r"pesel", r"\d{11}", check.pl_pesel),
    ("national_id", "", r"[A-Z]{6}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z]", check.it_fiscal),
    ("national_id", "", r"\d{3}\.\d{3}\.\d{3}-\d{2}", check.br_cpf),
    ("national_id", r"cpf", r"\d{11}", check.br_cpf),
    ("national_id", "", r"[2-9]\d{3} \d{4} \d{4}", check.in_aadhaar),
    ("national_id", r"aadhaar", r"[2-9]\d{11}", check.in_aadhaar),
    ("national_id", "", r"\d{6}[\-+]\d{4}", check.se_personnummer),
    ("national_id", r"\bsin\b|social insurance|assurance sociale", r"\d{3}[ \-]?\d{3}[ \-]?\d{3}", check.ca_sin),
)


def _ibans() -> Iterable[str]:
    """One form for each length, so that a word behind an account is no part of it."""
    for length in sorted(set(check.IBAN_CHARS.values())):
        countries = "|".join(country for country, chars in check.IBAN_CHARS.items() if chars == length)
        yield rf"(?:{countries})\d{{2}}(?: ?[A-Z0-9]){{{length - 4}}}"


def _forms() -> Iterable[_Form]:
    yield _Form(
        "email",
        re.compile(
            r"(?<![\w.+%\-])[A-Z0-9][\w.+%\-]{0,63}(?:@|%40)(?:[A-Z0-9](?:[A-Z0-9\-]{0,62})\.){1,8}[A-Z]{2,24}(?![\w\-])",
            _I,
        ),
        hints=("@", "%40"),
    )
    yield _Form("iban", re.compile(rf"{_ID}(?:{'|'.join(_ibans())})(?!\w)"), check.iban)
    yield _Form(
        "iban", re.compile(rf"{_ID}[a-z]{{2}}\d{{2}}[a-z0-9]{{11,28}}(?!\w)"), lambda text: check.iban(text.upper())
    )
    for kind, words, pattern, sound in _NUMBERED:
        near = re.compile(words, _I) if words else None
        yield _Form(kind, re.compile(f"{_ID}(?:{pattern}){_END}"), sound, near)  # type: ignore[arg-type]  # kinds of ours
    yield _Form(
        "phone",
        re.compile(r"(?<![\w+])\+[1-9]\d{0,2}[ .\-]?(?:\(0?\d{1,4}\)[ .\-]?)?\d(?:[ .\-/]?\d){5,12}(?![\w])"),
        _phone,
    )
    yield _Form("phone", re.compile(rf"{_ID}(?:\+?1[ .\-])?\(\d{{3}}\) ?\d{{3}}[\-. ]\d{{4}}(?!\d)"), _phone)
    yield _Form("phone", re.compile(rf"{_ID}[2-9]\d{{2}}([\-.])[2-9]\d{{2}}\1\d{{4}}{_END}"), _phone)
    yield _Form(
        "phone",
        re.compile(rf"{_ID}\(?0\d(?:[ .\-/()]{{0,3}}\d){{6,12}}{_END}"),
        _phone,
        re.compile(r"\b(?:tel|phone|mobile|mobil|cell|call|fax|telefon|t[ée]l[ée]phone|handy|ring|dial|whatsapp)", _I),
    )
    yield _Form(
        "key",
        re.compile(
            r"-----BEGIN [A-Z ]{0,24}PRIVATE KEY-----[A-Za-z0-9+/=\s:,\-]{1,1900}?-----END [A-Z ]{0,24}PRIVATE KEY-----"
        ),
        hints=("-----begin",),
    )
    yield _Form(
        "key",
        re.compile(
            r"(?<![A-Za-z0-9_\-])(?:"
            r"sk-(?:[a-z]{2,12}-)?[A-Za-z0-9_\-]{20,200}|(?:sk|pk|rk)_(?:live|test)_[A-Za-z0-9]{16,120}"
            r"|gh[pousr]_[A-Za-z0-9]{30,120}|github_pat_[A-Za-z0-9_]{40,120}|glpat-[A-Za-z0-9_\-]{20,60}"
            r"|A[KS]IA[A-Z0-9]{16}|AIza[A-Za-z0-9_\-]{35}|xox[abprs]-[A-Za-z0-9\-]{10,120}|npm_[A-Za-z0-9]{36}"
            r"|pypi-[A-Za-z0-9_\-]{40,400}|hf_[A-Za-z0-9]{30,60}|SG\.[A-Za-z0-9_\-]{16,40}\.[A-Za-z0-9_\-]{30,60}"
            r"|eyJ[A-Za-z0-9_\-]{8,700}\.eyJ[A-Za-z0-9_\-]{8,700}\.[A-Za-z0-9_\-]{8,500}"
            r")(?![A-Za-z0-9_\-])"
        ),
    )
    yield _Form(
        "key",
        re.compile(r"\bAuthorization[\"']?[:=] ?[\"']?Basic {1,2}([A-Za-z0-9+/_\-]{6,600}=*)", _I),
        group=1,
        hints=("basic",),
    )
    yield _Form("key", re.compile(r"\bBearer {1,2}([A-Za-z0-9._~+/\-]{16,600}=*)", _I), group=1, hints=("bearer",))
    yield _Form(
        "key",
        re.compile(
            r"(?<![A-Za-z0-9])(?:pass(?:word|wd)?|pwd|secret|(?:secret[_\-]?)?access[_\-]?key|api[_\-]?key|access[_\-]?token|auth[_\-]?token|client[_\-]?secret|private[_\-]?key)"
            r"[\"']?[ ]?[:=][ ]?[\"']?([^\s\"',;<>&]{6,200})",
            _I,
        ),
        hints=("pass", "pwd", "secret", "key", "token"),
        group=1,
    )
    yield _Form(
        "key", re.compile(r"\b[a-z][a-z0-9+.\-]{1,20}://[^\s/:@]{0,64}:([^\s/@]{1,128})@", _I), group=1, hints=("://",)
    )
    yield _Form("address", re.compile(r"(?<![\w.\-])(?:\d{1,3}\.){3}\d{1,3}(?![\w\-]|\.\d)"), check.ipv4, hints=(".",))
    yield _Form(
        "address", re.compile(r"(?<![\w:.])(?:[0-9A-F]{0,4}:){2,7}[0-9A-F]{0,4}(?![\w:]|\.\d)", _I), _ipv6, hints=(":",)
    )
    yield _Form(
        "address", re.compile(r"(?<![\w:\-])(?:[0-9A-F]{2}[:\-]){5}[0-9A-F]{2}(?![\w:\-])", _I), hints=(":", "-")
    )


_LOOK_ALIKE: Final = {
    **dict.fromkeys((0xA0, 0x2007, 0x2009, 0x202F), " "),
    **dict.fromkeys((0x2010, 0x2011, 0x2012, 0x2013, 0x2212, 0xFF0D), "-"),
    **{0xFF10 + digit: str(digit) for digit in range(10)},
    0xFF20: "@", 0xFF0E: ".", 0xFF0B: "+",
}  # fmt: skip
_FORMS: Final = tuple(_forms())
_NUMBERS: Final = frozenset({"card", "iban", "national_id", "phone"})
_DIGITS: Final = re.compile(r"(?:\d\D{0,4}){6}")  #: fewer, or further apart, are in no number of anybody
_KEEPS_DOTS: Final = frozenset({"address", "email", "key", "phone"})


def as_typed(text: str) -> str:
    """The text with plain blanks, hyphens, digits and signs for those that look like them; none moves."""
    return text if text.isascii() else text.translate(_LOOK_ALIKE)


def candidates(text: str, kinds: Iterable[Kind] = KINDS) -> list[Find]:
    """Everything that could be meant, also where finds lie over each other."""
    text = as_typed(text)
    wanted = frozenset(kinds)
    found: list[Find] = []
    small = text.lower()
    digits = _DIGITS.search(text) is not None
    for form in _FORMS:
        if form.kind not in wanted or (form.hints and not any(hint in small for hint in form.hints)):
            continue
        if not digits and form.kind in _NUMBERS:
            continue
        for match in form.pattern.finditer(text):
            start, end = match.span(form.group)
            whole = match.group(form.group)
            if form.near is not None and not form.near.search(
                text, max(match.start() - CONTEXT_CHARS, 0), match.start()
            ):
                continue
            if form.sound is not None and not form.sound(whole if form.kind in _KEEPS_DOTS else _d(whole)):
                continue
            found.append(Find(start, end, form.kind))
    return found


def finds(text: str, kinds: Iterable[Kind] = KINDS) -> list[Find]:
    """What is to be struck, from left to right; of finds that touch a key, else the longer one, then the earlier."""
    chosen: list[Find] = []
    for find in sorted(candidates(text, kinds), key=_rank):
        if all(find.end <= other.start or other.end <= find.start for other in chosen):
            chosen.append(find)
    return sorted(chosen, key=lambda one: one.start)


def _rank(find: Find) -> tuple[bool, int, int, str]:
    return find.kind != "key", find.start - find.end, find.start, find.kind
