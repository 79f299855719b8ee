"""The page of a step: attempts, verdicts, inputs and story of runs that were really played, as whole values."""

from dataclasses import replace
from typing import Any, cast

import pytest

from orchestrator.core import facts as f
from orchestrator.core.codec import without_payload
from orchestrator.core.step_facts import StepDispatched
from orchestrator.ids import JsonValue, StepId
from orchestrator.plan.models import canonical_json, digest_of
from orchestrator.ports.journal import Recorded
from orchestrator.service.page import step as page_step
from orchestrator.service.page.run import RunPage
from orchestrator.service.page.step import ATTEMPTS_MAX, VALUE_CHARS, StepPages, all_inputs, clip, last_sent
from tests.page.plays import DIGEST, FIRST, NOON_S, SECOND, begun, brief, failed, records_of, waiting, wide_plan

Document = dict[str, Any]


def pages_of(records: tuple[Recorded, ...]) -> StepPages:
    run = RunPage()
    run.take(records)
    return StepPages(records, shape=run.shape, counted=run.tally, inputs=all_inputs(records))


def page(records: tuple[Recorded, ...], step: str, branch: int = -1, **more: Any) -> Document:
    found = pages_of(records).page(step, branch, **more)
    assert found is not None
    return cast(Document, found)


def judged(verdict: str, score: float, reasons: list[str], digest: str, at_s: float) -> Document:
    return {"kind": "check.verdict", "at_s": at_s, "actor": "", "sample": 0, "check": 1, "name": "judge",
            "verdict": verdict, "digest": digest, "score": score, "usd": 0.0, "tokens": 0, "reasons": reasons,
            "evidence": None}  # fmt: skip


def test_the_attempts_of_a_step_that_was_refused_once() -> None:
    told = page(brief(), "draft")
    first, second = told["attempts"]
    schema, judge = first.pop("verdicts")
    digests = digest_of(FIRST), digest_of(SECOND)

    assert first == {
        "attempt": 1,
        "usd": 0.11,
        "tokens": 18_300,
        "last_at": NOON_S + 75,
        "sent_at": NOON_S + 61,
        "pool": "writer",
        "tier": "standard",
        "cause": "first",
        "rung": -1,
        "inputs_digest": told["inputs"]["digest"],
        "outcome": "rejected",
        "began_at": NOON_S + 61,
        "produced_at": NOON_S + 75,
        "worker": "scenario",
        "output": FIRST,
        "output_digest": digests[0],
        "ended_at": NOON_S + 75,
        "refused_because": ["11.2 million is not in the sizing", "no source is named"],
    }
    assert (schema["name"], schema["verdict"]) == ("schema", "pass")
    reasons = ["11.2 million is not in the sizing", "no source is named"]
    assert {**judge, "actor": ""} == judged("fix", 0.42, reasons, digests[0], NOON_S + 75)
    assert (second["attempt"], second["cause"], second["rung"], second["outcome"]) == (2, "ladder", 0, "passed")
    assert (second["output"], second["output_digest"]) == (SECOND, digests[1])
    assert told["now"] == "passed after 2 attempts, 30 s, 0.23 USD, 38200 tokens"
    assert told["needs"] == ["sizing", "prices"]
    assert told["spec"]["task"] == "Write the brief. Use only the sizing and the sources."


def test_inputs_are_what_the_digest_in_the_journal_stands_for() -> None:
    inputs = page(brief(), "draft")["inputs"]

    assert inputs["task"] == "Write the brief. Use only the sizing and the sources."
    assert inputs["with"] == {
        "prices": {"january": 104.2, "october": 97.9},
        "sizing": {"low": 8.1, "mid": 9.8, "high": 12.4, "unit": "million"},
    }
    assert inputs["digest"] == digest_of({"task": inputs["task"], "with": inputs["with"]})


@pytest.mark.parametrize("records", [brief(), failed()], ids=["brief", "failed"])
def test_every_input_that_is_shown_has_the_digest_that_was_journaled(records: tuple[Recorded, ...]) -> None:
    sent = {
        (one.fact.step, one.fact.branch): one.fact.digest
        for one in records
        if isinstance(one.fact, StepDispatched) and one.fact.purpose == "work"
    }
    found = all_inputs(records)

    assert found.keys() == sent.keys()
    for key, told in found.items():
        given = cast(Document, told)
        whole = {"task": given["task"], "with": given["with"]} if given["task"] is not None else given["with"]
        assert digest_of(whole) == sent[key], key


def test_a_branch_has_attempts_and_an_error_of_its_own() -> None:
    told = page(brief(), "sources", 4)
    first, second = told["attempts"]

    assert (first["outcome"], first["error"], first["message"]) == ("failed", "rate_limit", "429 from the endpoint")
    assert (second["outcome"], second["cause"]) == ("passed", "retry")
    assert told["inputs"]["task"] == "Primary sources on heat pumps in IN"


def test_a_mapped_step_lists_its_branches_page_by_page() -> None:
    whole = page(brief(), "sources")
    part = page(brief(), "sources", first=10, branches_max=1)

    assert whole["branches_total"] == part["branches_total"] == 12
    assert whole["branches"][10:] == [[10, "passed", ""], [11, "gap", "fewer than two sources"]]
    assert part["branches"] == [[10, "passed", ""]]
    assert whole["attempts"] == []
    assert "inputs" not in whole


def test_a_step_before_its_start_says_what_it_waits_for() -> None:
    told = page(waiting(), "publish")

    assert (told["status"], told["now"], told["attempts"], told["inputs"]) == (
        "pending",
        "waits for approve (waiting)",
        [],
        None,
    )


def test_a_question_and_its_answer_are_told() -> None:
    (attempt,) = page(brief(), "approve")["attempts"]
    asked, answered = attempt["approvals"]

    assert (asked["ask"], asked["choices"], asked["then"]) == ("Publish this brief?", ["publish", "hold"], "hold")
    assert (answered["actor"], answered["choice"], answered["reason"]) == (
        "scenario", "publish", "read it, figures agree with the registers",
    )  # fmt: skip


def test_a_skip_has_no_attempt() -> None:
    told = page(failed(), "draft")

    assert (told["status"], told["reason"], told["attempts"], told["inputs"]) == (
        "skipped",
        "upstream_failed",
        [],
        None,
    )
    assert told["now"] == "skipped after no attempt"
    assert told["lines"][-1][2] == "skipped: something before it failed (sizing)"


def test_a_step_or_branch_that_is_not_there_has_no_page() -> None:
    pages = pages_of(brief())

    assert (pages.page("nothing"), pages.page("sources", 12), pages.page("draft", 0)) == (None, None, None)


def test_the_records_that_are_wanted_tell_the_same_as_all_of_them() -> None:
    run = RunPage()
    run.take(brief())
    for step in run.tally.steps:
        wanted = run.wanted(step)
        assert wanted is not None
        some = wanted.merged(brief()[wanted.first - 1 : wanted.last])
        few = StepPages(some, shape=run.shape, counted=run.tally).page(step)
        all_ = StepPages(brief(), shape=run.shape, counted=run.tally).page(step)

        assert few == all_, step


def test_inputs_of_a_long_run_and_of_a_forgotten_one_say_why_they_are_not_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gone = [
        replace(one, fact=without_payload(one.fact), forgotten=True) if one.fact.KIND == "step.produced" else one
        for one in brief()
    ]
    assert cast(Document, all_inputs(gone)["draft", -1])["why"] == "payloads were deleted"
    monkeypatch.setattr(page_step, "REPLAYED_MAX", 10)
    assert cast(Document, all_inputs(brief())["draft", -1])["why"] == "they follow from more than 10 records"


def test_where_the_last_attempt_was_sent() -> None:
    at = last_sent(brief(), "draft", -1)

    assert brief()[at - 1].fact.KIND == "step.dispatched"
    assert (last_sent(brief()[: at - 1], "draft", -1), last_sent(brief(), "nothing", -1)) == (
        next(one.seq for one in brief() if isinstance(one.fact, StepDispatched) and one.fact.step == "draft"),
        0,
    )


@pytest.mark.parametrize(
    ("value", "cut"),
    [
        ("short", "short"),
        ({"a": 1}, {"a": 1}),
        ("x" * (VALUE_CHARS + 1), {"clipped": "x" * VALUE_CHARS, "chars": VALUE_CHARS + 1}),
        ([1] * VALUE_CHARS, {"clipped": canonical_json([1] * VALUE_CHARS)[:VALUE_CHARS], "chars": 2 * VALUE_CHARS + 1}),
    ],
    ids=["text", "data", "long text", "long data"],
)
def test_a_long_value_is_cut_and_says_so(value: JsonValue, cut: JsonValue) -> None:
    assert clip(value) == cut


def test_the_last_attempts_of_a_step_that_was_tried_very_often_are_told() -> None:
    plan = wide_plan(1)
    step = StepId("step-0")
    facts = begun(plan)
    for attempt in range(1, ATTEMPTS_MAX + 11):
        facts += [
            f.StepDispatched(at_s=NOON_S + attempt, step=step, attempt=attempt, pool="work", digest=DIGEST),
            f.LeaseLost(at_s=NOON_S + attempt, step=step, attempt=attempt, reason="its worker was gone"),
        ]
    run = RunPage()
    run.take(records_of(facts))
    told = StepPages(records_of(facts), shape=run.shape, counted=run.tally).page("step-0")
    assert told is not None
    attempts = cast(list[Document], told["attempts"])

    assert [one["attempt"] for one in attempts] == list(range(11, ATTEMPTS_MAX + 11))
    assert {(one["outcome"], one["message"]) for one in attempts} == {("lost", "its worker was gone")}
