"""What people say in conversations and as goals is kept by the same rules as the inputs of runs."""

import pytest

from orchestrator.adapters.clock import SystemClock
from orchestrator.adapters.memory.journal import MemoryJournal
from orchestrator.errors import InputError
from orchestrator.service.control_desk import Desk, NoPools
from orchestrator.service.http.bodies import SubmitBody
from orchestrator.service.http.parts import Service
from orchestrator.service.http.submitting import plan_of
from orchestrator.settings import SafetySettings, Settings
from tests.sessions.house import ECHO, Shared

pytestmark = pytest.mark.anyio
MAIL = "ann@example.org"


def shared(inputs: str) -> Shared:
    made = Shared()
    made.settings = Settings(store="memory:", safety=SafetySettings.model_validate({"inputs": inputs}))
    return made


async def test_a_turn_and_a_fact_are_struck_before_they_are_kept() -> None:
    home = shared("redact")
    async with home.engine() as engine:
        session = engine.session("anna")
        answer = await session.ask(ECHO, f"write to {MAIL}")
        await session.pin(f"The address is {MAIL}", MAIL)

        kept = f"{await session.turns()} {await session.head()} {await home.journal.read(answer.run.id)}"
        assert MAIL not in kept
        assert answer.text.startswith("write to [email]")
        assert [fact.text for fact in (await session.head()).facts] == ["The address is [email]"]


async def test_they_are_refused_where_inputs_are() -> None:
    home = shared("refuse")
    async with home.engine() as engine:
        session = engine.session("anna")
        with pytest.raises(InputError, match="input 'text': holds people's data"):
            await session.ask(ECHO, f"write to {MAIL}")
        with pytest.raises(InputError, match="input 'goal': holds people's data"):
            await session.ask(f"write to {MAIL}")
        await session.ask(ECHO, "write to nobody")
        with pytest.raises(InputError, match="input 'fact': holds people's data"):
            await session.pin(f"The address is {MAIL}")
        assert next(turn.content for turn in await session.turns()) == "write to nobody"


async def test_without_the_setting_they_are_kept_as_they_are() -> None:
    home = shared("off")
    async with home.engine() as engine:
        session = engine.session("anna")
        await session.ask(ECHO, f"write to {MAIL}")
        assert next(turn.content for turn in await session.turns()) == f"write to {MAIL}"


async def test_a_goal_that_is_submitted_is_struck_before_it_is_a_plan() -> None:
    service = Service(desk=Desk(MemoryJournal(), NoPools()), settings=shared("redact").settings, clock=SystemClock())
    plan = plan_of(SubmitBody(goal=f"write to {MAIL}"), service)
    assert MAIL not in plan.model_dump_json()
    assert "write to [email]" in plan.model_dump_json()
