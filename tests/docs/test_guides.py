"""Every code block of the README and of the guides does what the page says."""

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.docs.pages import Reader, alike, blocks

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs" / "guides").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_a_page_does_what_it_says(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with servers_of(page, tmp_path, monkeypatch):
        assert Reader(tmp_path).read(page) > 0


@contextmanager
def servers_of(page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a page expects its reader to have; what it starts and names in a file `*.pid` does not outlive it."""
    try:
        if "$ curl " in page.read_text() and shutil.which("curl") is None and os.environ.get("CI") != "true":
            pytest.skip("this page is typed with curl, which is not here")
        if page.stem != "fleet":
            yield
            return
        from tests.servers.postgres import shared_server
        from tests.servers.redis import redis_server

        with redis_server("valkey") as redis:
            monkeypatch.setenv("DATABASE_URL", shared_server().database())
            monkeypatch.setenv("REDIS_URL", redis.url)
            yield
    finally:
        for pid in folder.glob("*.pid"):
            with suppress(ProcessLookupError):
                os.kill(int(pid.read_text()), signal.SIGKILL)  # children notice and go


@pytest.mark.parametrize(
    ("expected", "actual", "same"),
    [
        ("done in 1.2 s\n", "done in 34 ms\n", True),
        ("done\n", "failed\n", False),
        ("a\n...\nc\n", "a\nb\nb\nc\n", True),
        ("a\n...\nc\n", "a\nb\n", False),
        ("", "noise\n", False),
        ("run 01930000-0000-7000-8000-000000000000 ok\n", "run 01930000-0000-7000-8000-00000000abcd ok\n", True),
    ],
)
def test_output_counts_as_equal_but_for_what_varies(expected: str, actual: str, same: bool) -> None:
    assert alike(expected, actual) is same


def test_a_page_that_lies_is_found(tmp_path: Path) -> None:
    page = tmp_path / "lie.md"
    page.write_text("```console\n$ echo one\ntwo\n```\n")
    with pytest.raises(AssertionError, match=r"lie\.md:1"):
        Reader(tmp_path).read(page)


def test_a_block_that_nobody_runs_is_found(tmp_path: Path) -> None:
    page = tmp_path / "idle.md"
    page.write_text("```ruby\nputs 1\n```\n")
    assert [block.language for block in blocks(page.read_text())] == ["ruby"]
    with pytest.raises(AssertionError, match="nobody runs"):
        Reader(tmp_path).read(page)
