"""What people paste is often written otherwise: hard blanks, wide digits, small letters, names of variables, URLs."""

import random

import pytest

from orchestrator.safety.redactor import Redactor

WRITTEN = [
    ("pay 4111\u00a01111\u00a01111\u00a01111 now", "pay [card] now"),
    ("pay 4111\u20111111\u20111111\u20111111 now", "pay [card] now"),
    ("to DE89\u202f3704\u202f0044\u202f0532\u202f0130\u202f00 today", "to [iban] today"),
    ("pay ４１１１ １１１１ １１１１ １１１１ now", "pay [card] now"),
    ("ask ann＠example．org now", "ask [email] now"),
    ("to de89370400440532013000 today", "to [iban] today"),
    ("GET /users?email=ann%40example.org HTTP/1.1", "GET /users?email=[email] HTTP/1.1"),
    ("DB_PASSWORD=hunter2hunter2 set", "DB_PASSWORD=[key] set"),
    ("aws_secret_access_key=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "aws_secret_access_key=[key]"),
    ("Authorization: Basic YWRtaW46cGFzc3dvcmQ= sent", "Authorization: Basic [key] sent"),
]
LEFT = ["basic responsibilities of everybody", "compass: northwest-bound", "bypass=everything-here", "100%40 nonsense"]


@pytest.mark.parametrize(("text", "told"), WRITTEN)
def test_it_is_struck_and_what_stands_around_it_stays_as_it_was(text: str, told: str) -> None:
    assert Redactor().text(text) == told
    around = f"\u00a0５ {text} ＠"
    assert Redactor().text(around) == f"\u00a0５ {told} ＠"


@pytest.mark.parametrize(("text", "told"), WRITTEN)
@pytest.mark.parametrize("seed", range(5))
def test_in_streams_too(text: str, told: str, seed: int) -> None:
    chance, stream, out, at = random.Random(seed), Redactor().stream(), [], 0
    while at < len(text):
        size = chance.randint(1, 5)
        out.append(stream.feed(text[at : at + size]))
        at += size
    assert "".join([*out, stream.end()]) == told


@pytest.mark.parametrize("text", LEFT)
def test_ordinary_words_stay(text: str) -> None:
    assert Redactor().text(text) == text
