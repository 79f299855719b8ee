"""The JSON Schema (2020-12) of the plan format, for editors and other tools. Generated from the models."""

import json
from typing import Final

from orchestrator.ids import JsonValue
from orchestrator.plan.durations import format_duration
from orchestrator.plan.format_doc import MODELS
from orchestrator.plan.format_words import MEANINGS
from orchestrator.plan.models import STEP_KINDS, JsonSchema, Plan

__all__ = ["plan_schema", "plan_schema_text"]

_DURATION: Final[JsonValue] = {"type": "string", "pattern": r"^(\d+(\.\d+)?(ms|s|m|h|d))+$"}
_TITLES: Final = {model.__name__: name for model, name in MODELS.items()}


def plan_schema() -> JsonSchema:
    """The schema of a plan file. What it refuses the reader refuses too; the reader and `plan check` know more."""
    made: JsonSchema = Plan.model_json_schema(by_alias=True, mode="validation")
    definitions = made.get("$defs")
    assert isinstance(definitions, dict)
    for name, definition in definitions.items():
        assert isinstance(definition, dict)
        _describe(_TITLES.get(name, ""), definition)
    step = definitions["Step"]
    assert isinstance(step, dict)
    properties = step["properties"]
    assert isinstance(properties, dict)
    # A sub-plan may also be the name of a file beside this one; the reader puts the file's plan in its place.
    properties["plan"] = {
        "anyOf": [{"$ref": "#/$defs/Plan"}, {"type": "string", "pattern": r"\.plan\.yaml$"}],
        "description": MEANINGS["step", "plan"],
    }
    given: JsonValue = {"not": {"type": "null"}}
    step["oneOf"] = [{"required": [kind], "properties": {kind: given}} for kind in STEP_KINDS]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "orchestrator plan", **made}


def _describe(model: str, definition: dict[str, JsonValue]) -> None:
    """Descriptions for people in place of titles that repeat the key."""
    definition.pop("title", None)
    properties = definition.get("properties")
    if not isinstance(properties, dict):
        return
    for key, part in properties.items():
        if isinstance(part, dict):
            part.pop("title", None)
            default = part.get("default")
            ways = part.get("anyOf")
            if isinstance(default, float) and isinstance(ways, list) and _DURATION in ways:  # as people write it
                part["default"] = format_duration(default)
            meaning = MEANINGS.get((model, key))
            if meaning is not None:
                part["description"] = meaning


def plan_schema_text() -> str:
    """The schema as it is committed in plans/plan.schema.json."""
    return json.dumps(plan_schema(), indent=2, ensure_ascii=False, sort_keys=False) + "\n"
