"""docs/reliability.md says what the last campaign found."""

from tests.simulation.page import KEPT, PAGE, page, reports


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(*reports())


def test_what_is_said_to_be_mended_is_kept_and_nothing_else_is_hidden() -> None:
    report, again = reports()
    mended, failing = ([], []) if again is None else (again["mended"], again["failing"])
    assert {one["schedule"]["seed"] for one in (*report["failing"], *failing)} >= set(mended)
    assert [seed for seed in mended if not (KEPT / f"{seed}.json").exists()] == []
