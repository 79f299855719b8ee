"""Looking after the journal itself: proving it, handing proof out, copying it, forgetting what is old."""

import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

import anyio

from orchestrator.core.chain import Link
from orchestrator.core.event import canonical_event
from orchestrator.core.history import check_history
from orchestrator.core.retention import Retention, forgettable
from orchestrator.engine.recovery import read_all
from orchestrator.errors import JournalCorrupt, PromiseError
from orchestrator.ids import JsonValue, RunId
from orchestrator.ports.journal import Journal, RunQuery
from orchestrator.service.control_args import GcArgs

PAGE: Final = 1_000  #: records exported at a time
ALL: Final = 1_000_000  #: runs looked through
DAY_S: Final = 86_400.0


@runtime_checkable
class FileJournal(Protocol):
    """What a journal in a file can do beyond the port."""

    async def verify_run(self, run_id: RunId) -> int:
        """Check every hash of a run; return the number of its records."""
        ...

    async def links(self, run_id: RunId, after: int = 0, limit: int = 10_000) -> list[Link]:
        """Records as the hash chain sees them."""
        ...

    async def backup(self, target: Path) -> None:
        """Copy the journal to a new file."""
        ...


def _file(journal: Journal) -> FileJournal:
    if not isinstance(journal, FileJournal):
        raise PromiseError("this journal is no file", "name one: --store sqlite:///file")
    return journal


async def verify(journal: Journal, run_id: RunId | None) -> JsonValue:
    """{runs, records, damaged: [{run, reason}]} of one run with its sub-plans, or of all."""
    file = _file(journal)
    rows = await journal.runs(RunQuery(limit=ALL))
    names = [row.run_id for row in rows if run_id is None or _belongs(row.run_id, run_id)]
    records = 0
    damaged: list[JsonValue] = []
    for name in reversed(names):
        try:
            records += await file.verify_run(name)
        except JournalCorrupt as error:
            damaged.append({"run": name, "record": error.seq, "reason": error.reason})
    return {"runs": len(names), "records": records, "damaged": damaged}


async def check(journal: Journal, run_id: RunId | None) -> JsonValue:
    """{runs, records, broken: [{run, record, rule, step, branch, what}]} of one run with its sub-plans, or of all.

    Hashes say that nothing was changed; this says that what was written keeps the rules of a run.
    """
    rows = await journal.runs(RunQuery(limit=ALL))
    names = [row.run_id for row in rows if run_id is None or _belongs(row.run_id, run_id)]
    records = 0
    broken: list[JsonValue] = []
    for name in reversed(names):
        try:
            history = await read_all(journal, name)
        except JournalCorrupt as error:
            broken.append(_broken(name, error.seq, "record", "", -1, error.reason))
            continue
        records += len(history)
        found = await anyio.to_thread.run_sync(check_history, history)  # a large one would keep the owner busy
        broken += [_broken(name, one.seq, one.rule, one.step, one.branch, one.what) for one in found]
    return {"runs": len(names), "records": records, "broken": broken}


def _broken(run: str, record: int, rule: str, step: str, branch: int, what: str) -> JsonValue:
    at = branch if branch >= 0 else None
    return {"run": run, "record": record, "rule": rule, "step": step or None, "branch": at, "what": what}


async def export(journal: Journal, run_id: RunId) -> AsyncGenerator[JsonValue, None]:
    """Every event of a run and its sub-plans, each with what a stranger needs to check its hash."""
    file = _file(journal)
    rows = await journal.runs(RunQuery(limit=ALL))
    for name in reversed([row.run_id for row in rows if _belongs(row.run_id, run_id)]):
        after = 0
        while True:
            records = await journal.read(name, after=after, limit=PAGE)
            if not records:
                break
            links = await file.links(name, after, len(records))
            for record, link in zip(records, links, strict=True):
                yield {**canonical_event(record), "proof": _proof(link)}
            after = records[-1].seq


def _proof(link: Link) -> JsonValue:
    return {
        "header": link.header.decode(),
        "payload": link.payload.decode() if link.payload is not None else None,
        "salt": link.salt.hex() if link.salt is not None else None,
        "payload_digest": link.payload_digest.hex() if link.payload_digest is not None else None,
    }


async def collect(journal: Journal, args: GcArgs) -> JsonValue:
    """Forget ended runs that no rule keeps; {runs, freed_bytes}. A dry run only names them."""
    retention = Retention(keep_last=args.keep_runs, keep_s=args.keep_days * DAY_S)
    rows = await journal.runs(RunQuery(limit=ALL))
    going = forgettable(rows, retention, time.time())
    freed = 0
    if going and not args.dry_run:
        freed = await journal.forget(going, payloads_only=args.payloads_only)
    return {"runs": [*going], "freed_bytes": freed, "dry_run": args.dry_run}


async def backup(journal: Journal, target: str) -> JsonValue:
    """Copy the journal to a new file; {file, bytes}."""
    path = Path(target)
    if not path.is_absolute():
        raise PromiseError(f"{target} is no absolute path", "the owner of the store may work in another folder")
    await _file(journal).backup(path)
    found = await anyio.Path(path).stat()
    return {"file": str(path), "bytes": found.st_size}


def _belongs(name: str, run_id: str) -> bool:
    return name == run_id or name.startswith(f"{run_id}.")
