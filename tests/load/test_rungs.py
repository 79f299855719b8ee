"""Every rung of docs/scaling.md starts from its own files, for real, and answers everybody in its crowd."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from benchmarks.performance.load import rungs
from benchmarks.performance.load.__main__ import CROWD, main
from orchestrator.settings import Settings
from tests.sizes import PROVE, SIZES

RUNGS = [10, 100, 1_000, 10_000]
ON_SERVERS = [1_000, 10_000]
#: What `serve`, `supervise`, `worker` and `up` are together, children of `up` included: the least of a rung.
PROCESSES = {10: 1, 100: 1, 1_000: 5, 10_000: 2 + 1 + 3 + 2}
TINY = ["--crowd", "6", "--turns", "1", "--think", "0.05", "--latency", "0.02"]


def load(tmp_path: Path, number: int, servers: list[str], *more: str) -> tuple[int, dict]:
    """The exit code and the figures of the command that the guide's figures come from."""
    written = tmp_path / "load.json"
    code = main(["--rung", str(number), *servers, *more, "--json", str(written)])
    [row] = json.loads(written.read_text())
    return code, row


def held(number: int, users: int, code: int, row: dict) -> None:
    """Everybody was answered, nobody was refused, and every process was there."""
    assert (code, row["errors"], row["refused"]) == (0, {}, {}), row
    assert (row["rung"], row["users"], row["answers"]) == (number, users, users * row["turns"])
    assert row["processes"] >= PROCESSES[number]
    for name in ("submit_ms", "direct_ms", "turn_ms", "job_ms"):
        assert [*row[name]] == ["p50", "p95", "p99"]


@pytest.mark.slow
def test_rungs_of_one_process_hold_a_tiny_crowd_and_the_second_spares_what_the_first_one_pays(tmp_path: Path) -> None:
    crowd = ["--crowd", "12", "--turns", "5", "--think", "0.1", "--latency", "0.02", "--common", "1"]
    spared = {}
    for number in (10, 100):
        code, row = load(tmp_path, number, [], *crowd)
        held(number, 12, code, row)
        spared[number] = row["spared"]

    assert spared[10] == 0
    assert spared[100] >= 6 * 5 - 2 * 10  # of 30 jobs: ten questions are asked once, or twice at the same moment


@pytest.mark.slow
@pytest.mark.parametrize("number", ON_SERVERS)
def test_a_rung_of_many_processes_starts_and_holds_a_tiny_crowd(
    tmp_path: Path, number: int, servers: list[str]
) -> None:
    held(number, 6, *load(tmp_path, number, servers, *TINY))


@pytest.mark.slow
@pytest.mark.skipif(SIZES is not PROVE, reason="the crowd of each rung takes minutes: ORCHESTRATOR_PROVE=full")
@pytest.mark.parametrize("number", RUNGS)
def test_a_rung_holds_the_crowd_it_is_measured_with(
    tmp_path: Path, number: int, request: pytest.FixtureRequest
) -> None:
    servers = request.getfixturevalue("servers") if number in ON_SERVERS else []
    code, row = load(tmp_path, number, servers)
    assert (code, row["errors"], row["answers"]) == (0, {}, CROWD[number] * row["turns"]), row


@pytest.mark.slow
def test_a_process_that_is_full_says_so_and_everybody_is_answered_in_the_end(tmp_path: Path) -> None:
    crowd = ["--crowd", "12", "--turns", "1", "--think", "0", "--latency", "0.02", "--at-once", "2"]
    code, row = load(tmp_path, 10, [], *crowd)

    assert (code, row["errors"], row["answers"]) == (0, {}, 12)
    assert [*row["refused"]] == ["503"]
    assert row["refused"]["503"] >= 1


@pytest.mark.parametrize("number", RUNGS)
def test_every_line_of_a_settings_file_is_a_setting(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*os.environ]:
        if name.startswith("ORCHESTRATOR_"):
            monkeypatch.delenv(name)
    rung = rungs.read(number)
    settings = Settings(_env_file=rung.settings)

    assert rung.values
    for name, written in rung.values.items():
        found: object = settings
        for part in name.lower().removeprefix("orchestrator_").split("__"):
            found = found[part] if isinstance(found, Mapping) else getattr(found, part)  # a typing error raises here
        assert _same(found, written), (name, written, found)


def _same(found: object, written: str) -> bool:
    """Whether a setting says what stands in its line."""
    if written.startswith("{"):
        given = json.loads(written)
        told = dict(found) if isinstance(found, Mapping) else found.model_dump()  # type: ignore[attr-defined]
        return {name: told[name] for name in given} == given
    if isinstance(found, tuple):
        (one,) = found
        return getattr(one, "model", one) == written
    if isinstance(found, int | float):
        return float(written) == found
    return str(found) == written


def test_the_rungs_are_those_that_are_tested() -> None:
    assert rungs.numbers() == RUNGS == [*CROWD]
    assert [number for number in RUNGS if rungs.read(number).on_servers] == ON_SERVERS


@pytest.mark.parametrize(
    "line", ["serve orchestrator serve", "serve: python serve.py", "a: orchestrator serve\na: orchestrator serve"]
)
def test_a_line_that_starts_nothing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    monkeypatch.setattr(rungs, "FOLDER", tmp_path)
    (tmp_path / "5.env").write_text("ORCHESTRATOR_STORE=memory:\n")
    (tmp_path / "5.procfile").write_text(line + "\n")

    with pytest.raises(ValueError, match=r"5\.procfile:[12]: '.*' is not `name: orchestrator"):
        rungs.read(5)


@pytest.mark.parametrize("arguments", [["--crowd", "0"], ["--crowd", "10001"]])
def test_crowds_without_sense_are_a_usage_error(arguments: list[str]) -> None:
    assert main(["--rung", "10", *arguments]) == 2
