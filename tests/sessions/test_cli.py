"""`--session` as a user types it."""

import pytest

from tests.ask.conftest import environment, own
from tests.ask.stand_in import StandIn
from tests.cli.conftest import Shell, shell

__all__ = ["own", "shell"]

POOL = """
from workers import Pool

desk = Pool("desk")


@desk.worker
async def reply(text: str, turns: list[dict[str, str]], earlier: str) -> str:
    return f"{text} [{len(turns)}|{earlier}]"
"""
PLAN = """
version: 1
name: talk
inputs:
  text: {type: string, minLength: 1}
steps:
  reply:
    pool: desk
    call: reply
    with: {text: "${{ inputs.text }}", turns: "${{ session.turns }}", earlier: "${{ session.summary }}"}
result: ${{ steps.reply.output }}
"""


@pytest.fixture
def talk(shell: Shell) -> Shell:
    """A folder with a pool and a plan that speaks."""
    (shell.home / "desk_pool.py").write_text(POOL)
    (shell.home / "talk.plan.yaml").write_text(PLAN)
    return shell


def test_runs_are_turns_of_the_session_that_is_named(talk: Shell) -> None:
    words = ("run", "talk.plan.yaml", "--pools", "desk_pool")
    refused = talk(*words, "-i", "text=x", code=2)
    assert "step reply refers to a session, and this run has none; name one (--session ID" in refused.err

    first = talk(*words, "-i", "text=hello", "--session", "anna")
    second = talk(*words, "-i", "text=and now?", "--session", "anna")
    other = talk(*words, "-i", "text=hi", "--session", "bob")
    again = talk(*words, "-i", "text=hello", "--session", "anna", "--idempotency-key", "k")
    same = talk(*words, "-i", "text=hello", "--session", "anna", "--idempotency-key", "k", "--json")

    assert [told.out.strip() for told in (first, second, other, again)] == [
        "hello [1|]",
        "and now? [3|]",
        "hi [1|]",
        "hello [5|]",
    ]
    assert "session anna, turn 3" in second.err
    assert same.json["output"] == "hello [5|]"
    story = talk("why", same.json["run"], "reply").out
    assert "passed" in story


def test_goals_are_turns_and_what_was_said_is_data_for_them(shell: Shell, own: StandIn) -> None:
    goal = "How does a run survive the death of its process, and what is never paid twice?"
    first = shell("ask", goal, "--session", "anna", **environment(own.url))
    before = len(own.asked)
    second = shell("ask", goal, "--session", "anna", **environment(own.url))

    assert first.out == second.out
    assert ("session anna, turn 1" in first.err, "session anna, turn 3" in second.err) == (True, True)
    told = "\n".join(str(one["messages"]) for one in own.asked[before:])
    assert "conversation" in told
    refused = shell("ask", goal, "--session", "anna", "--save", "x.plan.yaml", code=2, **environment(own.url))
    assert "each turn is planned anew" in refused.err


def test_without_an_input_called_text_the_inputs_are_what_is_said(talk: Shell) -> None:
    plan = PLAN.replace("text: {type: string, minLength: 1}", "x: {default: 1}")
    (talk.home / "mute.plan.yaml").write_text(plan.replace("inputs.text", "session.turns[0].content"))
    words = ("run", "mute.plan.yaml", "--pools", "desk_pool", "--session", "anna")

    assert talk(*words, "-i", "x=2").out.strip() == '{"x": 2} [1|]'
    assert "a turn without words; say something: -i text=" in talk(*words, code=2).err
