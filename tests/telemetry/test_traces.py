"""Traces come from facts: whole, connected, the same whoever tells them, and nothing of a run's content in them."""

import dataclasses
import gc
import inspect
import json
import random
import weakref
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes

from orchestrator import Engine, FrozenPlan, Plan, checks, ladder
from orchestrator.adapters.memory.journal import MemoryJournal
from orchestrator.adapters.otel import ids, names
from orchestrator.adapters.otel.runs import BRANCHES_MAX, RunTrace
from orchestrator.adapters.otel.span import Ended, Passed, Span
from orchestrator.adapters.otel.spans import HANDLERS, RunSpans
from orchestrator.adapters.otel.telemetry import AGAIN_S, Telemetry
from orchestrator.core import facts as f
from orchestrator.core.codec import decode
from orchestrator.engine.recovery import read_all
from orchestrator.ids import JsonValue, PoolName, StepId, TenantId
from orchestrator.ports.journal import RunQuery
from orchestrator.ports.redaction import CLEAR, RedactedStream
from orchestrator.ports.tasks import StepTask, TaskKey
from orchestrator.settings import Settings
from orchestrator.testing import Says, ScriptedModel
from tests.replay import golden
from tests.telemetry.collecting import Seen, seen, tree
from workers import Pool, tool

pytestmark = pytest.mark.anyio
CANARY = "canary-7f3a"
work = Pool("work")


@work.worker
async def double(x: int) -> int:
    return x * 2


@tool
async def look_up(word: str) -> str:
    """Look a word up."""
    return f"{CANARY} {word}"


agents = Pool("agents")
agents.agent("clerk", "You look words up.", tools=[look_up])


def plan() -> FrozenPlan:
    with Plan("below") as below:
        below.result(below.step(double, x=3, id="inner"))
    with Plan("whole") as p:
        first = p.task(agents, f"Look {CANARY} up.", id="ask")
        p.map(double, over=[1, 2], as_="x", with_={"x": "${{ x }}"}, id="several", needs=[first])
        p.step(
            double,
            x=5,
            id="wrong",
            needs=["several"],
            checks=[checks.rule("output > 100")],
            on_fail=[ladder.retry(1), ladder.gap()],
        )
        p.plan(below, id="sub", needs=["wrong"])
        p.result(first)
    return p.freeze()


def script() -> ScriptedModel:
    return ScriptedModel([Says(tools=(("look_up", {"word": "sun"}),)), f"{CANARY} says the model"])


async def traced(telemetry: Telemetry, **submit: str) -> MemoryJournal:
    """Run the plan; its journal."""
    journal = MemoryJournal()
    async with Engine(
        pools=[work, agents], journal=journal, models=script(), telemetry=telemetry, drain_s=0.0
    ) as engine:
        run = await engine.runs.submit(plan(), trace=submit.get("trace", ""))
        await run.result()
    telemetry.close()
    return journal


async def facts_of(journal: MemoryJournal) -> list[list[f.Fact]]:
    """The facts of every run, the first submitted first."""
    rows = reversed(await journal.runs(RunQuery()))
    return [[record.fact for record in await read_all(journal, row.run_id)] for row in rows]


def spans_of(facts: Sequence[f.Fact], *, content: bool = False) -> list[Span]:
    assert isinstance(facts[0], f.RunAccepted)
    run = RunTrace(facts[0], content=content)
    return [span for fact in facts for told in run.tell([fact]) for span in told.spans()]


def plain(spans: Sequence[Span]) -> set[tuple[object, ...]]:
    """What must be the same, whoever tells it."""
    return {
        (
            *(s.trace, s.id, s.parent, s.name, s.start_s, s.end_s, s.kind, s.remote, s.error, repr(s.events)),
            tuple(sorted(s.attributes.items())),
        )
        for s in spans
    }


TREE = """\
invoke_workflow whole
  plan whole
    step ask
      invoke_agent agents
        chat scripted
        execute_tool look_up
        chat scripted
    step several
      step several[0]
        call work.double
      step several[1]
        call work.double
    step wrong
      call work.double
        check rule
      call work.double
        check rule
    step sub
      sub-plan sub
        invoke_workflow below
          plan below
            step inner
              call work.double
"""


async def test_a_run_with_its_sub_plan_is_one_tree() -> None:
    exporter = InMemorySpanExporter()
    telemetry = Telemetry(exporter)
    await traced(telemetry)
    found = [seen(span) for span in exporter.get_finished_spans()]
    assert sorted(tree(found)) == sorted(TREE.splitlines())
    assert len({span.trace for span in found}) == 1
    assert all(span.end_ns >= span.start_ns > 0 for span in found)
    assert telemetry.counts == {"exported": len(found), "failed": 0, "dropped": 0, "broken": 0}


async def test_the_journal_tells_the_same_spans_once_more() -> None:
    exporter = InMemorySpanExporter()
    journal = await traced(Telemetry(exporter))
    told = {(s.id, s.name): s for s in map(seen, exporter.get_finished_spans())}
    again = [span for facts in await facts_of(journal) for span in spans_of(facts)]
    assert {(s.id, s.name) for s in again} == set(told)
    assert all(told[s.id, s.name].start_ns == int(s.start_s * 1e9) for s in again)


@pytest.mark.parametrize("path", golden.paths(), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_any_journal_makes_whole_spans_and_a_take_over_at_any_fact_loses_and_doubles_none(path: Path) -> None:
    journal = golden.read(path)
    facts = [
        decode(journal.run_id, link.seq, link.header, link.payload, had_payload=link.payload is not None).fact
        for link in journal.links
    ]
    whole = spans_of(facts)
    known = {span.id for span in whole}
    assert len(known) == len(whole)
    top = [span for span in whole if span.parent not in known]
    assert [span.name.split()[0] for span in top] == ["invoke_workflow"]
    assert all(span.end_s >= span.start_s for span in whole)

    for at in range(1, len(facts)):
        first, second = Kept(), Kept()
        owner, heir = Telemetry(first), Telemetry(second)
        accepted = facts[0]
        assert isinstance(accepted, f.RunAccepted)
        owner.journaled(accepted, 1, tuple(facts[:at]))
        heir.resumed(accepted, facts[:at])
        heir.journaled(accepted, at + 1, tuple(facts[at:]))
        owner.close()
        heir.close()
        assert facts[at - 1].at_s - facts[0].at_s < AGAIN_S, "so that the heir tells all of it"
        told, of_heir = {one.id: one for one in first.spans}, {one.id: one for one in second.spans}
        assert set(of_heir) == known
        assert told.items() <= of_heir.items(), "a span that is told twice is the same span"


@pytest.mark.parametrize("path", golden.paths(), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_process_that_takes_a_run_over_from_itself_tells_the_same_spans(path: Path) -> None:
    journal = golden.read(path)
    facts = [
        decode(journal.run_id, link.seq, link.header, link.payload, had_payload=link.payload is not None).fact
        for link in journal.links
    ]
    accepted = facts[0]
    assert isinstance(accepted, f.RunAccepted)
    kept = Kept()
    telemetry = Telemetry(kept)
    telemetry.journaled(accepted, 1, tuple(facts[:-1]))
    telemetry.resumed(accepted, facts[:-1])
    telemetry.journaled(accepted, len(facts), tuple(facts[-1:]))
    telemetry.close()
    assert {one.id for one in kept.spans} == {span.id for span in spans_of(facts)}


class Kept(SpanExporter):
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.spans: list[Seen] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.spans += map(seen, spans)
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        pass


def failing_once(name: str) -> Pool:
    """A pool whose function fails the first time it is given a 2."""
    failed: list[int] = []
    pool = Pool(name)

    @pool.worker
    async def once(x: int) -> int:
        if x == 2 and not failed:
            failed.append(x)
            raise ValueError("once")
        return x + 1

    return pool


async def facts_of_run(pool: Pool, plan: FrozenPlan) -> list[f.Fact]:
    journal = MemoryJournal()
    async with Engine(pools=[pool], journal=journal) as engine:
        await (await engine.submit(plan)).result()
    (facts,) = await facts_of(journal)
    return facts


async def mapped_facts() -> list[f.Fact]:
    """Of a run with a map of three branches, one of which fails once."""
    maps = failing_once("maps")
    with Plan("mapped") as p:
        p.result(
            p.map("maps.once", over=[1, 2, 3], as_="x", with_={"x": "${{ x }}"}, id="m", on_fail=[ladder.retry(1)])
        )
    return await facts_of_run(maps, p.freeze())


async def test_branches_that_pass_at_once_are_told_in_short_and_no_others() -> None:
    facts = await mapped_facts()
    assert isinstance(facts[0], f.RunAccepted)
    told = RunTrace(facts[0]).tell(facts)
    assert [one.number for one in told if isinstance(one, Passed)] == [0, 2]
    assert len({span.id for one in told for span in one.spans()}) == 1 + 1 + 1 + 3 + 4


async def test_beyond_so_many_branches_those_that_pass_at_once_are_counted_and_whatever_else_happens_is_told() -> None:
    facts = await mapped_facts()
    assert isinstance(facts[0], f.RunAccepted)
    for most, short, untold in ((3, [0, 2], 0), (2, [0], 1), (0, [], 2)):
        told = RunTrace(facts[0], branches_max=most).tell(facts)
        spans = [span for one in told for span in one.spans()]
        assert [one.number for one in told if isinstance(one, Passed)] == short
        assert [s.attributes.get(names.UNTOLD, 0) for s in spans if s.name == "step m"] == [untold]
        assert [s.name for s in spans if s.attributes.get(names.BRANCH) == 1] == ["call maps.once"] * 2 + ["step m[1]"]


async def test_a_branch_that_waited_for_a_worker_is_only_counted_too_and_told_whole_once_it_fails() -> None:
    facts = await mapped_facts()
    assert isinstance(facts[0], f.RunAccepted)
    odd: list[f.Fact] = []
    for fact in facts:
        odd.append(fact)
        if isinstance(fact, f.StepDispatched) and fact.attempt == 1:
            odd.append(f.StepStarted(step=fact.step, branch=fact.branch, attempt=1, at_s=fact.at_s, actor="w"))
    spans = [span for one in RunTrace(facts[0], branches_max=0).tell(odd) for span in one.spans()]
    assert [s.attributes[names.UNTOLD] for s in spans if s.name == "step m"] == [2]
    assert [[event[0] for event in s.events] for s in spans if s.name == "call maps.once"] == [["step.started"], []]


@pytest.mark.parametrize(
    ("branch", "attempt", "content", "flags"),
    [(-1, 1, False, "01"), (1, 1, False, "01"), (2, 1, False, "00"), (2, 2, False, "01"), (2, 1, True, "01")],
)
async def test_a_worker_is_not_asked_for_the_span_of_a_branch_that_is_only_counted(
    branch: int, attempt: int, content: bool, flags: str
) -> None:
    (accepted, *_) = await mapped_facts()
    assert isinstance(accepted, f.RunAccepted)
    kept = Kept()
    telemetry = Telemetry(kept, content=content, branches_max=2)
    key = TaskKey(run_id=accepted.run, step_id=StepId("m"), branch=branch, attempt=attempt)
    trace = telemetry.trace_of(accepted, key)
    task = StepTask(
        key=key, tenant=TenantId(accepted.tenant), pool=PoolName("maps"), lane="interactive", function="once",
        instruction=None, args={},
        trace=trace, sent_at_s=1.0,
    )  # fmt: skip
    telemetry.end(task, "w", 1.0, 2.0, "")
    telemetry.close()
    assert trace.rpartition("-")[2] == flags
    assert [span.name for span in kept.spans] == (["work maps.once"] if flags == "01" else [])


async def test_how_many_branches_are_told_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console")
    monkeypatch.setenv("ORCHESTRATOR_TRACED_BRANCHES", "7")
    async with Engine(Settings(store="memory:"), pools=[work]) as engine:
        assert isinstance(engine.telemetry, Telemetry)
        assert engine.telemetry._branches_max == 7
    assert Settings.model_fields["traced_branches"].default == BRANCHES_MAX


async def chain_facts() -> list[f.Fact]:
    """Of a run of three steps, the second of which fails once."""
    chain = failing_once("chain")
    with Plan("chain") as p:
        first = p.step("chain.once", x=1, id="a")
        second = p.step("chain.once", x=first, id="b", on_fail=[ladder.retry(1)])
        p.result(p.step("chain.once", x=second, id="c"))
    return await facts_of_run(chain, p.freeze())


async def test_steps_that_pass_at_once_are_told_in_short_and_no_others() -> None:
    facts = await chain_facts()
    assert isinstance(facts[0], f.RunAccepted)
    told = RunTrace(facts[0], branches_max=0).tell(facts)
    assert [(one.branch.step, one.number) for one in told if isinstance(one, Passed)] == [
        ("a", f.WHOLE),
        ("c", f.WHOLE),
    ]
    assert sorted(span.name for one in told for span in one.spans()) == [
        *["call chain.once"] * 4, "invoke_workflow chain", "plan chain", "step a", "step b", "step c",
    ]  # fmt: skip


async def smooth_facts() -> list[f.Fact]:
    """Of a run that just ends."""
    smooth = failing_once("smooth")
    with Plan("smooth") as p:
        p.result(p.step("smooth.once", x=1, id="a"))
    return await facts_of_run(smooth, p.freeze())


@pytest.mark.parametrize("asked", ["", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"])
async def test_a_run_that_just_ends_is_told_in_short_and_no_other(asked: str) -> None:
    accepted, *further = await smooth_facts()
    assert isinstance(accepted, f.RunAccepted)
    accepted = dataclasses.replace(accepted, trace=asked)
    for content, between, short in [
        (False, [], True),
        (True, [], False),
        (False, [f.LimitExtended(limit="usd", by=1.0, at_s=further[0].at_s)], False),
        (False, [f.CancelRequested(at_s=further[0].at_s, actor="ann")], False),
    ]:
        facts = [accepted, further[0], *between, *further[1:]]
        told = RunTrace(accepted, content=content).tell(facts)
        assert [type(one) for one in told if isinstance(one, Ended)] == ([Ended] if short else [])
        long = RunSpans(accepted, content=content)
        for fact in facts:
            if (handler := HANDLERS.get(type(fact))) is not None:
                handler(long, fact)
        assert plain([span for one in told for span in one.spans()]) == plain(
            [span for one in long._done for span in one.spans()]
        )
        assert [s.attributes[names.RUN] for one in told for s in one.spans() if s.name == "invoke_workflow smooth"] == [
            accepted.run
        ]


@pytest.mark.parametrize("made", [mapped_facts, chain_facts, smooth_facts])
async def test_what_is_told_in_short_is_what_each_fact_tells_whatever_gets_lost_or_comes_twice(
    made: Callable[[], Awaitable[list[f.Fact]]],
) -> None:
    facts = await made()
    accepted = facts[0]
    assert isinstance(accepted, f.RunAccepted)
    chance = random.Random(7)
    for _ in range(300):
        odd = [fact for fact in facts for _ in range(chance.choice((1, 1, 1, 1, 1, 1, 0, 2)))]
        at = chance.randrange(1, len(odd) - 1)
        odd[at], odd[at + 1] = odd[at + 1], odd[at]
        long, short = RunSpans(accepted), RunTrace(accepted)
        for fact in odd:
            if (handler := HANDLERS.get(type(fact))) is not None:
                handler(long, fact)
        told = [span for one in short.tell(odd) for span in one.spans()]
        assert plain(told) == plain([span for one in long._done for span in one.spans()])


class Text(dict[str, JsonValue]):
    """One that tells when nobody has it any more."""


async def test_the_plan_of_an_open_run_is_not_kept_for_its_spans() -> None:
    accepted, frozen, *_ = await smooth_facts()
    assert isinstance(accepted, f.RunAccepted)
    assert isinstance(frozen, f.PlanFrozen)
    text = Text(frozen.plan or {})
    run, kept = RunTrace(accepted), weakref.ref(text)
    run.tell([accepted, dataclasses.replace(frozen, plan=text)])
    del text
    gc.collect()
    assert kept() is None


def test_ids_of_many_branches_attempts_and_samples_are_all_different() -> None:
    made = [ids.attempt_span("r", "s", b, a, s) for b in range(-1, 1_000) for a in range(1, 9) for s in range(4)]
    made += [ids.check_span("r", "s", b, a, c) for b in range(-1, 1_000) for a in range(1, 9) for c in range(1, 4)]
    made += [ids.step_span("r", "s", b, times) for b in range(-1, 1_000) for times in range(1, 4)]
    made += [ids.work_span(made[0], 1.7e9 + sent / 1000, worker) for sent in range(1_000) for worker in "ab"]
    assert len(set(made)) == len(made)


async def test_a_run_goes_on_with_the_trace_of_whoever_asked() -> None:
    exporter = InMemorySpanExporter()
    asked = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    await traced(Telemetry(exporter), trace=asked)
    found = [seen(span) for span in exporter.get_finished_spans()]
    assert {span.trace for span in found} == {0x4BF92F3577B34DA6A3CE929D0E0E4736}
    assert [span.parent for span in found if span.name == "invoke_workflow whole"] == [0x00F067AA0BA902B7]


@pytest.mark.parametrize(
    ("sampler", "told"),
    [("", True), ("parentbased_always_on", True), ("always_off", False), ("parentbased_always_off", False)],
)
async def test_the_sampler_of_the_environment_decides(
    sampler: str, told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    exporter = InMemorySpanExporter()
    await traced(Telemetry(exporter))
    assert len(exporter.get_finished_spans()) == (len(TREE.splitlines()) if told else 0)


async def test_a_caller_who_does_not_sample_is_not_traced() -> None:
    exporter = InMemorySpanExporter()
    await traced(Telemetry(exporter), trace="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00")
    assert exporter.get_finished_spans() == ()


@pytest.mark.parametrize(
    "text",
    ["", "x", "00-0-0-01", f"00-{'0' * 32}-{'1' * 16}-01", f"00-{'1' * 32}-{'0' * 16}-01",
     f"ff-{'1' * 32}-{'1' * 16}-01", f"00-{'1' * 32}-{'1' * 16}-01-more",
     f"00-{'A' * 32}-{'1' * 16}-01", f"00-{'_1' * 16}-{'1' * 16}-01"],
)  # fmt: skip
def test_a_traceparent_that_says_nothing_begins_a_trace_of_its_own(text: str) -> None:
    assert ids.parse(text) is None


def test_a_traceparent_of_a_later_version_is_read() -> None:
    assert ids.parse(f"01-{'1' * 32}-{'2' * 16}-01-what-is-to-come") == (int("1" * 32, 16), int("2" * 16, 16), 1)


async def test_no_content_is_told_unless_asked_for() -> None:
    exporter = InMemorySpanExporter()
    journal = await traced(Telemetry(exporter))
    everything = repr([(span.name, dict(span.attributes or {})) for span in exporter.get_finished_spans()])
    assert CANARY not in everything
    assert "this does not hold" not in everything

    struck = InMemorySpanExporter()
    await traced(Telemetry(struck, content=True, redactor=Striking()))
    contents = [
        str(value)
        for span in struck.get_finished_spans()
        for name, value in (span.attributes or {}).items()
        if name in names.CONTENT
    ]
    assert "[struck] sun" in contents
    assert "[struck] says the model" in contents
    assert "this does not hold: output > 100" in contents
    assert CANARY not in repr(contents)
    clear = [span for facts in await facts_of(journal) for span in spans_of(facts, content=True)]
    assert CANARY in repr(clear), "or the test above would prove nothing"


class Striking:
    """A redactor that knows one secret."""

    def text(self, text: str) -> str:
        return text.replace(CANARY, "[struck]")

    def value(self, value: JsonValue) -> JsonValue:
        found: JsonValue = json.loads(self.text(json.dumps(value)))
        return found

    def stream(self) -> RedactedStream:
        return CLEAR.stream()


class Broken(Telemetry):
    """An observer with a bug."""

    def journaled(self, accepted: f.RunAccepted, first_seq: int, facts: tuple[f.Fact, ...]) -> None:
        raise ValueError("our bug")


async def test_an_observer_that_breaks_harms_no_run() -> None:
    exporter = InMemorySpanExporter()
    journal = await traced(Broken(exporter))
    (row,) = await journal.runs(RunQuery(top_level=True))
    assert row.status == "degraded"
    assert exporter.get_finished_spans() == ()


async def test_what_finds_no_room_is_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "1")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "3600000")
    exporter = InMemorySpanExporter()
    telemetry = Telemetry(exporter)
    journal = await traced(telemetry)
    (row,) = await journal.runs(RunQuery(top_level=True))
    assert row.status == "degraded"
    counts = telemetry.counts
    assert counts["dropped"] > 0
    assert counts["exported"] == len(exporter.get_finished_spans())


async def test_an_exporter_that_fails_is_counted_and_harms_no_run() -> None:
    class Away(SpanExporter):
        def __init__(self) -> None:
            self.asked = 0

        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            self.asked += len(spans)
            raise ConnectionError("no collector")

    away = Away()
    telemetry = Telemetry(away)
    await traced(telemetry)
    assert telemetry.counts == {"exported": 0, "failed": away.asked, "dropped": 0, "broken": 0}
    assert away.asked == len(TREE.splitlines())


async def test_a_run_whose_spans_cannot_be_made_is_counted_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def odd(self: RunTrace, facts: object) -> list[Span]:
        raise KeyError("our bug")

    monkeypatch.setattr(RunTrace, "tell", odd)
    exporter = InMemorySpanExporter()
    telemetry = Telemetry(exporter)
    journal = await traced(telemetry)
    (row,) = await journal.runs(RunQuery(top_level=True))
    assert row.status == "degraded"
    assert exporter.get_finished_spans() == ()
    assert telemetry.counts["broken"] > 1
    assert {name: count for name, count in telemetry.counts.items() if name != "broken"} == {
        "exported": 0, "failed": 0, "dropped": 0,
    }  # fmt: skip


def test_what_cannot_be_struck_out_is_not_told() -> None:
    class Unable(Striking):
        def text(self, text: str) -> str:
            raise ValueError("our bug")

    kept = Kept()
    telemetry = Telemetry(kept, redactor=Unable(), content=True)
    span = Span(1, 2, 0, "x", 1.0, 2.0, content=True)
    span.attributes = {names.STEP: "a", names.OUTPUT: CANARY}
    telemetry._pump.take([span])
    telemetry.close()
    assert [one.told for one in kept.spans] == [{names.STEP: "a"}]
    assert telemetry.counts == {"exported": 1, "failed": 0, "dropped": 0, "broken": 1}


def test_every_gen_ai_name_is_in_the_registry_of_the_conventions() -> None:
    registry = {value for name, value in vars(gen_ai_attributes).items() if name.startswith("GEN_AI_")}
    #: Newer than the registry that the package carries.
    newer = {"gen_ai.response.time_to_first_chunk", "gen_ai.usage.cache_read.input_tokens"}
    assert names.GEN_AI - registry <= newer
    operations = {member.value for member in gen_ai_attributes.GenAiOperationNameValues}
    assert {names.INVOKE_AGENT, names.CHAT, names.EXECUTE_TOOL} <= operations
    providers = {member.value for member in gen_ai_attributes.GenAiProviderNameValues}
    assert names.PROVIDER_VALUE in providers


def test_every_name_of_the_table_is_used() -> None:
    folder = Path(inspect.getfile(names)).parent
    text = "".join(path.read_text() for path in folder.glob("*.py") if path.name != "names.py")
    table = {name for name in vars(names) if name.isupper() and name not in {"GEN_AI", "CONTENT"}}
    assert {name for name in table if f"names.{name}" not in text} == set()


def test_a_call_of_a_tool_that_came_to_nothing_is_a_span_with_its_kind() -> None:
    journal = golden.read(next(path for path in golden.paths() if path.stem == "fruitless"))
    records = (decode(journal.run_id, one.seq, one.header, one.payload, had_payload=True) for one in journal.links)
    spans = spans_of([record.fact for record in records])
    assert [(one.name, one.error) for one in spans if one.name.startswith("execute_tool")] == [
        ("execute_tool closed", "failed"),
        ("execute_tool closed", "input"),
    ]
