"""Thumbs on the page of a run, in a real Chromium: one click, a change of mind, and what the journal says of it."""

import pytest

from tests.page.conftest import Open
from tests.page.serving import Served
from tests.page.test_page_live import clean, open_gate, run_page

pytestmark = pytest.mark.browser


def test_a_result_is_rated_with_a_thumb_and_a_mind_is_changed(service: Served, look: Open) -> None:
    run = service.submit("gated", {"name": "thumbs"})
    with look(run_page(service, run), ready=".node") as seen:
        assert seen.page.locator(".thumbs").count() == 0  # there is no result yet
        open_gate(service, "thumbs")
        seen.page.wait_for_selector(".badge.b-ended")
        up, down = (seen.page.get_by_role("button", name=f"{word} result") for word in ("good", "bad"))
        up.click()
        seen.page.wait_for_selector('.thumbs [aria-label="good result"][aria-pressed="true"]')
        down.click()
        seen.page.get_by_label("Why, for people").fill("<b>no</b> source")
        seen.page.get_by_role("button", name="rate it bad").click()
        seen.page.wait_for_selector('.thumbs [aria-label="bad result"][aria-pressed="true"]')
        seen.becomes(lambda: up.get_attribute("aria-pressed"), "false")
        seen.becomes(lambda: seen.text(".thumbs [role=status]"), "rated: down")
        seen.page.reload()
        seen.page.wait_for_selector('.thumbs [aria-label="bad result"][aria-pressed="true"]')
        assert up.get_attribute("aria-pressed") == "false"
        told = seen.page.evaluate("id => fetch(`/v1/runs/${id}/history?limit=200`).then(answer => answer.json())", run)
        clean(seen, service)

    rated = [event["data"] for event in told["events"] if event["kind"] == "run.rated"]
    assert [(one["score"], one["reason"]) for one in rated] == [(1.0, ""), (0.0, "<b>no</b> source")]
