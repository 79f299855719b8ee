"""A real model on this machine through the gateway and through `ask`, as it answers; prints what came out.

`make test-live` runs this with SmolLM2, `ORCHESTRATOR_LIVE=qwen make test-live` with a model ten times as large. What a
small model says is poor, and that is not judged here: forms, accounts and ends are.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from orchestrator.app import local_models, open_models
from orchestrator.ports.model import Message, Models, Prompt, ToolSpec
from orchestrator.settings import Settings
from orchestrator.testing.purse import Purse
from tests.ask.conftest import ensured, with_variable
from tests.cli.conftest import COMMAND

LIVE = os.environ.get("ORCHESTRATOR_LIVE", "")
CALL_S = 240.0  #: a slow model on a busy core
ASK_S = 900.0
pytestmark = [
    pytest.mark.live,
    pytest.mark.anyio,
    pytest.mark.skipif(not LIVE, reason="ORCHESTRATOR_LIVE names no model; `make test-live` does"),
    pytest.mark.parametrize("anyio_backend", ["asyncio"]),
]


@pytest.fixture(scope="module")
def weights() -> Path:
    return ensured([sys.executable, "tools/ensure-local-model.py", LIVE], LIVE)


@pytest.fixture
async def models(weights: Path) -> AsyncIterator[Models]:
    async with local_models(Settings(local_weights=weights)) as settings, open_models(settings) as opened:
        yield opened


def asked(text: str, **more: object) -> Prompt:
    messages = (Message(role="user", content=text),)
    return Prompt(tier="standard", messages=messages, tokens_max=160, deadline_s=CALL_S, **more)  # type: ignore[arg-type]  # fields of a prompt


def tell(what: str, said: object, purse: Purse, began_s: float) -> None:
    tokens = sum(call.tokens_in + call.tokens_out for call in purse.calls)
    print(f"\n[{LIVE}] {what}, {time.monotonic() - began_s:.1f} s, {tokens} tokens\n  {said}")


async def test_chat_streams_and_is_accounted_for(models: Models) -> None:
    purse, pieces, began_s = Purse(), [], time.monotonic()
    said = await models.complete(asked("Name three colours."), purse, pieces.append)
    tell("chat", said.text, purse, began_s)
    assert "".join(pieces) == said.text
    assert len(pieces) > 1  # it streamed
    assert [(call.outcome, call.usd, call.estimated, call.unknown) for call in purse.calls] == [
        ("ok", 0.0, False, False)
    ]
    assert purse.held == {}


async def test_an_answer_keeps_to_its_schema(models: Models) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 40}, "people": {"type": "integer", "minimum": 0}},
        "required": ["city", "people"],
        "additionalProperties": False,
    }
    purse, began_s = Purse(), time.monotonic()
    said = await models.complete(asked("Which city is the capital of France?", output_schema=schema), purse)
    tell("schema", said.data, purse, began_s)
    assert isinstance(said.data, dict)
    assert set(said.data) == {"city", "people"}
    assert purse.calls[-1].outcome == "ok"


async def test_a_tool_is_called(models: Models) -> None:
    tool = ToolSpec(
        name="get_order",
        description="Look up an order by its number.",
        parameters={
            "type": "object",
            "properties": {"order_id": {"type": "integer"}},
            "required": ["order_id"],
            "additionalProperties": False,
        },
    )
    purse, began_s = Purse(), time.monotonic()
    said = await models.complete(asked("Where is my order 4412? Look it up.", tools=(tool,)), purse)
    tell("tools", said.tool_calls or said.text, purse, began_s)
    assert [call.name for call in said.tool_calls] == ["get_order"]
    assert json.loads(said.tool_calls[0].arguments) == {"order_id": 4412}


async def test_ask_ends_and_says_how(weights: Path, tmp_path: Path) -> None:
    """An answer or an honest end: both are. No process stays behind, and everything is in the journal."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ORCHESTRATOR_", "OPENAI_"))}
    env = kept | {"ORCHESTRATOR_LOCAL_WEIGHTS": str(weights), "NO_COLOR": "1", "ORCHESTRATOR_TEST_MARK": str(tmp_path)}
    began_s = time.monotonic()
    done = subprocess.run(  # noqa: ASYNC221  # nothing else runs here
        [COMMAND, "ask", "--local", "Name three colours.", "--json"],
        cwd=tmp_path,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=ASK_S,
        check=False,
    )
    document = json.loads(done.stdout)
    print(f"\n[{LIVE}] ask --local, {time.monotonic() - began_s:.1f} s, exit code {done.returncode}\n{done.stderr}")
    assert "It is weak" in done.stderr
    assert document["status"] in {"succeeded", "degraded", "failed", "stopped"}
    assert done.returncode == {"succeeded": 0, "degraded": 7, "failed": 1, "stopped": 3}[document["status"]]
    assert document["usage"]["usd"] == 0
    assert with_variable("ORCHESTRATOR_TEST_MARK", str(tmp_path)) == []
