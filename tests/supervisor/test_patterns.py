"""The table of patterns: its rows in order, what is measured before it, and what a comparison may decide."""

from dataclasses import replace

import pytest

from orchestrator.errors import PromiseError
from orchestrator.ids import JsonValue
from orchestrator.ports.planner import Pattern
from orchestrator.supervisor.measuring import measured_from
from orchestrator.supervisor.patterns import PATTERNS, Features, Measured, Row, choose, misfit

WORK = Features(steps=4, width=3, pools=2, goals=0, sequential=False, one_agent=0.2)

ROWS: dict[str, tuple[Features, Pattern]] = {
    "one_step": (replace(WORK, steps=1, width=1), "one_agent"),
    "strong_suffices": (replace(WORK, pools=1, one_agent=0.9), "one_agent"),
    "sequential_one_pool": (replace(WORK, pools=1, sequential=True), "one_agent"),
    "sequential": (replace(WORK, width=1), "chain"),
    "deep": (replace(WORK, goals=1), "supervisors"),
    "independent_parts": (WORK, "fan_out"),
}


@pytest.mark.parametrize("row", ROWS)
def test_each_row_decides_what_it_is_for(row: str) -> None:
    features, pattern = ROWS[row]
    chosen = choose(features)
    assert (chosen.row, chosen.pattern) == (row, pattern)
    assert chosen.reason


def test_every_row_is_met_and_names_its_reason_and_where_its_number_comes_from() -> None:
    assert [row.name for row in PATTERNS] == list(ROWS)
    assert all(row.reason for row in PATTERNS)
    assert all(row.source for row in PATTERNS[1:])


def test_a_table_of_ones_own_and_measurements_go_before() -> None:
    rows = (Row(name="mine", when=lambda f: f.width > 2, pattern="chain", reason="we like it"),)
    assert choose(WORK, rows).row == "mine"
    assert choose(replace(WORK, width=1), rows).row == "none"
    measured = Measured(best={"parallel": "one_agent"}, source="ours")
    assert (choose(WORK, rows, measured).pattern, choose(WORK, rows, measured).source) == ("one_agent", "ours")
    assert choose(replace(WORK, width=1), rows, measured).row == "none"


@pytest.mark.parametrize(
    ("pattern", "features", "fits"),
    [
        ("one_agent", ROWS["one_step"][0], True),
        ("one_agent", WORK, False),
        ("one_agent", replace(WORK, steps=1), False),  # one mapped step is many agents
        ("chain", replace(WORK, width=1), True),
        ("chain", WORK, False),
        ("fan_out", WORK, True),
        ("fan_out", replace(WORK, goals=1), False),
        ("supervisors", replace(WORK, goals=1), True),
    ],
)
def test_a_draft_has_the_form_of_its_pattern_or_is_told_what_is_missing(
    pattern: Pattern, features: Features, fits: bool
) -> None:
    assert (misfit(pattern, features) == "") is fits


def advice(**classes: JsonValue) -> JsonValue:
    """What a comparison with real models says."""
    return {"agents": "real: m", "classes": dict(classes)}


def cell(hits: int, of: int = 100) -> JsonValue:
    """One architecture on one class."""
    return {"successes": hits, "n": of, "tokens": 1.0, "usd": 0.0}


def test_a_comparison_decides_only_what_it_has_shown() -> None:
    found = measured_from(
        advice(
            decomposable={"single": cell(40), "ours": cell(80), "debate": cell(60)},
            sequential={"single": cell(70), "ours": cell(30)},
            other={"single": cell(1), "ours": cell(99)},
        ),
        source="2026-11",
    )
    assert found == Measured(best={"parallel": "fan_out", "sequential": "one_agent"}, source="2026-11")
    unsure: JsonValue = {"single": cell(50), "ours": cell(55)}
    assert measured_from(advice(decomposable=unsure), source="s").best == {}
    few: JsonValue = {"single": cell(1, 10), "ours": cell(9, 10)}
    assert measured_from(advice(decomposable=few), source="s").best == {}
    chain: JsonValue = {"single": cell(10), "ours": cell(80)}
    assert measured_from(advice(sequential=chain), source="s").best == {"sequential": "chain"}


@pytest.mark.parametrize("document", [[], {}, {"classes": []}, {"agents": "simulated, p .3", "classes": {}}])
def test_what_is_no_measurement_is_refused(document: JsonValue) -> None:
    with pytest.raises(PromiseError):
        measured_from(document, source="s")
