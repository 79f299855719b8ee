"""What a full proof came to: each test notes what it did, and `python -m tests.crash.tally` makes report.json of it.

A note is made at full sizes alone, and only once everything that the test looks at has held. Notes are kept in
`.prove/tally.jsonl`, so a proof may be run in pieces; of a case that was run more than once the last note counts.
"""

import json
import subprocess
import time
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from tests.crash.reference import REFERENCES
from tests.sizes import SIZES

ROOT = Path(__file__).resolve().parents[2]
NOTES = ROOT / ".prove" / "tally.jsonl"
REPORT = Path(__file__).parent / "report.json"
#: of each part: what was done so many times, and how many times the proof asks for; None: all there are
#: of every reference plan
PARTS: dict[str, tuple[str, int | None]] = {
    "appends in memory": ("crashes at every append of eight plans, in memory, before and after it is written", None),
    "appends to a file": ("crashes at every append of eight plans, on SQLite, before and after it is written", None),
    "appends to PostgreSQL": ("crashes at appends to PostgreSQL, before, while and after they are written", 300),
    "commands to Redis": ("SIGKILLs of an owner or a worker at a command to Redis, before, while and after it", 300),
    "pairs": ("pairs of a crash and a crash amid the recovery from it, in memory and on SQLite", 2_000),
    "full disks": ("disks that were full at an operation of the journal", 100),
    "failing disks": ("input and output errors at an operation of the journal", 300),
    "torn logs": ("write-ahead logs that were cut or torn", 500),
    "killed writers": ("images of a killed process's files", 500),
    "power cuts": ("images of a machine without power", 500),
    "flipped bits": ("bits flipped in a journal's file", 10_000),
}

PLANS = {reference.name for reference in REFERENCES}


@cache
def _commit() -> str:
    told = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
    return told.stdout.strip()


def tally(part: str, case: str, count: int, outcomes: Mapping[str, int] | None = None) -> None:
    """Note that `count` disasters of a part were survived in one case; how they ended is told by `outcomes`.

    Raises:
        KeyError: `part` is none of `PARTS`.
    """
    PARTS[part]
    if SIZES.name != "prove":
        return
    note: dict[str, Any] = {
        "part": part, "case": case, "count": count, "date": time.strftime("%Y-%m-%d"), "commit": _commit(),
    }  # fmt: skip
    if outcomes:
        note["outcomes"] = dict(outcomes)
    NOTES.parent.mkdir(exist_ok=True)
    with NOTES.open("a") as file:
        file.write(json.dumps(note) + "\n")


def report_of(lines: Iterable[str]) -> dict[str, Any]:
    """The report of these notes: of each part what it counts, how many were asked for and shown, and in which cases."""
    last: dict[tuple[str, str], dict[str, Any]] = {}
    for line in lines:
        note = json.loads(line)
        last[note["part"], note["case"]] = note
    parts = []
    for name, (what, wanted) in PARTS.items():
        notes = [note for (part, _), note in sorted(last.items()) if part == name]
        shown = sum(note["count"] for note in notes)
        parts.append(
            {
                "part": name, "what": what, "wanted": wanted, "shown": shown,
                "reached": shown >= wanted if wanted else {note["case"].split(",")[0] for note in notes} == PLANS,
                "dates": sorted({note["date"] for note in notes}),
                "commits": sorted({note["commit"] for note in notes}),
                "cases": {note["case"]: note["count"] for note in notes},
                "outcomes": {note["case"]: note["outcomes"] for note in notes if "outcomes" in note},
            }
        )  # fmt: skip
    return {
        "command": "ORCHESTRATOR_PROVE=full pytest tests/crash tests/postgres/test_crashes.py tests/storage",
        "violations": 0,  # a case that fails makes no note
        "parts": parts,
    }


if __name__ == "__main__":
    REPORT.write_text(json.dumps(report_of(NOTES.read_text().splitlines()), indent=1) + "\n")
