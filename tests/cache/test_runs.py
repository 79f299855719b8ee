"""The cache in runs: what is kept, what is never kept, what the journal says of a hit."""

import json
from collections.abc import Sequence
from pathlib import Path

import anyio.to_thread
import pytest
from typer.testing import CliRunner

from orchestrator import Engine, Plan
from orchestrator.adapters.memory.cache import MemoryCache
from orchestrator.adapters.memory.journal import MemoryJournal
from orchestrator.cli.cache import app as cache_app
from orchestrator.core import facts as f
from orchestrator.core.history import check_history
from orchestrator.core.results import Succeeded
from orchestrator.core.story import story
from orchestrator.engine.operations import Operations
from orchestrator.errors import PromiseError
from orchestrator.plan.files import parse_plan
from orchestrator.plan.models import Plan as FrozenPlan
from orchestrator.ports.journal import RunQuery
from orchestrator.settings import CacheSettings, GatewaySettings, Settings
from orchestrator.testing import ScriptedModel
from tests.engine.helpers import facts_of, records_of
from workers import Pool, WorkContext

pytestmark = pytest.mark.anyio


def plan(task: str, cache: str = "exact", more: str = "") -> FrozenPlan:
    return parse_plan(f"""
version: 1
name: faq
inputs: {{about: {{type: string, default: fees}}}}
steps:
  answer:
    pool: p
    task: {task}
    model: {{cache: {cache}}}
{more}
result: ${{{{ steps.answer.output }}}}
""")


def pool() -> Pool:
    made = Pool("p")
    made.agent("writer", "You answer.")
    made.worker(send)
    return made


async def send(ctx: WorkContext) -> str:
    return "sent"


def engine(models: ScriptedModel, cache: MemoryCache, journal: MemoryJournal | None = None) -> Engine:
    settings = Settings(store="memory:")
    return Engine(settings, pools=[pool()], models=models, cache=cache, journal=journal or MemoryJournal())


async def outputs(opened: Engine, plans: Sequence[FrozenPlan], tenant: str = "default") -> list[object]:
    found: list[object] = []
    for one in plans:
        result = await (await opened.submit(one, tenant=tenant)).result()
        assert isinstance(result, Succeeded)
        found.append(result.output)
        assert opened.runs.offers is not None
        await opened.runs.offers.settle()
    return found


async def test_an_equal_question_is_answered_without_a_model_and_the_journal_says_so() -> None:
    journal = MemoryJournal()
    async with ScriptedModel(["the fee is 5"], usd=0.02) as models, engine(models, MemoryCache(), journal) as opened:
        runs = [await opened.submit(plan("What is the fee?")) for _ in range(1)]
        await runs[0].result()
        assert opened.runs.offers is not None
        await opened.runs.offers.settle()
        second = await opened.submit(plan("What is the fee?"))
        result = await second.result()
        records = await records_of(journal, second.id)
        (called,) = await facts_of(second, f.ModelCalled)

    assert isinstance(result, Succeeded)
    assert (result.output, result.usage.usd, result.usage.tokens) == ("the fee is 5", 0.0, 0)
    assert (called.served, called.usd, called.saved_cache_usd, called.model) == ("exact", 0.0, 0.02, "scripted")
    assert called.why == f"entry {called.entry[:12]}, kept 0 s ago"
    assert not check_history(records)
    told = [line.text for line in story(records, "answer")]
    assert f"a kept answer of model scripted at scripted was used; the cache saved 0.02 USD; {called.why}" in told


async def test_only_what_passed_its_checks_is_kept() -> None:
    bad = plan("Say a number.", more="    checks: [{rule: 'output == \"7\"'}]\n    on_fail: [{retry: 1}]")
    cache = MemoryCache()
    async with ScriptedModel(["5", "7", "5", "7"]) as models, engine(models, cache) as opened:
        assert await outputs(opened, [bad]) == ["7"]
        # The refused answer was not kept, and the one after it belongs to a prompt that holds the reasons.
        assert await outputs(opened, [bad]) == ["7"]


async def test_a_kept_answer_that_a_check_refuses_is_dropped_and_a_model_is_asked() -> None:
    strict = plan("Say a number.", more="    checks: [{rule: 'output == \"7\"'}]\n    on_fail: [{retry: 1}]")
    async with ScriptedModel(["5", "7", "7"]) as models, engine(models, MemoryCache()) as opened:
        assert await outputs(opened, [plan("Say a number.")]) == ["5"]
        assert await outputs(opened, [strict]) == ["7"]  # 5 was served and refused
        assert await outputs(opened, [plan("Say a number.")]) == ["7"]


async def test_tenants_do_not_see_each_others_answers() -> None:
    async with ScriptedModel(["one", "two"]) as models, engine(models, MemoryCache()) as opened:
        assert await outputs(opened, [plan("What is the fee?")], "a") == ["one"]
        assert await outputs(opened, [plan("What is the fee?")], "b") == ["two"]
        assert await outputs(opened, [plan("What is the fee?")], "a") == ["one"]


@pytest.mark.parametrize(
    ("task", "why"),
    [
        ("What is the weather today?", "the answer depends on the time (today)"),
        ("Wie wird das Wetter heute?", "the answer depends on the time (heute)"),
        ("今天天气怎么样？", "the answer depends on the time (今天)"),
        ("What did ada@example.org order?", "the question is about one person"),
        (
            'Answer the question.\n    with: {question: "What is the weather today?"}',
            "the answer depends on the time (today)",
        ),
    ],
)
async def test_what_depends_on_time_or_person_is_asked_every_time_and_why_says_so(task: str, why: str) -> None:
    journal = MemoryJournal()
    async with ScriptedModel(["a", "b"]) as models, engine(models, MemoryCache(), journal) as opened:
        assert await outputs(opened, [plan(task), plan(task)]) == ["a", "b"]
    rows = await journal.runs(RunQuery())
    facts = [record.fact for row in rows for record in await journal.read(row.run_id)]
    told = [fact.why for fact in facts if isinstance(fact, f.ModelCalled)]
    assert told == [f"not from the cache: {why}"] * 2


async def test_a_document_that_tells_of_today_makes_no_question_one_of_today() -> None:
    summary = plan(f'Sum up the text.\n    with: {{text: "{"Sales are up today. " * 40}"}}')
    async with ScriptedModel(["short"]) as models, engine(models, MemoryCache()) as opened:
        assert await outputs(opened, [summary, summary]) == ["short", "short"]


async def test_a_quarantined_result_takes_its_answer_out_of_the_cache_whichever_run_brought_it() -> None:
    async with ScriptedModel(["wrong", "right"]) as models, engine(models, MemoryCache()) as opened:
        assert await outputs(opened, [plan("What is the fee?")]) == ["wrong"]
        run = await opened.submit(plan("What is the fee?"))
        assert (await run.result()).output == "wrong"  # type: ignore[union-attr]  # it succeeded, from the cache
        await Operations(opened.runs).quarantine(run.id, "answer", reason="it is wrong")
        assert opened.runs.offers is not None
        await opened.runs.offers.settle()
        assert await outputs(opened, [plan("What is the fee?")]) == ["right"]


TWO = parse_plan("""
version: 1
name: faq
steps:
  answer: {pool: p, task: What is the fee?, model: {cache: exact}}
  then:
    pool: p
    task: Go on
    with: {answer: "${{ steps.answer.output }}"}
    checks: [{rule: output == "ok"}]
result: ${{ steps.then.output }}
""")
OUTER = parse_plan("""
version: 1
name: outer
steps:
  inner:
    plan:
      version: 1
      name: inner
      steps:
        answer: {pool: p, task: What is the fee?, model: {cache: exact}}
      result: ${{ steps.answer.output }}
result: ${{ steps.inner.output }}
""")


async def test_a_quarantine_reaches_the_run_whose_result_was_taken_over() -> None:
    async with ScriptedModel(["wrong", "no", "ok", "no", "right"]) as models, engine(models, MemoryCache()) as opened:
        run = await opened.submit(TWO)
        await run.result()
        again = await Operations(opened.runs).retry(run.id)
        await again.result()
        forked = await Operations(opened.runs).fork(again.id, step="then", inputs={})
        await forked.result()
        await Operations(opened.runs).quarantine(forked.id, "answer", reason="it is wrong")
        assert opened.runs.offers is not None
        await opened.runs.offers.settle()
        assert await outputs(opened, [plan("What is the fee?")]) == ["right"]


async def test_a_quarantine_of_a_sub_plan_takes_its_answers_out_of_the_cache() -> None:
    async with ScriptedModel(["wrong", "right"]) as models, engine(models, MemoryCache()) as opened:
        run = await opened.submit(OUTER)
        assert (await run.result()).output == "wrong"  # type: ignore[union-attr]  # it succeeded
        await Operations(opened.runs).quarantine(run.id, "inner", reason="it is wrong")
        assert opened.runs.offers is not None
        await opened.runs.offers.settle()
        assert await outputs(opened, [plan("What is the fee?")]) == ["right"]


EFFECT = parse_plan("""
version: 1
name: effect
steps:
  send: {pool: p, call: send, effect: {key: k}, model: {cache: exact}}
result: ${{ steps.send.output }}
""")


@pytest.mark.parametrize(
    ("refused", "why"),
    [
        (EFFECT, "an effect is never answered from a cache"),
        (plan("Do it.", more="    checks: [{agree: {runs: 3, quorum: 2}}]"), "samples out of a cache always do"),
        (plan("What is the fee?", "semantic"), "no model tells how alike questions are"),
    ],
)
async def test_a_plan_that_would_cache_what_must_not_be_is_refused(refused: FrozenPlan, why: str) -> None:
    async with ScriptedModel([]) as models, engine(models, MemoryCache()) as opened:
        with pytest.raises(PromiseError, match=why):
            await opened.submit(refused)


async def test_a_tier_may_ask_for_the_cache_where_steps_say_nothing() -> None:
    settings = Settings(store="memory:", models=GatewaySettings(cache=CacheSettings(tiers={"standard": "exact"})))
    made = Pool("p")
    made.agent("writer", "You answer.")
    with Plan("quiet") as p:
        p.result(p.task("p", "What is the fee?", id="answer"))
    with Plan("loud") as q:
        q.result(q.task("p", "What is the fee?", id="answer", model={"cache": "none"}))
    async with (
        ScriptedModel(["a", "b"]) as models,
        Engine(settings, pools=[made], models=models, journal=MemoryJournal()) as opened,
    ):
        assert await outputs(opened, [p.freeze(), p.freeze(), q.freeze()]) == ["a", "a", "b"]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_the_next_process_finds_what_was_kept_beside_the_journal(tmp_path: Path) -> None:
    settings = Settings(store=f"sqlite:///{tmp_path}/journal.db")
    async with ScriptedModel(["kept"]) as models:
        async with Engine(settings, pools=[pool()], models=models) as first:
            result = await (await first.submit(plan("What is the fee?"))).result()
        async with Engine(settings, pools=[pool()], models=models) as second:
            again = await (await second.submit(plan("What is the fee?"))).result()
    assert isinstance(result, Succeeded)
    assert isinstance(again, Succeeded)
    assert (result.output, again.output, again.usage.usd) == ("kept", "kept", 0.0)
    assert (tmp_path / "cache.db").is_file()

    words = ["drop", "--tag", "plan:faq", "--store", settings.store, "--json"]
    dropped = await anyio.to_thread.run_sync(lambda: CliRunner().invoke(cache_app, words))
    assert json.loads(dropped.stdout) == {"tag": "plan:faq", "tenant": "default", "dropped": 1}
