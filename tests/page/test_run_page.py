"""The document of a run: whole values of a small one, and deltas that add up to the whole at every cut."""

from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core import facts as f
from orchestrator.ids import Digest, RunId, StepId
from orchestrator.plan.models import Plan
from orchestrator.plan.patch import Patch
from orchestrator.ports.journal import Recorded
from orchestrator.service.page.bars import ALL_BARS_MAX, BARS_LEAST, BARS_MAX, bars_most
from orchestrator.service.page.run import RunPage
from tests.page.hostile import hostile_ended
from tests.page.plays import (
    DIGEST,
    NOON_S,
    begun,
    brief,
    failed,
    passing,
    records_of,
    waiting,
    wide,
)

Document = dict[str, Any]
A, B = StepId("a"), StepId("b")


def chain() -> Plan:
    steps = {"a": {"pool": "p", "call": "f"}, "b": {"pool": "p", "call": "g", "needs": ["a"]}}
    return Plan.model_validate({"version": 1, "name": "chain", "budget": {"usd": 2.0, "steps": 5}, "steps": steps})


def page_of(records: tuple[Recorded, ...]) -> RunPage:
    page = RunPage()
    page.take(records)
    return page


def merged(document: Document, delta: Document) -> Document:
    """What the page does with a delta."""
    fresh = "graph" in delta
    nodes = delta["nodes"] if fresh else {**document.get("nodes", {}), **delta["nodes"]}
    source = delta if fresh else document
    return {**delta, "head": source.get("head"), "graph": source.get("graph"), "nodes": nodes}


def test_the_whole_document_of_a_small_run() -> None:
    plan = chain()
    facts = [
        *begun(plan),
        f.StepDispatched(at_s=NOON_S + 1, step=A, attempt=1, pool="p", digest=DIGEST),
        f.ModelCalled(at_s=NOON_S + 2, step=A, attempt=1, model="m", outcome="ok", charge="c1", usd=0.25, tokens_in=7,
                      tokens_out=3),
        f.ModelCalled(at_s=NOON_S + 2, step=A, attempt=1, model="m", outcome="ok", charge="c1", usd=0.25, tokens_in=7,
                      tokens_out=3),
        f.StepProduced(at_s=NOON_S + 3, step=A, attempt=1, digest=DIGEST, output=1, started_at_s=NOON_S + 1.5),
        f.CheckVerdict(at_s=NOON_S + 4, step=A, attempt=1, check=0, name="schema", verdict="pass", digest=DIGEST),
        f.StepPassed(at_s=NOON_S + 4, step=A, attempt=1, digest=DIGEST),
        f.StepDispatched(at_s=NOON_S + 4, step=B, attempt=1, pool="p", digest=DIGEST),
    ]  # fmt: skip
    expected: Document = {
        "format": 1,
        "seq": 9,
        "run": {
            "status": "running",
            "at": NOON_S + 4,
            "ended_at": None,
            "reason": "",
            "usd": 0.25,
            "tokens": 10,
            "calls": 1,
            "limit": "",
            "steps": {"settled": 1, "total": 2},
            "units": {"passed": 1, "running": 1},
            "questions": [],
            "failures": [],
            "gaps": [],
            "output": None,
            "forgotten": False,
            "path": ["a"],
            "path_steps": 1,
            "path_s": 3.0,
            "models": {"m": {"usd": 0.25, "tokens": 10, "calls": 1}},
            "pools": {"p": {"usd": 0.25, "tokens": 10, "calls": 1}},
        },
        "head": {
            "id": "run-1",
            "plan": "chain",
            "description": "",
            "digest": plan.digest,
            "tenant": "default",
            "lane": "normal",
            "origin": "run-1",
            "parent": None,
            "parent_step": None,
            "parent_branch": -1,
            "accepted_at": NOON_S,
            "inputs": {},
            "constraints": [],
            "budget": {
                "usd": 2.0,
                "tokens": 200_000,
                "wall_s": 3600.0,
                "steps": 5,
                "calls": None,
                "on_limit": "degrade",
            },
        },
        "graph": {
            "nodes": [
                {"id": "a", "kind": "call", "what": "p.f", "level": 0},
                {"id": "b", "kind": "call", "what": "p.g", "level": 1},
            ],
            "edges": [["a", "b"]],
            "edges_left_out": 0,
            "steps": 2,
            "folded": False,
        },
        "nodes": {
            "a": {
                "status": "passed",
                "attempts": 1,
                "usd": 0.25,
                "started_at": NOON_S + 1,
                "ended_at": NOON_S + 4,
                "bars": [["a", -1, 1, NOON_S + 1, NOON_S + 1.5, NOON_S + 3, NOON_S + 4, "passed"]],
            },
            "b": {
                "status": "running",
                "attempts": 1,
                "usd": 0.0,
                "started_at": NOON_S + 4,
                "bars": [["b", -1, 1, NOON_S + 4, 0.0, 0.0, 0.0, ""]],
            },
        },
    }
    assert page_of(records_of(facts)).since(0) == expected


def test_a_delta_holds_only_what_changed() -> None:
    records = records_of([*begun(chain()), *passing("a", NOON_S + 1), *passing("b", NOON_S + 3)])
    page = page_of(records[:7])  # a has passed
    page.take(records)
    delta = page.since(7)

    assert sorted(delta) == ["format", "nodes", "run", "seq"]
    assert [*cast(Document, delta["nodes"])] == ["b"]
    assert page.since(page.seq)["nodes"] == {}


@pytest.mark.parametrize(
    "records", [brief(), failed(), waiting(), hostile_ended()], ids=["brief", "failed", "waiting", "hostile"]
)
@given(data=st.data())
def test_deltas_add_up_to_the_whole_however_a_journal_is_cut(
    data: st.DataObject, records: tuple[Recorded, ...]
) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, len(records)), max_size=8)) | {len(records)})
    page, known = RunPage(), {}
    for cut in cuts:
        page.take(records[:cut])
        known = merged(known, page.since(known.get("seq", 0)))

    assert known == page_of(records).since(0)


def test_records_that_were_read_before_or_leave_a_gap_are_passed_over() -> None:
    page = RunPage()
    page.take(brief()[:40])
    page.take(brief()[10:40])
    page.take(brief()[60:])
    assert page.seq == 40
    page.take(brief())

    assert page.since(0) == page_of(brief()).since(0)


def test_a_mapped_step_is_one_node_with_counts() -> None:
    node = cast(Document, page_of(brief()).since(0)["nodes"])["sources"]

    assert (node["status"], node["counts"], node["total"]) == ("passed", {"gap": 1, "passed": 11}, 12)
    assert len(node["bars"]) == 14  # one failed, one was refused


def test_a_failed_run_names_its_root_cause_and_what_did_not_run_because_of_it() -> None:
    run = cast(Document, page_of(failed()).since(0)["run"])

    assert (run["status"], run["reason"]) == ("failed", "sizing: terminal: division by zero in size_market, row 7")
    assert run["failures"] == [
        {
            "step": "sizing",
            "branch": -1,
            "at": NOON_S + 50,
            "cause": "terminal: division by zero in size_market, row 7",
            "downstream": ["draft", "approve", "publish"],
            "downstream_total": 3,
        }
    ]
    assert run["path"] == ["sources", "sizing"]


def test_a_question_says_what_will_happen_and_what_was_spent() -> None:
    run = cast(Document, page_of(waiting()).since(0)["run"])
    (question,) = run["questions"]

    assert run["status"] == "waiting"
    assert {
        name: question[name] for name in ("step", "ask", "choices", "then", "expires_at", "plan", "usd", "next")
    } == {
        "step": "approve",
        "ask": "Publish this brief?",
        "choices": ["publish", "hold"],
        "then": "hold",
        "expires_at": NOON_S + 91 + 86_400,
        "plan": "market-brief",
        "usd": pytest.approx(0.501),
        "next": [{"step": "publish", "does": "tools.publish", "when": "steps.approve.output.choice == 'publish'"}],
    }


def test_a_patch_is_drawn_anew_and_keeps_the_bars_of_what_ran() -> None:
    plan = chain()
    records = records_of([*begun(plan), *passing("a", NOON_S + 1)])
    patch = Patch.model_validate({"patch": 1, "base": plan.digest, "author": "me", "reason": "more",
                        "ops": [{"add": {"id": "c", "step": {"pool": "p", "call": "h", "needs": ["a"]}}}]})  # fmt: skip
    data = patch.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    patched = f.PlanPatched(
        at_s=NOON_S + 3, base=plan.digest, digest=Digest("x"), author="me", reason="more", patch=data
    )
    page = page_of(records)
    page.take(records_of([*(one.fact for one in records), patched]))
    delta = page.since(len(records))

    assert [node["id"] for node in cast(Document, delta["graph"])["nodes"]] == ["a", "b", "c"]
    assert {
        name: (one["status"], len(one.get("bars", []))) for name, one in cast(Document, delta["nodes"]).items()
    } == {
        "a": ("passed", 1),
        "b": ("pending", 0),
        "c": ("pending", 0),
    }


def test_a_folded_run_counts_and_lists_the_steps_of_its_nodes() -> None:
    page = page_of(wide(1_000, 500, 50))
    nodes = cast(Document, page.since(0)["nodes"])
    first = nodes["group:0"]
    rows = page.members("group:0")

    assert len(nodes) <= 300
    assert (first["status"], first["counts"], first["total"], first["attempts"]) == ("passed", {"passed": 14}, 14, 1)
    assert len(rows) == 14
    assert rows[0] == ["step-0", "passed", "", 1, 0.001]
    assert sum(one.get("total", 1) for one in nodes.values()) == 1_000
    assert page.members("step-0") == page.members("group:9999") == []


def test_a_folded_node_shows_what_needs_attention_first() -> None:
    steps = {f"s{number}": {"pool": "p", "call": "f"} for number in range(301)}
    plan = Plan.model_validate({"version": 1, "name": "flat", "budget": {"steps": 400}, "steps": steps})
    facts = [*begun(plan), *passing("s0", NOON_S + 1)]
    sent = f.StepDispatched(at_s=NOON_S + 1, step=StepId("s1"), attempt=1, pool="p", digest=DIGEST)
    broke = f.StepFailed(at_s=NOON_S + 2, step=StepId("s1"), attempt=1, cause="broke")

    def status(*more: f.Fact) -> tuple[str, dict[str, int]]:
        node = cast(Document, page_of(records_of([*facts, *more])).since(0)["nodes"])["group:0"]
        return node["status"], node["counts"]

    assert status() == ("pending", {"passed": 1, "pending": 300})
    assert status(sent) == ("running", {"passed": 1, "pending": 299, "running": 1})
    assert status(sent, broke) == ("failed", {"failed": 1, "passed": 1, "pending": 299})


@pytest.mark.parametrize(("nodes", "most"), [(1, BARS_MAX), (50, BARS_MAX), (100, 30), (300, 10), (5_000, BARS_LEAST)])
def test_bars_are_bounded_over_all_nodes(nodes: int, most: int) -> None:
    assert bars_most(nodes) == most
    assert nodes * most <= max(ALL_BARS_MAX, nodes * BARS_LEAST)


def test_bars_beyond_the_bound_are_counted() -> None:
    plan = Plan.model_validate({"version": 1, "name": "map", "budget": {"steps": 100}, "steps": {
        "m": {"pool": "p", "call": "f", "foreach": {"over": list(range(70)), "as": "k"}}}})  # fmt: skip
    facts = [*begun(plan), f.StepExpanded(at_s=NOON_S, step=StepId("m"), count=70, items=list(range(70)))]
    for branch in range(70):
        facts += passing("m", NOON_S + branch, branch)
    node = cast(Document, page_of(records_of(facts)).since(0)["nodes"])["m"]

    assert (len(node["bars"]), node["bars_left_out"], node["counts"]) == (60, 10, {"passed": 70})


def test_a_plan_that_was_forgotten_has_no_drawing() -> None:
    facts = begun(chain())
    gone = f.PlanFrozen(at_s=NOON_S, digest=Digest("x"), plan=None)  # type: ignore[arg-type]  # as a journal gives it
    told = page_of(records_of([facts[0], gone])).since(0)

    assert "graph" not in told
    assert told["nodes"] == {}


def test_which_records_tell_of_a_step() -> None:
    page = page_of(brief())
    wanted = page.wanted("draft")
    assert wanted is not None
    merged_records = wanted.merged(brief())

    assert wanted.steps == {"draft", "sizing", "prices"}
    assert {one.fact.step for one in merged_records if isinstance(one.fact, f.StepFact)} == wanted.steps
    assert [one.fact.KIND for one in merged_records if not isinstance(one.fact, f.StepFact)] == [
        "run.accepted", "plan.frozen", "run.ended",
    ]  # fmt: skip
    assert page.wanted("nothing") is None
    assert RunId(brief()[0].run_id) == cast(Document, page.since(0)["head"])["id"]
