"""Whole runs over the Batch API: gathered, matched, paid at half the price; and what is refused at the start."""

from pathlib import Path

import anyio
import pytest

from benchmarks.cost.batch import work
from benchmarks.cost.batch.stand_in import Service, serving
from orchestrator import Cancelled, Plan, Succeeded
from orchestrator.app import Engine
from orchestrator.core import facts as f
from orchestrator.core.invariants import check_history
from orchestrator.core.story import story
from orchestrator.engine.operations import Operations
from orchestrator.engine.recovery import read_all
from orchestrator.errors import PromiseError
from orchestrator.ids import RunId

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]
COUNT, FAILING = 40, 2


async def calls(engine: Engine, run_id: RunId) -> list[f.ModelCalled]:
    records = await read_all(engine.runs.journal, run_id)
    assert check_history(records) == ()
    return [one.fact for one in records if isinstance(one.fact, f.ModelCalled)]


async def test_many_questions_are_one_batch_and_the_ledger_is_right_to_the_cent(tmp_path: Path) -> None:
    asked = work.questions(COUNT, FAILING)
    with serving(Service()) as service:
        async with Engine(work.settings(service.url, tmp_path / "j.db"), pools=[work.writer()]) as engine:
            run = await engine.submit(work.plan(), {"questions": list(asked)})
            result = await run.result()
            made = await calls(engine, run.id)
    assert isinstance(result, Succeeded)
    assert result.output == asked
    assert len(service.batches) == 1
    assert len(set(service.items())) == COUNT == len(service.items())
    batched = [one for one in made if one.charge.startswith("batch.")]
    direct = [one for one in made if not one.charge.startswith("batch.")]
    assert sorted(one.outcome for one in batched) == ["batch_status_500"] * FAILING + ["ok"] * (COUNT - FAILING)
    assert sum(one.usd for one in batched) == pytest.approx(sum(map(work.usd, service.billed.values())) / 2, abs=1e-12)
    assert sum(one.saved_batch_usd for one in batched) == pytest.approx(sum(one.usd for one in batched), abs=1e-12)
    assert len(direct) == FAILING == len(service.direct)
    assert sum(one.usd for one in direct) == pytest.approx(sum(map(work.usd, service.direct)), abs=1e-12)


async def test_why_tells_that_the_batch_service_answered(tmp_path: Path) -> None:
    with serving(Service()) as service:
        async with Engine(work.settings(service.url, tmp_path / "j.db"), pools=[work.writer()]) as engine:
            run = await engine.submit(work.plan(), {"questions": ["A", "B FAIL"]})
            await run.result()
            records = await read_all(engine.runs.journal, run.id)
    told = [line.text for line in story(records, "say")]
    assert sum("answered by the batch service" in line for line in told) == 1
    assert sum("asked directly: the batch service gave no answer" in line for line in told) == 1


async def test_after_the_deadline_a_direct_call_is_made_and_the_batch_is_cancelled(tmp_path: Path) -> None:
    soon = work.plan(**{"deadline:_6h": "deadline: 400ms"})
    with serving(Service(rounds=10**6)) as service:
        async with Engine(
            work.settings(service.url, tmp_path / "j.db", gather_s=0.05), pools=[work.writer()]
        ) as engine:
            run = await engine.submit(soon, {"questions": ["A", "B"]})
            result = await run.result()
            made = await calls(engine, run.id)
    assert isinstance(result, Succeeded)
    assert result.output == ["A", "B"]
    assert [one["status"] for one in service.batches.values()] == ["cancelled"]
    assert sorted(one.outcome for one in made) == ["batch_missing", "batch_missing", "ok", "ok"]
    assert [one.unknown for one in made if one.outcome == "batch_missing"] == [True, True]


@pytest.mark.parametrize("cancelled", [True, False])
async def test_a_cancelled_run_has_its_batch_cancelled_and_a_closed_engine_does_not(
    tmp_path: Path, cancelled: bool
) -> None:
    with serving(Service(rounds=10**6)) as service:
        async with Engine(
            work.settings(service.url, tmp_path / "j.db", gather_s=0.05), pools=[work.writer()]
        ) as engine:
            run = await engine.submit(work.plan(), {"questions": ["A", "B"]})
            with anyio.fail_after(30.0):
                while not service.looks:  # noqa: ASYNC110  # the service is in a thread
                    await anyio.sleep(0.005)
            if cancelled:
                await Operations(engine.runs).cancel(run.id)
                with anyio.fail_after(30.0):
                    while service.status() != ["cancelled"]:  # noqa: ASYNC110  # as above
                        await anyio.sleep(0.005)
                assert isinstance(await run.result(), Cancelled)
        assert service.status() == ["cancelled" if cancelled else "validating"]


def test_python_and_yaml_give_one_plan(anyio_backend: str) -> None:
    with Plan("p") as p:
        p.task("writer", "Say it", id="say", model={"batch": {"deadline": "6h"}})
    text = "version: 1\nname: p\nsteps:\n  say: {pool: writer, task: Say it, model: {batch: {deadline: 6h}}}\n"
    from orchestrator.plan.files import parse_plan

    assert p.freeze().digest == parse_plan(text, "p.plan.yaml").digest


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"wall:_8h": "wall: 5h"}, r"for up to 21600 s, and the budget's wall time is 18000 s; raise budget\.wall"),
        ({"{batch:": "{cache: exact, batch:"}, "for the exact cache"),
        ({"task:_": "timeout: {idle: 9s}\n    task: "}, "has an idle timeout"),
        ({"{batch:": "{tier: strong, batch:"}, "no model has the tier strong"),
    ],
)
async def test_what_cannot_wait_is_refused_at_the_start(tmp_path: Path, changes: dict[str, str], why: str) -> None:
    async with Engine(work.settings("http://127.0.0.1:9/v1", "memory:"), pools=[work.writer()]) as engine:
        with pytest.raises(PromiseError, match=why):
            await engine.submit(work.plan(**changes), {"questions": []})


async def test_an_endpoint_that_does_not_say_so_has_no_batch_service() -> None:
    given = work.settings("http://127.0.0.1:9/v1", "memory:")
    endpoint = given.models.endpoints["default"].model_copy(update={"batches": None})
    models = given.models.model_copy(update={"endpoints": {"default": endpoint}})
    async with Engine(given.model_copy(update={"models": models}), pools=[work.writer()]) as engine:
        with pytest.raises(PromiseError, match="no model of tier standard has a batch service"):
            await engine.submit(work.plan(), {"questions": []})
