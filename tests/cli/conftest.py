"""The installed command as a child process, in a folder of its own with a module of pools."""

import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import pytest

import orchestrator.cli
from orchestrator.cli import main

# What commands import when they are called is imported here, once, for all forks: most of what a call costs.
for _name in (
    "anyio._backends._asyncio", "anyio.from_thread", "asyncio", "dotenv", "getpass", "importlib.metadata",
    "jsonschema_rs", "networkx", "structlog", "tomllib", "typer.completion", "typer._adapters", "yaml",
    *(f"orchestrator.cli.{module.stem}" for module in Path(orchestrator.cli.__file__).parent.glob("[a-z]*.py")),
    "orchestrator.adapters.sql.backup", "orchestrator.adapters.sql.journal", "orchestrator.app",
    "orchestrator.core.event", "orchestrator.plan.diff", "orchestrator.plan.drawing", "orchestrator.plan.files",
    "orchestrator.plan.schema_file", "orchestrator.service.control", "orchestrator.service.control_client",
    "orchestrator.service.control_proof", "orchestrator.settings",
):  # fmt: skip
    importlib.import_module(_name)

COMMAND = Path(sys.executable).parent / "orchestrator"
WAIT_S = 30.0  #: for a child process on a busy machine
POOLS = '''
import pathlib
import anyio
from workers import Pool

desk = Pool("desk", concurrency=4)
GATE = pathlib.Path("open-the-gate")


@desk.worker
async def double(ctx, n: int) -> int:
    return n * 2


@desk.worker
async def odd(ctx, n: int) -> int:
    if n % 2 == 0:
        raise ValueError(f"{n} is even")
    return n


@desk.worker
async def note(ctx, text: str) -> str:
    with pathlib.Path("witness").open("a") as file:
        file.write(text + chr(10))
    return text


@desk.worker
async def paid(ctx, n: int) -> int:
    ctx.cost(usd=0.25)
    return n


@desk.worker
async def gated(ctx, text: str) -> str:
    """Waits until the test opens the gate."""
    while not GATE.exists():
        await anyio.sleep(0.01)
    return text
'''

CHAIN = """
version: 1
name: chain
inputs:
  n: {type: integer, default: 3}
  name: {type: string, default: x}
steps:
  twice: {pool: desk, call: double, with: {n: "${{ inputs.n }}"}}
  text: {pool: desk, call: note, with: {text: "${{ inputs.name }}"}}
result: {n: "${{ steps.twice.output }}", name: "${{ steps.text.output }}"}
"""
GAPS = """
version: 1
name: gaps
steps:
  odds:
    pool: desk
    call: odd
    foreach: {over: [1, 2, 3], as: k}
    with: {n: "${{ k }}"}
    on_fail: [gap]
result: ${{ steps.odds.passed }}
"""
FAILS = """
version: 1
name: fails
inputs: {n: {type: integer, default: 2}}
steps:
  first: {pool: desk, call: note, with: {text: paid for}}
  bad: {pool: desk, call: odd, with: {n: "${{ inputs.n }}"}, needs: [first]}
result: ${{ steps.bad.output }}
"""
ASKS = """
version: 1
name: asks
steps:
  draft: {pool: desk, call: note, with: {text: the draft}}
  ask:
    human: {ask: "Publish?", show: "${{ steps.draft.output }}", choices: [publish, hold], expires: 1h, then: hold}
  after: {if: steps.ask.output.choice == "publish", pool: desk, call: note, with: {text: published}}
result: ${{ steps.ask.output.choice }}
"""
GATED = """
version: 1
name: gated
steps:
  before: {pool: desk, call: note, with: {text: done before}}
  slow: {pool: desk, call: gated, with: {text: "${{ steps.before.output }}"}}
  after: {pool: desk, call: note, with: {text: "${{ steps.slow.output }} and after"}}
result: ${{ steps.slow.output }}
"""
DEAR = """
version: 1
name: dear
budget: {usd: 10, on_limit: stop}
steps:
  one: {pool: desk, call: paid, with: {n: 1}}
  two: {pool: desk, call: paid, with: {n: "${{ steps.one.output }}"}}
result: ${{ steps.two.output }}
"""
PLANS = {"chain": CHAIN, "gaps": GAPS, "fails": FAILS, "asks": ASKS, "gated": GATED, "dear": DEAR}


@dataclass(frozen=True)
class Ended:
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict:
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


@dataclass
class Shell:
    """A folder in which commands are called."""

    home: Path
    env: dict[str, str]
    children: list[subprocess.Popen] = field(default_factory=list)

    def __call__(self, *arguments: str | Path, code: int | None = 0, **env: str) -> Ended:
        """Call the command in a fork of this process, wait for it, and expect its exit code (None: any).

        A fork has everything imported already, which is most of what a call costs; `installed` starts from nothing.
        """
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # threads of the test runner do not matter here
                pid = os.fork()
            if not pid:
                _be_the_command(self.home, {**self.env, **env}, [*map(str, arguments)], out.fileno(), err.fileno())
            _, status = os.waitpid(pid, 0)
            out.seek(0)
            err.seek(0)
            told = Ended(os.waitstatus_to_exitcode(status), out.read(), err.read())
        assert code is None or told.code == code, f"exit code {told.code}\n{told.out}\n{told.err}"
        return told

    def installed(self, *arguments: str | Path, code: int | None = 0, **env: str) -> Ended:
        """As a plain call, through the installed command."""
        ended = subprocess.run(
            [COMMAND, *map(str, arguments)],
            cwd=self.home, env={**self.env, **env}, capture_output=True, text=True, timeout=WAIT_S, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        told = Ended(ended.returncode, ended.stdout, ended.stderr)
        assert code is None or told.code == code, f"exit code {told.code}\n{told.out}\n{told.err}"
        return told

    def start(self, *arguments: str) -> subprocess.Popen:
        """Call the command and leave it running."""
        child = subprocess.Popen(
            [COMMAND, *arguments], cwd=self.home, env=self.env, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.children.append(child)
        return child

    def until(self, holds: Callable[[], object], what: str) -> None:
        """Wait for something that a child does."""
        end_s = time.monotonic() + WAIT_S
        while not holds():
            assert time.monotonic() < end_s, f"not within {WAIT_S} s: {what}"
            time.sleep(0.02)

    def witnessed(self) -> list[str]:
        """What the workers noted outside of the journal."""
        file = self.home / "witness"
        return file.read_text().split("\n")[:-1] if file.exists() else []

    def gated_run(self, *more: str) -> tuple[subprocess.Popen, str]:
        """A process whose run stands at the gate, and the run's id."""
        owner = self.start("run", "gated.plan.yaml", *more)
        socket = self.home / ".orchestrator" / "journal.db.sock"
        self.until(lambda: self.witnessed() and socket.exists(), "the run's first step")
        self.until(lambda: self("ps", "--json").out.count("1/3"), "the run stands at the gate")
        return owner, json.loads(self("ps", "--json").out)[0]["run"]

    def open_the_gate(self) -> None:
        (self.home / "open-the-gate").touch()


def _be_the_command(home: Path, env: dict[str, str], arguments: list[str], out: int, err: int) -> NoReturn:
    """What a fork does: stand where the installed command would, call it, and end as it ends."""
    code = 70
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(err, 2)
        sys.stdin, sys.stdout, sys.stderr = os.fdopen(0), os.fdopen(1, "w"), os.fdopen(2, "w")
        os.chdir(home)
        os.environ.clear()
        os.environ.update(env)
        sys.argv = [str(COMMAND), *arguments]
        code = main()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


@pytest.fixture
def shell() -> Iterator[Shell]:
    """A folder with plans and a module of pools, and the command in it. Its path is short, for its socket."""
    with tempfile.TemporaryDirectory(prefix="ho-") as folder:
        yield from _shell(Path(folder))


def _shell(home: Path) -> Iterator[Shell]:
    (home / "deskpools.py").write_text(POOLS)
    for name, text in PLANS.items():
        (home / f"{name}.plan.yaml").write_text(text)
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("ORCHESTRATOR_", "_ORCHESTRATOR"))
    }
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM", "COLUMNS"):
        kept.pop(name, None)
    made = Shell(home, {**kept, "ORCHESTRATOR_POOLS": "deskpools"})
    yield made
    for child in made.children:
        if child.poll() is None:
            child.kill()
        child.communicate()
