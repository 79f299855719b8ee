"""A process that dies at any write of a conversation, before or after it was kept, changes nothing of how it ends."""

from collections.abc import Sequence

import pytest

from orchestrator.adapters.memory.sessions import MemorySessions
from orchestrator.ports.journal import RunQuery
from orchestrator.ports.sessions import SessionHead, Turn
from orchestrator.testing.scripted import ScriptedModel
from tests.sessions.house import ECHO, Shared

pytestmark = pytest.mark.anyio
ASKED = 5
WRITES = 13  #: of the whole conversation: a pin, five turns and their answers, two summaries


class Died(Exception):
    """The process is gone at this place."""


class Dying(MemorySessions):
    """A store whose user dies at its write number `at`."""

    def __init__(self, at: int, *, kept: bool) -> None:
        super().__init__()
        self.at, self.kept, self.writes = at, kept, 0

    async def write(self, head: SessionHead, turns: Sequence[Turn], over: SessionHead | None) -> bool:
        self.writes += 1
        if self.writes != self.at:
            return await super().write(head, turns, over)
        if self.kept:
            assert await super().write(head, turns, over)
        raise Died


async def talk(shared: Shared) -> None:
    """The whole conversation, by a client that sends everything again after a death."""
    async with ScriptedModel(lambda _: {"summary": "Ann pays 40"}) as models, shared.engine(models=models) as engine:
        session = engine.session("s")
        await session.pin("Ann pays 40")
        for number in range(ASKED):
            await session.ask(ECHO, f"n{number}", idempotency_key=f"k{number}")
            await session.tidy()


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("at", range(1, WRITES + 1))
async def test_a_death_at_any_write_changes_nothing(at: int, kept: bool) -> None:
    shared = Shared(window_turns=3)
    shared.sessions = Dying(at, kept=kept)
    with pytest.RaisesGroup(Died, flatten_subgroups=True, allow_unwrapped=True):
        await talk(shared)

    await talk(shared)

    async with shared.engine() as engine:
        turns = await engine.session("s").turns()
        head = await engine.session("s").head()
    facts = "Facts, word for word:\n- Ann pays 40"
    seen = [f"1|{facts}", f"3|{facts}", "1|Ann pays 40", "3|Ann pays 40", "1|Ann pays 40"]
    assert [turn.content for turn in turns[::2]] == [f"n{number}" for number in range(ASKED)]
    assert [turn.content for turn in turns[1::2]] == [f"n{number} [{seen[number]}]" for number in range(ASKED)]
    assert [turn.number for turn in turns] == list(range(1, 2 * ASKED + 1))
    assert (head.open, head.summary.text) == (None, "Ann pays 40")
    assert len(await shared.journal.runs(RunQuery())) == ASKED


async def test_the_conversation_has_as_many_writes_as_are_tried() -> None:
    shared = Shared(window_turns=3)
    shared.sessions = counting = Dying(0, kept=False)
    await talk(shared)
    assert counting.writes == WRITES
