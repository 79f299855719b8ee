"""A folder of documents as something to search: passages, ranked by BM25, and read on from any of them.

Markdown, text, HTML and PDF (extra `documents`). Everything lies in memory and is built anew when a file has changed;
the caps below keep it to what that is good for. No document leaves its folder: links that lead out are left out.
"""

import math
import os
import re
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from orchestrator.errors import TerminalError
from workers.kinds.document_text import SUFFIXES, Unreadable, text_of
from workers.kinds.pages import DEPTH_MAX, SKIPPED, home_of

DOCUMENTS_MAX: Final = 5_000
LIBRARY_BYTES_MAX: Final = 256 * 1024 * 1024  #: of all files together
PASSAGE_CHARS: Final = 1_200  #: about; a passage ends with a paragraph
RESULTS_MAX: Final = 20
QUERY_CHARS_MAX: Final = 500
READ_PASSAGES_MAX: Final = 10
#: BM25 as in Robertson and Zaragoza, "The Probabilistic Relevance Framework", 2009: saturation and length.
K1: Final = 1.2
B: Final = 0.75
_WORD: Final = re.compile(r"\w+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A part of a document."""

    document: str  #: path below the folder
    number: int  #: from 1
    heading: str
    text: str


class Library:
    """One folder, indexed when it is first asked. Safe to use from several threads."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._lock = threading.Lock()
        self._stamp: tuple[tuple[str, int, int], ...] | None = None
        self._passages: list[Passage] = []
        self._lengths: list[int] = []
        self._postings: dict[str, dict[int, int]] = {}
        self._documents: dict[str, list[int]] = {}
        self.unread: dict[str, str] = {}  #: documents whose text cannot be had, and why

    def documents(self) -> list[str]:
        """All documents, by path.

        Raises:
            TerminalError: the folder is missing or too large.
        """
        with self._lock:
            self._fresh()
            return list(self._documents)

    def search(self, query: str, limit: int = 5) -> list[tuple[float, Passage]]:
        """The passages that fit best, best first, with their scores; at most `limit`, and `RESULTS_MAX`.

        Raises:
            TerminalError: the folder is missing or too large.
        """
        with self._lock:
            self._fresh()
            scores: Counter[int] = Counter()
            count = len(self._passages)
            average = sum(self._lengths) / count if count else 1.0
            for word in dict.fromkeys(_words(query[:QUERY_CHARS_MAX])):
                places = self._postings.get(word, {})
                rarity = math.log(1 + (count - len(places) + 0.5) / (len(places) + 0.5))
                for place, times in places.items():
                    length = 1 - B + B * self._lengths[place] / average
                    scores[place] += rarity * times * (K1 + 1) / (times + K1 * length)  # type: ignore[assignment]  # a float
            best = sorted(scores.items(), key=lambda item: (-item[1], item[0]))[: max(0, min(limit, RESULTS_MAX))]
            return [(score, self._passages[place]) for place, score in best]

    def read(self, document: str, start: int = 1, count: int = 3) -> list[Passage]:
        """Passages of a document from number `start` on, at most `READ_PASSAGES_MAX`; empty behind its end.

        Raises:
            KeyError: there is no such document.
            TerminalError: the folder is missing or too large.
        """
        with self._lock:
            self._fresh()
            places = self._documents[document]
            first = max(start, 1) - 1
            return [self._passages[place] for place in places[first : first + min(count, READ_PASSAGES_MAX)]]

    def _fresh(self) -> None:
        home = home_of(str(self.folder))
        stamp = tuple(sorted(_files(str(home), 0)))
        if stamp == self._stamp:
            return
        size = sum(entry[1] for entry in stamp)
        if len(stamp) > DOCUMENTS_MAX or size > LIBRARY_BYTES_MAX:
            raise TerminalError(
                f"{self.folder} holds {len(stamp)} documents of {size} bytes; at most {DOCUMENTS_MAX} documents and "
                f"{LIBRARY_BYTES_MAX} bytes can be searched here: name a smaller folder"
            )
        self._passages, self._lengths, self._postings, self._documents, self.unread = [], [], {}, {}, {}
        for name, _, _ in stamp:
            self._add(Path(name), Path(name).relative_to(home).as_posix())
        self._stamp = stamp

    def _add(self, path: Path, name: str) -> None:
        try:
            text = text_of(path)
        except Unreadable as error:
            self.unread[name] = str(error)
            return
        self._documents[name] = places = []
        for number, (heading, part) in enumerate(_parts(text), start=1):
            place = len(self._passages)
            places.append(place)
            self._passages.append(Passage(document=name, number=number, heading=heading, text=part))
            words = Counter(_words(f"{name} {heading} {part}"))
            self._lengths.append(sum(words.values()))
            for word, times in words.items():
                self._postings.setdefault(word, {})[place] = times


def _files(folder: str, depth: int) -> Iterator[tuple[str, int, int]]:
    """Every document below a folder: path, bytes, time of its last change. Links and hidden names are left out."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") or entry.is_symlink():
                continue
            if entry.is_dir():
                if depth < DEPTH_MAX and entry.name not in SKIPPED:
                    yield from _files(entry.path, depth + 1)
            elif entry.name.lower().endswith(SUFFIXES):
                stat = entry.stat()
                yield entry.path, stat.st_size, stat.st_mtime_ns


def _words(text: str) -> Iterator[str]:
    """Words in lower case; of an English plural the singular too far, so that both find each other."""
    for word in _WORD.findall(text.casefold()):
        yield word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


_HEADING: Final = re.compile(r"^#{1,6}\s+(.+?)\s*#*\s*$")


def _parts(text: str) -> Iterator[tuple[str, str]]:
    """A text in passages of about `PASSAGE_CHARS`, none across a heading; each with the heading it stands under."""
    heading = ""
    held: list[str] = []
    size = 0
    for paragraph in re.split(r"\n\s*\n", text.replace("\r\n", "\n")):
        found = _HEADING.match(paragraph.split("\n", 1)[0])
        if held and (found or size + len(paragraph) > PASSAGE_CHARS):
            yield heading, "\n\n".join(held)
            held, size = [], 0
        if found:
            heading = found.group(1)
        for start in range(0, len(paragraph), 2 * PASSAGE_CHARS):
            piece = paragraph[start : start + 2 * PASSAGE_CHARS].strip("\n")
            if start and held:
                yield heading, "\n\n".join(held)
                held, size = [], 0
            if piece.strip():
                held.append(piece)
                size += len(piece)
    if held:
        yield heading, "\n\n".join(held)
