"""A long campaign in lots: played side by side, each written to a file when it is done, so that it can be gone on with.

What was played by other code, or of other schedules, is not counted: a lot names both.
"""

import hashlib
import json
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import orchestrator
from orchestrator.testing.simulation.campaign import Tally, campaign, keep

LOT: Final = 250  #: schedules of one file; as much is lost when a campaign is stopped
#: Lots of one process, which then makes room for a fresh one. The pool's own `max_tasks_per_child` stands still in
#: CPython 3.11 when a process leaves while others are handed their tasks.
ROUND: Final = 8


@cache
def code() -> str:
    """A digest of the sources of the product."""
    root = Path(orchestrator.__file__).parent
    found = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        found.update(f"{path.relative_to(root)}\n".encode() + path.read_bytes())
    return found.hexdigest()[:16]


def play_lots(folder: Path, first: int, seeds: int, workers: int, failures: Path | None, only: str = "") -> Tally:
    """Play what is missing of a campaign in `workers` processes; return the figures of all of it.

    Raises:
        ValueError: a lot in the folder was played by other code, or of other schedules.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lots = [(at, min(LOT, first + seeds - at)) for at in range(first, first + seeds, LOT)]
    done = {name for name, _ in _read(folder, only)}
    missing = [(at, count) for at, count in lots if f"{at}-{count}" not in done]
    played = len(lots) - len(missing)
    while missing:
        some, missing = missing[: ROUND * workers], missing[ROUND * workers :]
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            under_way = {pool.submit(_play, folder, at, count, failures, only): at for at, count in some}
            for lot in as_completed(under_way):
                played += 1
                told = f"lot {played} of {len(lots)}, from seed {under_way[lot]}: {lot.result()} violations"
                print(told, file=sys.stderr, flush=True)  # noqa: T201  # a program of its own
    return merged(folder, only)


def _play(folder: Path, first: int, seeds: int, failures: Path | None, only: str) -> int:
    tally = campaign(first, seeds, only)
    keep(tally, failures)
    path = folder / f"{first}-{seeds}.json"
    half = path.with_suffix(".half")
    half.write_text(json.dumps({"code": code(), "only": only, **tally.state()}), encoding="utf-8")
    half.replace(path)
    return len(tally.failing)


def _read(folder: Path, only: str) -> Iterable[tuple[str, dict[str, object]]]:
    for path in sorted(folder.glob("*.json")):
        state: dict[str, object] = json.loads(path.read_text(encoding="utf-8"))
        if state["code"] != code():
            raise ValueError(f"{path} was played by other code; take another folder")
        if state["only"] != only:
            raise ValueError(f"{path} has schedules of {state['only'] or 'all faults'}; take another folder")
        yield path.stem, state


def merged(folder: Path, only: str = "") -> Tally:
    """The figures of every lot that is done.

    Raises:
        ValueError: a lot was played by other code, or of other schedules.
    """
    tally = Tally()
    for _, state in _read(folder, only):
        tally.merge(state)
    return tally
