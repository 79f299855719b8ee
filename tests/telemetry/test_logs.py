"""Lines of the log name what they speak of, and are redacted on their way out."""

import json

import pytest
import structlog

from orchestrator import Engine, FrozenPlan, Plan
from orchestrator.adapters.otel.telemetry import Telemetry
from orchestrator.errors import PromiseError
from orchestrator.ports.redaction import CLEAR, Redactor
from orchestrator.service import logs
from tests.telemetry.test_traces import CANARY, Kept, Striking
from workers import Pool, WorkContext

pytestmark = pytest.mark.anyio
talking = Pool("talking")
log = structlog.get_logger("a user's own")


@talking.worker
async def talk(ctx: WorkContext, word: str) -> str:
    log.info("worked", word=word)
    return word


class Lines:
    """What was written."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, *_: object) -> "Lines":
        return self

    def info(self, text: str) -> None:
        self.lines.append(text)

    error = info


def plan() -> FrozenPlan:
    with Plan("talking") as p:
        p.result(p.map(talk, over=["one", CANARY], as_="word", with_={"word": "${{ word }}"}, id="talk"))
    return p.freeze()


async def lines_of(form: logs.Form, telemetry: Telemetry, redactor: Redactor = CLEAR) -> tuple[str, list[str]]:
    out = Lines()
    before = structlog.get_config()
    structlog.configure(
        processors=logs.processors(form, telemetry.trace_of_run, redactor, telemetry.said_here),
        logger_factory=out,
        wrapper_class=structlog.make_filtering_bound_logger("info"),  # a command in this process may have raised it
        cache_logger_on_first_use=False,
    )
    try:
        async with Engine(pools=[talking], store="memory:", telemetry=telemetry) as engine:
            run = await engine.submit(plan())
            await run.result()
            structlog.get_logger().error("of the engine", run=run.id)
    finally:
        structlog.configure(**before)
        telemetry.close()
    return run.id, out.lines


async def test_lines_of_a_task_name_run_step_branch_and_trace() -> None:
    kept = Kept()
    telemetry = Telemetry(kept)
    run_id, lines = await lines_of("json", telemetry)
    read = [json.loads(line) for line in lines]
    of_tasks = {line["word"]: line for line in read if line["event"] == "worked"}
    spans = {(span.told.get("orchestrator.step.branch"), span.name): span for span in kept.spans}
    trace = f"{next(iter(spans.values())).trace:032x}"
    for branch, word in enumerate(["one", CANARY]):
        line = of_tasks[word]
        assert line.pop("timestamp")
        work = next(span for span in kept.spans if f"{span.id:016x}" == line["span_id"])
        assert work.name == "call talking.talk"
        assert line == {
            "event": "worked", "level": "info", "word": word, "run": run_id, "step": "talk", "attempt": 1,
            "branch": branch, "trace_id": trace, "span_id": line["span_id"],
        }  # fmt: skip
    (of_engine,) = [line for line in read if line["event"] == "of the engine"]
    assert of_engine["trace_id"] == trace


async def test_secrets_are_struck_from_lines() -> None:
    _, lines = await lines_of("text", Telemetry(Kept()), Striking())
    assert any("[struck]" in line for line in lines)
    assert CANARY not in "".join(lines)


def test_an_unknown_form_is_refused_with_its_remedy() -> None:
    assert logs.form_of({}) == "text"
    assert logs.form_of({"ORCHESTRATOR_LOG": "json"}) == "json"
    with pytest.raises(PromiseError, match=r"ORCHESTRATOR_LOG=xml is not known.*use text or json"):
        logs.form_of({"ORCHESTRATOR_LOG": "xml"})
