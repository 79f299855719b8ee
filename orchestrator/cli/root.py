"""The root command: global options, commands loaded when they are called, errors turned into text and exit codes."""

import importlib
import sys
from collections.abc import Iterator, MutableMapping
from typing import TYPE_CHECKING, Annotated, Final, Protocol

import typer
from typer.core import TyperGroup
from typer.main import get_command

from orchestrator.cli.commands import BY_NAME, COMMANDS
from orchestrator.cli.console import LOOK, paint, say

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

_FLAGS: Final = ("--no-input", "--debug")  #: global ones may stand anywhere on the line
_EPILOG: Final = "--color, --no-input and --debug may stand anywhere on the line."
_USAGE_EXIT: Final = 2


class _Formatter(Protocol):
    def section(self, name: str) -> "AbstractContextManager[None]": ...

    def write_dl(self, rows: list[tuple[str, str]]) -> None: ...


def _single(function: "Callable[..., None]") -> typer.Typer:
    single = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)
    single.command()(function)
    return single


class _Commands(MutableMapping[str, object]):
    """Commands by name, each imported when it is asked for."""

    def __init__(self) -> None:
        self._loaded: dict[str, object] = {}

    def __getitem__(self, name: str) -> object:
        entry = BY_NAME[name]
        if name not in self._loaded:
            module, _, attribute = entry.where.partition(":")
            found = getattr(importlib.import_module(f"orchestrator.cli.{module}"), attribute)
            command = get_command(found if isinstance(found, typer.Typer) else _single(found))
            command.name, command.help = name, command.help or entry.help
            self._loaded[name] = command
        return self._loaded[name]

    def __setitem__(self, name: str, command: object) -> None:
        self._loaded[name] = command

    def __delitem__(self, name: str) -> None:
        del self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(BY_NAME)

    def __len__(self) -> int:
        return len(BY_NAME)


class LazyGroup(TyperGroup):
    """The root, whose help needs none of its commands."""

    def __init__(self, **attrs: object) -> None:
        super().__init__(**attrs)  # type: ignore[arg-type]  # Typer hands over what it knows
        self.commands = _Commands()  # type: ignore[assignment]  # what it holds are commands

    def list_commands(self, ctx: object) -> list[str]:
        """All names, in the order of the table."""
        return list(BY_NAME)

    def format_commands(self, ctx: object, formatter: _Formatter) -> None:
        """The commands by section."""
        for section in dict.fromkeys(entry.section for entry in COMMANDS):
            rows = [(entry.name, entry.help) for entry in COMMANDS if entry.section == section]
            with formatter.section(section):
                formatter.write_dl(rows)


app = typer.Typer(
    cls=LazyGroup,
    rich_markup_mode=None,  # rich doubles the time of --help
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=_EPILOG,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"orchestrator {version('hierarchical-orchestrator')}")
        raise typer.Exit


def _color(choice: str) -> str:
    if choice not in {"auto", "always", "never"}:
        raise typer.BadParameter("choose auto, always or never")
    return choice


@app.callback()
def _root(
    color: Annotated[
        str, typer.Option(help="auto, always or never; NO_COLOR and FORCE_COLOR are honoured.", callback=_color)
    ] = "auto",
    no_input: Annotated[bool, typer.Option("--no-input", help="Never ask a question.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks, and what the engine logs.")] = False,
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Run plans of many agents to verified results; every fact is journaled, so a run survives any crash."""
    LOOK.color = color  # type: ignore[assignment]  # checked by its callback
    LOOK.no_input, LOOK.debug = no_input, debug


def hoisted(arguments: list[str]) -> list[str]:
    """The arguments with the global options first, wherever they stood before `--`."""
    front: list[str] = []
    rest: list[str] = []
    todo = iter(arguments)
    for argument in todo:
        if argument == "--":
            rest += [argument, *todo]
        elif argument in _FLAGS or argument.startswith("--color="):
            front.append(argument)
        elif argument == "--color":
            front += [argument, *[value for _, value in zip(range(1), todo, strict=False)]]
        else:
            rest.append(argument)
    return front + rest


def run(arguments: list[str]) -> int:
    """Do what the arguments say; return the exit code. Errors of users come out as text, never as a traceback."""
    from orchestrator.errors import OrchestratorError

    try:
        app(hoisted(arguments), prog_name="orchestrator", standalone_mode=True)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0
    except OrchestratorError as error:
        return _told(error)
    except BrokenPipeError:
        # The reader went away, as `head` does. Nothing more can be said there.
        sys.stdout = open("/dev/null", "w")  # noqa: PTH123, SIM115  # lives until the interpreter ends
        return 0
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # the last place: without --debug a person gets one line
        if LOOK.debug:
            raise
        say(f"{paint('internal error:', 'bad', sys.stderr)} {type(error).__name__}: {error}")
        say("This is our bug. The journal is as it was; --debug shows where.")
        return 1
    return 0


def _told(error: Exception) -> int:
    from orchestrator.cli.console import clean
    from orchestrator.cli.exits import of_error
    from orchestrator.errors import OrchestratorError

    if LOOK.debug:
        import traceback

        traceback.print_exception(error)
    say(f"{paint('error:', 'bad', sys.stderr)} {clean(str(error))}")
    return int(of_error(error)) if isinstance(error, OrchestratorError) else _USAGE_EXIT
