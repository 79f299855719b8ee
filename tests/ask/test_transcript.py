"""The transcript of `ask` on the pages is what the command prints, with our stand-in and with a third-party server."""

import shlex
from pathlib import Path

import pytest

from tests.ask.conftest import FIXTURES, ROOT, aimock, environment
from tests.ask.stand_in import stand_in
from tests.cli.conftest import COMMAND, Shell
from tests.docs.pages import blocks, settled

GUIDE = ROOT / "docs" / "guides" / "first-agent-plan.md"
FIRST, LAST = "▶ running recovery in research\n", "▶ running answer in writer\n"


def transcripts(page: Path) -> list[str]:
    """The blocks of a page that show `ask`."""
    return [one.body for one in blocks(page.read_text()) if one.body.startswith("$ orchestrator ask")]


def in_order(transcript: str) -> str:
    """The transcript with the lines of steps that run beside each other in an order of their own."""
    text = settled(transcript)
    head, found, rest = text.partition(FIRST)
    beside, found_too, tail = rest.partition(LAST)
    assert found, f"no line {FIRST!r} in\n{text}"
    assert found_too, f"no line {LAST!r} in\n{text}"
    lines = sorted(line for line in (FIRST.strip() + "\n" + beside).replace("<time> ", "").splitlines() if line)
    return head.rstrip(" ") + "\n".join(lines) + "\n" + LAST + tail


@pytest.mark.parametrize("server", ["own", pytest.param("aimock", marks=pytest.mark.node)])
def test_the_transcript_is_as_it_was_printed(shell: Shell, server: str, request: pytest.FixtureRequest) -> None:
    [shown] = transcripts(GUIDE)
    line, _, expected = shown.partition("\n")
    fixtures = FIXTURES / "crash.json"
    made = stand_in(fixtures) if server == "own" else aimock(request.getfixturevalue("llmock"), fixtures)
    with made as at:
        program, *arguments = shlex.split(line.removeprefix("$ "))
        assert program == COMMAND.name
        there = {**environment(at.url), "TZ": "UTC"}
        told = shell(*arguments, **there)
    # On a terminal both streams meet; the answer comes before the last words.
    err = told.err.splitlines(keepends=True)
    printed = "".join(err[:-1]) + told.out + err[-1]
    assert in_order(printed) == in_order(expected)


def test_the_readme_shows_the_same_transcript() -> None:
    [shown] = transcripts(GUIDE)
    assert transcripts(ROOT / "README.md") == [shown]


def test_another_answer_would_be_noticed() -> None:
    [shown] = transcripts(GUIDE)
    assert in_order(shown) == in_order(shown.replace("13,110 tokens", "13,110 tokens "))
    assert in_order(shown) != in_order(shown.replace("13,110 tokens", "13,111 tokens"))
    assert in_order(shown) != in_order(shown.replace("2 tries", "1 tries"))
    assert in_order(shown) != in_order(shown.replace("draft 2", "draft 1"))
