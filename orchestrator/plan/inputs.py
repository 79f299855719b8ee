"""Checks the inputs given to a run against the plan, and fills in defaults."""

from collections.abc import Mapping
from difflib import get_close_matches

from orchestrator.errors import InputError
from orchestrator.ids import JsonValue
from orchestrator.plan.models import Plan
from orchestrator.plan.schemas import compile_schema

__all__ = ["validate_inputs"]


def validate_inputs(plan: Plan, inputs: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """The inputs of a run in the order of the plan, with defaults filled in. Neither argument is changed.

    Raises:
        InputError: an input is unknown, missing, or does not fit its schema.
        PlanError: a schema of the plan is refused; `check_plan` tells it with its place.
    """
    for name in inputs:
        if name not in plan.inputs:
            close = get_close_matches(name[:64], plan.inputs, n=3)
            names = ", ".join(list(plan.inputs)[:12])
            hint = f"did you mean {' or '.join(close)}?" if close else f"the plan takes {names or 'no inputs'}"
            raise InputError(name, f"is unknown; {hint}")
    filled: dict[str, JsonValue] = {}
    for name, schema in plan.inputs.items():
        if name in inputs:
            value = inputs[name]
        elif "default" in schema:
            value = schema["default"]
        else:
            raise InputError(name, "is missing and has no default")
        wrong = compile_schema(schema)(value)
        if wrong:
            raise InputError(name, "; ".join(wrong[:3]))
        filled[name] = value
    return filled
