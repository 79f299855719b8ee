"""The rungs of docs/scaling.md: their files under deploy/rungs, and those files' processes started beside a stand-in.

A rung is `N.env`, read by every command as its `.env`, and `N.procfile`, whose lines are started as they stand there.
What differs from a user's machine is put into the environment, which wins over the file: where the servers and the
model are. Ports are free ones.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from dotenv import dotenv_values

from benchmarks.performance.load.served import ROOT, START_S, Site, ended, keys_of, log_text, model_of, run, write_plans

FOLDER = ROOT / "deploy" / "rungs"
POOL = "writer"  #: the pool of `workers.kinds` that the load asks
SERVING = re.compile(r"serving at http://127\.0\.0\.1:(\d+)")
PORT = re.compile(r"(?<=--port )\d+|(?<=--http 127\.0\.0\.1:)\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One rung as its files say it."""

    number: int  #: of users
    settings: Path
    values: Mapping[str, str]  #: of the settings file
    processes: Mapping[str, str]  #: commands by name

    @property
    def on_servers(self) -> bool:
        """Whether it needs PostgreSQL and Redis."""
        return self.values["ORCHESTRATOR_STORE"].startswith("postgresql://")


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """Where PostgreSQL and Redis are."""

    store: str
    transport: str


def numbers() -> list[int]:
    """The rungs that there are, from the lowest."""
    return sorted(int(path.stem) for path in FOLDER.glob("*.env"))


def read(number: int) -> Rung:
    """A rung.

    Raises:
        ValueError: a line of its files is none; the message names it.
    """
    settings, processes = FOLDER / f"{number}.env", FOLDER / f"{number}.procfile"
    values = dotenv_values(settings)
    found: dict[str, str] = {}
    for place, line in enumerate(processes.read_text(encoding="utf-8").splitlines(), start=1):
        name, colon, command = line.partition(": ")
        if not colon or not command.startswith("orchestrator ") or name in found:
            raise ValueError(f"{processes.name}:{place}: {line!r} is not `name: orchestrator …` with a name of its own")
        found[name] = command
    return Rung(
        number=number,
        settings=settings,
        values={name: value or "" for name, value in values.items()},
        processes=found,
    )


@contextmanager
def rung_site(
    folder: Path, rung: Rung, *, tenants: int, latency_s: float, servers: Servers | None, changed: Mapping[str, str]
) -> Iterator[Site]:
    """Start every process of a rung; stop all at the end. `changed`: variables that win over the rung's file."""
    shutil.copyfile(rung.settings, folder / ".env")
    write_plans(folder, POOL, tier="auto" if "ORCHESTRATOR_MODELS__ROUTING__MODE" in rung.values else None)
    with ExitStack() as stack:
        model_port = stack.enter_context(model_of(latency_s))
        environment = _environment(model_port, servers, changed)
        if servers is not None:
            run(["db", "upgrade"], environment, folder)
        keys = keys_of(tenants, environment, folder)
        started: dict[str, subprocess.Popen[bytes]] = {}
        stack.callback(_end_all, started)
        for name, command in rung.processes.items():
            words = shlex.split(PORT.sub("0", command))[1:]
            with (folder / f"{name}.log").open("wb") as sink:
                started[name] = subprocess.Popen(
                    [sys.executable, "-m", "orchestrator", *words],
                    cwd=folder,
                    env=environment,
                    stdout=sink,
                    stderr=sink,
                )
        ports = tuple(
            _port(folder, name, started)
            for name, command in rung.processes.items()
            if command.startswith("orchestrator serve ")
        )
        yield Site(pids=tuple(one.pid for one in started.values()), ports=ports, model_port=model_port, keys=keys)


def _environment(model_port: int, servers: Servers | None, changed: Mapping[str, str]) -> dict[str, str]:
    ours = ("ORCHESTRATOR_", "OTEL_", "OPENAI_", "DATABASE_URL", "REDIS_URL")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    given = {
        "PYTHONPATH": str(ROOT),
        "OPENAI_API_KEY": "stand-in",
        "OPENAI_BASE_URL": f"http://127.0.0.1:{model_port}/v1",
    }
    if servers is not None:
        given |= {"ORCHESTRATOR_STORE": servers.store, "ORCHESTRATOR_TRANSPORT": servers.transport}
    return {**kept, **given, **changed}


def _port(folder: Path, name: str, started: Mapping[str, subprocess.Popen[bytes]]) -> int:
    until_s = time.monotonic() + START_S
    while time.monotonic() < until_s and all(one.poll() is None for one in started.values()):
        found = SERVING.search(log_text(folder / f"{name}.log"))
        if found is not None:
            return int(found[1])
        time.sleep(0.05)
    told = "\n".join(f"{one}: {log_text(folder / f'{one}.log')[-2_000:]}" for one in started)
    raise RuntimeError(f"{name} does not start\n{told}")


def _end_all(started: Mapping[str, subprocess.Popen[bytes]]) -> None:
    for process in started.values():
        process.terminate()
    for process in started.values():
        ended(process)
