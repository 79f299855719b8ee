"""Plans, pools and engines of the sessions' tests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from orchestrator.adapters.clock import SystemClock
from orchestrator.adapters.memory.journal import MemoryJournal
from orchestrator.adapters.memory.sessions import MemorySessions
from orchestrator.app import Engine
from orchestrator.ids import JsonValue
from orchestrator.plan.files import parse_plan
from orchestrator.plan.models import Plan
from orchestrator.settings import SessionSettings, Settings
from workers import Pool, WorkContext

pool = Pool("talk", concurrency=200)


@pool.worker
async def echo(ctx: WorkContext, said: str, turns: list[dict[str, str]], summary: str) -> str:
    """Tells what it was told."""
    return f"{said} [{len(turns)}|{summary}]"


@pool.worker
async def slowly(ctx: WorkContext, said: str, seconds: float) -> str:
    """Tells it after a while."""
    await anyio.sleep(seconds)
    return f"at last: {said}"


@pool.worker
async def refuse(ctx: WorkContext, said: str) -> str:
    """Cannot."""
    raise ValueError("no")


def plan_of(text: str) -> Plan:
    """A plan in YAML."""
    return parse_plan(text, "talk.plan.yaml")


ECHO = plan_of("""
version: 1
name: echo
inputs: {text: {type: string}}
steps:
  say:
    pool: talk
    call: echo
    with: {said: "${{ inputs.text }}", turns: "${{ session.turns }}", summary: "${{ session.summary }}"}
result: ${{ steps.say.output }}
""")
SLOW = plan_of("""
version: 1
name: slow
inputs: {text: {type: string}, seconds: {type: number}}
steps:
  say: {pool: talk, call: slowly, with: {said: "${{ inputs.text }}", seconds: "${{ inputs.seconds }}"}}
result: ${{ steps.say.output }}
""")
REFUSE = plan_of("""
version: 1
name: refuse
inputs: {text: {type: string}}
steps:
  say: {pool: talk, call: refuse, with: {said: "${{ inputs.text }}"}}
result: ${{ steps.say.output }}
""")


class Shared:
    """A store and a clock that several engines of one test share."""

    def __init__(self, **settings: JsonValue) -> None:
        self.journal, self.sessions, self.clock = MemoryJournal(), MemorySessions(), SystemClock()
        self.settings = Settings(store="memory:", sessions=SessionSettings.model_validate(settings))

    @asynccontextmanager
    async def engine(self, **options: object) -> AsyncIterator[Engine]:
        """An engine on them."""
        async with Engine(
            self.settings,
            pools=[pool],
            journal=self.journal,
            sessions=self.sessions,
            clock=self.clock,
            drain_s=0.0,
            **options,  # type: ignore[arg-type]  # options of Engine
        ) as engine:
            yield engine
