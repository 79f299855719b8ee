"""The report of a full proof says what was shown, no more: of a case the last note, of a part the sum of its cases."""

import json

import pytest

from tests.crash.tally import PARTS, PLANS, report_of, tally


def note(part: str, case: str, count: int, **more: object) -> str:
    return json.dumps({"part": part, "case": case, "count": count, "date": "2026-01-02", "commit": "abc", **more})


def test_of_a_case_the_last_note_counts_and_a_part_is_the_sum_of_its_cases() -> None:
    report = report_of(
        [note("pairs", "chain", 5), note("pairs", "wide", 900, outcomes={"same": 900}), note("pairs", "chain", 1_100)]
    )
    (pairs,) = [part for part in report["parts"] if part["part"] == "pairs"]
    assert pairs["cases"] == {"chain": 1_100, "wide": 900}
    assert (pairs["shown"], pairs["wanted"], pairs["reached"]) == (2_000, 2_000, True)
    assert pairs["outcomes"] == {"wide": {"same": 900}}


def test_a_part_that_nothing_was_noted_of_is_not_reached() -> None:
    parts = report_of([note("pairs", "chain", 1_999)])["parts"]
    assert [part["part"] for part in parts] == [*PARTS]
    assert not any(part["reached"] for part in parts)


def test_of_all_appends_every_plan_must_be_there() -> None:
    lines = [note("appends in memory", f"{plan}, {when}", 4) for plan in sorted(PLANS) for when in ("before", "after")]
    (first, *_) = report_of(lines)["parts"]
    assert (first["reached"], first["shown"]) == (True, 64)
    assert not report_of(lines[2:])["parts"][0]["reached"]


def test_a_part_that_nobody_asked_for_is_refused() -> None:
    with pytest.raises(KeyError):
        tally("wishes", "journal", 1)
