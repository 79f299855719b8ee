"""The page of a service that asks for keys, in a real Chromium: where the key is kept, and what it may see."""

import re

import pytest

from tests.page.conftest import Open
from tests.page.serving import served

pytestmark = pytest.mark.browser


def test_a_key_stays_in_the_tab_and_wrong_ones_are_refused(look: Open) -> None:
    with served(keyless=False) as service, look(service.url, ready=".login") as seen:
        for key in ("ho_wrong", service.house.keys["acme"]):
            seen.page.fill("#key", key)
            seen.page.get_by_role("button", name="use it").click()
            seen.page.wait_for_selector(".login .bad" if key == "ho_wrong" else "#find")
        assert seen.page.evaluate("[sessionStorage.length, localStorage.length, document.cookie]") == [1, 0, ""]
        assert [url for url in seen.asked if re.search("ho_", url)] == []
        seen.page.reload()
        seen.page.wait_for_selector("#find")
        seen.page.get_by_role("button", name="forget key").click()
        seen.page.wait_for_selector(".login")
        assert seen.page.evaluate("sessionStorage.length") == 0
        assert {line.split(" (")[0] for line in seen.complaints} <= {
            "Failed to load resource: the server responded with a status of 401"
        }


def test_the_board_of_pools_shows_a_tenant_its_own_work_alone(look: Open) -> None:
    with served(keyless=False) as service:

        async def key() -> str:
            return await service.house.key("acme", "read", "run")

        with look(service.url, ready=".login") as seen:
            seen.page.fill("#key", service.call(key))
            seen.page.get_by_role("button", name="use it").click()
            seen.page.wait_for_selector("#find")
            seen.page.goto(f"{service.url}/ui/#/pools")
            seen.page.wait_for_selector("table.pools tbody tr")
            seen.becomes(lambda: seen.texts("table.pools th"), ["pool", "backlog", "agent", "functions"])
            assert seen.texts("table.pools td")[:2] == ["desk", "0"]
            assert seen.text("main > p.muted").startswith("Backlog is what your tenant's open runs have sent")
