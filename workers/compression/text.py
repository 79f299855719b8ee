"""Shortening texts: their passages ranked by what is asked, protected ones always kept, cuts shown. Pure."""

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import log
from typing import Final

from orchestrator.plan.facts_kept import Fact, Lost, fact_of, kept_in, lost_from

CHARS_PER_TOKEN: Final = 4  #: of plain English; other scripts take fewer, so their bytes are counted
CUT: Final = "[…]"  #: where passages were left out
PASSAGES_MAX: Final = 4_000  #: of one text; what is longer is cut into fewer, larger ones
#: Weights of BM25. Source: Robertson and Zaragoza, "The Probabilistic Relevance Framework", 2009, section 3.3.
_K1: Final = 1.2
_B: Final = 0.75
_SAID: Final = 0.5  #: of a fact's words beside its numbers and names that make a passage one that says it
_HOLDS_LITERALS: Final = 0.25  #: what a passage with numbers or names is worth more, in shares of a query term

#: The end of a sentence, which the point of a title or of an abbreviation is not.
_END: Final = re.compile(
    r"(?<!\bMr\.)(?<!\bMs\.)(?<!\bDr\.)(?<!\bSt\.)(?<!\bNo\.)(?<!\bMrs\.)(?<!e\.g\.)(?<!i\.e\.)(?<=[.!?;])\s+|\n+"
)
_TERM: Final = re.compile(r"\w+")
_LITERAL: Final = re.compile(r"\d|(?<=\s)[^\W\d_a-z]")  #: a number, or a capital within the passage
_STOP: Final = frozenset({
    "a", "an", "and", "are", "as", "at", "be", "by", "for", "from", "has", "have", "in", "is", "it", "its", "of", "on",
    "or", "that", "the", "their", "this", "to", "was", "were", "what", "which", "will", "with", "you", "your",
})  # fmt: skip


def tokens_of(text: str) -> int:
    """Tokens of a text, estimated; at least 1 for a text that is not empty."""
    return -(-len(text.encode(errors="replace")) // CHARS_PER_TOKEN)


def passages_of(text: str) -> list[str]:
    """The sentences and lines of a text, in order, none empty."""
    found = [one.strip() for one in _END.split(text) if one.strip()]
    if len(found) <= PASSAGES_MAX:
        return found
    step = -(-len(found) // PASSAGES_MAX)
    return [" ".join(found[at : at + step]) for at in range(0, len(found), step)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortened:
    """Texts within their budget, or above it only by what is protected."""

    texts: tuple[str, ...]
    cut: tuple[int, ...]  #: passages that are gone, by text
    facts: tuple[Fact, ...]  #: protected facts that the whole texts held; the shortened ones hold them all

    @property
    def text(self) -> str:
        """All of it."""
        return "\n".join(self.texts)


def shortened(
    texts: Sequence[str], query: str, tokens: int, facts: Sequence[Fact] = (), cited: Collection[str] = ()
) -> Shortened:
    """The passages of several texts that matter most for `query`, each in its place, within `tokens` together.

    Passages that say one of `facts`, or hold a literal of `cited`, are kept first, also beyond the budget. A fact that
    stands in several sentences keeps all of them. Where passages alone do not hold a fact any more it is carried as a
    sentence of its own: a fact that the texts held is never lost. A passage that was said before is kept once.
    """
    found = [(number, passage) for number, text in enumerate(texts) for passage in passages_of(text)]
    passages = [passage for _, passage in found]
    whole = "\n".join(texts)
    held = tuple(fact for fact in facts if kept_in(whole, (fact,)))
    if tokens_of(whole) <= tokens or not passages:
        return Shortened(texts=tuple(texts), cut=(0,) * len(texts), facts=held)
    keep = _protected(passages, held, cited)
    room = tokens - sum(tokens_of(passages[at]) + 1 for at in keep)
    said = {passages[at] for at in keep}
    scores = ranked(passages, query)
    for at in sorted(range(len(passages)), key=lambda at: (-scores[at], at)):
        size = tokens_of(passages[at]) + 1
        if at not in keep and size <= room and passages[at] not in said:
            keep.add(at)
            said.add(passages[at])
            room -= size
    made = [
        _joined([(at in keep, passage) for at, (of, passage) in enumerate(found) if of == n]) for n in range(len(texts))
    ]
    carried = [lost.fact.text for lost in lost_from("\n".join(made), held)]
    made[-1] = "\n".join([made[-1], *carried])
    cut = tuple(sum(of == n and at not in keep for at, (of, _) in enumerate(found)) for n in range(len(texts)))
    return Shortened(texts=tuple(made), cut=cut, facts=held)


def _protected(passages: Sequence[str], facts: Sequence[Fact], cited: Collection[str]) -> set[int]:
    keep: set[int] = set()
    folded = [passage.casefold() for passage in passages]
    for fact in facts:
        parts = [fact_of(literal, literal) for literal in fact.literals]
        whole = [at for at in _holding(fact.literals, folded) if kept_in(passages[at], (fact,))]
        if whole:
            # The passage that says it, not one that has its numbers in another place; of equals the latest word on it.
            wanted = set(_terms(fact.text))
            keep.add(max(whole, key=lambda at: (len(wanted & set(_terms(passages[at]))), at)))
            continue
        for part in parts:
            keep.update(at for at in _holding(part.literals, folded) if kept_in(passages[at], (part,)))
    for literal in cited:
        part = fact_of(literal, literal)
        at = next((at for at in _holding((literal,), folded) if kept_in(passages[at], (part,))), None)
        if at is not None:
            keep.add(at)
    return keep


def displaced(text: str, facts: Sequence[Fact]) -> tuple[Lost, ...]:
    """Facts whose numbers and names a text has, while it says something else of them: no passage that holds them shares
    at least `_SAID` of the fact's other words.

    Too strict for other words of the same meaning, which is the safe side.
    """
    passages = passages_of(text)
    folded = [passage.casefold() for passage in passages]
    found = []
    for fact in facts:
        words = set(_terms(fact.text)) - set(_terms(" ".join(fact.literals)))
        holding = [passages[at] for at in _holding(fact.literals, folded) if kept_in(passages[at], (fact,))]
        shared = (len(words & set(_terms(passage))) for passage in holding or [text])
        if words and max(shared) < _SAID * len(words):
            found.append(Lost(fact=fact, missing=(), reason=f"{', '.join(fact.literals)} are said of something else"))
    return tuple(found)


def _holding(literals: Sequence[str], folded: Sequence[str]) -> list[int]:
    """Passages that may hold all literals: a quick look before the strict one, which reads numbers in other forms."""
    words = [literal.casefold() for literal in literals if literal.isalnum() and literal.isascii()]
    return [at for at, passage in enumerate(folded) if all(word in passage or word.isdigit() for word in words)]


def ranked(passages: Sequence[str], query: str) -> list[float]:
    """How much each passage has to do with a query: BM25 over the passages, and a little for numbers and names."""
    texts = [_terms(passage) for passage in passages]
    asked = set(_terms(query))
    count = max(len(texts), 1)
    mean = sum(map(len, texts)) / count or 1.0
    seen = Counter(term for terms in texts for term in set(terms) & asked)
    weight = {term: log(1 + (count - n + 0.5) / (n + 0.5)) for term, n in seen.items()}
    unit = max(weight.values(), default=1.0)
    scores = []
    for passage, terms in zip(passages, texts, strict=True):
        inside = Counter(term for term in terms if term in weight)
        length = _K1 * (1 - _B + _B * len(terms) / mean)
        score = sum(weight[term] * n * (_K1 + 1) / (n + length) for term, n in inside.items())
        score += _HOLDS_LITERALS * unit * (_LITERAL.search(passage) is not None)
        scores.append(score)
    return scores


def _terms(text: str) -> list[str]:
    return [term for term in (word.casefold() for word in _TERM.findall(text)) if term not in _STOP]


def _joined(passages: Sequence[tuple[bool, str]]) -> str:
    """Kept passages in their order, one a line, with a mark wherever others stood between them."""
    parts: list[str] = []
    for kept, passage in passages:
        if kept:
            parts.append(passage)
        elif not parts or parts[-1] != CUT:
            parts.append(CUT)
    return "\n".join(parts)
