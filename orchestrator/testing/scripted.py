"""A model that says what a test wrote down, and fails the test that asks for more or for less."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self, assert_never

import anyio

from orchestrator.ids import JsonValue
from orchestrator.models import usage
from orchestrator.models.output import Answer, Judgement, judge
from orchestrator.ports.endpoint import ChatReply, ChatRequest, ReplyFinish
from orchestrator.ports.model import Completion, Message, Meter, ModelCall, Prompt, Tier, ToolCall
from orchestrator.ports.model_errors import ModelError, ModelTimeout

MODEL = "scripted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Says:
    """One reply with all that can be said of it; plain text needs no more than a string in the script."""

    text: str = ""
    data: JsonValue = None  #: sent as JSON text where it is not None
    tools: tuple[tuple[str, dict[str, JsonValue]], ...] = ()  #: calls of tools: name and arguments
    finish: ReplyFinish | None = None  #: None: what follows from the rest
    deltas: tuple[str, ...] = ()  #: the pieces in which the text streams; empty: in one
    after_s: float = 0.0  #: how long the model thinks
    usd: float | None = None  #: what this reply costs; None: the model's price per call
    tokens_in: int | None = None  #: None: estimated from the prompt
    tokens_out: int | None = None  #: None: estimated from the reply


Turn = str | dict[str, JsonValue] | list[JsonValue] | Says | ModelError
Script = Sequence[Turn] | Mapping[Tier, Sequence[Turn]] | Callable[[Prompt], Turn]


class UnexpectedCall(AssertionError):
    """The code under test asked a model more often than the script says."""


class ScriptedModel:
    """Answers prompts from a script, in order: texts, data (dicts and lists), `Says`, or errors to raise.

    A list serves all tiers; a dict of lists serves each tier from its own; a function is asked for every prompt and
    has no end. Replies go through the gateway's own judgement: data that does not fit the prompt's schema, or a tool
    that was not given, is handed back once and takes the next turn, as with a real model. `usd` is the price of a call.

        async with ScriptedModel(["draft", ModelRateLimited("m", retry_after_s=30.0), "final"]) as models:
            ...

    On leaving, turns that nobody asked for and calls that no turn was left for fail the test. `prompts` holds what was
    asked, hand-backs included; `calls` what was told to the meter.
    """

    def __init__(self, script: Script = (), *, usd: float = 0.0) -> None:
        self._answer = script if callable(script) else None
        self._by_tier: dict[Tier, list[Turn]] | None = None
        self._turns: list[Turn] = []
        if isinstance(script, Mapping):
            self._by_tier = {tier: list(turns) for tier, turns in script.items()}
        elif not callable(script):
            self._turns = list(script)
        self._usd = usd
        self._unexpected: list[UnexpectedCall] = []
        self.prompts: list[Prompt] = []
        self.calls: list[ModelCall] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.assert_done()

    @property
    def left(self) -> int:
        """How many turns nobody asked for yet."""
        return len(self._turns) + sum(map(len, (self._by_tier or {}).values()))

    def assert_done(self) -> None:
        """Fail where the script was not followed to its end, or was not long enough.

        Raises:
            AssertionError: turns are left.
            UnexpectedCall: there were more calls than turns, even if the code under test caught that.
        """
        if self._unexpected:
            raise self._unexpected[0]
        if self.left:
            raise AssertionError(f"{self.left} turns of the script were never asked for; the next: {self._next()!r}")

    async def complete(self, prompt: Prompt, meter: Meter, on_delta: Callable[[str], None] | None = None) -> Completion:
        """Answer from the script; see `orchestrator.ports.model.Models`.

        Raises:
            UnexpectedCall: the script has no turn left for this tier.
        """
        completion: Completion | None = None
        with anyio.CancelScope(deadline=anyio.current_time() + prompt.deadline_s):
            completion = await self._complete(prompt, meter, on_delta)
        if completion is None:
            raise ModelTimeout(MODEL, f"no answer within {prompt.deadline_s:g} s")
        return completion

    async def _complete(self, prompt: Prompt, meter: Meter, on_delta: Callable[[str], None] | None) -> Completion:
        calls: list[ModelCall] = []
        messages = prompt.messages
        for last in (False, True):
            asked = _with(prompt, messages)
            self.prompts.append(asked)
            reply, outcome = await self._reply(asked, meter, on_delta, calls)
            if isinstance(outcome, Answer):
                return Completion(
                    text=reply.text,
                    finish=outcome.finish,
                    data=outcome.data,
                    tool_calls=reply.tool_calls,
                    calls=tuple(calls),
                )
            if last or not outcome.told:
                raise outcome.error
            messages = (*messages, *outcome.told)
        raise AssertionError("the second pass returns or raises")

    async def _reply(
        self, prompt: Prompt, meter: Meter, on_delta: Callable[[str], None] | None, calls: list[ModelCall]
    ) -> tuple[ChatReply, Judgement]:
        request = ChatRequest(
            model=MODEL,
            messages=prompt.messages,
            tools=prompt.tools,
            output_schema=prompt.output_schema,
            tokens_max=prompt.tokens_max,
        )
        tokens_in = usage.tokens_in_estimate(request, usage.prompt_bytes(request))
        turn = self._take(prompt)
        says = turn if isinstance(turn, Says) else Says()
        usd = self._usd if says.usd is None else says.usd
        try:
            charge = await meter.reserve(usd, tokens_in + prompt.tokens_max)
        except BaseException:
            self._put_back(prompt, turn)
            raise
        if isinstance(turn, ModelError):
            billed = turn.may_be_billed
            out = prompt.tokens_max if billed else 0
            self._record(
                meter, calls, charge, turn.kind, usd if billed else 0.0, tokens_in if billed else 0, out, billed
            )
            raise turn
        reply = _reply_of(turn)
        try:
            if says.after_s:
                await anyio.sleep(says.after_s)
            for piece in says.deltas or ((reply.text,) if reply.text else ()):
                meter.delta(piece)
                if on_delta is not None:
                    on_delta(piece)
        except BaseException:
            self._record(meter, calls, charge, "cancelled", usd, tokens_in, prompt.tokens_max, unknown=True)
            raise
        judgement = judge(prompt, reply, MODEL)
        outcome = "ok" if isinstance(judgement, Answer) else judgement.error.kind
        tokens_in = tokens_in if says.tokens_in is None else says.tokens_in
        guessed = usage.reply_estimate(request, reply, tokens_in).tokens_out
        out = guessed if says.tokens_out is None else says.tokens_out
        self._record(meter, calls, charge, outcome, usd, tokens_in, out, unknown=False)
        return reply, judgement

    def _record(
        self,
        meter: Meter,
        calls: list[ModelCall],
        charge: str,
        outcome: str,
        usd: float,
        tokens_in: int,
        tokens_out: int,
        unknown: bool,
    ) -> None:
        call = ModelCall(
            charge=charge,
            model=MODEL,
            endpoint=MODEL,
            outcome=outcome,
            usd=usd,
            tokens_in=tokens_in,
            tokens_out=tokens_out,
            unknown=unknown,
            prices="script" if usd else "",
        )
        calls.append(call)
        self.calls.append(call)
        meter.called(call)

    def _queue(self, prompt: Prompt) -> list[Turn]:
        return self._turns if self._by_tier is None else self._by_tier.setdefault(prompt.tier, [])

    def _take(self, prompt: Prompt) -> Turn:
        if self._answer is not None:
            return self._answer(prompt)
        queue = self._queue(prompt)
        if queue:
            return queue.pop(0)
        said = prompt.messages[-1].content[:200] if prompt.messages else ""
        unexpected = UnexpectedCall(f"the script has no turn left for tier {prompt.tier}; asked: {said!r}")
        self._unexpected.append(unexpected)
        raise unexpected

    def _put_back(self, prompt: Prompt, turn: Turn) -> None:
        """The budget refused the call: nothing was said."""
        if self._answer is None:
            self._queue(prompt).insert(0, turn)

    def _next(self) -> Turn:
        return next(turns[0] for turns in (self._turns, *(self._by_tier or {}).values()) if turns)


def _with(prompt: Prompt, messages: tuple[Message, ...]) -> Prompt:
    return prompt if messages is prompt.messages else replace(prompt, messages=messages)


def _reply_of(turn: str | dict[str, JsonValue] | list[JsonValue] | Says) -> ChatReply:
    match turn:
        case str():
            return ChatReply(text=turn, finish="stop")
        case dict() | list():
            return ChatReply(text=json.dumps(turn), finish="stop")
        case Says():
            tools = tuple(
                ToolCall(id=f"call_{index}", name=name, arguments=json.dumps(arguments))
                for index, (name, arguments) in enumerate(turn.tools)
            )
            text = turn.text if turn.data is None else json.dumps(turn.data)
            text = text or "".join(turn.deltas)
            return ChatReply(text=text, finish=turn.finish or ("tool_calls" if tools else "stop"), tool_calls=tools)
        case _:
            assert_never(turn)
