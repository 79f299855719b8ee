"""`orchestrator ask` through the command, against a server of answers: from a goal in words to a checked answer."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import time

import pytest

from orchestrator.plan.consent import CONSENT
from orchestrator.plan.files import load_plan
from tests.ask.conftest import environment
from tests.ask.stand_in import StandIn
from tests.cli.conftest import COMMAND, Shell

GOAL = "How does a run survive the death of its process, and what is never paid twice?"
PLANNER = "You plan work for other agents"
PATIENCE_S = 60.0


def asked_of(own: StandIn, words: str) -> int:
    """How often a model was asked with these words in its system message."""
    return sum(words in "\n".join(m["content"] for m in one["messages"] if m["role"] == "system") for one in own.asked)


def told_for(own: StandIn, words: str) -> int:
    """How often a model was asked with these words in a user message."""
    return sum(any(words in m["content"] for m in one["messages"] if m["role"] == "user") for one in own.asked)


def run_of(text: str) -> str:
    """The run's id in what a command said."""
    [found] = re.findall(r"  run ([0-9a-f-]{36})  ask", text)
    return str(found)


def test_a_goal_ends_in_a_checked_answer(shell: Shell, own: StandIn) -> None:
    told = shell("ask", GOAL, **environment(own.url))

    answer, _, cited = told.out.partition("\n\n")
    assert answer.startswith("A run lives in its journal")
    assert [line.split("]")[0] for line in cited.splitlines()] == ["[recovery", "[payments"]
    assert "draft 1 of the plan is refused" in told.err
    assert "pool reserch is not allowed" in told.err
    assert "pattern fan_out" in told.err
    assert "recovery  refused: this does not hold: len(output.statements) >= 2" in told.err
    assert "answer  judge passed it: 0.95" in told.err
    run = run_of(told.err)
    assert "planned after 2 drafts" in shell("why", run, "goal").out
    assert "refused" in shell("why", f"{run}.goal", "recovery").out
    shown = shell("show", run, "--json").json
    assert (shown["status"], shown["output"]["answer"]) == ("succeeded", answer)
    assert shell("audit", "verify", run).code == 0


def test_one_document_holds_answer_plan_and_account(shell: Shell, own: StandIn) -> None:
    told = shell("ask", GOAL, "--json", **environment(own.url)).json

    assert (told["status"], set(told["plan"]["steps"])) == ("succeeded", {"recovery", "payments", "answer"})
    [(below, plan_run)] = told["below"].items()
    assert below == f"{told['run']}.goal"
    assert {name: step["attempts"] for name, step in plan_run["steps"].items()} == {
        "recovery": 2,
        "payments": 1,
        "answer": 1,
    }
    assert told["usage"]["usd"] > plan_run["usage"]["usd"] > 0  # planning was paid too
    assert told["usage"]["tokens"] == sum(
        fixture["prompt_tokens"] + fixture["completion_tokens"] for fixture in usages(own)
    )


def usages(own: StandIn) -> list[dict[str, int]]:
    """The usage of every answer that was given."""
    given = [own.answer(body) for body in list(own.asked)]
    return [one["usage"] for one in given if one is not None]


def test_events_are_lines_of_json_of_all_runs(shell: Shell, own: StandIn) -> None:
    told = shell("ask", GOAL, "--jsonl", **environment(own.url))
    events = [json.loads(line) for line in told.lines]
    runs = {event["run"] for event in events}
    assert len(runs) == 2
    assert {"plan.drafted", "pattern.chosen", "goal.planned", "step.rejected", "run.ended"} <= {
        event["kind"] for event in events
    }


def test_only_the_plan(shell: Shell, own: StandIn) -> None:
    told = shell("ask", GOAL, "--plan-only", **environment(own.url))
    (shell.home / "made.plan.yaml").write_text(told.out)
    assert set(load_plan(shell.home / "made.plan.yaml").steps) == {"recovery", "payments", "answer"}
    assert "nothing was run" in told.err
    assert asked_of(own, PLANNER) == len(own.asked) == 2
    [run] = shell("ps", "--all", "--json").json
    assert (run["status"], run["plan"]) == ("cancelled", "ask")


def test_a_plan_is_kept_and_used_for_the_same_goal_alone(shell: Shell, own: StandIn) -> None:
    first = shell("ask", GOAL, "--save", "kept.plan.yaml", **environment(own.url))
    assert "the plan is kept in kept.plan.yaml" in first.err
    assert asked_of(own, PLANNER) == 2
    for option in ("--save", "--from"):
        again = shell("ask", f"  {GOAL} ", option, "kept.plan.yaml", **environment(own.url))
        assert "the plan in kept.plan.yaml is used" in again.err
        assert again.out == first.out
    assert asked_of(own, PLANNER) == 2
    other = shell("ask", "What is a gap?", "--save", "kept.plan.yaml", code=2, **environment(own.url))
    assert "kept.plan.yaml was planned for another goal: 'How does a run" in other.err
    nowhere = shell("ask", GOAL, "--save", "no/such/folder.plan.yaml", code=2, **environment(own.url))
    assert "there is no folder no/such" in nowhere.err
    assert asked_of(own, PLANNER) == 2


@pytest.mark.parametrize(("choice", "code"), [("run", 0), ("stop", 1)])
def test_a_dear_plan_waits_for_a_yes(shell: Shell, own: StandIn, choice: str, code: int) -> None:
    there = environment(own.url)
    told = shell("ask", GOAL, "--approve-above", "0.01", "--no-input", code=4, **there)
    run = run_of(told.err)
    assert told.out == ""
    assert "Its estimate is 0.03 USD" in told.err
    assert f"orchestrator approve {run}.goal {CONSENT} --choice run" in told.err
    assert len(own.asked) == 2  # planning; nothing of the plan

    shell("approve", f"{run}.goal", CONSENT, "--choice", choice, "--reason", "read it", code=None, **there)
    shell("resume", run, code=None, **there)
    shown = shell("show", run, "--json", code=None).json
    assert shown["status"] == {"run": "succeeded", "stop": "failed"}[choice]
    assert (len(own.asked) > 2) is (choice == "run")
    if choice == "stop":
        assert "nobody agreed to the plan" in json.dumps(shell("why", f"{run}.goal", CONSENT).out)


def test_yes_asks_nobody(shell: Shell, own: StandIn) -> None:
    told = shell("ask", GOAL, "--approve-above", "0", "--yes", "--no-input", **environment(own.url))
    assert CONSENT not in told.err


def test_an_answer_has_the_form_that_was_asked_for(shell: Shell, own: StandIn) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    (shell.home / "form.json").write_text(json.dumps(schema))
    [closing] = [one for one in own.fixtures if "at most four sentences" in one["match"].get("userMessage", "")]
    cited = json.loads(closing["response"]["content"])["citations"]
    closing["response"]["content"] = json.dumps({"answer": {"n": 4}, "citations": cited})
    assert shell("ask", GOAL, "-o", "form.json", **environment(own.url)).json == {"n": 4}
    (shell.home / "form.json").write_text("[]")
    assert "is no JSON Schema" in shell("ask", GOAL, "-o", "form.json", code=2, **environment(own.url)).err


def test_without_an_endpoint_the_ways_to_one_are_told(shell: Shell) -> None:
    told = shell("ask", GOAL, code=2, OPENAI_API_KEY="", OPENAI_BASE_URL="")
    assert "there is no model to ask; set OPENAI_API_KEY" in told.err
    assert "--local" in told.err
    assert not (shell.home / ".orchestrator").exists()


def test_a_planner_that_writes_no_plan_ends_with_what_was_wrong(shell: Shell, own: StandIn) -> None:
    own.fixtures = [one for one in own.fixtures if one["match"].get("userMessage") != "That was refused"]
    own.fixtures[0]["match"].pop("userMessage")  # the same bad draft again and again
    told = shell("ask", GOAL, code=1, **environment(own.url))
    assert told.err.count("of the plan is refused") >= 3
    assert "pool reserch is not allowed" in told.err
    assert told.out == ""


def test_a_budget_ends_the_run_and_says_how_to_go_on(shell: Shell, own: StandIn) -> None:
    told = shell("ask", GOAL, "--budget-usd", "0.0001", code=None, **environment(own.url))
    assert told.code in {1, 3}
    assert "budget" in told.err
    assert len(own.asked) == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((" ",), "characters what you want"),
        (("x", "--json", "--jsonl"), "choose one of --json and --jsonl"),
        (("x", "--plan-only", "--from", "a.plan.yaml"), "goes with neither"),
        (("x", "--from", "a.plan.yaml", "-c", "short"), "saved plan says"),
        (("x", "--save", "plan.txt"), "name it *.plan.yaml"),
        (("x", "--from", "missing.plan.yaml"), "missing.plan.yaml"),
    ],
)
def test_what_does_not_go_together_is_refused(shell: Shell, arguments: tuple[str, ...], told: str) -> None:
    assert told in shell("ask", *arguments, code=2, OPENAI_API_KEY="x").err


@pytest.mark.crash
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_an_interrupted_question_goes_on_and_pays_nothing_twice(shell: Shell, own: StandIn, number: int) -> None:
    there = environment(own.url)
    shell.env.update(there, ORCHESTRATOR_DRAIN_S="0")
    own.held = {"Answer the question in at most four sentences"}
    child = shell.start("ask", GOAL)
    assert own.waiting.wait(PATIENCE_S)
    before = len(own.asked)
    child.send_signal(number)
    _, err = child.communicate(timeout=PATIENCE_S)
    if number == signal.SIGINT:
        assert child.returncode == 130
        assert "orchestrator resume" in err
    own.let_go()
    [open_run] = shell("ps", "--json").json
    told = shell("resume", open_run["run"])
    assert "A run lives in its journal" in told.out
    assert asked_of(own, PLANNER) == 2
    assert told_for(own, "Find in the documents what a resumed run") == 2  # a call of the tool, and the answer
    assert len(own.asked) == before + 2  # the closing step once more, and its judge


def test_a_terminal_shows_the_plan_the_steps_and_the_words(shell: Shell, own: StandIn) -> None:
    own.held = {"Answer the question in at most four sentences"}
    here, there = pty.openpty()
    env = {**shell.env, **environment(own.url), "TERM": "xterm-256color", "LINES": "40"}
    child = subprocess.Popen([COMMAND, "ask", GOAL], cwd=shell.home, env=env, stdin=there, stdout=there, stderr=there)
    os.close(there)
    seen = b""
    end_s = time.monotonic() + PATIENCE_S
    with child:
        while time.monotonic() < end_s:
            if select.select([here], [], [], 0.1)[0]:
                try:
                    piece = os.read(here, 65536)
                except OSError:  # the other end is closed
                    break
                seen += piece
            if own.waiting.is_set() and "▶ running".encode() in seen and b"recovery" in seen:
                own.let_go()
        assert child.wait(PATIENCE_S) == 0
    os.close(here)
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", seen.decode())
    assert "planned: 3 steps" in text
    assert "checked by rule" in text
    assert "2 tries" in text
    assert text.count("\x1b") == 0
    assert "A run lives in its journal" in text
    assert "[recovery]" in text
