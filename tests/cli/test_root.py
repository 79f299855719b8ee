"""The root: help, version, colour, completion."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from orchestrator.cli.commands import COMMANDS, Entry
from orchestrator.cli.root import hoisted, run

COMMAND = Path(sys.executable).parent / "orchestrator"


def test_help_names_every_command_and_imports_none(shell) -> None:
    text = shell("--help").out

    for entry in COMMANDS:
        assert f"  {entry.name} " in text


def test_help_loads_neither_the_engine_nor_rich() -> None:
    code = (
        "import sys; from orchestrator.cli.root import run; run(['--help']); "
        "print(sorted({'rich', 'pydantic', 'anyio', 'orchestrator.app', 'networkx', 'yaml'} & set(sys.modules)))"
    )

    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert out.splitlines()[-1] == "[]"


def test_help_is_fast() -> None:
    """The promise is 200 ms on a quiet machine; here the processor time is held to it, which others cannot spend."""
    spent: list[float] = []
    for _ in range(5):
        before = time.monotonic(), _children_s()
        subprocess.run([COMMAND, "--help"], capture_output=True, check=True)
        spent.append(_children_s() - before[1])

    assert min(spent) < 0.2


def _children_s() -> float:
    import resource

    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


@pytest.mark.parametrize("entry", COMMANDS, ids=lambda entry: entry.name)
def test_every_command_has_help(capsys: pytest.CaptureFixture[str], entry: Entry) -> None:
    assert run([entry.name, "--help"]) == 0
    assert f"Usage: orchestrator {entry.name}" in capsys.readouterr().out


def test_version(shell) -> None:
    assert shell("--version").out.startswith("orchestrator 0.")


def test_the_module_is_the_command(shell) -> None:
    out = subprocess.run(
        [sys.executable, "-m", "orchestrator", "--version"], capture_output=True, text=True, check=True
    ).stdout

    assert out == shell("--version").out


def test_an_unknown_command_is_a_usage_error_with_a_hint(shell) -> None:
    assert "Did you mean 'run'" in shell("rum", code=2).err


def test_completion_offers_commands(shell) -> None:
    told = shell.installed(
        code=None, _ORCHESTRATOR_COMPLETE="complete_bash", COMP_WORDS="orchestrator re", COMP_CWORD="1"
    )

    assert told.out.split() == ["resume", "retry", "restore"]


@pytest.mark.parametrize(
    ("flags", "env", "colored"),
    [
        ([], {}, False),
        ([], {"FORCE_COLOR": "1"}, True),
        ([], {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        (["--color", "always"], {"NO_COLOR": "1"}, True),
        (["--color=always"], {"TERM": "dumb"}, True),
        (["--color", "never"], {"FORCE_COLOR": "1"}, False),
    ],
)
def test_colour_follows_flag_then_environment(shell, flags: list[str], env: dict[str, str], colored: bool) -> None:
    ended = shell("run", "chain.plan.yaml", "--store", "memory:", *flags, **env)

    assert ("\x1b[" in ended.err) is colored


def test_a_colour_that_is_none_is_refused(shell) -> None:
    assert "choose auto, always or never" in shell("--color", "blue", "ps", code=2).err


def test_global_options_may_stand_anywhere_before_a_double_dash() -> None:
    assert hoisted(["ps", "--debug", "--color", "never", "--all"]) == ["--debug", "--color", "never", "ps", "--all"]
    assert hoisted(["run", "--color=always", "--", "--debug"]) == ["--color=always", "run", "--", "--debug"]
    assert hoisted(["ps", "--color"]) == ["--color", "ps"]
