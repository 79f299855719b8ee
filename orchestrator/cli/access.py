"""How a command comes to its runs: through the process that owns the journal file, or by taking the file itself."""

import os
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import typer

from orchestrator.cli.console import LOOK, say
from orchestrator.errors import JournalOwned, PromiseError
from orchestrator.ids import JsonValue

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from orchestrator.app import Engine
    from orchestrator.engine.ownership import Owns
    from orchestrator.service.control_client import Owner
    from orchestrator.service.control_desk import Desk
    from orchestrator.settings import Settings

BUSY_S: Final = 3.0  #: a command that only looks holds the file for a moment; so long the next one waits
_PAUSE_S: Final = 0.05
_WHENCE: Final = "`orchestrator config show --origins` says where each setting comes from"
T = TypeVar("T")

Store = Annotated[
    str | None,
    typer.Option(
        "--store", help="sqlite:///file, postgresql://…, memory:  [default: .orchestrator/journal.db]", metavar="URL"
    ),
]
Pools = Annotated[
    list[str] | None,
    typer.Option("--pools", help="Module whose pools runs may use; repeatable.", metavar="MODULE"),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="A run's id, the end of it, or `last`.")]


def settings_of(store: str | None = None, pools: Sequence[str] | None = None) -> "Settings":
    """The settings in force: flags over environment, `.env`, pyproject.toml and defaults.

    Raises:
        PromiseError: a setting is not valid.
    """
    from pydantic import ValidationError
    from pydantic_settings import SettingsError

    from orchestrator.settings import Settings

    given: dict[str, object] = {}
    if store is not None:
        given["store"] = store
    if pools:
        given["pools"] = tuple(pools)
    try:
        return Settings(**given)  # type: ignore[arg-type]  # by name, as the flags are
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise PromiseError(
            f"setting {name}: {first['msg']}", "`orchestrator config show --origins` says whence"
        ) from None
    except SettingsError as error:
        raise PromiseError(str(error), _WHENCE) from None


def run_async(work: "Callable[[], Coroutine[object, object, T]]") -> T:
    """Run a command's coroutine to its end, with the log where it does not disturb results."""
    import anyio

    _log_to_stderr()
    try:
        return anyio.run(work, backend="asyncio")
    except ExceptionGroup as group:
        # One thing went wrong, and task groups were around it.
        if len(group.exceptions) != 1:
            raise
        found: BaseException = group
        while isinstance(found, BaseExceptionGroup) and len(found.exceptions) == 1:
            found = found.exceptions[0]
        raise found from None
    except KeyboardInterrupt:  # before anything was driven, or while only looking
        say("interrupted; `orchestrator ps` lists the runs that are open")
        raise


def _log_to_stderr() -> None:
    import logging

    import structlog

    from orchestrator.app.safety import redactor_of
    from orchestrator.app.telemetry import said_here, trace_of_run
    from orchestrator.service import logs
    from orchestrator.settings import SafetySettings

    structlog.configure(
        processors=logs.processors(logs.form_of(os.environ), trace_of_run, redactor_of(SafetySettings()), said_here),
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG if LOOK.debug else logging.ERROR),
        logger_factory=lambda *_: _Stderr(),
        cache_logger_on_first_use=False,
    )


class _Stderr:
    """Writes where stderr is at that moment: a live picture takes it over for a while."""

    def msg(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    log = debug = info = warn = warning = error = err = exception = critical = fatal = failure = msg


def find_modules() -> None:
    """Let pool modules be found in the current folder too; after everything installed, so that nothing is shadowed."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)


def file_of(settings: "Settings") -> Path | None:
    """The journal's file; None for a journal in memory."""
    from orchestrator.settings import store_path

    return store_path(settings.store)


class Asker:
    """Asks a desk, wherever it is."""

    def __init__(self, desk: "Desk | Owner") -> None:
        self._desk = desk

    @property
    def owner_pid(self) -> int | None:
        """The process that is asked; None for this one."""
        from orchestrator.service.control_client import Owner

        return self._desk.pid if isinstance(self._desk, Owner) else None

    async def ask(self, verb: str, **args: JsonValue) -> JsonValue:
        """One answer; errors as the desk raises them."""
        from orchestrator.service.control_client import Owner
        from orchestrator.service.control_desk import ask

        if isinstance(self._desk, Owner):
            return await self._desk.ask(verb, **args)
        async with aclosing(ask(self._desk, verb, args)) as answers:
            async for value in answers:
                return value
        raise AssertionError("every verb that does not stream gives one answer")

    async def stream(self, verb: str, **args: JsonValue) -> AsyncGenerator[JsonValue, None]:
        """The answers of a streaming verb."""
        from orchestrator.service.control_client import Owner
        from orchestrator.service.control_desk import ask

        source = self._desk.stream(verb, **args) if isinstance(self._desk, Owner) else ask(self._desk, verb, args)
        async with aclosing(source) as answers:
            async for value in answers:
                yield value


@asynccontextmanager
async def looking(settings: "Settings") -> AsyncIterator[Asker]:
    """Somebody to ask about runs: the owner of the file, or this process, which then holds the file for that long.

    Raises:
        JournalOwned: a process holds the file and does not listen.
        PromiseError: there is no such store yet.
    """
    from orchestrator.app import open_journal
    from orchestrator.service.control_desk import Desk, NoPools

    _must_exist(settings)
    async with AsyncExitStack() as stack:
        found = await _owner_or(settings, stack, lambda: open_journal(settings))
        if isinstance(found, Asker):
            yield found
            return
        stack.push_async_callback(found.close)
        yield Asker(Desk(found, NoPools()))


@asynccontextmanager
async def acting(settings: "Settings") -> AsyncIterator["Asker | Engine"]:
    """The owner of the file, or an engine of this process that holds it now, and listens for other commands.

    Raises:
        JournalOwned: a process holds the file and does not listen.
        PromiseError: there is no such store yet, or a pool module cannot be used.
    """
    _must_exist(settings)
    async with AsyncExitStack() as stack:
        found = await _owner_or(settings, stack, lambda: _entered(settings, stack))
        yield found


@asynccontextmanager
async def holding(settings: "Settings") -> AsyncIterator["Engine"]:
    """An engine of this process on the settings' store; other commands reach it through the control socket.

    Open runs of the store stay as they are. What still runs when the block ends is left to a later resume.

    Raises:
        JournalOwned: another process holds the file.
        PromiseError: a pool module cannot be used.
    """
    async with AsyncExitStack() as stack:
        found = await _owner_or(settings, stack, lambda: _entered(settings, stack))
        if isinstance(found, Asker):
            raise JournalOwned(str(file_of(settings)), found.owner_pid or 0)
        yield found


def engine_of(settings: "Settings") -> "Engine":
    """An engine that is not open yet: its pools are known."""
    from orchestrator.app import Engine

    find_modules()
    # The command drains by itself, with words for whoever waits; closing must not wait a second time.
    # Where supervisors drive runs, a command hands in and asks, and drives nothing itself.
    owns: Owns = "mine" if settings.transport == "memory:" else "nothing"
    return Engine(settings.model_copy(update={"drain_s": 0.0}), recover=False, owns=owns)


async def _entered(settings: "Settings", stack: AsyncExitStack) -> "Engine":
    from orchestrator.service.control import serve_control
    from orchestrator.service.control_desk import Desk

    engine = await stack.enter_async_context(engine_of(settings))
    file = file_of(settings)
    if file is not None:
        desk = Desk(engine.runs.journal, engine.registry, engine.runs)
        await stack.enter_async_context(serve_control(file, desk))
    return engine


async def _owner_or(
    settings: "Settings", stack: AsyncExitStack, take: "Callable[[], Coroutine[object, object, T]]"
) -> "Asker | T":
    """What `take` gives, or the owner of the file where there is one that listens.

    A command that only looks holds the file for a moment and does not listen, so a held file is tried again.
    """
    import anyio

    from orchestrator.service.control_client import Owner

    file = file_of(settings)
    until_s = anyio.current_time() + BUSY_S
    while True:
        try:
            return await take()
        except JournalOwned:
            assert file is not None, "memory has no owner"
            owner = await stack.enter_async_context(Owner.connect(file))
            if owner is not None:
                return Asker(owner)
            if anyio.current_time() >= until_s:
                raise
            await anyio.sleep(_PAUSE_S)


def _must_exist(settings: "Settings") -> None:
    from orchestrator.settings import on_server

    if on_server(settings.store):
        return
    file = file_of(settings)
    if file is None:
        raise PromiseError(
            "a journal in memory ends with its process", "name the store of a run: --store sqlite:///file"
        )
    if not file.exists():
        raise PromiseError(f"there is no store {file}", "run a plan first, or name another one with --store")


def flags(store: str | None, pools: Sequence[str] | None) -> str:
    """The flags that a command named after this one needs too."""
    import shlex

    given = ([f"--store {shlex.quote(store)}"] if store is not None else []) + [
        f"--pools {shlex.quote(name)}" for name in pools or ()
    ]
    return "".join(f" {flag}" for flag in given)
