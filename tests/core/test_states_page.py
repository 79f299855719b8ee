"""docs/states.md is drawn from the table that judges journals."""

from pathlib import Path

from orchestrator.core import facts as f
from orchestrator.core.state import SETTLED, Status
from orchestrator.core.transitions import MAPPED, UNIT, after, states_page


def test_the_page_is_current(root: Path) -> None:
    assert (root / "docs" / "states.md").read_text() == states_page()


def test_the_table_names_every_status_and_reaches_each() -> None:
    assert set(UNIT) == set(Status)
    reached = {target for edges in UNIT.values() for targets in edges.values() for target in targets}
    assert reached == set(Status)
    assert {target for edges in MAPPED.values() for targets in edges.values() for target in targets} <= set(MAPPED)


def test_nothing_leaves_a_settled_status_but_a_quarantine_or_a_patch() -> None:
    for table in (UNIT, MAPPED):
        for status in SETTLED:
            assert set(table[status]) <= {f.StepQuarantined, f.PlanPatched}
    assert after(UNIT, frozenset(Status), f.StepPassed) == {Status.PASSED}
    assert after(UNIT, frozenset({Status.PASSED}), f.StepPassed) == frozenset()
