"""Whether two questions that look alike may have the same answer: what must be equal, and what may not change.

An embedding puts "order 48213" beside "order 48231" and "safe" beside "unsafe": nearer than most paraphrases. So a
like question is served only where nothing that decides the answer differs in words: numbers, dates, codes, names, signs
of negation and scope, opposites, the direction between two things, and, at last, any content word that the one question
has and the other has nothing for. It errs towards asking the model again. Rules and word lists are for English; a
question in other letters than Latin is never served by likeness.
"""

import re
from collections import Counter
from functools import lru_cache
from typing import Final, NamedTuple

from orchestrator.models.cache.opposites import OPPOSITES
from orchestrator.models.cache.phrases import PHRASES, SYNONYMS
from orchestrator.models.cache.words import (
    DIRECTIONS,
    FILLERS,
    FUTURE,
    IRREGULAR,
    MODALS,
    NEGATIONS,
    NUMBER_WORDS,
    PAST,
    PERIODS,
    PRESENT,
    QUESTION_KINDS,
    SCOPES,
    TENSES,
    TURNS,
    UNITS,
    stem,
)

_WORDS: Final = re.compile(r"[^\W_]+(?:(?:[-'’.:/]|(?<=\d),(?=\d{3}))[^\W_]+)*|[$€£%]")
_LATIN: Final = re.compile(r"^[\x00-\u024f\u2010-\u203a\u20ac]*$")
_PASSIVE: Final = re.compile(r"\b(?:is|are|was|were|be|been|being)\b.*\w(?:ed|en|t|n|de|ld)\b by\b")
_PERFECT: Final = re.compile(r"\b(?:has|have|had)\b.*\b(?:been|\w+ed)\b")
_REGULAR: Final = re.compile(r"\w{2,}[^e\W]ed\W?")
QUESTION_CHARS_MAX: Final = 600  #: a longer text is no question that could be compared word by word


class Read(NamedTuple):
    """What decides the answer, as far as words show it."""

    numbers: Counter[str]  #: numbers, dates, codes, units and periods
    negations: int
    scopes: Counter[str]
    modals: Counter[str]
    kinds: frozenset[str]  #: of question: who, when, how much
    tense: str  #: by its helpers; empty where none tells
    content: tuple[str, ...]  #: other words, in order, as stems
    directed: tuple[tuple[str, str], ...]  #: word of direction, and the stem after it


def differs(kept: str, asked: str) -> str:
    """Why the answer to one question may not answer another; empty where nothing speaks against it."""
    for text in (kept, asked):
        if len(text) > QUESTION_CHARS_MAX:
            return "too long to be compared"
        if not _LATIN.match(text):
            return "other letters than Latin"
    a, b = read(kept), read(asked)
    if a.numbers != b.numbers:
        return f"numbers, dates, codes or units: {_shown(a.numbers, b.numbers)}"
    if a.negations != b.negations:
        return "negation"
    if a.scopes != b.scopes:
        return f"scope: {_shown(a.scopes, b.scopes)}"
    if a.modals != b.modals:
        return f"may or must: {_shown(a.modals, b.modals)}"
    if a.tense != b.tense and (FUTURE in (a.tense, b.tense) or (a.tense and b.tense)):
        return f"tense: {a.tense or 'open'} / {b.tense or 'open'}"
    if a.kinds != b.kinds:
        return f"what is asked for: {_shown(Counter(a.kinds), Counter(b.kinds))}"
    return _content(a, b)


def _content(a: Read, b: Read) -> str:
    only_a, only_b = _apart(a.content, b.content)
    for left in only_a:
        for right in only_b:
            if OPPOSITES.get(left, "") == OPPOSITES.get(right, "-") or _negated(left, right):
                return f"opposites: {left}, {right}"
    if only_a or only_b:
        return f"words: {', '.join(only_a) or 'none'} / {', '.join(only_b) or 'none'}"
    return _order(a, b)


def _order(a: Read, b: Read) -> str:
    """The same words: their order may not change who does what to whom, or from where to where."""
    if any(before.get(stem, after) != after for before in (dict(_turned(a)),) for stem, after in _turned(b)):
        return "the direction"
    if a.content == b.content or len(a.content) < 2:
        return ""
    if a.directed and b.directed and Counter(a.directed) == Counter(b.directed):
        return ""
    return "the order of the words"


def _turned(read: Read) -> list[tuple[str, str]]:
    """What a direction leads to or comes from, with that direction."""
    return [(stem, word) for word, stem in read.directed if word in TURNS]


def _apart(a: tuple[str, ...], b: tuple[str, ...]) -> tuple[list[str], list[str]]:
    left, right = Counter(a), Counter(b)
    return sorted((left - right).elements()), sorted((right - left).elements())


def _negated(left: str, right: str) -> bool:
    """`safe` and `unsafe`: one is the other behind a syllable that denies it."""
    short, long = sorted((left, right), key=len)
    return any(long == f"{prefix}{short}" for prefix in ("un", "in", "im", "ir", "il", "dis", "non", "de", "re", "mis"))


@lru_cache(maxsize=8_192)
def read(text: str) -> Read:
    """The words of a question, sorted by what they decide."""
    plain = _plain(text)
    words = _Words()
    for found in _WORDS.finditer(plain):
        words.take(found[0])
    tense = words.tense
    if not tense and not _PERFECT.search(plain):
        tense = PAST if any(word in IRREGULAR or _REGULAR.fullmatch(word) for word in plain.split()) else PRESENT
    passive = len(_PASSIVE.findall(plain))
    return Read(
        numbers=words.numbers,
        negations=words.negations,
        scopes=words.scopes + Counter({"done by": passive}),
        modals=words.modals,
        kinds=frozenset(words.kinds),
        tense=tense,
        content=tuple(words.content),
        directed=tuple(words.directed),
    )


class _Words:
    """Sorts words one after another."""

    def __init__(self) -> None:
        self.numbers: Counter[str] = Counter()
        self.scopes: Counter[str] = Counter()
        self.modals: Counter[str] = Counter()
        self.kinds: set[str] = set()
        self.content: list[str] = []
        self.directed: list[tuple[str, str]] = []
        self.negations, self.tense, self._direction = 0, "", ""

    def take(self, word: str) -> None:
        """The next word, in small letters."""
        if word.endswith("n't") or word in NEGATIONS:
            self.negations += 1
            word = word.removesuffix("n't")
            if word in NEGATIONS or word in {"ca", "wo"}:
                return
        word = word.removesuffix("'s")
        if self._decides(word) or word in FILLERS:
            return
        number = _amount(word)
        if number:
            self.numbers[number] += 1
        kept = number or SYNONYMS.get(stem(word), stem(word))
        self.content.append(kept)
        if self._direction:
            self.directed.append((self._direction, kept))
            self._direction = ""

    def _decides(self, word: str) -> bool:
        """Whether a word says how a question is meant, not what it is about."""
        if word in TENSES:
            self.tense = self.tense or TENSES[word]
        elif word in SCOPES:
            self.scopes[SCOPES[word]] += 1
        elif word in MODALS:
            self.modals[MODALS[word]] = 1
        elif word in QUESTION_KINDS:
            self.kinds |= {QUESTION_KINDS[word]} - {""}
        elif word in DIRECTIONS:
            self._direction = word
        else:
            return False
        return True


def _amount(word: str) -> str:
    """A number, code, period or unit in one form; empty for another word."""
    if any(c.isdigit() for c in word):
        return _number(word)
    return NUMBER_WORDS.get(word) or PERIODS.get(word) or UNITS.get(word) or ""


def _plain(text: str) -> str:
    """The text in small letters, without greetings, and with one form for turns of phrase that are many."""
    plain = " ".join(text.lower().replace("’", "'").split())
    for pattern, instead in PHRASES:
        plain = pattern.sub(instead, plain)
    return plain


def _number(word: str) -> str:
    """1,000 is 1000, and 5.0 is 5."""
    plain = word.replace(",", "")
    try:
        return f"{float(plain):g}" if "e" not in plain and len(plain) < 15 else word
    except ValueError:
        return word


def _shown(a: Counter[str], b: Counter[str]) -> str:
    left, right = sorted((a - b).elements()), sorted((b - a).elements())
    return f"{', '.join(left) or 'none'} / {', '.join(right) or 'none'}"
