"""Records golden journals of what routing, sessions, guards, the cache, news and ratings write:
`python -m tests.replay.record_parts [NAME ...]`; replaces none.
"""

import sys
from collections.abc import Awaitable, Callable
from unittest.mock import patch

import anyio

from orchestrator.adapters.memory.cache import MemoryCache
from orchestrator.adapters.memory.journal import MemoryJournal
from orchestrator.adapters.memory.sessions import MemorySessions
from orchestrator.app import Engine
from orchestrator.core.codec import CODEC_VERSION
from orchestrator.engine.rating import rate
from orchestrator.engine.recovery import read_all
from orchestrator.ids import JsonValue
from orchestrator.plan.files import parse_plan
from orchestrator.ports.guard import Ruling
from orchestrator.ports.journal import Journal, Recorded, RunQuery
from orchestrator.ports.model import Prompt
from orchestrator.settings import GatewaySettings, RoutingSettings, Settings
from orchestrator.testing.scripted import Says, ScriptedModel
from tests.core.bench import Bench
from tests.core.test_news import OTHER, PLAN, no_patch, patched
from tests.replay import golden
from tests.routing.test_runs import YAML as AUTO
from tests.safety.test_guards import Own
from tests.sessions.house import ECHO
from tests.sessions.house import pool as talk
from workers import Pool, ToolFailed, tool

FAQ = """
version: 1
name: faq
steps:
  answer: {pool: writer, task: What is the fee?, model: {cache: exact}}
result: ${{ steps.answer.output }}
"""
GUARDED = """
version: 1
name: guarded
steps:
  s: {pool: desk, call: echo, with: {text: hello}}
result: ${{ steps.s.output }}
"""
ASKED = """
version: 1
name: asked
steps:
  s: {pool: desk, task: Ask}
result: ${{ steps.s.output }}
"""
Records = list[Recorded]


def _writer() -> Pool:
    pool = Pool("writer")
    pool.agent("writer", instructions="You write.", tier="standard")
    return pool


async def _newest(journal: Journal) -> Records:
    (row,) = await journal.runs(RunQuery(limit=1))
    return await read_all(journal, row.run_id)


async def routed() -> Records:
    """A tier that routing chose, and the strong one after a refusal."""

    def by_tier(prompt: Prompt) -> dict[str, JsonValue]:
        return {"n": {"cheap": 1, "standard": 5, "strong": 9}[prompt.tier]}

    journal, settings = MemoryJournal(), Settings(models=GatewaySettings(routing=RoutingSettings()))
    models = ScriptedModel(by_tier, usd=0.01)
    async with models, Engine(pools=[_writer()], journal=journal, models=models, settings=settings) as engine:
        await (await engine.submit(parse_plan(AUTO, "small.plan.yaml"))).result()
    return await _newest(journal)


async def talked() -> Records:
    """The second turn of a conversation, which sees the first."""
    journal = MemoryJournal()
    settings = Settings(store="memory:")
    async with Engine(settings, pools=[talk], journal=journal, sessions=MemorySessions(), drain_s=0.0) as engine:
        for said in ("hello", "and next year?"):
            await engine.session("ada").ask(ECHO, said)
    return await _newest(journal)


async def guarded() -> Records:
    """Guards that signal and change."""
    desk = Pool("desk")

    @desk.worker
    async def echo(text: str) -> str:
        return text

    journal = MemoryJournal()
    changes = Own("changes", {"output": Ruling(verdict="change", value="changed", reasons=("so",))})
    signals = Own("signals", {"input": Ruling(verdict="signal", score=0.75)})
    async with Engine(pools=[desk], journal=journal, guards=[changes, signals]) as engine:
        await (await engine.submit(parse_plan(GUARDED, "guarded.plan.yaml"))).result()
    return await _newest(journal)


async def cached() -> Records:
    """The second of two runs, whose question is answered by what was kept of the first."""
    journal, cache = MemoryJournal(), MemoryCache()
    models = ScriptedModel(["the fee is 5"], usd=0.02)
    async with models, Engine(pools=[_writer()], journal=journal, models=models, cache=cache) as engine:
        for _ in range(2):
            await (await engine.submit(parse_plan(FAQ, "faq.plan.yaml"))).result()
            assert engine.runs.offers is not None
            await engine.runs.offers.settle()
    return await _newest(journal)


async def news() -> Records:
    """An output that was news: the planner exchanges what comes next."""
    bench = Bench(PLAN)
    bench.done("a", 2)
    bench.tell(patched(PLAN, OTHER))
    bench.done("b", 3)
    return await golden.recorded(tuple(bench.all))


async def old_news() -> Records:
    """An output that was news to which the planner had nothing to say; its process died while it thought."""
    bench = Bench(PLAN)
    bench.done("a", 2)
    bench.crash()
    bench.tell(no_patch())
    bench.done("b", 3)
    return await golden.recorded(tuple(bench.all), epoch=2)


async def rated() -> Records:
    """A run that has been rated since it ended."""
    desk = Pool("desk")

    @desk.worker
    async def echo(text: str) -> str:
        return text

    journal = MemoryJournal()
    async with Engine(pools=[desk], journal=journal) as engine:
        run = await engine.submit(parse_plan(GUARDED, "guarded.plan.yaml"))
        await run.result()
    await rate(journal, run.id, source="thumb", score=0.0, by="ada", now_s=2_000_000_000.0, reason="wrong city")
    return await _newest(journal)


async def fruitless() -> Records:
    """An agent whose tools give it nothing, and that ends well all the same."""

    @tool
    async def closed(x: int) -> int:
        """Be closed."""
        raise ToolFailed("closed today")

    agents = Pool("desk")
    agents.agent("clerk", "You ask.", tools=[closed])
    asked = Says(tools=(("closed", {"x": 1}), ("closed", {"x": "one"})))
    journal = MemoryJournal()
    models = ScriptedModel([asked, "nothing to be had"])
    async with models, Engine(pools=[agents], journal=journal, models=models) as engine:
        await (await engine.submit(parse_plan(ASKED, "asked.plan.yaml"))).result()
    return await _newest(journal)


PARTS: dict[str, Callable[[], Awaitable[Records]]] = {
    "routed": routed,
    "talked": talked,
    "guarded": guarded,
    "fruitless": fruitless,
    "cached": cached,
    "news": news,
    "old-news": old_news,
    "rated": rated,
}


async def main() -> None:
    """Record every part that has no golden yet."""
    with patch("socket.gethostname", return_value="golden"):
        for name, part in PARTS.items():
            path = golden.FOLDER / f"v{CODEC_VERSION}" / f"{name}.jsonl"
            if (len(sys.argv) == 1 or name in sys.argv) and not path.exists():
                golden.write(path, await part())


if __name__ == "__main__":
    anyio.run(main)
