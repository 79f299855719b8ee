"""Presidio finds names where it is installed: as often as the guide says, in streams too, and it asks no server."""

import random
import socket
from importlib.util import find_spec

import pytest

from benchmarks.safety.__main__ import read
from benchmarks.safety.names import PEOPLE, people
from orchestrator.adapters.presidio import MODEL, PresidioRecogniser
from orchestrator.app.safety import guards_of
from orchestrator.ids import RunId, StepId
from orchestrator.ports.guard import Passing
from orchestrator.ports.tasks import TaskKey
from orchestrator.safety.pii_guard import SlowPiiGuard
from orchestrator.safety.recognisers import KINDS
from orchestrator.safety.redactor import Redactor
from orchestrator.settings import Settings

HERE = find_spec("presidio_analyzer") is not None and find_spec(MODEL) is not None
pytestmark = pytest.mark.skipif(
    not HERE, reason="the extra `presidio` is not installed: names are found by nobody here"
)
ROWS = read(PEOPLE)


@pytest.fixture(autouse=True)
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise AssertionError("a server was asked")

    monkeypatch.setattr(socket, "getaddrinfo", refused)


def test_recall_and_false_alarms_on_people_and_places() -> None:
    told = {kind: (tally.found, tally.labelled, len(tally.alarms)) for kind, tally in people().items()}
    assert told == {"person": (32, 37, 0), "place": (13, 13, 0)}


def test_a_stream_is_struck_as_the_whole_text_is() -> None:
    redactor = Redactor((*KINDS, "person", "place"), recogniser=PresidioRecogniser())
    text = " ".join(sentence for sentence, _ in ROWS[:25]) + " Write to ann@example.org."
    chance, stream, out, at = random.Random(3), redactor.stream(), [], 0
    while at < len(text):
        size = chance.randint(1, 9)
        out.append(stream.feed(text[at : at + size]))
        at += size
    told = "".join([*out, stream.end()])
    assert told == redactor.text(text)
    assert told.startswith("Please send the contract to [person] before Friday. [person] asked for a refund")
    assert told.endswith("Write to [email].")


def test_the_environment_chooses_it_for_one_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_SAFETY__POOLS", '{"desk": {"given": "redact", "kinds": ["email", "person"]}}')
    of = guards_of(Settings().safety)
    (guard,) = of("desk")
    assert of("other") == []
    assert isinstance(guard, SlowPiiGuard)
    key = TaskKey(RunId("run"), StepId("step"), -1, 1)
    value = "Angela Moreau moved to Madrid, says ann@example.org"
    ruling = guard.look(Passing(stage="tool_result", pool="desk", key=key, value=value))
    assert ruling.value == "[person] moved to Madrid, says [email]"
    assert ruling.reasons == ("1 email", "1 person")
