"""Tools that behave as badly as code can: the model is told, the attempt goes on, and no other task is touched."""

import asyncio
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from orchestrator.ports.tasks import TaskDone
from tests.agents.saying import Saying, calls, says
from tests.workers.conftest import Bench
from workers import Pool, secret, tool
from workers.limits import TOOL_RESULT_BYTES_MAX

pytestmark = pytest.mark.anyio
Start = Callable[..., AbstractAsyncContextManager[Bench]]
TASK: dict[str, Any] = {"instruction": "Do it."}


class Rude(BaseException):
    """No `Exception`, as of a library that wants to end the process."""


class Mute(Exception):
    """Cannot say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


class Loud(Exception):
    """Says what a tool must not."""


def leaving() -> str:
    sys.exit(3)


async def leaving_async() -> str:
    await asyncio.sleep(0)
    sys.exit(3)


def rude() -> str:
    raise Rude("go away")


async def rude_async() -> str:
    await asyncio.sleep(0)
    raise Rude("go away")


def mute() -> str:
    raise Mute


async def grouped() -> str:
    raise BaseExceptionGroup("several", [Rude("one"), ValueError("two")])


async def cancels_itself() -> str:
    raise asyncio.CancelledError


def tells_a_secret() -> str:
    raise Loud(f"401 for key {secret('K_SECRET').reveal()}")


def not_a_number() -> float:
    return float("nan")


def endless_list() -> list[object]:
    found: list[object] = []
    found.append(found)
    return found


def surrogate() -> str:
    return "a\ud800b"


def nul() -> str:
    return "a\0b"


BAD = {
    "leaving": (leaving, "error: SystemExit: 3"),
    "leaving_async": (leaving_async, "error: SystemExit: 3"),
    "rude": (rude, "error: Rude: go away"),
    "rude_async": (rude_async, "error: Rude: go away"),
    "mute": (mute, "error: Mute: (its message cannot be read)"),
    "grouped": (grouped, "error: BaseExceptionGroup: several (2 sub-exceptions)"),
    "cancels_itself": (cancels_itself, "error: it was cancelled by its own code"),
    "tells_a_secret": (tells_a_secret, "error: Loud: 401 for key [secret K_SECRET]"),
    "not_a_number": (not_a_number, "error: result: nan is not a number JSON can hold"),
    "endless_list": (endless_list, "error: result"),
    "surrogate": (surrogate, "error: result: "),
    "nul": (nul, "error: result: "),
}


@pytest.mark.parametrize("effect", [False, True], ids=["reads", "changes"])
@pytest.mark.parametrize("name", BAD)
async def test_whatever_a_tool_does_the_model_is_told_and_the_attempt_goes_on(
    start: Start, name: str, effect: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("K_SECRET", "s3cr3t-value")
    function, told = BAD[name]
    pool = Pool("p")
    bad = tool(name=name, description="Bad.", effect=effect)(function)
    good = tool(name="good", description="Good.")(lambda: "fine")
    pool.agent("writer", "You write.", tools=[bad, good])
    models = Saying([calls((name, {}), ("good", {})), says("Done.")])
    async with start(pool, models) as bench:
        done = await bench.call(None, **TASK)
    assert isinstance(done, TaskDone)
    assert done.output == "Done."
    first, second = (message.content for message in models.prompts[1].messages[-2:])
    assert told in first
    assert "fine" in second
    assert "s3cr3t" not in str(models.prompts)


async def test_eight_megabytes_are_cut_before_anyone_pays_for_them(start: Start) -> None:
    pool = Pool("p")
    pool.agent(
        "writer", "You write.", tools=[tool(name="big", description="Big.")(lambda: "é" * 4_000_000)], turns_max=3
    )
    models = Saying([calls(("big", {})), says("Done.")])
    async with start(pool, models) as bench:
        done = await bench.call(None, **TASK)
    assert isinstance(done, TaskDone)
    assert len(models.prompts[1].messages[-1].content.encode()) < TOOL_RESULT_BYTES_MAX + 1_000


@pytest.mark.parametrize("bad", ["a\0b", "a\ud800b"], ids=["nul", "surrogate"])
@pytest.mark.parametrize("output", [None, dict[str, str]], ids=["text", "data"])
async def test_an_answer_that_no_store_can_keep_is_handed_back_once(start: Start, bad: str, output: object) -> None:
    pool = Pool("p")
    pool.agent("writer", "You write.", output=output)
    models = Saying([says(bad if output is None else {"x": bad}), says("fine" if output is None else {"x": "fine"})])
    async with start(pool, models) as bench:
        done = await bench.call(None, **TASK)
    assert isinstance(done, TaskDone), done
    assert done.output == ("fine" if output is None else {"x": "fine"})
    again = models.prompts[1].messages
    assert "faults of your answer" in again[-1].content
    for message in again:
        message.content.encode()  # what cannot be sent would end the attempt
        assert "\0" not in message.content
