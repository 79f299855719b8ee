"""`orchestrator bench`: compare architectures of agents, hold the engine against theory, read advice."""

import importlib
import sys
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Annotated

import typer

from orchestrator.cli.access import run_async, settings_of
from orchestrator.cli.console import paint, say

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=True, add_completion=False)
_SHIPPED = Path(__file__).resolve().parents[1] / "_benchmarks"
_CHECKOUT = Path(__file__).resolve().parents[2]


def harness(name: str) -> ModuleType:
    """A module of the comparison harness: `benchmarks/` of a checkout, or the copy that a wheel carries.

    Raises:
        PromiseError: neither is there.
    """
    from orchestrator.errors import PromiseError

    for place in (_CHECKOUT, _SHIPPED):
        if (place / "benchmarks" / "architectures" / "__init__.py").is_file():
            if str(place) not in sys.path:
                sys.path.append(str(place))  # last: it hides no module of the user's
            return importlib.import_module(f"benchmarks.architectures.{name}")
    raise PromiseError("the comparison harness is not installed", "install the wheel, or run this in a checkout")


def _list(text: str | None) -> tuple[str, ...]:
    return tuple(filter(None, (part.strip() for part in (text or "").split(","))))


@app.callback()
def _bench() -> None:
    """Compare architectures of agents on equal terms."""


@app.command()
def architectures(
    suite: Annotated[str, typer.Option(help="A suite by name (quick, standard, tasks), or a .json file.")] = "quick",
    output: Annotated[Path, typer.Option(help="Folder of journal and report.")] = Path("bench-output/architectures"),
    seed: Annotated[int, typer.Option(help="Of tasks and of simulated agents.")] = 7,
    limit: Annotated[int | None, typer.Option(min=1, help="Instances per family at most.")] = None,
    budget_usd: Annotated[
        float | None, typer.Option("--budget-usd", min=0, help="USD at most, over everything.")
    ] = None,
    agents: Annotated[
        str, typer.Option(help="simulated, local, endpoint (the models in the settings) or replay.")
    ] = "simulated",
    families: Annotated[str | None, typer.Option(help="Task families, separated by commas.")] = None,
    only: Annotated[str | None, typer.Option("--architectures", help="Architectures, separated by commas.")] = None,
    sweep: Annotated[
        bool, typer.Option("--sweep/--no-sweep", help="Also vary the assumptions (simulated only).")
    ] = True,
    record: Annotated[Path | None, typer.Option(help="Write what agents answer to this .jsonl file.")] = None,
    replay: Annotated[Path | None, typer.Option(help="With --agents replay: answers from this file.")] = None,
) -> None:
    """Run a suite and write a report (HTML, Markdown, CSV, JSON). Killed, the same command goes on where it was."""
    if agents not in {"simulated", "local", "endpoint", "replay"}:
        raise typer.BadParameter("choose simulated, local, endpoint or replay", param_hint="--agents")
    command = harness("command")
    options = command.Options(
        suite=suite,
        output=output,
        seed=seed,
        limit=limit,
        budget_usd=budget_usd,
        agents=agents,
        families=_list(families),
        architectures=_list(only),
        sweep=sweep,
        record=record,
        replay=replay,
    )
    try:
        done = run_async(lambda: command.run(options, settings_of(), _Bar()))
    except ValueError as error:
        say(f"{paint('error:', 'bad', sys.stderr)} {error}")
        raise typer.Exit(2) from None
    say("")
    for path in done.files:
        print(path)
    raise typer.Exit(3 if done.stopped else 0)


@app.command()
def prove(
    forms: Annotated[list[str] | None, typer.Argument(help="F1 to F14; absent: all.")] = None,
    seed: Annotated[int, typer.Option(help="Of the simulated agents.")] = 1,
    full: Annotated[bool, typer.Option("--full", help="The large sizes.")] = False,
) -> None:
    """Hold runs of the engine against the closed forms F1 to F14; exit code 1 when one is 4 standard errors off."""
    proofs, list_ = harness("proofs"), harness("proof_list")
    names = forms or list(list_.PROOFS)
    if unknown := sorted(set(names) - set(list_.PROOFS)):
        raise typer.BadParameter(f"no form {', '.join(unknown)}; there are {', '.join(list_.PROOFS)}")
    well = True
    for name in names:
        size = (list_.FULL if full else list_.REDUCED)[name]
        found = run_async(partial(list_.PROOFS[name], size, seed))
        print(proofs.text(found), flush=True)
        well &= all(one.holds for one in found)
    raise typer.Exit(0 if well else 1)


class _Bar:
    """A line of progress on stderr: rewritten on a terminal, every tenth part otherwise."""

    def __init__(self) -> None:
        self._shown = -1

    def __call__(self, what: str, done: int, of: int, usd: float) -> None:
        part = 10 * done // max(1, of)
        if sys.stderr.isatty():
            filled = "█" * (3 * part)
            sys.stderr.write(f"\r\x1b[2K{filled:░<30} {what} {done:,} of {of:,}, {usd:.4f} USD")
            sys.stderr.flush()
        elif part != self._shown or what != "episodes":
            self._shown = part
            say(f"{what}: {done:,} of {of:,}, {usd:.4f} USD")
