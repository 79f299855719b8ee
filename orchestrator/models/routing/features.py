"""What a text shows at a glance: numbers that cost microseconds and say something about how hard it is to answer."""

import re
from math import log1p
from typing import Final

TEXT_CHARS_MAX: Final = 8_192  #: that are looked at; the length counts whole

#: In the order of `features_of`. Shares are of characters or of words, 0 to 1.
NAMES: Final = (
    "log characters",
    "log words",
    "characters a word",
    "share of digits",
    "log numbers",
    "log largest number",
    "share of capitals",
    "share of punctuation",
    "share outside ASCII",
    "log lines",
    "question marks",
    "log sentences",
    "words of reckoning",
    "words of logic",
    "words of negation",
    "formula marks",
    "code marks",
    "choices",
    "share of long words",
    "share of different words",
)

_WORD: Final = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")  # with the apostrophe that people write
_NUMBER: Final = re.compile(r"\d+(?:[.,]\d+)*")
_SENTENCE: Final = re.compile(r"[.!?]+(?:\s|$)")
_CHOICE: Final = re.compile(r"(?m)^\s*(?:[A-Ha-h][.):]|\([A-Ha-h1-9]\)|[-*])\s")
_FORMULA: Final = re.compile(r"[=+*/^<>∑∫√≤≥→∧∨¬∀∃%$\\]|\d\s*-\s*\d")
_CODE: Final = re.compile(r"[{}();]|\b(?:def|class|return|import|function|select|SELECT|var|const)\b")
_RECKONING: Final = frozenset({
    "how", "many", "much", "total", "sum", "difference", "twice", "thrice", "half", "third", "quarter", "percent",
    "each", "per", "average", "times", "remaining", "left", "more", "less", "fewer", "altogether", "product",
    "ratio", "rate", "equal", "equals", "cost", "price", "sell", "profit", "hours", "minutes", "days", "weeks",
})  # fmt: skip
_LOGIC: Final = frozenset({
    "if", "then", "unless", "either", "neither", "therefore", "hence", "thus", "implies", "because", "all", "every",
    "some", "none", "only", "must", "cannot", "whether", "suppose", "assume", "given", "prove", "show", "valid",
    "follows", "necessary", "sufficient",
})  # fmt: skip
_NEGATION: Final = frozenset({
    "not", "no", "never", "none", "nor", "without", "except", "unless", "least", "false", "incorrect", "isn't",
    "don't", "can't",
})  # fmt: skip
_LONG_CHARS: Final = 9


def features_of(text: str) -> tuple[float, ...]:
    """The features of a text, in the order of `NAMES`; all finite."""
    looked_at = text[:TEXT_CHARS_MAX]
    size = max(len(looked_at), 1)
    words = [word.lower() for word in _WORD.findall(looked_at)]
    count = max(len(words), 1)
    numbers = _NUMBER.findall(looked_at)
    largest = max((_value(number) for number in numbers), default=0.0)
    return (
        log1p(len(text)),
        log1p(len(words)),
        sum(map(len, words)) / count,
        sum(c.isdigit() for c in looked_at) / size,
        log1p(len(numbers)),
        log1p(largest),
        sum(c.isupper() for c in looked_at) / size,
        sum(not c.isalnum() and not c.isspace() for c in looked_at) / size,
        sum(not c.isascii() for c in looked_at) / size,
        log1p(looked_at.count("\n")),
        log1p(looked_at.count("?")),
        log1p(len(_SENTENCE.findall(looked_at))),
        sum(word in _RECKONING for word in words) / count,
        sum(word in _LOGIC for word in words) / count,
        sum(word in _NEGATION for word in words) / count,
        log1p(len(_FORMULA.findall(looked_at))),
        log1p(len(_CODE.findall(looked_at))),
        log1p(len(_CHOICE.findall(looked_at))),
        sum(len(word) >= _LONG_CHARS for word in words) / count,
        len(set(words)) / count,
    )


def _value(number: str) -> float:
    """How large a number is, wherever its separators stand; at most 1e15."""
    digits = number.replace(",", "").rstrip(".")
    try:
        return min(float(digits), 1e15)
    except ValueError:  # dots in several places: a date or a version
        return 0.0


#: Script -> its ranges of code points; the first that holds most letters of a text is its script.
_SCRIPTS: Final = (
    ("latin", ((0x41, 0x24F), (0x1E00, 0x1EFF))),
    ("cyrillic", ((0x400, 0x52F),)),
    ("greek", ((0x370, 0x3FF),)),
    ("arabic", ((0x600, 0x6FF), (0x750, 0x77F))),
    ("hebrew", ((0x590, 0x5FF),)),
    ("devanagari", ((0x900, 0x97F),)),
    ("thai", ((0xE00, 0xE7F),)),
    ("hangul", ((0xAC00, 0xD7AF), (0x1100, 0x11FF))),
    ("kana", ((0x3040, 0x30FF),)),
    ("han", ((0x4E00, 0x9FFF), (0x3400, 0x4DBF))),
)
SCRIPTS: Final = (*(name for name, _ in _SCRIPTS), "other")
_KANA_SHARE: Final = 0.1  #: Japanese is written with Han too: so much kana says which it is


def script_of(text: str) -> str:
    """The script that most letters of a text are in: one of `SCRIPTS`; `other` where it has no letter."""
    counts = dict.fromkeys(SCRIPTS, 0)
    for c in text[:TEXT_CHARS_MAX]:
        if c.isalpha():
            counts[_script(ord(c))] += 1
    letters = sum(counts.values())
    if not letters:
        return "other"
    if counts["kana"] >= _KANA_SHARE * letters:
        return "kana"
    return max(SCRIPTS, key=lambda name: counts[name])


def _script(point: int) -> str:
    for name, ranges in _SCRIPTS:
        if any(first <= point <= last for first, last in ranges):
            return name
    return "other"
