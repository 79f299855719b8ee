"""A crash at every append of a run with goals, judges and a replan: the outcome is as if nothing had happened."""

from collections.abc import Sequence
from dataclasses import replace

import anyio
import pytest

from orchestrator import Budget, Plan, Succeeded, Supervisor
from orchestrator.adapters.memory.journal import MemoryJournal
from orchestrator.core import facts as f
from orchestrator.core.invariants import check_history
from orchestrator.core.results import RunResult
from orchestrator.engine.handle import Run
from orchestrator.engine.recovery import read_all
from orchestrator.ids import JsonValue, RunId
from orchestrator.plan.models import Plan as FrozenPlan
from orchestrator.ports.journal import Append, RunQuery
from orchestrator.ports.model import Prompt
from orchestrator.testing.scripted import Says, ScriptedModel
from tests.sizes import SIZES
from tests.supervisor.house import Data, draft, good, opened, task

pytestmark = [pytest.mark.anyio, pytest.mark.crash]
BAD = draft(task("a", "nowhere"))
PLANNED = draft(task("a"), {"id": "deep", "goal": "the part below"}, task("b", text="impossible"))
BELOW = draft(task("c", uses=[]))
MENDED: Data = {
    "reason": "it can be done otherwise",
    "ops": [{"op": "replace", "id": "b", "step": task("b", text="possible")}],
}


class Crash(Exception):
    """The process dies here."""


class CrashingJournal(MemoryJournal):
    """A memory journal whose process dies at append number `at`, from 1, before or after writing."""

    def __init__(self) -> None:
        super().__init__()
        self.at: int | None = None
        self.written = False
        self.appends = 0

    async def append(self, entries: Sequence[Append]) -> tuple[RunId, ...]:
        """Die, or append."""
        self.appends += 1
        if self.appends == self.at:
            if self.written:
                await super().append(entries)
            raise Crash
        return await super().append(entries)


class Model:
    """Answers by what it is asked, in two drafts for each plan; remembers how often each draft was written."""

    def __init__(self) -> None:
        self.written: list[str] = []
        self.scripted = ScriptedModel(self.answer, usd=0.001)

    def answer(self, prompt: Prompt) -> Says:
        """The next answer to a question depends on the question alone."""
        system, asked = prompt.messages[0].content, prompt.messages[1].content
        refused = sum("was refused" in message.content for message in prompt.messages)
        if "You judge" in system:
            return Says(data=good(), tokens_in=10, tokens_out=10)
        if "has failed for good" in system:
            what = "patch"
            answers: list[JsonValue] = [{"reason": "hm", "ops": [{"op": "retry", "id": "b"}]}, MENDED]
        elif '"goal": "the part below"' in asked:
            what, answers = "below", [BAD, BELOW]
        else:
            what, answers = "plan", [BAD, PLANNED]
        self.written.append(f"{what} {refused + 1}")
        return Says(data=answers[min(refused, 1)], tokens_in=10, tokens_out=10)


def plan() -> FrozenPlan:
    """A goal between two steps."""
    with Plan("crashing", budget=Budget(usd=1.0, calls=40)) as p:
        first = p.task("research", "begin", id="first")
        sub = p.goal("all of it", id="all", with_={"begun": first.output})
        p.result(p.task("writer", "end", id="last", with_={"found": sub.output}))
    return p.freeze()


async def finish(journal: CrashingJournal, model: Model) -> RunResult:
    """Open an engine on the journal, take over what is there or submit anew, and let it end."""
    async with opened(journal, models=model.scripted, supervisor=Supervisor(), recover=False) as engine:
        found = await journal.runs(RunQuery(top_level=True))
        if found:
            await engine.runs.recover()
            run = Run(engine.runs, found[0].run_id)
        else:
            run = await engine.submit(plan())
        return await run.result()


async def drafted(journal: MemoryJournal) -> list[str]:
    """The drafts that are in the journal, with the run they are for."""
    found = []
    for row in await journal.runs(RunQuery(limit=100)):
        for record in await read_all(journal, row.run_id):
            if isinstance(record.fact, f.PlanDrafted):
                goal = "below" if record.fact.step == "deep" else "plan"
                found.append(f"{'patch' if record.fact.purpose == 'patch' else goal} {record.fact.number}")
    return found


def plain(result: RunResult) -> RunResult:
    """The result without what differs by design: the id, and what a lost call cost."""
    assert isinstance(result, Succeeded)
    return replace(result, run_id=RunId("R"), usage=replace(result.usage, usd=0.0, tokens=0))


@pytest.mark.parametrize("written", [False, True], ids=["unwritten", "written"])
@pytest.mark.parametrize("anyio_backend", ["trio"], indirect=True)
async def test_a_crash_at_any_append_changes_nothing_and_no_journaled_draft_is_paid_for_again(written: bool) -> None:
    journal, model = CrashingJournal(), Model()
    expected = plain(await finish(journal, model))
    assert sorted(model.written) == ["below 1", "below 2", "patch 1", "patch 2", "plan 1", "plan 2"]
    appends = journal.appends
    for at in range(1, appends + 1, SIZES.crash_stride):
        journal, model = CrashingJournal(), Model()
        journal.at, journal.written = at, written
        with anyio.fail_after(7200):
            try:
                result = await finish(journal, model)  # the last appends may come after the result
            except* Crash:
                before = await drafted(journal)
                model.written.clear()
                result = await finish(journal, model)
                again = set(model.written) & set(before)
                assert not again, f"crash at append {at}: written again although journaled: {again}"
        assert plain(result) == expected, f"crash at append {at} of {appends}"
        for row in await journal.runs(RunQuery(limit=100)):
            assert check_history(await read_all(journal, row.run_id)) == (), f"crash at append {at}"
