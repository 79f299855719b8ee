"""`orchestrator plan`: check, draw, schema, diff, estimate."""

import json


def test_check_prints_limits_edges_path_and_range(shell) -> None:
    out = shell("plan", "check", "fails.plan.yaml").out

    assert "budget.usd" in out
    assert "first → bad" in out
    assert "explicit" in out
    assert "first → bad  at most" in out
    assert "price: 0.00 to 1.00 USD" in out


def test_check_refuses_with_place_and_remedy(shell) -> None:
    (shell.home / "bad.plan.yaml").write_text(
        "version: 1\nname: bad\nsteps:\n  a: {pool: desk, call: dubble, with: {n: 1}}\n  b: {pool: dsk, call: odd}\n"
    )

    ended = shell("plan", "check", "bad.plan.yaml", code=2)
    assert "bad.plan.yaml:4:" in ended.out
    assert "bad.plan.yaml:5:" in ended.out
    told = shell("plan", "check", "bad.plan.yaml", "--json", code=2).json
    assert told["valid"] is False
    assert {issue["line"] for issue in told["errors"]} == {4, 5}


def test_check_as_a_document(shell) -> None:
    told = shell("plan", "check", "fails.plan.yaml", "--json").json

    assert (told["valid"], told["plan"], told["errors"], told["critical_path"]) == (True, "fails", [], ["first", "bad"])
    assert told["edges"] == [{"from": "first", "to": "bad", "kind": "needs", "where": "needs[0]", "text": ""}]
    assert {"path": "budget.usd", "value": "1", "default": True} in told["in_force"]


def test_what_is_no_plan_is_refused_as_text_and_as_a_document(shell) -> None:
    (shell.home / "no.plan.yaml").write_text("steps: [")

    assert "no.plan.yaml:2:1" in shell("plan", "check", "no.plan.yaml", code=2).err
    assert shell("plan", "check", "no.plan.yaml", "--json", code=2).json["errors"][0]["line"] == 2


def test_draw_a_plan_and_a_run(shell) -> None:
    shell("run", "gaps.plan.yaml", code=7)

    assert shell("plan", "draw", "fails.plan.yaml").lines[0] == "fails"
    assert shell("plan", "draw", "fails.plan.yaml", "--format", "mermaid").lines[0] == "flowchart TD"
    assert shell("plan", "draw", "fails.plan.yaml", "--format", "dot").lines[0] == 'digraph "fails" {'
    assert ":::passed" in shell("plan", "draw", "--run", "last", "--format", "mermaid").out
    assert "choose tree, mermaid or dot" in shell("plan", "draw", "gaps.plan.yaml", "--format", "x", code=2).err
    assert "name a PLAN file, or --run RUN" in shell("plan", "draw", code=2).err


def test_schema_is_a_json_schema(shell) -> None:
    assert json.loads(shell("plan", "schema").out)["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_diff_tells_what_changed(shell) -> None:
    other = (shell.home / "chain.plan.yaml").read_text().replace("default: 3", "default: 4")
    (shell.home / "other.plan.yaml").write_text(other)

    changes = shell("plan", "diff", "chain.plan.yaml", "other.plan.yaml", "--json").json
    assert changes == [{"kind": "changed", "path": "inputs.n.default", "step": "", "before": 3, "after": 4}]
    assert "inputs.n" in shell("plan", "diff", "chain.plan.yaml", "other.plan.yaml").out
    assert "no difference" in shell("plan", "diff", "chain.plan.yaml", "chain.plan.yaml").err


def test_estimate_gives_a_range(shell) -> None:
    assert shell("plan", "estimate", "chain.plan.yaml").lines[0] == "steps: 2 to 2"
    assert shell("plan", "estimate", "chain.plan.yaml", "--json").json["usd_most"] == 1.0
