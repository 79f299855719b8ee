"""Journals to damage, the desk that looks at them, and a record of what was found.

ORCHESTRATOR_PROVE=full AUDIT_REPORT=tests/audit/report.json keeps the figures of a run at full sizes.
"""

import json
import os
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from orchestrator.adapters.sql.journal import SqliteJournal
from orchestrator.core.checkpoints import Ledger
from orchestrator.ids import JsonValue, RunId
from orchestrator.ports.journal import Journal
from orchestrator.service.audit_examine import Examined, examine, news
from orchestrator.service.control_desk import Desk, NoPools, ask
from orchestrator.testing.facts import accepted, ended, passed, produced
from orchestrator.testing.journal_contract import entry
from tests.cli.conftest import shell
from tests.servers.postgres import empty_postgres_url, postgres_server, postgres_url
from tests.sizes import SIZES

__all__ = ["empty_postgres_url", "postgres_server", "postgres_url", "shell"]
KEY = "a key of the tests with room to spare"
COMMAND = "ORCHESTRATOR_PROVE=full AUDIT_REPORT=tests/audit/report.json python -m pytest tests/audit"
Report = Callable[..., None]
LARGE: JsonValue = "large " * 8_000  #: over what lies beside its record


@pytest.fixture
def anyio_backend() -> str:
    """Threads and servers are at work here, which a jumping clock does not see."""
    return "asyncio"


@pytest.fixture
def report() -> Report:
    """`report(name, trials, **figures)`: kept in the file that AUDIT_REPORT names, beside what other tests wrote."""
    began_s = time.monotonic()

    def write(name: str, trials: int, **figures: object) -> None:
        place = os.environ.get("AUDIT_REPORT")
        if place is None:
            return
        file = Path(place)
        kept = json.loads(file.read_text()) if file.exists() else {"command": COMMAND, "results": {}}
        when = {"date": datetime.now(UTC).date().isoformat(), "seconds": round(time.monotonic() - began_s, 1)}
        kept["results"][name] = {"sizes": SIZES.name, "trials": trials, **figures, **when}
        file.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")

    return write


@dataclass
class Asker:
    """Asks a desk of this process."""

    journal: Journal

    async def ask(self, verb: str, **args: JsonValue) -> JsonValue:
        async for value in ask(Desk(self.journal, NoPools()), verb, args):
            return value
        raise AssertionError

    async def stream(self, verb: str, **args: JsonValue) -> AsyncGenerator[JsonValue, None]:
        async for value in ask(Desk(self.journal, NoPools()), verb, args):
            yield value


async def fill(journal: Journal) -> None:
    """Seven runs: ended and open ones, one with a sub-plan, one large, one whose contents were forgotten."""
    for n in range(5):
        run_id = RunId(f"run-{n}")
        steps = [fact for k in range(n + 1) for fact in (produced([k, "text"]), passed())]
        begun = accepted(run_id, at_s=float(n), key=f"key {n}" if n == 2 else None)
        facts = [begun, *steps, *([ended(at_s=50.0 + n)] if n != 3 else [])]
        assert await journal.append([entry(1, *facts, run_id=run_id)]) == ()
    child = RunId("run-3.sub")
    assert await journal.append([entry(1, accepted(child, parent="run-3"), ended(), run_id=child)]) == ()
    big = RunId("run-big")
    assert await journal.append([entry(1, accepted(big, at_s=9.0), produced(LARGE), ended(), run_id=big)]) == ()
    await journal.forget([RunId("run-1")], payloads_only=True)


async def examined(journal: Journal, ledger: Ledger | None = None) -> Examined:
    return await examine(Asker(journal), ledger)


async def signed(journal: Journal) -> Ledger:
    """A checkpoint of all there is, and a signed word about what was forgotten."""
    found = await examined(journal)
    assert found.damaged == []
    ledger = Ledger((KEY,))
    ledger.sign("forgotten", {name: found.heads[name] for name in found.emptied}, at_s=1.0, payloads_only=True)
    ledger.sign("checkpoint", news(ledger, found), at_s=2.0)
    return ledger


@pytest.fixture
async def filled(tmp_path: Path) -> tuple[bytes, Ledger]:
    """The bytes of a closed journal, and its checkpoint."""
    journal = await SqliteJournal.open(tmp_path / "first.db")
    await fill(journal)
    ledger = await signed(journal)
    await journal.close()
    return (tmp_path / "first.db").read_bytes(), ledger
