"""What gc may take."""

from dataclasses import dataclass

import pytest

from orchestrator.core.retention import Retention, forgettable
from orchestrator.ids import RunId, TenantId


@dataclass(frozen=True, slots=True)
class Row:
    run_id: RunId
    ended_at_s: float | None
    plan: str
    tenant: TenantId
    parent: RunId | None


def row(name: str, ended_at_s: float | None, parent: str | None = None, plan: str = "p", tenant: str = "t") -> Row:
    return Row(RunId(name), ended_at_s, plan, TenantId(tenant), None if parent is None else RunId(parent))


def test_the_newest_runs_of_each_plan_and_tenant_stay() -> None:
    rows = [row("e", 9), row("d", 8, plan="q"), row("c", 7), row("b", 6, tenant="u"), row("a", 5)]
    assert forgettable(rows, Retention(keep_last=1), 100.0) == ("c", "a")
    assert forgettable(rows, Retention(keep_last=0), 100.0) == ("e", "d", "c", "b", "a")
    assert forgettable(rows, Retention(keep_last=3), 100.0) == ()


def test_young_runs_stay_and_both_rules_must_agree() -> None:
    rows = [row("c", 99.0), row("b", 90.0), row("a", 10.0)]
    assert forgettable(rows, Retention(keep_s=10.0), 100.0) == ("a",)
    assert forgettable(rows, Retention(keep_s=9.5), 100.0) == ("b", "a")
    assert forgettable(rows, Retention(keep_s=5.0, keep_last=2), 100.0) == ("a",)
    assert forgettable(rows, Retention(keep_s=50.0, keep_last=0), 100.0) == ("a",)


def test_open_and_held_runs_stay_with_everything_they_belong_to() -> None:
    rows = [
        row("open", None),
        row("child", 3, parent="old"),
        row("grandchild", 2, parent="child"),
        row("old", 4),
        row("running.child", None, parent="parent"),
        row("parent", 4),
        row("marked", 4),
        row("orphan", 1, parent="gone"),
    ]
    assert forgettable(rows, Retention(keep_last=0), 100.0, {RunId("marked")}) == (
        "child",
        "grandchild",
        "old",
        "orphan",
    )
    assert forgettable(rows, Retention(keep_last=0), 100.0, {RunId("grandchild")}) == ("marked", "orphan")


@pytest.mark.parametrize("rules", [{}, {"keep_last": -1}, {"keep_s": -0.5}])
def test_a_retention_that_would_take_everything_by_mistake_is_refused(rules: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="how many runs"):
        Retention(**rules)
