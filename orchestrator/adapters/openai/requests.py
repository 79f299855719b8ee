"""Puts a request of ours into the words of Chat Completions."""

import json
from typing import Any, Final

from orchestrator.ids import JsonValue
from orchestrator.plan.schemas import subschemas
from orchestrator.ports.endpoint import ChatRequest
from orchestrator.ports.model import Message
from orchestrator.settings import EndpointSettings

#: Keywords that OpenAI's strict mode takes; a schema with any other is sent without it.
_STRICT_KEYS: Final = frozenset(
    {"type", "properties", "required", "additionalProperties", "items", "enum", "const", "description", "title"}
    | {"anyOf", "$defs", "$ref", "minimum", "maximum", "minItems", "maxItems", "pattern"}
)


def body_of(request: ChatRequest, settings: EndpointSettings, tokens_field: str) -> dict[str, Any]:
    """The arguments of `chat.completions.create`."""
    messages = list(request.messages)
    body: dict[str, Any] = {"model": request.model, tokens_field: request.tokens_max}
    if request.tools:
        body["tools"] = [
            {
                "type": "function",
                "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters},
            }
            for tool in request.tools
        ]
    if request.output_schema is not None:
        if settings.structured == "schema":
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": {
                    "name": "output",
                    "schema": request.output_schema,
                    "strict": fits_strict_mode(request.output_schema),
                },
            }
        else:
            if settings.structured == "json":
                body["response_format"] = {"type": "json_object"}
            told = "Answer with one JSON value and nothing else. It must fit this JSON Schema:\n"
            messages.insert(0, Message(role="system", content=told + json.dumps(request.output_schema)))
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.seed is not None:
        body["seed"] = request.seed
    body["messages"] = [_message(message) for message in messages]
    return body


def fits_strict_mode(schema: dict[str, JsonValue]) -> bool:
    """Whether OpenAI's strict mode takes the schema: objects closed, every property required, plain keywords."""
    if schema.get("type") != "object":
        return False
    for _, one in subschemas(schema):
        if not one.keys() <= _STRICT_KEYS:
            return False
        if "properties" in one or one.get("type") == "object":
            properties, required = one.get("properties", {}), one.get("required", [])
            if one.get("additionalProperties") is not False or not isinstance(properties, dict):
                return False
            if not isinstance(required, list) or sorted(properties) != sorted(map(str, required)):
                return False
    return True


def _message(message: Message) -> dict[str, Any]:
    told: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        told["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    if message.role == "tool":
        told["tool_call_id"] = message.tool_call_id
    return told
