"""A model's words on their way to watchers: each answer by itself, and whole at its end, wherever its caller runs."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import anyio
import anyio.lowlevel
import pytest

from orchestrator.ports.model import Completion, Message, Meter, Prompt
from orchestrator.ports.tasks import TaskDelta
from orchestrator.safety.pii_guard import PiiGuard
from tests.agents.saying import says
from tests.workers.conftest import Bench
from workers import Pool, WorkContext

pytestmark = pytest.mark.anyio
Start = Callable[..., AbstractAsyncContextManager[Bench]]


class Turns:
    """Streams what it is asked, two characters at a time; answers under way take turns."""

    async def complete(self, prompt: Prompt, meter: Meter, on_delta: object = None) -> Completion:
        text = prompt.messages[-1].content
        for at in range(0, len(text), 2):
            meter.delta(text[at : at + 2])
            await anyio.lowlevel.checkpoint()
        return says(text)


def ask(text: str) -> Prompt:
    return Prompt(messages=(Message(role="user", content=text),), tier="cheap")


def shown(bench: Bench) -> list[str]:
    return [message.text for message in bench.messages if isinstance(message, TaskDelta)]


async def test_answers_that_stream_at_the_same_time_hide_nothing_in_each_other(start: Start) -> None:
    pool = Pool("p", guards=[PiiGuard(gives="redact")])

    @pool.worker
    async def two(ctx: WorkContext) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(ctx.models.complete, ask("ann@example.org wrote"))
            group.start_soon(ctx.models.complete, ask("-- -- -- -- -- -- --"))

    async with start(pool, Turns()) as bench:
        await bench.call("two")
        told = "".join(shown(bench))
    assert "[email]" in told
    assert not set("@.") & set(told)


async def test_what_a_thread_asks_for_is_shown_to_its_end(start: Start) -> None:
    pool = Pool("p", isolation="thread", guards=[PiiGuard(gives="redact")])

    @pool.worker
    def twice(ctx: WorkContext) -> None:
        ctx.models.complete_blocking(ask("write to ann@example.org"))
        ctx.models.complete_blocking(ask("or call"))

    async with start(pool, Turns()) as bench:
        await bench.call("twice")
        told = "|".join(shown(bench))
    assert told.replace("|", "") == "write to [email]or call"
    assert "[email]|" in told, "the first answer ends before the second begins"
