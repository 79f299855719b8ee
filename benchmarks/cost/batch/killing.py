"""One point: a process is killed at a moment, another one goes on, and everything that must hold is held against it.

Points that held are remembered by the state of the code, so that a long series goes on where it was interrupted.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import anyio

from benchmarks.cost.batch import work
from benchmarks.cost.batch.stand_in import Service, serving
from orchestrator.adapters.sql.journal import SqliteJournal
from orchestrator.core import facts as f
from orchestrator.core.invariants import check_history
from orchestrator.engine.recovery import read_all
from orchestrator.ids import JsonValue
from orchestrator.ports.journal import RunQuery

ROOT: Final = Path(__file__).resolve().parents[3]
DONE: Final = ROOT / ".prove"  #: where points that held are remembered
CHILD_S: Final = 1_800.0  #: one process, however busy the machine is
CENT_OFF_USD: Final = 1e-9  #: floats of the ledger are added in another order than the bill


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How many questions, and how many of them fail in the batch."""

    count: int
    failing: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What came of one."""

    at: int  #: number of the moment; 0: nothing was killed
    moment: str
    killed: bool
    answered: int  #: questions with the right answer
    handed_over: int  #: items in all batches
    batches: int
    direct: int  #: calls past the batch service
    billed_usd: float  #: by the service, for what it answered in batches
    booked_usd: float  #: in the journal, for the same
    seconds: float
    wrong: tuple[str, ...]  #: what did not hold


def moments(size: Size) -> tuple[list[str], Point]:
    """The moments that a process passes which nobody kills, and what came of it."""
    with tempfile.TemporaryDirectory() as folder, serving(Service()) as service:
        began = perf_counter()
        store = Path(folder) / "j.db"
        ended = _ended(_started(service, store, size, 0))
        names = ended.get("moments")
        assert isinstance(names, list), ended
        return [str(name) for name in names], _judged(service, store, size, 0, "none", False, ended, began)


def chosen(names: Sequence[str], most: int) -> list[int]:
    """Numbers of at most `most` moments, from 1: those around hand-overs, claims, looks and results first, then evenly
    those at which a question is kept, which are all alike."""
    rare = [at for at, name in enumerate(names, 1) if not name.endswith(" put")]
    puts = [at for at, name in enumerate(names, 1) if name.endswith(" put")]
    rare = _evenly(rare, most if len(puts) == 0 else max(most - len(puts), (3 * most) // 4))
    return sorted([*rare, *_evenly(puts, most - len(rare))])


def _evenly(of: Sequence[int], most: int) -> list[int]:
    if len(of) <= most:
        return list(of)
    return [of[(number * (len(of) - 1)) // max(most - 1, 1)] for number in range(most)]


def killed_at(size: Size, at: int, moment: str) -> Point:
    """Kill a process at one moment, let another one go on, and judge."""
    with tempfile.TemporaryDirectory() as folder, serving(Service()) as service:
        began = perf_counter()
        store = Path(folder) / "j.db"
        first = _started(service, store, size, at)
        # 0: it was quicker this time, and passed fewer moments.
        assert first.returncode in (-9, 0), first.stderr
        ended = _ended(_started(service, store, size, 0))
        return _judged(service, store, size, at, moment, first.returncode == -9, ended, began)


def record_of(size: Size) -> Path:
    """The file in which a series on this very code is remembered."""
    return DONE / f"batch-kill-{_code()}-{size.count}-{size.failing}.jsonl"


def begun(size: Size, file: Path) -> tuple[list[str], Point]:
    """The moments of a process that nobody kills: of the series in `file`, which otherwise begins here. They differ a
    little from time to time, so a series keeps to those that it began with."""
    if file.exists():
        row = json.loads(file.read_text().partition("\n")[0])
        return row["moments"], _point(row["clean"])
    names, clean = moments(size)
    if not clean.wrong:
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps({"moments": names, "clean": asdict(clean)}) + "\n")
    return names, clean


def _point(row: dict[str, Any]) -> Point:
    return Point(**{**row, "wrong": tuple(row["wrong"])})


def remembered(size: Size, points: Sequence[tuple[int, str]], file: Path) -> Iterator[tuple[Point, bool]]:
    """Every point in turn, and whether it is remembered in `file`, where those that hold are written down."""
    known: dict[tuple[int, str], Point] = {}
    if file.exists():
        found = (_point(json.loads(line)) for line in file.read_text().splitlines()[1:])
        known = {(one.at, one.moment): one for one in found}
    for at, moment in points:
        before = known.get((at, moment))
        if before is not None:
            yield before, True
            continue
        point = killed_at(size, at, moment)
        if not point.wrong:
            with file.open("a") as out:
                out.write(json.dumps(asdict(point)) + "\n")
        yield point, False


def _code() -> str:
    """A digest of all code that a point runs."""
    found = sha256()
    for folder in ("orchestrator", "workers", "benchmarks/cost/batch"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            found.update(file.relative_to(ROOT).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return found.hexdigest()[:16]


def _started(service: Service, store: Path, size: Size, at: int) -> subprocess.CompletedProcess[str]:
    numbers = (str(size.count), str(size.failing), str(at))
    command = [sys.executable, "-m", "benchmarks.cost.batch.victim", service.url, str(store), *numbers]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=CHILD_S, check=False)


def _ended(done: subprocess.CompletedProcess[str]) -> dict[str, JsonValue]:
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def _judged(
    service: Service,
    store: Path,
    size: Size,
    at: int,
    moment: str,
    killed: bool,
    ended: dict[str, JsonValue],
    began: float,
) -> Point:
    asked, said, items = work.questions(size.count, size.failing), ended.get("output"), service.items()
    called, broken = anyio.run(_called, store)
    batched = [one for one in called if one.charge.startswith("batch.")]
    by_charge = {one.charge: one.usd for one in batched}
    direct = [one for one in called if not one.charge.startswith("batch.") and not one.unknown]
    billed = sum(map(work.usd, service.billed.values())) / 2
    booked = sum(by_charge.values())
    held = {
        "the run did not succeed": ended.get("status") == "Succeeded",
        "an answer is missing or belongs to another question": said == asked,
        "an item was handed over twice": len(items) == len(set(items)),
        "an item was never handed over": len(set(items)) == size.count,
        "an item was booked under more than one charge, or none": len(by_charge) == size.count,
        "the ledger and the bill differ": abs(booked - billed) <= CENT_OFF_USD,
        "a direct call is missing in the ledger, or was never made": size.failing <= len(direct) <= len(service.direct),
        "the journal breaks an invariant": not broken,
    }
    return Point(
        at=at,
        moment=moment,
        killed=killed,
        answered=sum(one == other for one, other in zip(said, asked, strict=False)) if isinstance(said, list) else 0,
        handed_over=len(items),
        batches=len(service.batches),
        direct=len(service.direct),
        billed_usd=billed,
        booked_usd=booked,
        seconds=perf_counter() - began,
        wrong=tuple(what for what, holds in held.items() if not holds),
    )


async def _called(store: Path) -> tuple[list[f.ModelCalled], bool]:
    """What the journal says of calls, and whether it is broken."""
    journal = await SqliteJournal.open(store)
    try:
        (row,) = await journal.runs(RunQuery(top_level=True))
        records = await read_all(journal, row.run_id)
    finally:
        await journal.close()
    return [one.fact for one in records if isinstance(one.fact, f.ModelCalled)], check_history(records) != ()
