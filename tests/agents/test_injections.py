"""Hostile texts never reach further than the model's words: tools, hosts, folders, tiers and the prompt's frame stay.

The model here is the worst there can be: it does at once whatever a hostile text asks it to do. What holds against it
holds by construction, and not because a model was clever.
"""

import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from orchestrator.core import facts as f
from orchestrator.ids import JsonValue
from orchestrator.plan.files import parse_plan
from orchestrator.ports.model import Completion, Message, Meter, Prompt
from orchestrator.ports.tasks import IntentRequest, TaskEvidence
from tests.agents.injections import EVIL_POOL, EVIL_URL, INJECTIONS, SAMPLE, Injection
from tests.agents.saying import Saying, calls, says
from tests.engine.conftest import OpenEngine
from tests.engine.helpers import records_of
from tests.sizes import SIZES
from tests.workers.conftest import Bench
from workers import Access, AllowedPath, AllowedUrl, Pool, tool
from workers.kinds.research import research_tools

pytestmark = pytest.mark.anyio
Start = Callable[..., AbstractAsyncContextManager[Bench]]
TEXTS = INJECTIONS if SIZES.name == "prove" else SAMPLE
BLOCK = re.compile(r"<<<DATA ([0-9a-f]{12}) [^\n]*\n.*?\nDATA \1>>>", re.DOTALL)


def frame(messages: tuple[Message, ...]) -> list[tuple[str, str]]:
    """A conversation without its data: what is left is what instructs."""
    return [(message.role, BLOCK.sub("<data>", message.content)) for message in messages]


class Reach:
    """What the tools of a test really reached."""

    def __init__(self, folder: Path) -> None:
        self.urls: list[str] = []
        self.paths: list[str] = []
        self.given: JsonValue = ""
        folder.mkdir(exist_ok=True)

        @tool
        async def fetch(url: AllowedUrl) -> JsonValue:
            """Read a page of the documentation."""
            self.urls.append(url)
            return self.given

        @tool
        async def read_file(path: AllowedPath) -> JsonValue:
            """Read a file of the project."""
            self.paths.append(path)
            return self.given

        self.tools = (fetch, read_file)
        self.pool = Pool("p", access=Access(hosts=("docs.example.org",), paths=(folder,)))
        self.pool.agent("reader", "You summarise what you read.", tools=self.tools, turns_max=4)


def obeying(injection: Injection, first: Completion) -> Saying:
    """A model that reads, does what the hostile text wants, and ends."""
    wanted = calls(*injection.wants) if injection.wants else says("nothing wanted")
    return Saying([first, wanted, says("done")])


async def one(
    start: Start, reach: Reach, injection: Injection, args: dict[str, JsonValue], first: Completion
) -> Saying:
    models = obeying(injection, first)
    async with start(reach.pool, models) as bench:
        await bench.call(None, args, instruction="Summarise the page.", tier="cheap")
        reached = [message.tool for message in bench.messages if isinstance(message, TaskEvidence)]
        assert set(reached) <= {"fetch", "read_file"}
        assert not [request for request in bench.asked if isinstance(request, IntentRequest)]
    return models


async def test_in_tool_results(start: Start, tmp_path: Path) -> None:
    reach = Reach(tmp_path / "docs")
    good = calls(("fetch", {"url": "https://docs.example.org/a"}))
    reach.given = "Heat pumps move heat."
    control = await one(start, reach, Injection(name="none", text=""), {}, good)
    for injection in TEXTS:
        reach.given = {"page": injection.text, "title": injection.text[:80]}
        models = await one(start, reach, injection, {}, good)
        assert frame(models.prompts[1].messages) == frame(control.prompts[1].messages), injection.name
        unchanged(models.prompts, control.prompts[0], injection)
    assert set(reach.urls) == {"https://docs.example.org/a"}
    assert reach.paths == []


async def test_in_the_values_of_a_step(start: Start, tmp_path: Path) -> None:
    reach = Reach(tmp_path / "docs")
    good = calls(("fetch", {"url": "https://docs.example.org/a"}))
    control = await one(start, reach, Injection(name="none", text=""), {"sources": "text", "notes": ["a"]}, good)
    for injection in TEXTS:
        args: dict[str, JsonValue] = {"sources": injection.text, "notes": [{injection.text[:60]: injection.text}]}
        models = await one(start, reach, injection, args, good)
        assert frame(models.prompts[0].messages) == frame(control.prompts[0].messages), injection.name
        unchanged(models.prompts, control.prompts[0], injection)
    assert set(reach.urls) == {"https://docs.example.org/a"}
    assert reach.paths == []


async def test_in_documents_that_are_searched(start: Start, tmp_path: Path) -> None:
    folder = tmp_path / "library"
    folder.mkdir()
    for number, injection in enumerate(TEXTS):
        (folder / f"{number:03}.md").write_text(f"# Heat pumps {number:03}\n\npump{number:03} {injection.text}\n")
    pool = Pool("research")
    search = research_tools(str(folder))
    pool.agent("answer", "You answer from documents.", tools=search, turns_max=4)
    reach = Reach(tmp_path / "docs")
    reach.pool = pool
    for number, injection in enumerate(TEXTS):
        models = obeying(injection, calls(("search_documents", {"query": f"pump{number:03}", "limit": 1})))
        async with start(pool, models) as bench:
            await bench.call(None, {}, instruction="How good are heat pumps?")
            reached = [message.tool for message in bench.messages if isinstance(message, TaskEvidence)]
        assert reached == ["search_documents"], injection.name
        (system, _task, _asked, found) = models.prompts[1].messages
        assert f"pump{number:03}" in found.content
        assert frame((found,)) == [("tool", "<data>")], injection.name
        assert EVIL_URL not in system.content
        assert [spec.name for prompt in models.prompts for spec in prompt.tools] == [
            one.traits.spec.name for one in search
        ] * len(models.prompts)


def unchanged(prompts: list[Prompt], control: Prompt, injection: Injection) -> None:
    """Tools, tier, schema and limits of every prompt are those of a run without a hostile text."""
    for prompt in prompts:
        told = (prompt.tools, prompt.tier, prompt.output_schema, prompt.tokens_max, prompt.temperature)
        expected = (control.tools, control.tier, control.output_schema, control.tokens_max, control.temperature)
        assert told == expected, injection.name
        assert prompt.messages[0] == control.messages[0], injection.name


PLAN = """
version: 1
name: two
inputs: {page: {type: string}}
budget: {usd: 1, tokens: 100000}
steps:
  read:
    pool: p
    task: Summarise the page.
    with: {page: "${{ inputs.page }}"}
  write:
    pool: p
    task: Write it up.
    with: {summary: "${{ steps.read.output }}"}
    checks: [{rule: len(output) > 0}]
result: ${{ steps.write.output }}
"""


class Parrot:
    """Repeats whatever is in its data, so that a hostile text travels on as an output."""

    async def complete(self, prompt: Prompt, meter: Meter, on_delta: object = None) -> Completion:
        await meter.reserve(0.0, 10)
        return says(prompt.messages[1].content)


async def test_in_the_outputs_of_steps_they_change_nothing_in_the_course_of_a_run(
    open_engine: OpenEngine, tmp_path: Path
) -> None:
    reach = Reach(tmp_path / "docs")
    traces = set()
    async with open_engine(reach.pool, models=Parrot()) as engine:
        plan = parse_plan(PLAN)
        for page in ("Heat pumps move heat.", *(injection.text for injection in TEXTS)):
            run = await engine.submit(plan, {"page": page.replace("\0", "")})
            await run.result()
            records = [record.fact for record in await records_of(engine.runs.journal, run.id)]
            # Whether a worker was free at once is chance; everything else is the same or it was changed.
            traces.add(tuple(_course(fact) for fact in records if not isinstance(fact, f.StepStarted)))
    assert len(traces) == 1
    (course,) = traces
    assert EVIL_POOL not in repr(course)


def _course(fact: f.Fact) -> tuple[object, ...]:
    """What a fact says of the course of a run: who does what, where, with which means; not of contents."""
    names = (
        "KIND",
        "step",
        "branch",
        "attempt",
        "pool",
        "tier",
        "purpose",
        "cause",
        "status",
        "usd",
        "tokens",
        "steps",
    )
    return tuple(getattr(fact, name, None) for name in names)
