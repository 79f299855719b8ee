"""Pool `data`: an agent that answers by writing Python and running it. Off unless the host turns it on.

`ORCHESTRATOR_MODEL_CODE` says what is allowed: `off` (default), `on` (code runs without a network, and where the system
cannot give that the plan is refused), `on-with-network` (it may reach whatever this machine can reach). What the fence
around the code is worth is said in `workers.kinds.sandbox`.
"""

import os
from typing import Annotated, Final

from pydantic import Field

from orchestrator.errors import PromiseError
from orchestrator.ids import JsonValue
from workers.context import WorkContext
from workers.kinds.sandbox import CODE_CHARS_MAX, Limits, Ran, own_network, run_code
from workers.pool import Pool
from workers.tools import ToolContext, tool

VARIABLE: Final = "ORCHESTRATOR_MODEL_CODE"
CHOICES: Final = ("off", "on", "on-with-network")
INSTRUCTIONS: Final = """You answer questions about data by computing, never by guessing.
Write a short Python script with the standard library alone and run it with run_python. The values of the task are in
the file inputs.json, a JSON object with one entry per data block. Print what you need to see; write what the answer
needs to result.json. There is no network, and nothing is kept between two scripts. When a script fails, mend it."""
LIMITS: Final = Limits()


def code_allowed() -> Limits:
    """The limits under which code may run in this process.

    Raises:
        PromiseError: it may not, or not without a network that nobody allowed.
    """
    choice = os.environ.get(VARIABLE, "off")
    if choice not in CHOICES:
        raise PromiseError(f"{VARIABLE} is {choice!r}", f"use {', '.join(CHOICES)}")
    if choice == "off":
        raise PromiseError("running code that a model wrote is off", f"set {VARIABLE}=on, if that is meant")
    if choice == "on-with-network":
        return Limits(network=True)
    if not own_network():
        raise PromiseError(
            "this system gives a process no network of its own, so code could reach whatever the machine reaches",
            f"allow user namespaces, or set {VARIABLE}=on-with-network, if that is meant",
        )
    return LIMITS


def _ready() -> None:
    code_allowed()


data: Final = Pool("data", concurrency=4)


@tool(timeout_s=LIMITS.wall_s + 5.0)
async def run_python(ctx: ToolContext, code: Annotated[str, Field(min_length=1, max_length=CODE_CHARS_MAX)]) -> Ran:
    """Run a Python script; gives what it printed and what it wrote to result.json."""
    return await run_code(code, ctx.args, code_allowed())


data.agent("compute", INSTRUCTIONS, tools=[run_python], ready=_ready)


@data.worker(ready=_ready)
async def run(
    ctx: WorkContext,
    code: Annotated[str, Field(min_length=1, max_length=CODE_CHARS_MAX)],
    inputs: dict[str, JsonValue] | None = None,
) -> Ran:
    """Run a script that an earlier step wrote; `inputs` is in inputs.json."""
    ran = await run_code(code, inputs or {}, code_allowed())
    ctx.evidence("run", ran)
    return ran
