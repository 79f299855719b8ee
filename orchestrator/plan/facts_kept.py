"""Whether a shortened text still says what it must: facts, and the literals that each of them stands on. Pure.

A summary or a compressed prompt is held against its facts here, before anybody reads it. The check knows nothing of
meaning. It asks for the literals of a fact (numbers, dates, names, addresses) together in one sentence or line, and for
a denial in that sentence where the fact denies. What it lets through may still be wrong in other words; what lost a
number or a name, or moved it to another sentence, is refused.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

__all__ = ["Fact", "Lost", "fact_of", "kept_in", "literals_of", "lost_from", "told"]

FACT_CHARS_MAX: Final = 2_000  #: of one fact
LITERALS_MAX: Final = 32  #: of one fact

_ADDRESS: Final = r"https?://[^\s<>\"']+|[\w.+-]+@[\w-]+(?:\.[\w-]+)+"
_DATE: Final = r"\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2})?Z?)?"
_CODE: Final = r"[^\W\d_]+[-_]?\d[\w-]*"  #: such as INV-2041 or B12
_NUMBER: Final = r"[-+−]?[$€£¥]?\d[\d,'’ ]*\d(?:\.\d+)?%?|[-+−]?[$€£¥]?\d(?:\.\d+)?%?"  # as people write them
_NAME: Final = r"[^\W\d_a-z][^\W\d_]*(?:[-'’.][^\W\d_]+)*"  # O’Neill, too
_QUOTED: Final = r"[\"“«]([^\"”»\n]{1,200})[\"”»]"
_FOUND: Final = re.compile(f"{_QUOTED}|(?:{_ADDRESS})|(?:{_DATE})|(?:{_CODE})|(?:{_NUMBER})|(?:{_NAME})")
#: Words that begin sentences and are no names. A name among them is still found where another one stands beside it.
_COMMON: Final = frozenset({
    "a", "after", "all", "also", "an", "and", "any", "are", "as", "at", "be", "because", "before", "both", "but",
    "by", "can", "do", "does", "every", "everything", "for", "from", "has", "have", "he", "her", "his", "how", "i",
    "if", "in", "into", "is", "it", "its", "made", "must", "my", "never", "new", "no", "not", "nothing", "of", "on",
    "one", "only", "or", "our", "please", "she", "should", "so", "some", "that", "the", "their", "them", "then",
    "there", "these", "they", "this", "those", "to", "under", "until", "up", "use", "we", "were", "what", "when",
    "where", "which", "while", "who", "why", "will", "with", "without", "you", "your",
})  # fmt: skip
_DENIAL: Final = re.compile(
    r"\b(?:no|not|never|none|nobody|nothing|nowhere|neither|nor|cannot|without|except)\b|n['’]t\b"
)
_PASSAGE_END: Final = re.compile(r"(?<=[.!?;])\s+|\n+")
_GROUPED: Final = re.compile(r"(?<=\d)[,'’ ](?=\d{3}(?!\d))")  # 1,200 and 1 200 are 1200
_SPACE: Final = re.compile(r"\s+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """Something that must survive: a text, and the literals without which it is not said."""

    text: str
    literals: tuple[str, ...]  #: at least one; each occurs in `text`


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """A fact that a text does not hold any more, and why."""

    fact: Fact
    missing: tuple[str, ...]  #: literals that occur nowhere; empty: they stand apart, or the denial is gone
    reason: str


def literals_of(text: str) -> tuple[str, ...]:
    """The numbers, dates, names, addresses, codes and quotes in a text, in its order; the whole text where it has none.

    A capitalised word counts as a name unless it is a common one, so a fact may ask for more than it needs; too strict
    means that a summary is refused and the fact is carried word for word, which is the safe side.
    """
    same = _SPACE.sub(" ", unicodedata.normalize("NFKC", text)).strip()
    whole, found = _plain(same), dict[str, None]()
    for match in _FOUND.finditer(same):
        word = (match[1] or match[0]).strip(" .,'’")
        if not _occurs(_plain(word), whole):  # a part of something longer, such as 3 of 3A: that is meant
            begin, end = same.rfind(" ", 0, match.start()) + 1, same.find(" ", match.end())
            word = same[begin : end if end >= 0 else len(same)]
        if _plain(word) not in _COMMON and _occurs(_plain(word), whole):
            found.setdefault(word)
    return tuple(found) or (same,)


def fact_of(text: str, *literals: str) -> Fact:
    """A fact; without `literals` those that `literals_of` finds in it.

    Raises:
        ValueError: the text is empty or too long, a literal does not occur in it, or there are too many.
    """
    said = _SPACE.sub(" ", text).strip()
    if not _plain(said) or len(said) > FACT_CHARS_MAX:
        raise ValueError(f"a fact is 1 to {FACT_CHARS_MAX:,} characters, not {len(said):,}")
    chosen = tuple(dict.fromkeys(one.strip() for one in literals)) or literals_of(said)
    if len(chosen) > LITERALS_MAX:
        raise ValueError(f"a fact stands on at most {LITERALS_MAX} literals, not {len(chosen)}; pin several facts")
    whole = _plain(said)
    for literal in chosen:
        if not _occurs(_plain(literal), whole):
            raise ValueError(f"the literal {literal!r:.80} does not occur in the fact")
    return Fact(text=said, literals=chosen)


def lost_from(text: str, facts: Iterable[Fact]) -> tuple[Lost, ...]:
    """The facts that `text` does not hold, in their order; empty when all are kept."""
    whole, passages = _plain(text), _passages(text)
    found = []
    for fact in facts:
        words = [_plain(literal) for literal in fact.literals]
        missing = tuple(literal for literal, word in zip(fact.literals, words, strict=True) if not _occurs(word, whole))
        if missing:
            found.append(Lost(fact=fact, missing=missing, reason=f"it lost {', '.join(missing)}"))
            continue
        together = [one for one in passages if all(_occurs(word, one) for word in words)]
        # A fact of several sentences has its literals in several, and so may the text.
        if not together and len(_passages(fact.text)) > 1:
            together = [whole]
        if not together:
            reason = f"{', '.join(fact.literals)} stand in different sentences"
            found.append(Lost(fact=fact, missing=(), reason=reason))
        elif _denies(fact.text) and not any(map(_denies, together)):
            found.append(Lost(fact=fact, missing=(), reason="its denial is gone"))
    return tuple(found)


def kept_in(text: str, facts: Iterable[Fact]) -> bool:
    """Whether `text` holds all of the facts."""
    return not lost_from(text, facts)


def told(lost: Iterable[Lost]) -> str:
    """What is lost, in one line for people."""
    return "; ".join(f"{one.fact.text!r:.120}: {one.reason}" for one in lost)


def _plain(text: str) -> str:
    """The text as it is compared: one form of each letter, one kind of space and minus, no groups in numbers."""
    same = unicodedata.normalize("NFKC", text).replace("−", "-").replace("’", "'").casefold()
    return _GROUPED.sub("", _SPACE.sub(" ", same)).strip()


def _passages(text: str) -> list[str]:
    return [plain for one in _PASSAGE_END.split(text) if (plain := _plain(one))]


def _denies(text: str) -> bool:
    return _DENIAL.search(_plain(text)) is not None


def _occurs(word: str, text: str) -> bool:
    """Whether a literal stands in a text as itself: 12 is not in 120, in 12.5 or in -12, and Ann is not in Anna."""
    begin = text.find(word) if word else -1
    while begin >= 0:
        end = begin + len(word)
        if _free_before(word, text, begin) and _free_after(word, text, end):
            return True
        begin = text.find(word, begin + 1)
    return False


def _free_before(word: str, text: str, begin: int) -> bool:
    before = text[max(begin - 2, 0) : begin]  # no more is asked for: texts may be long, and hits many
    if not before or not (word[0].isalnum() or word[0] == "_"):
        return True
    if before[-1].isalnum() or before[-1] == "_":
        return False
    if not word[0].isdigit():
        return True
    if before[-1] in ".," and len(before) > 1 and before[-2].isdigit():
        return False
    return before[-1] != "-" or (len(before) > 1 and not before[-2].isspace() and before[-2] != "(")


def _free_after(word: str, text: str, end: int) -> bool:
    after = text[end : end + 2]
    if not after or not (word[-1].isalnum() or word[-1] in "_%"):
        return True
    if after[0].isalnum() or after[0] == "_":
        return False
    return not (word[-1].isdigit() and ((after[0] in ".," and after[1:].isdigit()) or after[0] == "%"))
