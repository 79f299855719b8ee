"""Owners and workers of two releases understand one another: head reads what they wrote, and they what head writes."""

import dataclasses
import json

import pytest

from orchestrator.adapters.redis import codec
from orchestrator.ports import tasks as t
from tests.upgrade.wire_goldens import MESSAGES, TASK, GoldenMessage, decode, encode, known_fields, read

GOLDENS = read()
HEAD: dict[str, object] = {"task": TASK, **MESSAGES}


def test_every_release_has_every_message_that_travels() -> None:
    tags = {"task", *codec._KINDS}
    assert {one.version: {each.tag for each in GOLDENS if each.version == one.version} for one in GOLDENS} == {
        0: tags,
        1: tags,
    }


def test_the_goldens_of_today_say_every_field_with_a_value_that_is_no_default() -> None:
    for tag, message in HEAD.items():
        for field in dataclasses.fields(message):  # type: ignore[arg-type]  # each message is a dataclass
            assert getattr(message, field.name) != field.default, f"{tag}.{field.name}"


@pytest.mark.parametrize("golden", [one for one in GOLDENS if one.version == 1], ids=str)
def test_what_a_release_wrote_is_read_as_it_was_meant(golden: GoldenMessage) -> None:
    read_back = decode(golden.tag, golden.body)
    said = {name: value for name, value in json.loads(encode(read_back)).items() if name in json.loads(golden.body)}
    assert said == json.loads(golden.body)
    assert read_back == HEAD[golden.tag]


@pytest.mark.parametrize("golden", [one for one in GOLDENS if one.version == 0], ids=str)
def test_of_what_a_release_did_not_know_the_default_is_taken(golden: GoldenMessage) -> None:
    message = decode(golden.tag, golden.body)
    said = json.loads(golden.body)
    for field in dataclasses.fields(message):  # type: ignore[arg-type]  # each message is a dataclass
        if field.name not in said:
            default = field.default if field.default is not dataclasses.MISSING else {}
            assert getattr(message, field.name) == default
    if isinstance(message, t.StepTask):  # a worker of head does for an owner of then what that one meant
        assert (message.cache, message.routed, message.labels, message.trace) == ("none", False, {}, "")


@pytest.mark.parametrize("golden", GOLDENS, ids=str)
def test_what_head_writes_has_all_that_a_release_needs(golden: GoldenMessage) -> None:
    """A reader of then ignores what it does not know, and misses nothing that it does."""
    written = json.loads(encode(HEAD[golden.tag]))
    assert known_fields(golden.version)[golden.tag] <= set(written)
    for name, value in json.loads(golden.body).items():
        assert type(written[name]) is type(value), name


@pytest.mark.parametrize("golden", GOLDENS, ids=str)
def test_a_field_of_a_newer_release_is_ignored(golden: GoldenMessage) -> None:
    said = json.loads(golden.body)
    said["a_field_of_tomorrow"] = {"deep": [1]}
    if isinstance(said.get("key"), dict):
        said["key"]["a_part_of_tomorrow"] = 1
    assert decode(golden.tag, json.dumps(said).encode()) == decode(golden.tag, golden.body)


def test_a_message_or_a_word_of_a_newer_release_is_told_of_and_read_as_nothing_else() -> None:
    with pytest.raises(codec.Undecodable, match="a kind that is not known: 'tomorrow'"):
        codec.message_of("tomorrow", b"{}")
    body = {one.tag: json.loads(one.body) for one in GOLDENS if one.version == 1}
    with pytest.raises(codec.Undecodable, match="lane"):
        codec.task_of(json.dumps(body["task"] | {"lane": "express"}).encode())
    with pytest.raises(codec.Undecodable, match="verdict"):
        codec.message_of("tripped", json.dumps(body["tripped"] | {"verdict": "perhaps"}).encode())


@pytest.mark.parametrize("golden", GOLDENS, ids=str)
def test_a_message_without_what_it_cannot_be_without_is_refused_by_its_name(golden: GoldenMessage) -> None:
    said = json.loads(golden.body)
    for field in dataclasses.fields(HEAD[golden.tag]):  # type: ignore[arg-type]  # each message is a dataclass
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            less = {name: value for name, value in said.items() if name != field.name}
            with pytest.raises(codec.Undecodable, match=field.name):
                decode(golden.tag, json.dumps(less).encode())
