"""Short plans for tests of the checker."""

from collections.abc import Mapping

from orchestrator.ids import Digest, JsonValue
from orchestrator.plan.catalogue import FunctionContract
from orchestrator.plan.check import check_plan
from orchestrator.plan.models import Plan
from orchestrator.plan.report import Report

A_TEXT: JsonValue = {"type": "object", "properties": {"text": {"type": "string"}}, "additionalProperties": False}


def plan_of(steps: Mapping[str, JsonValue], **keys: JsonValue) -> Plan:
    """A plan whose steps are calls of `f` in pool `p` unless they say otherwise."""
    kinds = {"task", "call", "human", "plan", "goal"}
    made: dict[str, JsonValue] = {}
    for name, step in steps.items():
        assert isinstance(step, dict)
        made[name] = step if kinds & set(step) else {"pool": "p", "call": "f", **step}
    return Plan.model_validate({"name": "plan", "steps": made, **keys})


def errors_of(report: Report) -> list[tuple[str, str]]:
    """Paths and messages of all errors."""
    return [(issue.path, issue.message) for issue in report.errors]


def errors(steps: Mapping[str, JsonValue], **keys: JsonValue) -> list[tuple[str, str]]:
    """What is wrong with a short plan."""
    return errors_of(check_plan(plan_of(steps, **keys)))


class Pools:
    """Two pools: `p` with functions `f` and `open` and no agent, `agents` with an agent and no functions."""

    def __init__(self) -> None:
        closed: dict[str, JsonValue] = {
            "type": "object",
            "properties": {"n": {"$ref": "#/$defs/Count"}, "name": {"type": "string", "minLength": 2}},
            "required": ["n"],
            "additionalProperties": False,
            "$defs": {"Count": {"type": "integer", "minimum": 0}},
        }
        output: dict[str, JsonValue] = {"type": "object", "properties": {"n": {"type": "integer"}}}
        output["additionalProperties"] = False
        digest = Digest("sha256:" + "0" * 64)
        self._functions = {
            "f": FunctionContract(name="f", input_schema=closed, output_schema=output, digest=digest),
            "open": FunctionContract(
                name="open", input_schema={"type": "object"}, output_schema={}, digest=digest, effect_key=True
            ),
        }

    def pools(self) -> list[str]:
        return ["p", "agents"]

    def functions(self, pool: str) -> Mapping[str, FunctionContract]:
        return self._functions if pool == "p" else {}

    def has_agent(self, pool: str) -> bool:
        return pool == "agents"
