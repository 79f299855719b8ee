"""Browsers for the page: Chromium that reaches nothing but loopback, and says what it was refused."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Request, sync_playwright

from tests.page.serving import Served, served

WAIT_MS = 30_000  #: on a busy machine
WIDE = (1400, 860)
#: Whether the node of a mapped step says that so many of its branches have passed.
PASSED = """least => {
  const said = document.querySelector('[data-node="each"] .what').textContent.match(/^(\\d+)\\/\\d+ passed/);
  return said !== null && Number(said[1]) >= least;
}"""
#: Writes down what the badge is from now on: a state that is soon over would be missed by whoever looks now and then.
WATCHED = """() => {
  window.badges = [];
  const look = () => badges.push(document.querySelector('.badge')?.className);
  new MutationObserver(look).observe(document.body, { subtree: true, childList: true, attributes: true });
}"""


@dataclass
class Seen:
    """A page, and what it did that it must not do."""

    page: Page
    complaints: list[str] = field(default_factory=list)  #: errors, refusals of the policy
    asked: list[str] = field(default_factory=list)  #: every address that was asked for

    def text(self, selector: str) -> str:
        """The words of one element."""
        return " ".join(self.page.locator(selector).first.inner_text().split())

    def texts(self, selector: str) -> list[str]:
        """The words of every element."""
        return [" ".join(one.split()) for one in self.page.locator(selector).all_inner_texts()]

    def becomes(self, look: Callable[[], object], expected: object) -> None:
        """Wait until what is looked at is as expected: what follows a click is drawn when the page gets to it."""
        end_s = time.monotonic() + WAIT_MS / 1_000
        while (found := look()) != expected and time.monotonic() < end_s:
            self.page.wait_for_timeout(20)
        assert found == expected

    def holds(self, condition: str, arg: object = None) -> None:
        """Wait until a condition holds: a function in the page's language, whose policy forbids mere expressions."""
        assert "=>" in condition, condition
        self.page.wait_for_function(condition, arg=arg)

    def visit(self, url: str, ready: str) -> None:
        """Load an address anew, so that nothing of the view before can be taken for the next."""
        self.page.goto("about:blank")
        self.page.goto(url)
        self.page.wait_for_selector(ready)


Open = Callable[..., Any]


@pytest.fixture(scope="session")
def axe(root: Path) -> str:
    """The source of the accessibility checker; without it the test is skipped aloud, and in CI it fails."""
    found = subprocess.run([root / "tools" / "ensure-axe.sh"], capture_output=True, text=True, check=False)
    if found.returncode:
        outcome = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        outcome(f"no axe: {found.stderr.strip()}")
    return Path(found.stdout.strip().splitlines()[-1]).read_text()


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    """One Chromium for a file of tests."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


@pytest.fixture
def look(browser: Browser) -> Open:
    """Opens an address in a fresh profile: `with look(url, scheme="dark") as seen`."""

    @contextmanager
    def opened(
        url: str,
        *,
        scheme: str = "light",
        size: tuple[int, int] = WIDE,
        motion: str = "no-preference",
        ready: str = "main",
    ) -> Iterator[Seen]:
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme=scheme,  # type: ignore[arg-type]  # one of its words
            reduced_motion=motion,  # type: ignore[arg-type]
            accept_downloads=True,
        )
        context.set_default_timeout(WAIT_MS)
        page = context.new_page()
        seen = Seen(page)

        def complain(message: Any) -> None:
            if message.type in {"error", "warning"}:
                seen.complaints.append(message.text)

        def ask(request: Request) -> None:
            seen.asked.append(request.url)

        page.on("console", complain)
        page.on("pageerror", lambda error: seen.complaints.append(str(error)))
        page.on("request", ask)
        page.goto(url)
        page.wait_for_selector(ready)
        yield seen
        context.close()

    return opened


@pytest.fixture(scope="module")
def service() -> Iterator[Served]:
    """A service without keys, for the tests of one file."""
    with served() as running:
        yield running
