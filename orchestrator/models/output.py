"""Judges whole replies: which are answers, which are errors, and what a model is told once to do better."""

import json
import re
from dataclasses import dataclass
from typing import Final, NoReturn, assert_never

from orchestrator.ids import JsonValue
from orchestrator.plan.schemas import compile_schema
from orchestrator.ports.endpoint import ChatReply
from orchestrator.ports.model import Finish, Message, Prompt
from orchestrator.ports.model_errors import (
    ModelBadOutput,
    ModelError,
    ModelFiltered,
    ModelRefused,
    ModelTruncated,
    ModelUnknownTool,
)

FAULTS_SHOWN_MAX: Final = 5  #: of a schema, handed back to the model
ANSWER_SHOWN_CHARS: Final = 20_000  #: of a faulty answer, handed back to the model
FAULT_TOLD_CHARS: Final = 200  #: of the first fault, in the error: it may quote the answer
_FENCED: Final = re.compile(r"\s*```(?:json)?\s*\n(.*?)\n?\s*```\s*", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A reply that is an answer."""

    finish: Finish
    data: JsonValue = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Faulty:
    """A reply that is none: the error it stands for, and the messages that may mend it (none: asking is in vain)."""

    error: ModelError
    told: tuple[Message, ...] = ()


Judgement = Answer | Faulty


def judge(prompt: Prompt, reply: ChatReply, model: str) -> Judgement:
    """Tell answers from errors; what a schema asks for is parsed and checked here, whatever the server promised."""
    match reply.finish:
        case "length":
            reason = f"the answer reached its {prompt.tokens_max} tokens; raise tokens_max or ask for less"
            return Faulty(error=ModelTruncated(model, reason, text=reply.text))
        case "refusal":
            return Faulty(error=ModelRefused(model))
        case "content_filter":
            return Faulty(error=ModelFiltered(model))
        case "tool_calls":
            return _judge_tools(prompt, reply, model)
        case "stop":
            return Answer(finish="stop") if prompt.output_schema is None else _judge_data(prompt, reply, model)
        case _:
            assert_never(reply.finish)


def _judge_tools(prompt: Prompt, reply: ChatReply, model: str) -> Judgement:
    known = [tool.name for tool in prompt.tools]
    unknown = sorted({call.name for call in reply.tool_calls} - set(known))
    if not unknown:
        return Answer(finish="tool_calls")
    there_are = f"the tools are: {', '.join(known)}" if known else "there are no tools"
    asked = Message(role="assistant", content=reply.text, tool_calls=reply.tool_calls)
    answers = (
        Message(
            role="tool",
            tool_call_id=call.id,
            content=f"error: no tool has this name; {there_are}"
            if call.name in unknown
            else "error: not called, because another call named a tool that does not exist; call it again",
        )
        for call in reply.tool_calls
    )
    return Faulty(error=ModelUnknownTool(model, "it asked for a tool it was not given"), told=(asked, *answers))


def _judge_data(prompt: Prompt, reply: ChatReply, model: str) -> Judgement:
    assert prompt.output_schema is not None
    faults, data = _parsed(reply.text)
    if not faults:
        faults = compile_schema(prompt.output_schema)(data)
    if not faults:
        return Answer(finish="stop", data=data)
    shown = "\n".join(f"- {fault}" for fault in faults[:FAULTS_SHOWN_MAX])
    told = (
        Message(role="assistant", content=reply.text[:ANSWER_SHOWN_CHARS]),
        Message(
            role="user",
            content=f"That answer was refused:\n{shown}\nAnswer again with the corrected JSON value alone.",
        ),
    )
    reason = f"{faults[0][:FAULT_TOLD_CHARS]}" + (f", and {len(faults) - 1} more" if len(faults) > 1 else "")
    return Faulty(error=ModelBadOutput(model, reason), told=told)


def _parsed(text: str) -> tuple[tuple[str, ...], JsonValue]:
    """Faults, or the value. A fence around the JSON is no fault: many models cannot leave it out."""
    fenced = _FENCED.fullmatch(text)
    try:
        value: JsonValue = json.loads(fenced[1] if fenced else text, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        return (f"it is no JSON: {error.msg} at character {error.pos}",), None
    except ValueError as error:
        return (f"it is no JSON: {error}",), None
    except RecursionError:
        return ("it is nested too deep",), None
    return (), value


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
