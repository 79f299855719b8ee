"""The board of costs in a real Chromium: every side, what each part has spared, and who spends far more than before."""

import json

import pytest
from playwright.sync_api import Route

from tests.page.conftest import Open
from tests.page.plays import brief
from tests.page.serving import served

pytestmark = pytest.mark.browser
SIDES = ("plan", "run", "step", "model", "pool", "tenant", "day")


def test_costs_are_shown_by_every_side(look: Open) -> None:
    with served() as service:
        service.add(brief())
        with look(f"{service.url}/ui/#/costs", ready="tbody tr") as seen:
            shown = {}
            for side in SIDES:
                seen.page.select_option("#side", side)
                seen.page.wait_for_selector(f'[aria-label="Costs by {side}"]')
                shown[side] = seen.page.locator("tbody td:first-child").all_inner_texts()
            assert seen.complaints == []
    assert (shown["plan"], shown["tenant"]) == (["market-brief"], ["default"])
    assert set(shown["pool"]) >= {"research", "analyst", "writer"}
    assert all(shown.values())


def test_what_was_spared_and_alarms_have_their_own_rows(look: Open) -> None:
    spent = {"usd": 6.0, "tokens": 10, "tokens_cached": 0, "calls": 3, "served": 1, "without_usd": 8.0}
    saved = {"cache": 1.5, "routing": 0.0, "compression": 0.0, "batch": 0.5}
    alarm = {"tenant": "acme", "day": "2026-11-27", "usd": 6.0, "habit_usd": 0.5, "times": 12.0}
    told = {
        "by": "plan", "runs": 2, "whole": False, "total": {**spent, "saved_usd": saved}, "saved": saved,
        "rows": [{"name": "dear", **spent, "saved_usd": saved}], "alarms": [alarm],
    }  # fmt: skip

    def answered(route: Route) -> None:
        route.fulfill(status=200, content_type="application/json", body=json.dumps(told))

    with served() as service, look(f"{service.url}/ui/", ready="#find") as seen:
        seen.page.route("**/v1/costs?*", answered)
        seen.page.goto(f"{service.url}/ui/#/costs")
        seen.page.wait_for_selector("tbody tr")
        rows = seen.page.locator("tbody tr").all_inner_texts()
        assert seen.text("[role=alert]").startswith("acme has spent $6.00 on 2026-11-27, 12.0 times its habit of")
        assert "the newest 2 runs" in (seen.text("main header .muted") or "")
    assert [row.split("\t") for row in rows] == [
        ["dear", "6.0000", "100.0%", "8.0000", "10", "3", "1"],
        ["the cache", "1.5000", "18.8%"],
        ["the batch service", "0.5000", "6.3%"],
    ]
