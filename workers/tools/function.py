"""`@tool`: a typed Python function as a tool."""

import inspect
import re
import sys
import types
import typing
from collections.abc import Callable
from typing import Annotated, Final, TypeVar, Union, get_args, get_origin, overload

import anyio.to_thread

from orchestrator.errors import PromiseError
from orchestrator.ids import JsonValue
from orchestrator.ports.model import ToolSpec
from workers.limits import TOOL_S, TOOL_TEXT_CHARS_MAX
from workers.signature import BadArguments, Signature, read_signature
from workers.tools.access import PATH, URL, NotAllowed
from workers.tools.context import ToolContext
from workers.tools.tool import BadCall, ToolTraits

NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_-]{0,63}")  #: what every provider takes as a tool's name
Function = TypeVar("Function", bound=Callable[..., object])


class FunctionTool:
    """A function that models may call. Called as a function it still is one."""

    def __init__(
        self,
        function: Callable[..., object],
        signature: Signature,
        traits: ToolTraits,
        places: dict[str, str],
    ) -> None:
        self.function, self.traits = function, traits
        self._signature, self._places = signature, places
        self.__name__, self.__doc__ = traits.spec.name, function.__doc__

    def __repr__(self) -> str:
        return f"tool({self.traits.spec.name!r})"

    def __call__(self, *args: object, **named: object) -> object:
        """The function itself, for tests and other code."""
        return self.function(*args, **named)

    def check(self, ctx: ToolContext, arguments: dict[str, JsonValue]) -> None:
        """Whether the arguments fit, and lead where the pool may go.

        Raises:
            BadCall: they do not.
        """
        self._given(ctx, arguments)

    def _given(self, ctx: ToolContext, arguments: dict[str, JsonValue]) -> dict[str, object]:
        try:
            given = self._signature.arguments(arguments)
            for name, kind in self._places.items():
                if name in given:
                    given[name] = _allowed(ctx, kind, given[name])
        except (BadArguments, NotAllowed) as error:
            raise BadCall(str(error), "refused" if isinstance(error, NotAllowed) else "input") from None
        return given

    async def call(self, ctx: ToolContext, arguments: dict[str, JsonValue]) -> JsonValue:
        """Check the arguments, run the function in the loop or in a thread, and give back plain JSON.

        Raises:
            BadCall: the arguments do not fit, or lead where the pool may not go.
            ToolFailed, StepError: as the function says.
            NotPlain: what it returned is no JSON.
        """
        given = self._given(ctx, arguments)
        if self._signature.context is not None:
            given[self._signature.context] = ctx
        try:
            if inspect.iscoroutinefunction(self.function):
                answer = await self.function(**given)
            else:
                call = _bound(self.function, given)
                answer = await anyio.to_thread.run_sync(call, abandon_on_cancel=True)
        except NotAllowed as error:
            raise BadCall(str(error), "refused") from None
        return self._signature.output(answer)


def _bound(function: Callable[..., object], given: dict[str, object]) -> Callable[[], object]:
    def call() -> object:
        try:
            return function(**given)
        except StopIteration as error:
            raise RuntimeError("the tool raised StopIteration") from error  # it cannot cross an await as it is

    return call


def _allowed(ctx: ToolContext, kind: str, value: object) -> object:
    if not isinstance(value, str):
        return value
    return ctx.url(value) if kind == URL.kind else str(ctx.path(value))


@overload
def tool(function: Callable[..., object], /) -> FunctionTool: ...


@overload
def tool(
    *, name: str | None = None, description: str | None = None, effect: bool = False, timeout_s: float = TOOL_S
) -> Callable[[Callable[..., object]], FunctionTool]: ...


def tool(
    function: Callable[..., object] | None = None,
    *,
    name: str | None = None,
    description: str | None = None,
    effect: bool = False,
    timeout_s: float = TOOL_S,
) -> object:
    """Make a typed function a tool: `@tool`, or `@tool(effect=True, ...)`.

    The model sees its name, its docstring (or `description`) and the JSON Schema of its parameters. A first parameter
    `ctx` gets a `ToolContext`. Plain functions run in a thread, asynchronous ones in the event loop. `effect` says that
    it changes the world outside: the call is then journaled before it happens, and `ctx.key` names it. After
    `timeout_s` seconds the model is told that there is no answer; a thread is then left to itself.

    Raises:
        PromiseError: the name is no tool's name, the signature has no JSON form, or it says nothing of itself.
    """
    names = sys._getframe(1).f_locals  # local classes that annotations name, as for workers

    def make(function: Callable[..., object]) -> FunctionTool:
        called = str(name or getattr(function, "__name__", type(function).__name__))
        if NAME.fullmatch(called) is None:
            raise PromiseError(f"tool name {called!r} is not allowed", f"use a name that fits {NAME.pattern}")
        if not inspect.isfunction(function) or inspect.isgeneratorfunction(function):
            raise PromiseError(f"tool {called} is no plain function", "use def or async def")
        text = inspect.cleandoc(description or function.__doc__ or "").strip()
        if not text:
            raise PromiseError(f"tool {called} says nothing of itself", "write a docstring; the model reads it")
        if not 0 < timeout_s < 86_400:
            raise PromiseError(f"tool {called}: timeout_s is {timeout_s}", "use seconds, above 0 and below a day")
        signature = read_signature(function, names)
        spec = ToolSpec(name=called, description=text[:TOOL_TEXT_CHARS_MAX], parameters=signature.input_schema)
        traits = ToolTraits(spec=spec, effect=effect, timeout_s=timeout_s)
        return FunctionTool(function, signature, traits, _places(function, names))

    return make if function is None else make(function)


def _places(function: Callable[..., object], names: dict[str, object]) -> dict[str, str]:
    """Arguments that are checked against the pool's access: name and kind.

    Raises:
        PromiseError: a mark stands where it would not be looked at, such as inside a list.
    """
    hints = typing.get_type_hints(function, localns=dict(names), include_extras=True)
    hints.pop("return", None)
    found: dict[str, str] = {}
    for name, hint in hints.items():
        options = get_args(hint) if get_origin(hint) in {Union, types.UnionType} else (hint,)
        for option in options:
            marks = get_args(option)[1:] if get_origin(option) is Annotated else ()
            for mark in (URL, PATH):
                if mark in marks:
                    found[name] = mark.kind
        if name not in found and _marked(hint):
            raise PromiseError(
                f"tool {function.__name__}: {name} holds an allowed place inside another type",
                "make it an argument of its own, or ask `ctx.url(...)` or `ctx.path(...)` in the tool",
            )
    return found


def _marked(hint: object) -> bool:
    return hint in (URL, PATH) or any(_marked(part) for part in get_args(hint))
