"""Under which key an answer is kept: everything that it depends on, as one digest."""

import hashlib
import json
from dataclasses import dataclass
from typing import Final

from orchestrator.ids import JsonValue
from orchestrator.ports.model import Message, Prompt

VERSION: Final = 1  #: of what a key is made from; another one keeps all earlier entries from being found
QUESTION_CHARS_MAX: Final = 480  #: a model of embeddings reads no more than about 128 tokens of a text


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """What one prompt is kept and found under."""

    exact: str  #: equal for equal questions alone
    scope: str  #: equal for questions that differ in their words alone; empty: likeness cannot be told
    question: str = ""  #: those words
    unlike: str = ""  #: why likeness cannot be told


def keys_of(prompt: Prompt, *, tenant: str, models: str, version: str) -> Keys:
    """The keys of a prompt. `models` says which models answer it, `version` is the host's own."""
    frame: dict[str, JsonValue] = {
        "v": VERSION,
        "tenant": tenant,
        "models": models,
        "version": version,
        "tools": [[tool.name, tool.description, tool.parameters] for tool in prompt.tools],
        "schema": prompt.output_schema,
        "tokens_max": prompt.tokens_max,
        "temperature": prompt.temperature,
        "seed": prompt.seed,
    }
    said: list[JsonValue] = [_said(message) for message in prompt.messages]
    exact = _digest({**frame, "messages": said})
    unlike = _unlike(prompt)
    if unlike:
        return Keys(exact=exact, scope="", unlike=unlike)
    use = prompt.cache
    question = (use.question if use is not None else "") or prompt.messages[-1].content
    if len(question) > QUESTION_CHARS_MAX:
        return Keys(exact=exact, scope="", unlike=f"the question has over {QUESTION_CHARS_MAX} characters")
    return Keys(exact=exact, scope=_digest({**frame, "messages": said[:-1]}), question=question)


def _unlike(prompt: Prompt) -> str:
    """Why questions like this one cannot be looked for; empty where they can."""
    if prompt.tools:
        return "the model has tools"
    if not prompt.messages or prompt.messages[-1].role != "user":
        return "the conversation does not end with a question"
    if prompt.cache is not None and prompt.cache.question and any(said.role == "assistant" for said in prompt.messages):
        return "the conversation has gone on"
    return ""


def _said(message: Message) -> JsonValue:
    calls: list[JsonValue] = [[call.id, call.name, call.arguments] for call in message.tool_calls]
    return [message.role, message.content, calls, message.tool_call_id]


def _digest(value: JsonValue) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
