"""MCP servers as tools: a child process over standard input and output, or an address over streamable HTTP.

The official SDK speaks the protocol (extra `mcp`). A connection lives as long as the attempt that uses it, and is not
shared: a server with a memory carries nothing from one run, or tenant, into another, a server that hangs holds up one
attempt, secrets are looked up anew, and one that has died is simply started or called again by the next attempt. Only
tools that the host named exist for an agent, whatever a server offers; a server is told nothing of this process's
environment but what the host named.
"""

import json
import math
import os
import shutil
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import anyio
from anyio.lowlevel import RunVar

from orchestrator.errors import PromiseError, RetryableError, StepError, TerminalError
from orchestrator.ids import JsonValue
from orchestrator.plan.models import canonical_json
from orchestrator.plan.schemas import compile_schema, schema_fault
from orchestrator.ports.model import ToolSpec
from workers.failures import cause_of
from workers.limits import TOOL_S, TOOL_TEXT_CHARS_MAX
from workers.plain import plain_copy
from workers.tools.context import ToolContext
from workers.tools.function import NAME
from workers.tools.secrets import Secret
from workers.tools.tool import BadCall, Tool, ToolFailed, ToolTraits

if TYPE_CHECKING:
    from mcp import Client
    from mcp.client._transport import Transport
    from mcp.types import CallToolResult

KEY_META: Final = "hierarchical-orchestrator/idempotency-key"  #: where a server finds the key of an effect
PAGES_MAX: Final = 20  #: of a server's list of tools
SCHEMA_BYTES_MAX: Final = 32 * 1024  #: of one tool's parameters
CONNECT_S: Final = 30.0
_CLOSED: Final = -32000  #: the SDK's code for a connection that has ended
#: Leaves the new process nothing but the variables that are named, without showing their values to `ps`.
_BARE: Final = (
    "import json, os, sys; keep = json.loads(sys.argv[1]); "
    "os.execve(sys.argv[2], sys.argv[2:], {name: os.environ[name] for name in keep if name in os.environ})"
)
_ROOM: Final[RunVar[dict["McpServer", anyio.CapacityLimiter]]] = RunVar("workers.tools.mcp")

Value = str | Secret


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class McpServer:
    """One MCP server, for `pool.agent(..., tools=[McpServer(...)])`.

    `command` starts a server that is spoken to over its standard input and output; `url` is one that runs already.
    `reads` and `effects` name the tools that agents may use: those under `effects` change the world, so each call is
    journaled before it is made and carries its key as `_meta`. `env` is the whole environment of a started server, and
    `headers` go with every request; both take secrets: `{"TOKEN": secret("SHOP_TOKEN")}`. `describe` gives tools
    descriptions of your own, where the server's should not reach the model. `log` is a file for what a started server
    writes to its standard error; without it that is dropped. At most `connections_max` attempts of this process are
    connected at the same time; others wait.

    Raises:
        PromiseError: it has both an address and a command, or neither; no tool is named; a name is no tool's name.
    """

    name: str
    command: tuple[str, ...] = ()
    url: str = ""
    reads: tuple[str, ...] = ()
    effects: tuple[str, ...] = ()
    env: Mapping[str, Value] = field(default_factory=dict)
    headers: Mapping[str, Value] = field(default_factory=dict)
    describe: Mapping[str, str] = field(default_factory=dict)
    cwd: str | None = None
    log: str | None = None
    timeout_s: float = TOOL_S
    connections_max: int = 16

    def __post_init__(self) -> None:
        who = f"MCP server {self.name!r}"
        if bool(self.command) == bool(self.url):
            raise PromiseError(f"{who} has {'both' if self.url else 'no'} command and url", "give it one of them")
        if self.url and not self.url.startswith(("http://", "https://")):
            raise PromiseError(f"{who}: {self.url!r} is no http address", "write it as https://host/mcp")
        if not (self.reads or self.effects):
            raise PromiseError(f"{who} names no tool", "name those that agents may use: reads=(...), effects=(...)")
        if set(self.reads) & set(self.effects):
            raise PromiseError(f"{who} names a tool twice", "a tool reads or it has an effect")
        for name in self.names():
            if NAME.fullmatch(name) is None:
                raise PromiseError(f"{who}: {name!r} cannot name a tool", f"use a name that fits {NAME.pattern}")
        if not 1 <= self.connections_max <= 1_000 or not 0 < self.timeout_s < 86_400:
            raise PromiseError(f"{who}: connections_max or timeout_s is out of range", "1 to 1,000; above 0 seconds")

    def names(self) -> tuple[str, ...]:
        """The tools that agents may use."""
        return (*self.reads, *self.effects)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[tuple[Tool, ...]]:
        """Connect, and find the named tools there.

        Raises:
            RetryableError: the server cannot be reached, or went away.
            TerminalError: a named tool is not there, or the SDK is not installed.
        """
        connected = False
        try:
            async with self._room():
                with anyio.CancelScope(deadline=anyio.current_time() + CONNECT_S) as scope:
                    async with self._client() as client:
                        tools = await self._tools(client)
                        connected, scope.deadline = True, math.inf
                        yield tools
        except Exception as error:  # noqa: BLE001  # what the SDK and its transports raise has no common root
            # The SDK's task groups wrap whatever passes through them, also what was raised by who uses the tools.
            cause = cause_of(error)
            if connected or isinstance(cause, StepError | PromiseError):
                raise cause from None
            raise self._gone(cause) from cause
        if scope.cancelled_caught:
            raise RetryableError(f"MCP server {self.name} did not connect within {CONNECT_S:g} s", "provider")

    def _room(self) -> anyio.CapacityLimiter:
        rooms = _ROOM.get({})
        _ROOM.set(rooms)
        return rooms.setdefault(self, anyio.CapacityLimiter(self.connections_max))

    def _gone(self, error: BaseException) -> RetryableError:
        return RetryableError(f"MCP server {self.name} is not there: {type(error).__name__}: {error}", "provider")

    @asynccontextmanager
    async def _client(self) -> AsyncIterator["Client"]:
        try:
            from mcp import Client
        except ImportError as error:
            raise TerminalError(
                f"MCP server {self.name} needs the extra mcp: pip install 'hierarchical-orchestrator[mcp]'"
            ) from error
        async with self._transport() as transport, Client(transport, read_timeout_seconds=self.timeout_s) as client:
            yield client

    @asynccontextmanager
    async def _transport(self) -> AsyncIterator["Transport"]:
        if self.command:
            from mcp.client.stdio import StdioServerParameters, stdio_client

            program = shutil.which(self.command[0])
            if program is None:
                raise TerminalError(f"MCP server {self.name}: there is no program {self.command[0]!r}")
            bare = ["-I", "-S", "-c", _BARE, json.dumps(sorted(self.env)), program, *self.command[1:]]
            parameters = StdioServerParameters(
                command=sys.executable, args=bare, env=_values(self.env), cwd=self.cwd or os.curdir
            )
            with open(self.log or os.devnull, "a", encoding="utf-8") as log:  # noqa: ASYNC230, PTH123  # a descriptor for the child
                yield stdio_client(parameters, errlog=log)
        else:
            import httpx2
            from mcp.client.streamable_http import streamable_http_client

            async with httpx2.AsyncClient(headers=_values(self.headers), timeout=self.timeout_s) as http:
                yield streamable_http_client(self.url, http_client=http)

    async def _tools(self, client: "Client") -> tuple[Tool, ...]:
        found: dict[str, Tool] = {}
        cursor: str | None = None
        for _ in range(PAGES_MAX):
            page = await client.list_tools(cursor=cursor)
            for one in page.tools:
                if one.name in self.names() and one.name not in found:
                    text = self.describe.get(one.name) or one.description or one.name
                    found[one.name] = self._tool(client, one.name, text, one.input_schema)
            cursor = page.next_cursor
            if cursor is None:
                break
        missing = [name for name in self.names() if name not in found]
        if missing:
            raise TerminalError(f"MCP server {self.name} has no tool {', '.join(missing)}")
        return tuple(found[name] for name in self.names())

    def _tool(self, client: "Client", name: str, text: str, schema: object) -> "McpTool":
        parameters = plain_copy(schema)
        if not isinstance(parameters, dict) or len(canonical_json(parameters)) > SCHEMA_BYTES_MAX:
            raise TerminalError(f"MCP server {self.name}: the parameters of {name} are no schema, or too large")
        spec = ToolSpec(name=name, description=text.strip()[:TOOL_TEXT_CHARS_MAX], parameters=parameters)
        # Its own clock ends a call a little before the tool box does, so that the server learns of it.
        traits = ToolTraits(spec=spec, effect=name in self.effects, timeout_s=self.timeout_s + 1.0)
        return McpTool(self, client, traits)


class McpTool:
    """One tool of a connected server."""

    def __init__(self, server: McpServer, client: "Client", traits: ToolTraits) -> None:
        self._server, self._client, self.traits = server, client, traits
        schema = traits.spec.parameters
        self._wrong = None if schema_fault(schema) is not None else compile_schema(schema)

    def check(self, ctx: ToolContext, arguments: dict[str, JsonValue]) -> None:
        """Whether the arguments fit the schema that the server gave; one that is not safe to run is left to the server.

        Raises:
            BadCall: they do not.
        """
        wrong = self._wrong(arguments) if self._wrong is not None else ()
        if wrong:
            raise BadCall("; ".join(wrong))

    async def call(self, ctx: ToolContext, arguments: dict[str, JsonValue]) -> JsonValue:
        """Call it.

        Raises:
            BadCall: the arguments do not fit the schema the server gave.
            ToolFailed: the server says so.
            RetryableError: the server went away.
        """
        from mcp import MCPError

        self.check(ctx, arguments)
        meta = {} if ctx.key is None else {"meta": {KEY_META: ctx.key}}
        try:
            answer = await self._client.call_tool(self.traits.spec.name, arguments, **meta)  # type: ignore[arg-type]  # extra keys of `_meta` are free
        except MCPError as error:
            if error.code == _CLOSED:
                raise self._server._gone(error) from error
            raise ToolFailed(error.message) from error
        except (OSError, anyio.ClosedResourceError, anyio.BrokenResourceError, anyio.EndOfStream) as error:
            raise self._server._gone(error) from error
        if answer.is_error:
            raise ToolFailed(_text(answer) or "the tool failed and did not say why")
        if answer.structured_content is not None:
            return plain_copy(answer.structured_content)
        return _text(answer)


def _text(answer: "CallToolResult") -> str:
    """What a model can read of an answer; the rest is named."""
    parts: list[str] = []
    for part in answer.content:
        text = getattr(part, "text", None)
        resource = getattr(getattr(part, "resource", None), "text", None)
        parts.append(
            text if isinstance(text, str) else resource if isinstance(resource, str) else f"[{part.type} left out]"
        )
    return "\n".join(parts)


def _values(given: Mapping[str, Value]) -> dict[str, str]:
    return {name: value.reveal() if isinstance(value, Secret) else value for name, value in given.items()}
