"""The labelled pairs: ours beside this file, and those of `fow-cache`, fetched by hash."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A kept question and one that is asked."""

    number: int  #: within its category; the guard was tuned on odd ones
    category: str
    kept: str
    asked: str
    same: bool  #: one answer is right for both


@dataclass(frozen=True, slots=True, kw_only=True)
class Talk:
    """Two conversations that end in like messages: (role, text)."""

    category: str
    kept: tuple[tuple[str, str], ...]
    asked: tuple[tuple[str, str], ...]
    same: bool


def ensured(name: str) -> Path:
    """The folder of a set that is fetched; exits where it cannot be had."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "ensure-embeddings.py"), name],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        sys.exit(done.returncode)
    return Path(done.stdout.strip())


def own_pairs() -> list[Pair]:
    """Ours."""
    return [
        Pair(
            number=_number(row["id"]),
            category=row["category"],
            kept=row["a"],
            asked=row["b"],
            same=row["kind"] == "paraphrase",
        )
        for row in _rows(HERE / "pairs.jsonl")
    ]


def foreign_pairs(folder: Path) -> list[Pair]:
    """The 600 of `fow-cache` (CC BY 4.0, Mabon ap Gwyn)."""
    return [
        Pair(
            number=_number(row["id"]),
            category=row["category"],
            kept=row["a"],
            asked=row["b"],
            same=row["same_answer"],
        )
        for row in _rows(folder / "pairs.jsonl")
    ]


def talks(folder: Path) -> list[Talk]:
    """Its 240 conversations."""
    files = [*sorted((folder / "conv-parts").glob("*.jsonl")), *sorted((folder / "conv-long").glob("*.jsonl"))]
    return [
        Talk(category=row["subtype"], kept=_said(row["a"]), asked=_said(row["b"]), same=row["same_answer"])
        for file in files
        for row in _rows(file)
    ]


def _said(messages: list[dict[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple((message["role"], message["content"]) for message in messages)


def _number(name: str) -> int:
    return int("".join(c for c in name if c.isdigit()))


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.strip():
            yield json.loads(line)
