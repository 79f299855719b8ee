"""Carries out the tool calls of one answer: of the agent's own tools alone, each bounded, effects announced first."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import anyio

from orchestrator.errors import BudgetExceeded, PromiseError, RetryableError, StepError, TerminalError
from orchestrator.ids import JsonValue
from orchestrator.plan.models import canonical_json, digest_of
from orchestrator.ports.model import ToolCall, ToolSpec
from orchestrator.ports.model_errors import ModelError
from workers.context import WorkContext
from workers.failures import bounded, ends_more_than_one_task, word_of
from workers.guarding import GUARDING, Refused
from workers.limits import TOOL_ARGUMENTS_BYTES_MAX, TOOL_CALLS_MAX, TOOL_RESULT_BYTES_MAX
from workers.lines import ThreadLine
from workers.plain import NotPlain, plain_copy, storable
from workers.tools.access import Access, NotAllowed
from workers.tools.context import ToolContext
from workers.tools.secrets import Seen
from workers.tools.tool import BadCall, Tool, ToolFailed

_ENDS_THE_ATTEMPT = (StepError, ModelError, PromiseError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What one call came to."""

    call: ToolCall
    text: str  #: for the model
    mistake: bool = False  #: the model called it wrongly


class _Fruitless(Exception):
    """A call came to nothing, which is news for the model: what it is told, and the kind."""

    def __init__(self, kind: str, words: str) -> None:
        super().__init__(kind, words)
        self.kind, self.words = kind, words


class ToolBox:
    """The tools of one agent during one attempt."""

    def __init__(self, tools: Iterable[Tool], ctx: WorkContext, access: Access, seen: Seen) -> None:
        self._tools = {one.traits.spec.name: one for one in tools}
        self._ctx, self._access, self._seen = ctx, access, seen
        self._done: dict[str, str] = {}  #: effects of this attempt: key -> what the model was told

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """The tools as the model sees them."""
        return tuple(one.traits.spec for one in self._tools.values())

    async def answer(self, calls: Sequence[ToolCall]) -> list[Answered]:
        """Carry out the calls of one answer; in their order. What reads runs at the same time, what changes the world
        one after another.

        Raises:
            StepError: a tool, or its surroundings, ended the attempt.
        """
        answers: dict[int, Answered] = {}
        ends: list[Exception] = []

        async def run(number: int) -> None:
            try:
                answers[number] = await self._one(calls[number])
            except _ENDS_THE_ATTEMPT as error:
                ends.append(error)

        taken = range(min(len(calls), TOOL_CALLS_MAX))
        async with anyio.create_task_group() as group:
            for number in taken:
                if not self._changes(calls[number]):
                    group.start_soon(run, number)
        for number in taken:
            if not ends and self._changes(calls[number]):
                await run(number)
        if ends:
            raise min(ends, key=lambda error: not isinstance(error, BudgetExceeded))
        for number in range(len(taken), len(calls)):
            text = f"not done: at most {TOOL_CALLS_MAX} tools can be called at once"
            if number < 2 * TOOL_CALLS_MAX:  # a model may ask for thousands; nobody has to read them all
                self._fail(calls[number], "limit")
            answers[number] = Answered(call=calls[number], text=_error(text))
        return [answers[number] for number in range(len(calls))]

    def _changes(self, call: ToolCall) -> bool:
        known = self._tools.get(call.name)
        return known is not None and known.traits.effect

    async def _one(self, call: ToolCall) -> Answered:
        began_s = anyio.current_time()
        try:
            return Answered(call=call, text=await self._called(call))
        except BadCall as error:
            self._fail(call, error.kind, anyio.current_time() - began_s)
            return Answered(call=call, text=_error(self._seen.struck(error.message)), mistake=True)
        except _Fruitless as error:
            self._fail(call, error.kind, anyio.current_time() - began_s)
            return Answered(call=call, text=error.words)
        except _ENDS_THE_ATTEMPT as error:
            self._fail(call, word_of(error), anyio.current_time() - began_s)
            raise

    async def _called(self, call: ToolCall) -> str:
        tool = self._tools.get(call.name)
        if tool is None:
            known = ", ".join(self._tools) or "none"
            raise BadCall(f"there is no tool {storable(call.name, 100)!r}; there are: {known}", "unknown")
        arguments = _arguments(call)
        traits = tool.traits
        guarding = GUARDING.get()
        if guarding is not None:
            try:
                arguments = await guarding.tool_call(traits.spec.name, arguments, effect=traits.effect)
            except Refused as error:
                raise self._fruitless(traits.spec.name, "guard", str(error)) from None
        key = self._key(traits.spec.name, arguments) if traits.effect else None
        spoken = WorkContext(self._ctx._task, ThreadLine.beside(self._ctx._line))
        context = ToolContext(self._ctx, spoken, self._access, self._seen, key)
        if key is not None:
            tool.check(context, arguments)  # what cannot be done is not announced
            if key in self._done:
                return self._done[key]  # the same effect is had once, however often the model asks for it
            await self._ctx.intend(traits.spec.name, key)
        try:
            text = await self._run(tool, context, arguments)
        except _Fruitless as error:
            if key is not None:
                self._done[key] = error.words  # it may have happened all the same
            raise
        if key is not None:
            self._done[key] = text
        return text

    def _key(self, name: str, arguments: dict[str, JsonValue]) -> str:
        """The key of an effect: the same for the same step, tool and arguments, in every attempt and delivery."""
        ctx = self._ctx
        branch = "" if ctx.branch is None else f"[{ctx.branch}]"
        digest = digest_of({"tool": name, "arguments": arguments}).removeprefix("sha256:")[:32]
        return f"{ctx.run_id}/{ctx.step_id}{branch}/{digest}"

    async def _run(self, tool: Tool, ctx: ToolContext, arguments: dict[str, JsonValue]) -> str:
        name, limit_s = tool.traits.spec.name, tool.traits.timeout_s
        self._ctx.heartbeat()
        began = anyio.current_time()
        with anyio.move_on_after(limit_s) as clock:
            try:
                result = self._seen.struck_from(plain_copy(await tool.call(ctx, arguments)))
            except (BadCall, ModelError, PromiseError, BudgetExceeded):
                raise
            except RetryableError as error:
                raise RetryableError(self._seen.struck(error.message), error.kind, error.retry_after_s) from None
            except TerminalError as error:
                raise TerminalError(self._seen.struck(error.message)) from None
            except NotAllowed as error:
                raise BadCall(str(error), "refused") from None
            except ToolFailed as error:
                raise self._fruitless(name, "failed", error.message) from None
            except NotPlain as error:
                raise self._fruitless(name, "output", error.at("result")) from None
            except BaseException as error:  # whatever a tool raises is news for the model, not the end of the attempt
                if ends_more_than_one_task(error):
                    raise
                raise self._fruitless(name, "worker", _words_of(error)) from None
            try:
                result = await _passed(name, result)
            except Refused as error:
                raise self._fruitless(name, "guard", str(error)) from None
            return self._result(name, result, anyio.current_time() - began)
        assert clock.cancelled_caught
        ctx._end()
        raise self._fruitless(name, "timeout", f"no answer within {limit_s:g} s; nobody knows whether it was done")

    def _result(self, name: str, result: JsonValue, seconds: float) -> str:
        """What the model is shown, cut to size; the same is kept as evidence."""
        text = result if isinstance(result, str) else canonical_json(result)
        shown = text.encode()
        if len(shown) > TOOL_RESULT_BYTES_MAX:
            text = shown[:TOOL_RESULT_BYTES_MAX].decode(errors="ignore")
            result = text
            text += f"\n[cut after {TOOL_RESULT_BYTES_MAX} of {len(shown)} bytes; ask for less]"
        self._ctx.evidence(name, result, seconds=seconds)
        return text

    def _fruitless(self, name: str, kind: str, words: str) -> _Fruitless:
        """What the model is told, and watchers see; the journal has the kind alone."""
        text = self._seen.struck(_error(words))
        self._ctx.log(f"tool {name}: {text}")
        return _Fruitless(kind, text)

    def _fail(self, call: ToolCall, kind: str, seconds: float = 0.0) -> None:
        # A name that is no tool's is the model's own words, and is not journaled.
        self._ctx.fruitless(call.name if call.name in self._tools else "", kind, seconds=seconds)


async def _passed(name: str, result: JsonValue) -> JsonValue:
    guarding = GUARDING.get()
    return result if guarding is None else await guarding.tool_result(name, result)


def _arguments(call: ToolCall) -> dict[str, JsonValue]:
    if len(call.arguments.encode(errors="replace")) > TOOL_ARGUMENTS_BYTES_MAX:
        raise BadCall(f"the arguments are over {TOOL_ARGUMENTS_BYTES_MAX} bytes")
    try:
        found: object = json.loads(call.arguments or "{}")
        plain = plain_copy(found)
    except NotPlain as error:
        raise BadCall(error.at("arguments")) from None
    except (ValueError, RecursionError) as error:
        raise BadCall(f"the arguments are no JSON: {bounded(str(error))}") from None
    if not isinstance(plain, dict):
        raise BadCall("the arguments are no JSON object")
    return plain


def _words_of(error: BaseException) -> str:
    if isinstance(error, anyio.get_cancelled_exc_class()):
        return "it was cancelled by its own code"
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001  # a broken __str__ is user code too
        return f"{type(error).__name__}: (its message cannot be read)"


def _error(message: str) -> str:
    return f"error: {bounded(message)}"
