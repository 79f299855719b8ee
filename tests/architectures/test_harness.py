"""A whole comparison: equal bytes, no answer where none may be, budgets, recordings, resumption after a kill."""

import dataclasses
import gc
import json
import os
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import anyio
import pytest

from benchmarks.architectures.command import Options, chosen, run
from benchmarks.architectures.endpoint import EndpointAgent
from benchmarks.architectures.pools import agent_pools
from benchmarks.architectures.simulated import GoldWorld
from benchmarks.architectures.summary import rows
from benchmarks.architectures.tasks import TaskHost
from orchestrator.settings import Settings

SETTINGS = Settings(_env_file=None)
SAME = ("report.md", "report.html", "results.csv", "results.json", "advice.json")


def quiet(_what: str, _done: int, _of: int, _usd: float) -> None:
    """Nobody watches."""


def test_the_same_seed_gives_the_same_bytes(options: Options, tmp_path: Path) -> None:
    again = dataclasses.replace(options, output=tmp_path / "again")

    first = anyio.run(run, options, SETTINGS, quiet)
    anyio.run(run, again, SETTINGS, quiet)

    names = sorted(path.name for path in first.files if path.name != "machine.json")
    assert set(SAME) <= set(names)
    assert [name for name in names if (options.output / name).read_bytes() != (again.output / name).read_bytes()] == []
    assert {row.n for row in first.report.rows if row.scope == "class"} == {2}
    assert len({row.architecture for row in first.report.rows}) == 11
    assert "simulated" in (options.output / "report.md").read_text().split("\n## ")[2].split("\n")[0]
    machine = json.loads((options.output / "machine.json").read_text())
    assert machine["episodes"] == len(first.episodes) == 11 * 8
    anyio.run(run, options, SETTINGS, quiet)  # a third time in the first folder: everything is found in its journal
    assert json.loads((options.output / "machine.json").read_text())["usd_booked"] == machine["usd_booked"]


def test_another_seed_gives_another_result(options: Options, tmp_path: Path) -> None:
    small = dataclasses.replace(options, architectures=("single",), sweep=False)
    other = dataclasses.replace(small, seed=4, output=tmp_path / "other")

    a, b = anyio.run(run, small, SETTINGS, quiet), anyio.run(run, other, SETTINGS, quiet)

    assert [one.final for one in a.episodes] != [one.final for one in b.episodes]


def test_a_folder_of_another_benchmark_is_refused(options: Options) -> None:
    options.output.mkdir()
    (options.output / "spec.json").write_text("{}\n")

    with pytest.raises(ValueError, match="holds another benchmark"):
        anyio.run(run, options, SETTINGS, quiet)


def test_a_budget_is_a_ceiling_and_a_report_says_that_it_was_met(options: Options) -> None:
    small = dataclasses.replace(options, budget_usd=0.4, sweep=False)

    done = anyio.run(run, small, SETTINGS, quiet)

    assert done.stopped
    assert 0 < json.loads((small.output / "machine.json").read_text())["usd_booked"] <= 0.4
    assert "STOPPED by the budget of 0.4 USD" in (small.output / "report.md").read_text()


def test_a_recording_replays_to_the_same_answers(options: Options, tmp_path: Path) -> None:
    file = tmp_path / "transcript.jsonl"
    small = dataclasses.replace(options, sweep=False, architectures=("single", "debate", "centralised", "ours"))
    first = anyio.run(run, dataclasses.replace(small, record=file), SETTINGS, quiet)
    second = dataclasses.replace(small, agents="replay", replay=file, output=tmp_path / "replayed")

    again = anyio.run(run, second, SETTINGS, quiet)

    assert [one.final for one in again.episodes] == [one.final for one in first.episodes]
    assert [len(one.turns) for one in again.episodes] == [len(one.turns) for one in first.episodes]
    assert "replay of transcript.jsonl" in (second.output / "report.md").read_text()


def test_a_killed_benchmark_goes_on_and_pays_nothing_twice(options: Options, suite_file: Path, tmp_path: Path) -> None:
    whole = anyio.run(run, dataclasses.replace(options, sweep=False), SETTINGS, quiet)
    folder = tmp_path / "killed"
    words = ["bench", "architectures", "--suite", str(suite_file), "--seed", "3", "--output", str(folder), "--no-sweep"]
    command = [sys.executable, "-m", "orchestrator", *words]
    root = str(Path(__file__).resolve().parents[2])
    child = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, cwd=root)
    assert child.stderr is not None
    for line in child.stderr:
        if line.startswith("episodes:"):  # a tenth of all episodes is done
            os.kill(child.pid, signal.SIGKILL)
            break
    child.wait()
    child.stderr.close()
    assert child.returncode == -signal.SIGKILL
    assert not (folder / "report.md").exists()
    deadline = time.monotonic() + 60
    while (done := subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)).returncode == 6:
        assert time.monotonic() < deadline, done.stderr  # the lock of the dead owner

    assert done.returncode == 0, done.stderr
    assert [name for name in SAME if (folder / name).read_bytes() != (options.output / name).read_bytes()] == []
    booked = json.loads((folder / "machine.json").read_text())
    # Only attempts that died with the process may be paid again; what was journaled is not.
    paid = sum(one.usd_booked for one in whole.episodes)
    assert paid - 1e-9 <= booked["usd_booked"] <= paid + 0.01 * (booked["attempts_lost"] + 64)


def test_no_answer_can_be_reached_from_agents_and_validators_of_a_real_endpoint() -> None:
    with TaskHost() as host:
        cases = {case.id: case for case in host.cases("chain", 5, 4)}
        golds = host.golds(list(cases))
        world = GoldWorld(golds)
        pools = agent_pools(EndpointAgent(object(), cases, label="real"), cases)  # type: ignore[arg-type]  # never asked
        held = _reachable(pools)

        assert any(one is cases for one in held), "the walk does get to what the pools hold"
        assert not any(one is host or one is golds or one is world for one in held)
        wanted = {
            value for answers in golds.values() for value in answers.values() if isinstance(value, int) and value > 300
        }
        texts = json.dumps([case.to_json() for case in cases.values()])
        assert wanted
        assert [value for value in wanted if f" {value}" in texts] == []


def test_the_walk_finds_a_grader_that_is_there() -> None:
    with TaskHost() as host:
        pools = agent_pools(EndpointAgent(host, {}, label="leaky"), {})  # type: ignore[arg-type]  # the leak

        assert any(one is host for one in _reachable(pools))


def _reachable(start: object) -> list[object]:
    """Everything that can be reached from an object by references, modules and types left out."""
    seen: dict[int, object] = {}
    todo = [start]
    while todo:
        one = todo.pop()
        if id(one) in seen or isinstance(one, types.ModuleType | type):
            continue
        seen[id(one)] = one
        if isinstance(one, types.FunctionType):
            todo += [one.__closure__, one.__defaults__]  # its globals are the module's
        else:
            todo += gc.get_referents(one)
    return list(seen.values())


def test_the_host_gets_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    with TaskHost() as host:
        assert host._process is not None
        environment = Path(f"/proc/{host._process.pid}/environ").read_text()
    assert "sk-secret" not in environment


def test_what_is_not_there_is_named(options: Options) -> None:
    with pytest.raises(ValueError, match=r"no architecture oracle; there are single"):
        chosen(dataclasses.replace(options, architectures=("oracle",)))
    with pytest.raises(ValueError, match=r"no family nowhere; there are"):
        chosen(dataclasses.replace(options, families=("nowhere",)))


def test_a_single_agent_is_its_own_measure(options: Options) -> None:
    done = anyio.run(run, dataclasses.replace(options, sweep=False, architectures=("single", "ours")), SETTINGS, quiet)

    alone = [
        row for row in rows(done.episodes, {one.id: one for one in _cases(options)}) if row.architecture == "single"
    ]
    assert {(row.overhead_percent, row.amplification_task, row.speed_up, row.mcnemar) for row in alone} <= {
        (0.0, 1.0, 1.0, 1.0),
        (0.0, None, 1.0, 1.0),
    }
    assert {row.efficiency == row.success for row in alone} == {True}


def _cases(options: Options) -> list:  # type: ignore[type-arg]  # of cases
    with TaskHost() as host:
        return [
            case for name, count in chosen(options).families.items() for case in host.cases(name, options.seed, count)
        ]
