"""Every screen, light and dark, wide and narrow, held against axe: no serious and no critical fault."""

from pathlib import Path
from typing import Any

import pytest

from orchestrator.service.page.offline import offline_file
from tests.page.conftest import Open
from tests.page.plays import NOON_S, brief, failed, waiting, wide
from tests.page.serving import Served, served

pytestmark = pytest.mark.browser
GRAVE = ("serious", "critical")
NARROW = (390, 844)


def faults(page: Any, axe: str) -> list[str]:
    """Grave faults: rule, element and what is wrong, as axe tells them."""
    page.evaluate(axe)
    told = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{one['id']}: {node['html'][:160]} — {node['failureSummary']}"
        for one in told["violations"]
        if one["impact"] in GRAVE
        for node in one["nodes"][:5]
    ]


@pytest.fixture(scope="module")
def busy() -> Any:
    """A service with something to see on every screen."""
    with served() as service:
        for records in (brief(), failed(), wide(300, 137), wide(1_000, 700, 50)):
            service.add(records)
        service.submit("asks", {"text": "to be read"})
        yield service


def screens(service: Served) -> dict[str, tuple[str, str]]:
    """Addresses by name, each with what is there once it is drawn."""
    ids = {
        "brief": str(brief()[0].run_id),
        "failed": str(failed()[0].run_id),
        "wide": "wide-300",
        "folded": "wide-1000",
    }
    found = {
        "runs": ("runs", "tbody tr"),
        "no run": ("runs?plan=nothing", ".empty"),
        "approvals": ("approvals", ".question"),
        "pools": ("pools", "tbody tr"),
        "costs": ("costs", "tbody tr"),
        "graph": (f"runs/{ids['brief']}", ".node"),
        "panel": (f"runs/{ids['brief']}?step=draft", ".attempt"),
        "branches": (f"runs/{ids['brief']}?step=sources&tab=plan", ".branches a"),
        "inputs": (f"runs/{ids['brief']}?step=draft&tab=inputs", 'pre[aria-label="Instruction"]'),
        "story": (f"runs/{ids['brief']}?step=draft&tab=story", ".story li"),
        "timeline": (f"runs/{ids['brief']}?view=timeline", ".timeline li"),
        "steps": (f"runs/{ids['brief']}?view=steps", "tbody tr"),
        "costs of a run": (f"runs/{ids['brief']}?view=costs", "tbody tr"),
        "result": (f"runs/{ids['brief']}?view=result", ".value"),
        "failed": (f"runs/{ids['failed']}", ".attempt"),
        "wide": (f"runs/{ids['wide']}", ".node.s-running"),
        "folded": (f"runs/{ids['folded']}?node=group:0", ".branches a"),
        "no such run": ("runs/nothing", "h1"),
    }
    return {name: (f"{service.url}/ui/#/{way}", ready) for name, (way, ready) in found.items()}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1400, 860), NARROW], ids=["wide", "narrow"])
def test_no_screen_has_a_grave_fault(busy: Served, look: Open, axe: str, scheme: str, size: tuple[int, int]) -> None:
    found: dict[str, list[str]] = {}
    wider: dict[str, int] = {}
    with look(busy.url, scheme=scheme, size=size) as seen:
        for name, (address, ready) in screens(busy).items():
            seen.visit(address, ready)
            found[name] = faults(seen.page, axe)
            wider[name] = seen.page.evaluate("document.documentElement.scrollWidth - innerWidth")

    assert {name: told for name, told in found.items() if told} == {}
    assert {name: px for name, px in wider.items() if px > 0} == {}  # nothing sticks out to the side


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_form_for_a_key_has_no_grave_fault(look: Open, axe: str, scheme: str) -> None:
    with served(keyless=False) as service, look(service.url, scheme=scheme, ready=".login") as seen:
        assert faults(seen.page, axe) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["brief", "failed", "waiting", "wide"])
def test_the_offline_file_shows_the_same_without_a_server(
    look: Open, axe: str, tmp_path: Path, name: str, scheme: str
) -> None:
    records = {"brief": brief, "failed": failed, "waiting": waiting, "wide": lambda: wide(300, 137)}[name]()
    file = tmp_path / "run.html"
    file.write_text(offline_file(records, {}, made_at_s=NOON_S), "utf-8")
    with look(file.as_uri(), scheme=scheme, ready=".node") as seen:
        seen.page.locator(".node").first.click()
        seen.page.wait_for_selector(".panel .why")
        grave = faults(seen.page, axe)
        asked = [url for url in seen.asked if not url.startswith("file:")]

        assert (grave, asked, seen.complaints) == ([], [], [])


@pytest.mark.parametrize(("scheme", "dark"), [("light", False), ("dark", True)])
def test_the_page_follows_the_system_s_setting(busy: Served, look: Open, scheme: str, dark: bool) -> None:
    with look(busy.url, scheme=scheme) as seen:
        red = seen.page.evaluate("parseInt(getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0])")

    assert (red < 128) is dark
