"""What is sent, what is read out of headers and statuses, and what never reaches a log."""

import contextlib
import logging
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.adapters.openai.faults import RETRY_AFTER_MAX_S, retry_after_s
from orchestrator.adapters.openai.requests import body_of, fits_strict_mode
from orchestrator.app import open_models
from orchestrator.ids import JsonValue
from orchestrator.ports.endpoint import ChatRequest
from orchestrator.ports.model import Message, Prompt, ToolCall, ToolSpec
from orchestrator.ports.model_errors import ModelError
from orchestrator.settings import EndpointSettings, GatewaySettings, ModelSettings, Settings
from orchestrator.testing.purse import Purse
from tests.models.faults import CASES
from tests.models.faulty_endpoint import Exchange, Fault, FaultyEndpoint

pytestmark = pytest.mark.anyio

NOON = "Sun, 06 Nov 1994 08:49:37 GMT"
CLOSED: dict[str, JsonValue] = {
    "type": "object",
    "properties": {"a": {"type": "string"}},
    "required": ["a"],
    "additionalProperties": False,
}


@pytest.fixture
def anyio_backend() -> str:
    """Real sockets."""
    return "asyncio"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": " 0.5 "}, 0.5),
        ({"Retry-After": "-3"}, 0.0),
        ({"Retry-After": "1e30"}, RETRY_AFTER_MAX_S),
        ({"Retry-After": "inf"}, RETRY_AFTER_MAX_S),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "7", "Retry-After-Ms": "250"}, 0.25),
        ({"Retry-After": "Sun, 06 Nov 1994 08:50:07 GMT", "Date": NOON}, 30.0),
        ({"Retry-After": "Sun, 06 Nov 1994 08:49:07 GMT", "Date": NOON}, 0.0),
        ({"Retry-After": "Sun, 06 Nov 1994 08:50:07 GMT"}, 30.0),
    ],
)
def test_retry_after_in_all_its_forms(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(httpx2.Headers(headers), now_s=784_111_777.0) == seconds


@given(value=st.one_of(st.binary(max_size=40), st.floats().map(lambda one: str(one).encode())))
def test_any_retry_after_is_none_or_within_bounds(value: bytes) -> None:
    found = retry_after_s(httpx2.Headers([(b"Retry-After", value)]), now_s=0.0)

    assert found is None or 0.0 <= found <= RETRY_AFTER_MAX_S


def body(settings: EndpointSettings | None = None, **more: Any) -> dict[str, Any]:
    asked = ChatRequest(**{"model": "m", "messages": (Message(role="user", content="hi"),), "tokens_max": 9, **more})
    return body_of(asked, settings or EndpointSettings(), "max_tokens")


def test_a_plain_question_sends_nothing_it_was_not_told() -> None:
    assert body() == {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    assert body(temperature=0.0, seed=3).items() >= {"temperature": 0.0, "seed": 3}.items()


def test_tools_and_their_answers_go_in_the_words_of_chat_completions() -> None:
    tool = ToolSpec(name="look", description="Looks", parameters={"type": "object"})
    asked = Message(role="assistant", content="", tool_calls=(ToolCall(id="t1", name="look", arguments="{}"),))
    answer = Message(role="tool", content="found", tool_call_id="t1")

    found = body(tools=(tool,), messages=(asked, answer))

    function = {"name": "look", "description": "Looks", "parameters": {"type": "object"}}
    assert found["tools"] == [{"type": "function", "function": function}]
    call = {"id": "t1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    assert found["messages"] == [
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "found", "tool_call_id": "t1"},
    ]


@pytest.mark.parametrize(
    ("structured", "form"),
    [
        ("schema", {"type": "json_schema", "json_schema": {"name": "output", "schema": CLOSED, "strict": True}}),
        ("json", {"type": "json_object"}),
        ("text", None),
    ],
)
def test_a_schema_is_asked_for_as_far_as_the_endpoint_keeps_to_it(structured: Any, form: object) -> None:
    found = body(EndpointSettings(structured=structured), output_schema=CLOSED)

    assert found.get("response_format") == form
    roles = [message["role"] for message in found["messages"]]
    assert roles == (["user"] if structured == "schema" else ["system", "user"])


@pytest.mark.parametrize(
    ("schema", "fits"),
    [
        (CLOSED, True),
        ({**CLOSED, "required": []}, False),
        ({**CLOSED, "additionalProperties": True}, False),
        ({**CLOSED, "properties": {"a": {"type": "string", "format": "date"}}}, False),
        ({**CLOSED, "properties": {"a": {"type": "object"}}}, False),
        ({"type": "array", "items": CLOSED}, False),
        ({}, False),
    ],
)
def test_strict_mode_is_asked_for_only_where_it_would_be_taken(schema: dict[str, JsonValue], fits: bool) -> None:
    assert fits_strict_mode(schema) is fits


async def test_neither_keys_nor_prompts_nor_answers_reach_a_log(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("A_KEY", "sk-secret-key")
    async with FaultyEndpoint() as endpoint:
        here = EndpointSettings(base_url=endpoint.url, api_key_env="A_KEY")
        models = GatewaySettings(
            endpoints={"here": here},
            tiers={"cheap": (ModelSettings(model="m", endpoint="here", free=True),)},
            tries=2,
            backoff_first_s=0.01,
        )
        for case in CASES:
            if case.name not in {"none", "cut", "400", "500", "bad event", "HTML page"}:
                continue
            endpoint.set(case.fault, 1)
            async with open_models(Settings(models=models)) as opened:
                asked = Prompt(tier="cheap", messages=(Message(role="user", content="a secret prompt"),))
                with contextlib.suppress(ModelError):
                    await opened.complete(asked, Purse())
            assert "secret" not in repr(opened) + repr(vars(opened))

    assert len(caplog.records) > 10
    assert "secret" not in caplog.text
    assert "Heat" not in caplog.text


def moved_to(url: str) -> Fault:
    async def fault(x: Exchange) -> None:
        await x.whole(b"", 307, Location=f"{url}/chat/completions")

    return fault


async def test_a_key_goes_to_its_own_endpoint_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A redirect is not followed, so the key cannot be sent elsewhere."""
    monkeypatch.setenv("A_KEY", "sk-secret-key")
    async with FaultyEndpoint() as elsewhere, FaultyEndpoint() as endpoint:
        endpoint.set(moved_to(elsewhere.url), 1)
        here = EndpointSettings(base_url=endpoint.url, api_key_env="A_KEY")
        models = GatewaySettings(
            endpoints={"here": here},
            tiers={"cheap": (ModelSettings(model="m", endpoint="here", free=True),)},
            tries=1,
        )
        async with open_models(Settings(models=models)) as opened:
            with pytest.raises(ModelError, match="redirects are not followed"):
                await opened.complete(Prompt(tier="cheap", messages=(Message(role="user", content="x"),)), Purse())
        assert elsewhere.ledger == []
