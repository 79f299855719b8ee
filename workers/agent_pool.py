"""Makes an agent a worker of its pool: what runs its `task` steps, and a function for `call`."""

from collections.abc import Callable, Iterable, Mapping
from typing import cast

from orchestrator.errors import PromiseError
from orchestrator.ids import JsonValue
from orchestrator.ports.model import Tier
from workers.agent import TIERS, Agent
from workers.compression.context import Context
from workers.compression.turns import RECALL
from workers.context import WorkContext
from workers.contracts import contract_of
from workers.limits import INSTRUCTIONS_CHARS_MAX, TOOLS_MAX, TURNS_MAX
from workers.output_type import output_type
from workers.plain import plain_copy
from workers.pool import Ready, WorkerSpec
from workers.signature import Signature, read_signature
from workers.tools.access import Access
from workers.tools.function import tool as as_tool
from workers.tools.tool import Tool, ToolSource

TOKENS_MAX = 1_000_000  #: of one answer


def agent_of(
    pool: str,
    name: str,
    instructions: str,
    *,
    tools: Iterable[object],
    output: object,
    tier: str,
    turns_max: int,
    tokens_max: int,
    temperature: float | None,
    access: Access,
    context: Context | None = None,
) -> Agent:
    """Check what `Pool.agent` was told.

    Raises:
        PromiseError: names what cannot be, and the remedy.
    """
    who = f"agent {name} of pool {pool}"
    if not instructions.strip() or len(instructions) > INSTRUCTIONS_CHARS_MAX:
        raise PromiseError(
            f"{who}: its instructions have {len(instructions)} characters",
            f"say in 1 to {INSTRUCTIONS_CHARS_MAX} what it is to do",
        )
    if tier not in TIERS:
        raise PromiseError(f"{who}: tier {tier!r} is unknown", f"use {', '.join(TIERS)}")
    if not 1 <= turns_max <= TURNS_MAX:
        raise PromiseError(f"{who}: turns_max is {turns_max}", f"use a number from 1 to {TURNS_MAX}")
    if not 1 <= tokens_max <= TOKENS_MAX:
        raise PromiseError(f"{who}: tokens_max is {tokens_max}", f"use a number from 1 to {TOKENS_MAX}")
    single, sources = _sorted(who, tools)
    names = [one.traits.spec.name for one in single] + [name for source in sources for name in source.names()]
    for called in names:
        if names.count(called) > 1:
            raise PromiseError(f"{who} has two tools named {called!r}", "rename one of them")
        if access.tools is not None and called not in access.tools:
            allowed = ", ".join(access.tools) or "none"
            raise PromiseError(f"{who}: tool {called!r} is not allowed in this pool", f"allowed are {allowed}")
    if context is not None and RECALL in names:
        raise PromiseError(
            f"{who} has a tool named {RECALL!r} and a context", "rename it: what was cut is fetched by it"
        )
    if len(names) > TOOLS_MAX:
        raise PromiseError(f"{who} has {len(names)} tools", f"at most {TOOLS_MAX}; split the agent")
    if names and turns_max < 2:
        raise PromiseError(f"{who} has tools and one turn", "give it turns_max of 2 or more")
    return Agent(
        pool=pool,
        name=name,
        instructions=instructions,
        tools=single,
        sources=sources,
        output=output_type(name, output),
        tier=cast(Tier, tier),
        turns_max=turns_max,
        tokens_max=tokens_max,
        access=access,
        temperature=temperature,
        context=context,
    )


def _sorted(who: str, tools: Iterable[object]) -> tuple[tuple[Tool, ...], tuple[ToolSource, ...]]:
    single: list[Tool] = []
    sources: list[ToolSource] = []
    for one in tools:
        if isinstance(one, Tool):
            single.append(one)
        elif isinstance(one, ToolSource):
            sources.append(one)
        elif callable(one) and not isinstance(one, type):
            single.append(as_tool(one))
        else:
            raise PromiseError(f"{who}: {one!r} is no tool", "use @tool, a typed function, or McpServer(...)")
    return tuple(single), tuple(sources)


def specs_of(agent: Agent, ready: Ready | None) -> tuple[WorkerSpec, WorkerSpec]:
    """The worker for `task` steps, and the one for `call`. In a call everything under `with` is data."""

    async def task(ctx: WorkContext, instruction: str, args: dict[str, JsonValue]) -> JsonValue:
        return await agent.run(ctx, instruction, args)

    async def call(ctx: WorkContext, args: dict[str, JsonValue]) -> JsonValue:
        return await agent.run(ctx, "", args)

    def given(args: Mapping[str, JsonValue]) -> dict[str, object]:
        return {"args": dict(args)}

    result: dict[str, JsonValue] = agent.output.schema if agent.output.schema is not None else {"type": "string"}
    anything: dict[str, JsonValue] = {"type": "object", "additionalProperties": True}
    called = Signature((), "ctx", given, plain_copy, anything, result)
    return _spec(agent, task, read_signature(task, {}), ready), _spec(agent, call, called, ready)


def _spec(agent: Agent, function: Callable[..., object], signature: Signature, ready: Ready | None) -> WorkerSpec:
    contract = contract_of(agent.name, signature.input_schema, signature.output_schema, effect_key=False)
    function.__qualname__ = f"{agent.pool}.{agent.name}"
    return WorkerSpec(
        pool=agent.pool,
        name=agent.name,
        function=function,
        isolation="async",
        contract=contract,
        signature=signature,
        needs_model=True,
        ready=ready,
    )
