"""Opening an engine on a shared store that does not answer: the error comes as it is, and nothing is left running."""

from collections.abc import Callable

import anyio
import pytest

from orchestrator.adapters.clock import SystemClock
from orchestrator.adapters.memory.journal import MemoryJournal
from orchestrator.adapters.memory.transport import MemoryTransport
from orchestrator.engine.engine import RunEngine
from orchestrator.engine.ownership import Shared
from orchestrator.errors import EngineClosed, JournalUnreachable
from orchestrator.plan.models import Plan
from workers.registry import Registry


class _Silent:
    """A store that does not answer, for owners, people and hints alike."""

    def __getattr__(self, name: str) -> Callable[..., object]:
        async def refused(*_args: object, **_options: object) -> None:
            raise JournalUnreachable("the store", f"{name} has no answer")

        return (lambda _heard: lambda: None) if name == "listen" else refused


@pytest.mark.anyio
async def test_a_store_without_an_answer_is_told_and_nothing_is_left_running() -> None:
    silent = _Silent()
    engine = RunEngine(
        journal=MemoryJournal(),
        transport=MemoryTransport(),
        clock=SystemClock(),
        catalogue=Registry(()),
        owner="o",
        shared=Shared(ownership=silent, petitions=silent, notices=silent),  # type: ignore[arg-type]  # answers nothing
    )

    async with anyio.create_task_group():
        with pytest.raises(JournalUnreachable, match="renew has no answer"):
            await engine.__aenter__()

    with pytest.raises(EngineClosed):
        await engine.submit(
            Plan.model_validate(
                {"name": "p", "steps": {"x": {"human": {"ask": "?", "choices": ["y"], "expires": 1.0, "then": "y"}}}}
            )
        )
