"""The advisor: what it reads from a pilot, how sure it is, and the table it hands on."""

import json
from pathlib import Path

from benchmarks.architectures.advisor import advise, table, write_table
from benchmarks.architectures.model import Case, Turn, Unit
from benchmarks.architectures.record import Episode

CASES = {
    f"{family}/{number}": Case(
        id=f"{family}/{number}", family=family, klass="sequential", prompt="", units=(Unit(id="u0", text=""),)
    )
    for family in ("a", "b")
    for number in range(10)
}


def episodes(solved: dict[str, int]) -> list[Episode]:
    """Per architecture, how many of each family's ten instances it solves."""
    turn = Turn(kind="work", agent="a0", tokens_in=90, tokens_out=10, usd=0.5)
    return [
        Episode(case=case, architecture=name, trial=0, turns=[turn], success=int(case[2:]) < count)
        for name, count in solved.items()
        for case in CASES
    ]


def test_a_clear_winner_is_chosen_again_in_every_resample() -> None:
    found = advise(episodes({"single": 3, "ours": 9, "centralised": 1}), CASES, seed=1)

    assert [(one.klass, one.architecture, one.confidence, one.success, one.n) for one in found] == [
        ("sequential", "ours", 1.0, 0.9, 20)
    ]
    assert found[0].baselines == {
        "always single": ("single", 0.3),
        "majority per benchmark": ("a: ours, b: ours", 0.9),
        "45 % rule": ("centralised", 0.1),
    }


def test_of_equals_the_simpler_one_is_chosen() -> None:
    found = advise(episodes({"ours": 5, "single": 5}), CASES, seed=1)

    assert found[0].architecture == "single"
    assert found[0].baselines["45 % rule"] == ("single", 0.5)


def test_control_arms_are_no_advice() -> None:
    found = advise(episodes({"single": 1, "placebo": 10, "blind-retry": 10}), CASES, seed=1)

    assert found[0].architecture == "single"


def test_the_table_is_what_a_program_reads(tmp_path: Path) -> None:
    path = tmp_path / "advice.json"

    write_table(path, table(episodes({"single": 3}), CASES), agent="simulated")

    assert json.loads(path.read_text()) == {
        "agents": "simulated",
        "classes": {"sequential": {"single": {"successes": 6, "n": 20, "tokens": 100.0, "usd": 0.5}}},
    }
