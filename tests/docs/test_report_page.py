"""The report of the main job in a real Chromium: it loads under its own policy, paints, and its links lead on."""

import os
import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

pytestmark = pytest.mark.browser

WIDTHS = (1280, 390)  # a desk and a hand


@pytest.fixture(scope="module")
def page(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The HTML report of a real run of the main job, through the installed command, in a folder of its own."""
    folder = tmp_path_factory.mktemp("audit")
    command = [Path(sys.executable).parent / "orchestrator", "run", root / "plans" / "dependency-audit.plan.yaml"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode in {0, 7}, done.stdout + done.stderr
    found = sorted(folder.rglob("dependency-audit.html"))
    assert len(found) == 1, [path.name for path in folder.rglob("*")]
    return found[0]


def browse(chromium: str, folder: Path, page: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """One visit of `page` by a fresh headless Chromium that cannot reach any network."""
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    return subprocess.run(
        [
            *(chromium, "--headless", "--disable-gpu", *sandbox),
            *(f"--user-data-dir={folder / 'profile'}", "--proxy-server=127.0.0.1:9", "--enable-logging=stderr"),
            *(*args, page.as_uri()),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )


def shades(png: bytes) -> int:
    """How many different byte values the pixel data of a PNG holds; a blank page has at most a handful."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    data, at = b"", 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        if png[at + 4 : at + 8] == b"IDAT":
            data += png[at + 8 : at + 8 + length]
        at += length + 12
    return len(set(zlib.decompress(data)))


def test_it_loads_under_its_own_policy_and_asks_for_nothing_else(chromium: str, page: Path, tmp_path: Path) -> None:
    seen = browse(chromium, tmp_path, page, "--dump-dom")

    assert re.findall(r"CONSOLE.*", seen.stderr) == []
    assert re.findall(r"<h1>(.+?)</h1>", seen.stdout) == ["Dependency audit"]
    assert re.findall(r"<(?:script|img|link|iframe)\b", seen.stdout) == []


def test_every_link_within_the_page_leads_to_a_place(chromium: str, page: Path, tmp_path: Path) -> None:
    dom = browse(chromium, tmp_path, page, "--dump-dom").stdout
    targets = set(re.findall(r'href="#([^"]+)"', dom))

    assert targets
    assert targets - set(re.findall(r'\bid="([^"]+)"', dom)) == set()


@pytest.mark.parametrize("width", WIDTHS)
def test_it_paints(chromium: str, page: Path, tmp_path: Path, width: int) -> None:
    browse(chromium, tmp_path, page, f"--screenshot={tmp_path / 'shot.png'}", f"--window-size={width},900")

    assert shades((tmp_path / "shot.png").read_bytes()) > 50
