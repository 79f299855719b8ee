"""`python -m benchmarks.safety [FILE]`: recall and false alarms on labelled sentences, by kind and by mode.

A line of FILE is {"text": …, "spans": [[start, end, kind], …]}. A find counts when it covers the whole labelled span,
of whatever kind; a false alarm is a find that touches none. What a mode lets out is looked for in what it gives out.
"""

import asyncio
import json
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.ids import RunId, StepId
from orchestrator.ports.guard import Passing
from orchestrator.ports.tasks import TaskKey
from orchestrator.safety.pii_guard import PiiGuard
from orchestrator.safety.recognisers import KINDS, finds
from orchestrator.safety.redactor import Redactor

DATA = Path(__file__).resolve().parents[2] / "tests" / "safety" / "data" / "pii.jsonl"
KEY = TaskKey(RunId("run"), StepId("step"), -1, 1)
Span = tuple[int, int, str]


@dataclass
class Tally:
    """What was found of one kind, or by one mode."""

    labelled: int = 0
    found: int = 0
    missed: list[str] = field(default_factory=list)
    alarms: list[str] = field(default_factory=list)


def read(path: Path = DATA) -> list[tuple[str, list[Span]]]:
    """The labelled sentences."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [(row["text"], [(start, end, kind) for start, end, kind in row["spans"]]) for row in rows]


def by_kind(rows: list[tuple[str, list[Span]]]) -> dict[str, Tally]:
    """Recall and false alarms of each kind."""
    told: dict[str, Tally] = {kind: Tally() for kind in KINDS}
    for text, spans in rows:
        found = finds(text)
        for start, end, kind in spans:
            told[kind].labelled += 1
            if any(one.start <= start and end <= one.end for one in found):
                told[kind].found += 1
            else:
                told[kind].missed.append(text[start:end])
        for one in found:
            if not any(one.start < end and start < one.end for start, end, _ in spans):
                told[one.kind].alarms.append(text[one.start : one.end])
    return told


def streamed(text: str, chance: random.Random) -> str:
    """The text through a stream, in pieces of one to eight characters."""
    stream, out, at = Redactor().stream(), [], 0
    while at < len(text):
        size = chance.randint(1, 8)
        out.append(stream.feed(text[at : at + size]))
        at += size
    return "".join([*out, stream.end()])


def guarded(mode: str) -> Callable[[str], str]:
    """What a worker is given under a mode; nothing where the attempt is refused."""
    guard = PiiGuard(mode)  # type: ignore[arg-type]  # one of the modes

    def given(text: str) -> str:
        passing = Passing(stage="tool_result", pool="p", key=KEY, value=text)
        ruling = asyncio.run(guard.look(passing))
        if ruling.verdict == "block":
            return ""
        return str(ruling.value) if ruling.verdict == "change" else text

    return given


def by_mode(rows: list[tuple[str, list[Span]]]) -> dict[str, Tally]:
    """How much of what is labelled each mode keeps in, and which clean sentences it touches."""
    chance = random.Random(1)
    modes: dict[str, Callable[[str], str]] = {
        "redact": Redactor().text,
        "redact, streamed": lambda text: streamed(text, chance),
        "placeholders": guarded("placeholders"),
        "refuse": guarded("refuse"),
    }
    told: dict[str, Tally] = {}
    for name, through in modes.items():
        tally = told[name] = Tally()
        for text, spans in rows:
            out = through(text)
            for start, end, _ in spans:
                tally.labelled += 1
                if text[start:end] in out:
                    tally.missed.append(text[start:end])
                else:
                    tally.found += 1
            if not spans and out != text:
                tally.alarms.append(text)
    return told


def main() -> None:
    """Print both tables."""
    rows = read(Path(sys.argv[1]) if len(sys.argv) > 1 else DATA)
    clean = sum(not spans for _, spans in rows)
    print(
        f"{len(rows)} sentences, {sum(len(spans) for _, spans in rows)} things to find, {clean} sentences with none\n"
    )
    for title, told in (("kind", by_kind(rows)), ("mode", by_mode(rows))):
        print(f"{title:<18}{'labelled':>9}{'found':>7}{'recall':>9}{'false alarms':>14}")
        for name, tally in told.items():
            recall = f"{tally.found / tally.labelled:.1%}" if tally.labelled else "-"
            print(f"{name:<18}{tally.labelled:>9}{tally.found:>7}{recall:>9}{len(tally.alarms):>14}")
        print()
    print("missed:", "; ".join(sorted({text for tally in by_kind(rows).values() for text in tally.missed})))
    print("false alarms:", "; ".join(text for tally in by_kind(rows).values() for text in tally.alarms) or "none")


if __name__ == "__main__":
    main()
