"""A real process that accepts turns, says so, and is killed before it has answered them.

Usage: python -m tests.sessions.victim STORE SESSIONS KEY
"""

import sys

import anyio

from orchestrator.app import Engine
from orchestrator.settings import SessionSettings, Settings
from tests.sessions.house import ECHO, SLOW, pool


async def main(store: str, sessions: str, key: str) -> None:
    """One turn that is answered, one that will not be."""
    settings = Settings(store=store, lease_s=0.5, sessions=SessionSettings(store=sessions or None))
    async with Engine(settings, pools=[pool]) as engine:
        session = engine.session("s")
        await session.pin("Ann pays 40")
        await session.ask(ECHO, "before", idempotency_key="first")
        started = await session.begin(SLOW, "wait", inputs={"seconds": 0.3}, idempotency_key=key)
        print("accepted", started.run.id, flush=True)
        await anyio.sleep_forever()


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], sys.argv[2], sys.argv[3])
