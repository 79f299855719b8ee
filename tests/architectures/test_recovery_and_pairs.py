"""Ours against each arm, recovery from planted answers, ceilings that are too small, and what a supervisor reads."""

import dataclasses
import json
from pathlib import Path

import anyio
import pytest

from benchmarks.architectures.advisor import table, write_table
from benchmarks.architectures.command import Options, run
from benchmarks.architectures.model import Case, Turn, Unit
from benchmarks.architectures.pairs import Pair, pair_rows, pairs
from benchmarks.architectures.record import Episode
from benchmarks.architectures.recovery import Planted, planted, plants
from orchestrator.settings import Settings
from orchestrator.supervisor.measuring import measured_from

SETTINGS = Settings(_env_file=None)
SWEEP = {"families": ["chain"], "count": 1, "architectures": ["single"], "values": {"luck": [1]}}
CASES = {
    f"f/7/{number}": Case(
        id=f"f/7/{number}", family="f", klass="decomposable", prompt="", units=(Unit(id="u0", text=""),)
    )
    for number in range(100)
}


def episodes(name: str, solved: int, usd: float) -> list[Episode]:
    """The first `solved` of a hundred instances are solved, at `usd` each."""
    turn = Turn(kind="work", agent="a0", usd=usd)
    return [
        Episode(case=case, architecture=name, trial=0, status="answered", turns=[turn], success=number < solved)
        for number, case in enumerate(CASES)
    ]


def test_ours_is_paired_with_every_other_arm_and_p_is_adjusted() -> None:
    found = pairs([*episodes("single", 1, 0.5), *episodes("ours", 7, 1.0), *episodes("free", 7, 0.0)], CASES)

    assert found == [
        Pair(klass="decomposable", other="single", n=100, only_ours=6, only_other=0, p=0.0625, cost=2.0),
        Pair(klass="decomposable", other="free", n=100, only_ours=0, only_other=0, p=1.0, cost=None),
    ]
    assert pair_rows(found)[1] == [
        ["decomposable", "single", "100", "+0.060", "+6 −0", "0.062", "2.00"],
        ["decomposable", "free", "100", "+0.000", "+0 −0", "1.000", "–"],
    ]
    assert pairs(episodes("single", 1, 0.5), CASES) == []


def test_recovery_is_a_share_of_what_was_solved_before() -> None:
    found = planted(episodes("ours", 40, 1.0), episodes("ours", 30, 1.0)[:50], ["ours", "single"])

    assert found == [Planted(architecture="ours", n=50, before=40, after=30, kept=30, delivered=20)]
    assert found[0].recovered == 0.75
    assert [round(end, 2) for end in found[0].interval] == [0.59, 0.87]
    assert plants(CASES, 2) == {"f/7/0": ("u0",), "f/7/1": ("u0",)}


def test_a_supervisor_reads_what_a_comparison_wrote(tmp_path: Path) -> None:
    path = tmp_path / "advice.json"
    write_table(path, table([*episodes("single", 29, 0.5), *episodes("ours", 60, 1.0)], CASES), agent="real: a model")

    measured = measured_from(json.loads(path.read_text()), source="mine")

    assert (dict(measured.best), measured.source) == ({"parallel": "fan_out"}, "mine")


def test_the_published_comparison_can_be_read_as_well() -> None:
    path = Path(__file__).parents[2] / "docs" / "benchmarks" / "architectures" / "decisive-advice.json"

    measured = measured_from(json.loads(path.read_text()), source="decisive", simulated=True)

    assert dict(measured.best) == {"parallel": "fan_out", "sequential": "chain"}


@pytest.mark.parametrize("usd", [0.0, 0.0001, 0.05])
def test_a_budget_too_small_for_one_run_stops_and_blames_no_architecture(options: Options, usd: float) -> None:
    small = dataclasses.replace(options, budget_usd=usd, sweep=False, architectures=("single", "ours"))

    done = anyio.run(run, small, SETTINGS, lambda *_: None)

    assert done.stopped
    assert [one.status for one in done.episodes if one.status == "budget"] == []
    assert json.loads((small.output / "machine.json").read_text())["usd_booked"] <= usd
    assert f"STOPPED by the budget of {usd:g} USD" in (small.output / "report.md").read_text()


def test_the_sweep_and_the_faults_spend_of_the_same_budget(options: Options, suite_file: Path) -> None:
    suite = json.loads(suite_file.read_text()) | {"recovery": {"planted": 1, "steps": 3, "killed": 1}}
    suite_file.write_text(json.dumps(suite))
    small = dataclasses.replace(options, architectures=("single", "ours"))
    whole = anyio.run(run, small, SETTINGS, lambda *_: None)
    spent = json.loads((small.output / "machine.json").read_text())["usd_booked"]
    tight = dataclasses.replace(small, output=small.output.with_name("tight"), budget_usd=round(spent * 0.9, 4))

    cut = anyio.run(run, tight, SETTINGS, lambda *_: None)

    assert (whole.stopped, len(whole.report.points), len(whole.report.planted)) == (False, 4, 2)
    assert "| 3 | 1 | 3 |" in (small.output / "report.md").read_text(), "steps, killed, right in the end"
    assert cut.stopped
    assert json.loads((tight.output / "machine.json").read_text())["usd_booked"] <= spent * 0.9 + 1e-4
    assert "STOPPED by the budget" in (tight.output / "report.md").read_text()


@pytest.mark.parametrize(
    ("suite", "says"),
    [
        ("[1]", "`families` gives each family"),
        ('{"families": {"chain": 0}}', "`families` gives each family"),
        ('{"families": {"chain": 1}, "protocols": {"agents": 0}}', "agents, iterations and rounds are 1 or more"),
        ('{"families": {"chain": 1}, "architectures": ["single", "single"]}', "named twice"),
        (
            json.dumps({"families": {"chain": 1}, "sweep": SWEEP}),
            "no sweep over luck",
        ),
    ],
)
def test_a_suite_that_cannot_be_run_is_refused_before_anything_is_written(
    options: Options, suite_file: Path, suite: str, says: str
) -> None:
    suite_file.write_text(suite)

    with pytest.raises(ValueError, match=says):
        anyio.run(run, options, SETTINGS, lambda *_: None)

    assert not options.output.exists()
