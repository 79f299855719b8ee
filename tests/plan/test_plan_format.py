"""docs/plan-format.md says what the models say."""

from pathlib import Path

import pytest

from orchestrator.plan import format_words, limits
from orchestrator.plan.durations import parse_duration
from orchestrator.plan.format_doc import MODELS, replace_tables, rows
from orchestrator.plan.models import Plan

MANUAL = Path(__file__).resolve().parents[2] / "docs" / "plan-format.md"


def test_the_tables_of_the_manual_are_the_ones_the_models_give() -> None:
    text = MANUAL.read_text()
    assert replace_tables(text) == text


def test_every_key_of_the_models_is_a_row_and_no_row_is_of_another_time() -> None:
    keys = {(name, info.alias or field) for model, name in MODELS.items() for field, info in model.model_fields.items()}
    assert {(row.model, row.key) for row in rows()} == keys
    assert set(format_words.MEANINGS) == keys
    assert set(format_words.WHERE) <= keys


def test_every_cap_of_the_limits_is_in_the_manual() -> None:
    caps = {name for name in vars(limits) if name.endswith("_MAX")}
    assert caps <= set(format_words.LIMIT_MEANINGS["limits"])


def test_rows_say_type_default_and_place() -> None:
    found = {(row.model, row.key): (row.type, row.default, row.where) for row in rows()}
    assert found["step", "if"] == ("expression or `true` or `false`", "none", "step")
    assert found["retry", "backoff"] == ("two durations, `1s..30s`", "`1s..30s`", "retry")
    assert found["budget", "wall"] == ("duration", "`1h`", "budget")
    assert found["foreach", "max_parallel"] == ("whole number (1 to 10,000)", "`16`", "foreach")
    assert found["plan", "steps"] == ("mapping of name to step (1 to 100,000)", "required", "plan")


def test_limits_are_told_to_the_digit() -> None:
    text = MANUAL.read_text()
    for row in ("`CLOSING_SHARE_MAX` | 0.5", "`DURATION_MAX_S` | 31,622,400", "`STEPS_MAX` | 100,000"):
        assert f"| {row} |" in text


def test_a_key_without_a_meaning_cannot_be_rendered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(format_words.MEANINGS, ("step", "if"))
    with pytest.raises(KeyError):
        replace_tables(MANUAL.read_text())


def test_a_manual_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="markers of table 'keys'"):
        replace_tables("# no tables")


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("1.5h", 5400), ("1h30m", 5400), ("250ms", 0.25)])
def test_durations_of_the_manual_are_read(text: str, seconds: float) -> None:
    assert f"`{text}`" in MANUAL.read_text()
    assert parse_duration(text) == seconds


def test_the_plan_model_is_the_first_table() -> None:
    assert next(iter(rows())).model == MODELS[Plan]
