"""Reads what a server sent, and trusts none of it: the vendor's client checks no types."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from orchestrator.ports.endpoint import ChatReply, ReplyFinish, Usage
from orchestrator.ports.model import ToolCall
from orchestrator.ports.model_errors import ModelBadReply, ModelInterrupted

TOOL_CALLS_MAX: Final = 128  #: in one reply
_FINISHES: Final[dict[str, ReplyFinish]] = {
    "stop": "stop",
    "tool_calls": "tool_calls",
    "length": "length",
    "content_filter": "content_filter",
}


@dataclass(slots=True)
class _Call:
    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)


@dataclass(slots=True)
class ReplyReader:
    """Collects one reply, from one object or from the chunks of a stream.

    Raises:
        ModelBadReply: a part has a shape that no chat completion has.
        ModelInterrupted: at `whole`, when the end never came.
    """

    model: str
    on_text: Callable[[str], None]
    finish: str = ""
    usage: Usage | None = None
    refused: bool = False
    _text: list[str] = field(default_factory=list)
    _calls: dict[int, _Call] = field(default_factory=dict)

    def read(self, part: object, key: str) -> None:
        """Take in a completion (`key` is `message`) or one chunk of it (`delta`)."""
        usage = getattr(part, "usage", None)
        if usage is not None:
            self.usage = _usage(usage)
        choices = getattr(part, "choices", None)
        if choices is None and key == "delta" and usage is not None:
            return
        if not isinstance(choices, list):
            raise self._bad("it has no choices")
        if not choices and key == "message":
            raise self._bad("its list of choices is empty")
        for choice in choices:
            if getattr(choice, "index", 0) not in (0, None):
                continue  # one answer was asked for
            self._choice(choice, key)

    def _choice(self, choice: object, key: str) -> None:
        if not hasattr(choice, "finish_reason"):
            raise self._bad("its choice is no object")
        said = getattr(choice, key, None)
        if said is None and key == "message":
            raise self._bad("its choice holds no message")
        if said is not None:
            self._said(said)
        finish = getattr(choice, "finish_reason", None)
        if finish is not None:
            if finish not in _FINISHES:
                raise self._bad("its finish reason is not known")
            self.finish = finish

    def _said(self, said: object) -> None:
        if not hasattr(said, "content"):
            raise self._bad("its message is no object")
        text = getattr(said, "content", None)
        if text is not None:
            if not isinstance(text, str):
                raise self._bad("its content is no text")
            if text and self.finish:
                raise self._bad("it goes on after its end")
            if text:
                self._text.append(text)
                self.on_text(text)
        if getattr(said, "refusal", None):
            self.refused = True
        calls = getattr(said, "tool_calls", None)
        if calls is not None:
            if not isinstance(calls, list):
                raise self._bad("its tool calls are no list")
            for position, call in enumerate(calls):
                self._call(call, position)

    def _call(self, call: object, position: int) -> None:
        index = getattr(call, "index", position)
        function = getattr(call, "function", None)
        if not isinstance(index, int) or not 0 <= index < TOOL_CALLS_MAX:
            raise self._bad(f"it has a tool call without an index below {TOOL_CALLS_MAX}")
        known = self._calls.setdefault(index, _Call())
        for value, name in ((getattr(call, "id", None), "id"), (getattr(function, "name", None), "name")):
            if isinstance(value, str) and value:
                if getattr(known, name) not in ("", value):
                    raise self._bad("two tool calls share one index")
                setattr(known, name, value)
        arguments = getattr(function, "arguments", None)
        if isinstance(arguments, str):
            known.arguments.append(arguments)

    def whole(self) -> ChatReply:
        """The reply, once everything was read."""
        if not self.finish:
            raise ModelInterrupted(self.model, "the stream ended before its final chunk", may_be_billed=True)
        calls = tuple(
            ToolCall(id=call.id or f"call_{index}", name=call.name, arguments="".join(call.arguments))
            for index, call in sorted(self._calls.items())
        )
        if any(not call.name for call in calls):
            raise self._bad("it has a tool call without a name")
        finish = _FINISHES[self.finish]
        if finish == "tool_calls" and not calls:
            raise self._bad("it ends for tool calls and has none")
        if self.refused:
            finish = "refusal"
        elif finish == "stop" and calls:
            finish = "tool_calls"  # some servers end these with `stop`
        return ChatReply(text="".join(self._text), finish=finish, tool_calls=calls, usage=self.usage)

    def _bad(self, reason: str) -> ModelBadReply:
        return ModelBadReply(self.model, f"the reply is no chat completion: {reason}", may_be_billed=True)


def _usage(usage: object) -> Usage:
    details = getattr(usage, "prompt_tokens_details", None)
    cached = getattr(details, "cached_tokens", None)
    return Usage(
        tokens_in=_count(getattr(usage, "prompt_tokens", None)),
        tokens_out=_count(getattr(usage, "completion_tokens", None)),
        tokens_cached=0 if cached is None else _count(cached),
    )


def _count(value: object) -> int:
    """A whole number, or -1 for what is none: no plausible usage."""
    return value if isinstance(value, int) and not isinstance(value, bool) else -1
