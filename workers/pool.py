"""A pool: a named capability, the functions that make it up, and how they are isolated."""

import inspect
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, TypeVar, overload

from orchestrator.errors import PromiseError
from orchestrator.plan.catalogue import FunctionContract
from orchestrator.plan.parts import NAME_PATTERN
from orchestrator.ports.guard import Guard
from workers.contracts import contract_of
from workers.guarding import check_guards
from workers.limits import ANSWER_TOKENS, TURNS
from workers.signature import Signature, read_signature
from workers.tools.access import Access

if TYPE_CHECKING:
    from workers.agent import Agent
    from workers.compression.context import Context

Ready = Callable[[], None]
Isolation = Literal["async", "thread", "process"]
Function = TypeVar("Function", bound=Callable[..., object])
_ISOLATIONS: Final = ("async", "thread", "process")
_HANDLER_PARAMETERS: Final = ("instruction", "args")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSpec:
    """What is known of a registered function; found on it as `__worker__`."""

    pool: str  #: name of its pool
    name: str  #: name within the pool; what `call` says
    function: Callable[..., object]
    isolation: Isolation
    contract: FunctionContract
    signature: Signature
    needs_model: bool = False  #: it asks a model, so an engine without one refuses plans that use it
    ready: Ready | None = None  #: raises PromiseError where it cannot work; asked before a plan starts

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of its parameters without the context."""
        return self.signature.parameters

    @property
    def context(self) -> str | None:
        """Name of the first parameter when it takes the context, else None."""
        return self.signature.context

    @property
    def importable(self) -> str:
        """`module:qualname`, under which a child process finds the function."""
        return f"{self.function.__module__}:{self.function.__qualname__}"


class Pool:
    """A capability: functions for `call` steps and at most one handler for `task` steps.

    `concurrency` tasks run at the same time in one process; `scale` is the least and the most processes that a fleet
    gives the pool. `isolation` is the default of its functions: `async` (in the event loop), `thread`, or `process`
    (a child process per running task, reused, killed on cancellation). `child_bytes_max` caps the address space of each
    child process, in bytes; an interpreter with pydantic needs about 300 MiB of it. `access` says what the tools of its
    agents may reach; nothing, unless it is given. `guards` look, in their order, at what its tasks are given, at what
    its agents ask of tools and get from them, and at outputs, and may stop it.

    Raises:
        PromiseError: a name or number outside its range.
    """

    def __init__(
        self,
        name: str,
        *,
        concurrency: int = 8,
        scale: tuple[int, int] = (0, 20),
        isolation: Isolation = "async",
        child_bytes_max: int | None = None,
        access: Access | None = None,
        guards: Iterable[Guard] = (),
    ) -> None:
        if re.fullmatch(NAME_PATTERN, name) is None:
            raise PromiseError(f"pool name {name!r} is not allowed", f"use a name that fits {NAME_PATTERN}")
        if not 1 <= concurrency <= 1_000_000:
            raise PromiseError(f"pool {name}: concurrency is {concurrency}", "use a number from 1 to 1,000,000")
        if not 0 <= scale[0] <= scale[1] or scale[1] < 1:
            raise PromiseError(f"pool {name}: scale is {scale}", "use (least, most) with 0 <= least <= most")
        _check_isolation(name, isolation)
        if child_bytes_max is not None and child_bytes_max < 1:
            raise PromiseError(f"pool {name}: child_bytes_max is {child_bytes_max}", "use a number of bytes, or None")
        self.name, self.concurrency, self.scale = name, concurrency, scale
        self.isolation: Isolation = isolation
        self.child_bytes_max = child_bytes_max
        self.access = access or Access()
        self.guards = check_guards(name, tuple(guards))
        self._functions: dict[str, WorkerSpec] = {}
        self._handler: WorkerSpec | None = None

    def __repr__(self) -> str:
        return f"Pool({self.name!r}, functions={sorted(self._functions)}, handler={self._handler is not None})"

    @property
    def functions(self) -> Mapping[str, WorkerSpec]:
        """The functions for `call`, by name, in order of registration."""
        return MappingProxyType(self._functions)

    @property
    def agent_handler(self) -> WorkerSpec | None:
        """What runs `task` steps; None when the pool has nothing for them."""
        return self._handler

    @overload
    def worker(self, function: Function, /) -> Function: ...

    @overload
    def worker(
        self,
        *,
        name: str | None = None,
        isolation: Isolation | None = None,
        honours_key: bool = False,
        needs_model: bool = False,
        ready: Ready | None = None,
    ) -> Callable[[Function], Function]: ...

    def worker(
        self,
        function: Callable[..., object] | None = None,
        *,
        name: str | None = None,
        isolation: Isolation | None = None,
        honours_key: bool = False,
        needs_model: bool = False,
        ready: Ready | None = None,
    ) -> object:
        """Register a function for `call` steps; `@pool.worker` or `@pool.worker(name=..., ...)`.

        The function itself is returned, so that calling it stays a plain call; `__worker__` on it tells the rest.
        `honours_key` declares that the same idempotency key given twice has one effect; `needs_model` that it asks
        `ctx.models`, so that an engine without a model refuses the plan at its start; `ready` raises PromiseError where
        the function cannot keep what it promises, and is asked at the same moment.

        Raises:
            PromiseError: the name is taken, the signature has no JSON form, or the isolation does not fit.
        """
        names = _caller_names()

        def register(function: Function) -> Function:
            called = name or _name_of(function)
            self._free(called)
            self._functions[called] = self._spec(function, called, isolation, honours_key, names, needs_model, ready)
            return function

        return register if function is None else register(function)

    @overload
    def handler(self, function: Function, /) -> Function: ...

    @overload
    def handler(
        self, *, isolation: Isolation | None = None, needs_model: bool = False
    ) -> Callable[[Function], Function]: ...

    def handler(
        self,
        function: Callable[..., object] | None = None,
        *,
        isolation: Isolation | None = None,
        needs_model: bool = False,
    ) -> object:
        """Register what runs `task` steps: a function of (ctx, instruction: str, args: dict[str, JsonValue]).

        `args` holds the step's `with` and is data, never instruction. `needs_model` as for `worker`.

        Raises:
            PromiseError: the pool has one already, or its parameters are others.
        """
        names = _caller_names()

        def register(function: Function) -> Function:
            if self._handler is not None:
                raise PromiseError(f"pool {self.name} already has a handler", "use a second pool")
            spec = self._spec(function, _name_of(function), isolation, False, names, needs_model)
            if spec.parameters != _HANDLER_PARAMETERS:
                raise PromiseError(
                    f"{_name_of(function)} takes {spec.parameters}", "a handler takes (ctx, instruction, args)"
                )
            self._handler = spec
            return function

        return register if function is None else register(function)

    def agent(
        self,
        name: str,
        instructions: str,
        *,
        tools: Iterable[object] = (),
        output: object = None,
        tier: str = "standard",
        turns_max: int = TURNS,
        tokens_max: int = ANSWER_TOKENS,
        temperature: float | None = None,
        context: "Context | None" = None,
        ready: Ready | None = None,
    ) -> "Agent":
        """Register an agent: a model that follows `instructions`, may call `tools`, and gives back `output`.

        Steps with `call: name` run it; the first agent of a pool that has no handler also runs its `task` steps. Tools
        are typed functions (`@tool`), and MCP servers (`McpServer`). `output` is a pydantic model, another type with a
        JSON form, a JSON Schema, or None for text; the schema of a step goes before it. `tier` holds where a step names
        none. `turns_max` is how often the model may answer in one attempt, `tokens_max` how long one answer may be;
        `context` how long the conversation may get before older turns are shortened; `ready` as for `worker`.

        Raises:
            PromiseError: a name is taken, a number is out of range, or a tool is not allowed in this pool.
        """
        from workers.agent_pool import agent_of, specs_of  # a pool of functions alone needs none of it

        self._free(name)
        agent = agent_of(
            self.name,
            name,
            instructions,
            tools=tools,
            output=output,
            tier=tier,
            turns_max=turns_max,
            tokens_max=tokens_max,
            temperature=temperature,
            access=self.access,
            context=context,
        )
        task, call = specs_of(agent, ready)
        self._functions[name] = call
        self._handler = self._handler or task
        return agent

    def _free(self, name: str) -> None:
        if re.fullmatch(NAME_PATTERN, name) is None:
            raise PromiseError(f"{self.name}: function name {name!r} is not allowed", f"it must fit {NAME_PATTERN}")
        if name in self._functions:
            raise PromiseError(f"pool {self.name} already has a function {name!r}", "give one of them a `name`")

    def _spec(
        self,
        function: Callable[..., object],
        name: str,
        isolation: Isolation | None,
        honours_key: bool,
        names: Mapping[str, object],
        needs_model: bool,
        ready: Ready | None = None,
    ) -> WorkerSpec:
        chosen = isolation or self.isolation
        _check_isolation(self.name, chosen)
        _check_function(function, chosen)
        signature = read_signature(function, names)
        contract = contract_of(name, signature.input_schema, signature.output_schema, effect_key=honours_key)
        spec = WorkerSpec(
            pool=self.name,
            name=name,
            function=function,
            isolation=chosen,
            contract=contract,
            signature=signature,
            needs_model=needs_model,
            ready=ready,
        )
        function.__worker__ = spec  # type: ignore[attr-defined]  # functions take attributes
        return spec


def _name_of(function: Callable[..., object]) -> str:
    return getattr(function, "__name__", type(function).__name__)


def _caller_names() -> Mapping[str, object]:
    """Local names at the decorator, so that annotations written as text find classes defined beside the function."""
    return sys._getframe(2).f_locals  # the documented way to a caller's names; pydantic does the same


def _check_isolation(pool: str, isolation: str) -> None:
    if isolation not in _ISOLATIONS:
        raise PromiseError(f"pool {pool}: isolation {isolation!r} is unknown", f"use {', '.join(_ISOLATIONS)}")


def _check_function(function: Callable[..., object], isolation: Isolation) -> None:
    where = f"{getattr(function, '__module__', '?')}.{getattr(function, '__qualname__', _name_of(function))}"
    if not inspect.isfunction(function):
        raise PromiseError(f"{where} is no plain function", "register a function defined with def or async def")
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        raise PromiseError(f"{where} is a generator", "return one value")
    is_async = inspect.iscoroutinefunction(function)
    if isolation == "async" and not is_async:
        raise PromiseError(
            f"{where} is a plain function and would block the event loop",
            'use isolation="thread" (or "process"), or make it async def',
        )
    if isolation != "async" and is_async:
        raise PromiseError(f"{where} is async def and needs no {isolation}", 'use isolation="async", or plain def')
    if isolation == "process" and ("<" in function.__qualname__ or function.__module__ == "__main__"):
        raise PromiseError(
            f"a child process cannot import {where}", "define it at the top level of a module that is not __main__"
        )
