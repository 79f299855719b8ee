"""A child process that appends for ever and says what was acknowledged, until it is killed; or only opens and waits."""

import sys
from pathlib import Path

import anyio

from orchestrator.adapters.sql.journal import SqliteJournal
from orchestrator.errors import JournalOwned
from orchestrator.ids import RunId
from orchestrator.testing.facts import accepted, passed, produced
from orchestrator.testing.journal_contract import append, entry


async def write(path: Path, runs: int) -> None:
    """Append to several runs at once; print `run seq` for everything that was acknowledged."""
    journal = await SqliteJournal.open(path)

    async def one(name: str) -> None:
        run_id = RunId(name)
        seq = 1 + len(await journal.read(run_id))
        if seq == 1:
            await append(journal, entry(1, accepted(name), run_id=run_id))
            seq = 2
        while True:
            facts = (produced({"seq": seq, "text": "x" * (seq * 37 % 3_000)}), passed())
            assert await append(journal, entry(seq, *facts, run_id=run_id)) == ()
            seq += 2
            print(name, seq - 1, flush=True)

    async with anyio.create_task_group() as tasks:
        for n in range(runs):
            tasks.start_soon(one, f"run-{n}")


async def own(path: Path) -> None:
    """Open, say who came first, and keep the file until standard input ends."""
    try:
        journal = await SqliteJournal.open(path)
    except JournalOwned as owned:
        print("owned by", owned.pid, flush=True)
        return
    print("owner", flush=True)
    sys.stdin.read()
    await journal.close()


if __name__ == "__main__":
    if sys.argv[1] == "own":
        anyio.run(own, Path(sys.argv[2]))
    else:
        anyio.run(write, Path(sys.argv[2]), int(sys.argv[3]))
