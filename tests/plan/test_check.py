"""What `plan check` refuses, with the place and the reason, and what it lets pass."""

import json
from pathlib import Path
from time import process_time
from typing import Final

import pytest

from orchestrator.errors import PlanError
from orchestrator.ids import JsonValue
from orchestrator.plan import limits
from orchestrator.plan.check import check_plan
from orchestrator.plan.files import read_plan
from orchestrator.plan.issues import ISSUES_MAX
from orchestrator.plan.models import Plan
from orchestrator.plan.report import InForce
from tests.plan.checking import A_TEXT, Pools, errors, errors_of, plan_of

BRIEF: Final = (Path(__file__).parent / "market-brief.plan.yaml").read_text()

Steps = dict[str, JsonValue]
MAPPED: Final[JsonValue] = {"foreach": {"over": [1, 2, 3]}}


def test_the_plan_of_the_manual_has_no_errors_and_the_expected_edges() -> None:
    source = read_plan(BRIEF, "market-brief.plan.yaml")
    report = check_plan(source.plan, places=source.sources)
    assert report.errors == report.warnings == ()
    assert [(edge.source, edge.target, edge.kind, edge.origin, edge.text) for edge in report.edges] == [
        ("sources", "sizing", "reference", "with.tables", "steps.sources.passed"),
        ("sizing", "draft", "reference", "with.sizing", "steps.sizing.output"),
        ("sources", "draft", "reference", "with.sources", "steps.sources.passed"),
        ("draft", "approve", "reference", "if", "steps.draft.degraded"),
        ("approve", "publish", "reference", "if", "steps.approve.skipped"),
        ("draft", "publish", "reference", "with.body", "steps.draft.output"),
    ]
    assert report.critical_path == ("sources", "sizing", "draft", "approve", "publish")
    assert report.critical_path_s == 4 * 360 + 24 * 3600
    assert report.max_steps == 12 + 4
    assert InForce(path="budget.usd", value="4", default=False) in report.in_force
    assert InForce(path="foreach.max_parallel", value="16", default=True) in report.in_force


def test_every_default_limit_is_in_force_and_marked() -> None:
    report = check_plan(plan_of({"a": {"timeout": {"total": "5m"}}}))
    assert [(limit.path, limit.value) for limit in report.in_force if limit.default] == [
        ("budget.usd", "1"),
        ("budget.tokens", "200,000"),
        ("budget.wall", "1h"),
        ("budget.steps", "1,000"),
        ("budget.closing", "0"),
        ("budget.on_limit", "degrade"),
        ("defaults.timeout.attempt", "10m"),
        ("defaults.timeout.total", "30m"),
        ("defaults.retry.attempts", "3"),
        ("defaults.retry.backoff", "1s..30s"),
        ("defaults.retry.errors", "timeout, rate_limit, provider"),
        ("foreach.max_parallel", "16"),
        ("human.expires", "1d"),
        ("branches_max", "100,000"),
        ("output_bytes_max", "8,388,608"),
        ("output_depth_max", "64"),
        ("subplan_depth_max", "8"),
        ("lease_losses_max", "5"),
        ("check_broken_max", "2"),
        ("replans_max", "3"),
    ]
    assert InForce(path="steps.a.timeout.total", value="5m", default=False) in report.in_force


REFUSED: Final[list[tuple[str, Steps, dict[str, JsonValue], list[tuple[str, str]]]]] = [
    (
        "unknown step",
        {"draft": {}, "b": {"with": {"n": "${{ steps.drafts.output }}"}}},
        {},
        [("steps.b.with.n", "there is no step `drafts` (`steps.drafts.output`)")],
    ),
    (
        "unknown input",
        {"a": {"with": {"n": "${{ inputs.topik }}"}}},
        {"inputs": {"topic": {"type": "string"}}},
        [("steps.a.with.n", "the plan has no input `topik` (`inputs.topik`)")],
    ),
    (
        "unknown root",
        {"a": {"with": {"n": "${{ input.topic }}"}}},
        {},
        [("steps.a.with.n", "there is no `input` here (`input.topic`)")],
    ),
    (
        "item outside of a mapped step",
        {"a": {"with": {"n": "${{ item }}"}}},
        {},
        [("steps.a.with.n", "there is no `item` here (`item`)")],
    ),
    (
        "output outside of checks",
        {"a": {"with": {"n": "${{ output.x }}"}}},
        {},
        [("steps.a.with.n", "there is no `output` here (`output.x`)")],
    ),
    (
        "unknown member of a step",
        {"a": {}, "b": {"if": "steps.a.skiped"}},
        {},
        [("steps.b.if", "a step has no `skiped` (`steps.a.skiped`)")],
    ),
    (
        "a step alone",
        {"a": {}, "b": {"with": {"n": "${{ steps.a }}"}}},
        {},
        [("steps.b.with.n", "`steps.a` alone is no value (`steps.a`)")],
    ),
    (
        "unknown member of the run",
        {"a": {"if": "run.cost > 1"}},
        {},
        [("steps.a.if", "`run` has no `cost` (`run.cost`)")],
    ),
    (
        "itself",
        {"a": {"checks": [{"rule": "steps.a.output > 1"}]}},
        {},
        [("steps.a.checks[0].rule", "the step refers to itself: `steps.a.output`")],
    ),
    (
        "an expression that cannot be read",
        {"a": {"if": "run.steps > (1"}},
        {},
        [("steps.a.if", "a bracket is not closed in `run.steps > (1` (character 15)")],
    ),
    ("an unknown need", {"a": {"needs": ["bb"]}, "b": {}}, {}, [("steps.a.needs[0]", "there is no step `bb`")]),
    ("a need of itself", {"a": {"needs": ["a"]}}, {}, [("steps.a.needs[0]", "the step waits for itself")]),
    (
        "each of a step without branches",
        {"a": {}, "b": {"foreach": {"each": "a"}}},
        {},
        [("steps.b.foreach.each", "`a` is not mapped, so it has no branches")],
    ),
    (
        "each of nothing",
        {"a": MAPPED, "b": {"foreach": {"each": "c"}}},
        {},
        [("steps.b.foreach.each", "there is no step `c`")],
    ),
    (
        "an item with a word of the language",
        {"a": {"foreach": {"over": [1], "as": "output"}}},
        {},
        [("steps.a.foreach.as", "`output` cannot name an item: the language has another use for it")],
    ),
    (
        "an item with a hyphen",
        {"a": {"foreach": {"over": [1], "as": "my-item"}}},
        {},
        [("steps.a.foreach.as", "`my-item` cannot name an item: the language has another use for it")],
    ),
    (
        "a list that is none",
        {"a": {"foreach": {"over": "inputs.topic"}}},
        {"inputs": {"topic": {"type": "string"}}},
        [("steps.a.foreach.over", "`over` needs a list, and this is a text")],
    ),
    (
        "a skipped step unguarded",
        {"a": {"if": "run.steps > 1"}, "b": {"with": {"n": "${{ steps.a.output }}"}}},
        {},
        [("steps.b.with.n", "`steps.a.output` may be null: the `if` of `a` may skip it")],
    ),
    (
        "a gap unguarded",
        {"a": {"on_fail": ["gap"]}, "b": {"task": "Use ${{ steps.a.output.x }}", "pool": "p"}},
        {},
        [("steps.b.task", "`steps.a.output.x` may be null: the ladder of `a` may end in a gap")],
    ),
    (
        "a guard that comes too late",
        {"a": {"on_fail": ["gap"]}, "b": {"if": "steps.a.output.x > 1 or steps.a.skipped"}},
        {},
        [("steps.b.if", "`steps.a.output.x` may be null: the ladder of `a` may end in a gap")],
    ),
    (
        "a member of a branch that may be a gap",
        {"a": {"foreach": {"over": [1, 2]}, "on_fail": ["gap"]}, "b": {"with": {"n": "${{ steps.a.output[0].x }}"}}},
        {},
        [
            (
                "steps.b.with.n",
                "`steps.a.output[0].x` may be null: that branch of `a` may be a gap; `.passed` holds the good ones",
            )
        ],
    ),
    (
        "a member under a tolerant join",
        {"a": {}, "c": {}, "b": {"join": "any", "with": {"n": "${{ steps.a.output.x }}"}, "needs": ["c"]}},
        {},
        [
            (
                "steps.b.with.n",
                "`steps.a.output.x` may be null: `a` may have failed, and this step runs all the same",
            )
        ],
    ),
    (
        "a rule about what the schema does not have",
        {"a": {"output": A_TEXT, "checks": [{"rule": "output.low <= 3"}]}},
        {},
        [("steps.a.checks[0].rule", "there is no `low`: the schema is closed (`output.low`)")],
    ),
    (
        "a text compared with a number",
        {"a": {"output": A_TEXT, "checks": [{"rule": "output.text == 3"}]}},
        {},
        [("steps.a.checks[0].rule", "a text is compared with a number in `output.text == 3`")],
    ),
    (
        "a choice that nobody can make",
        {"a": {"human": {"ask": "Well?", "choices": ["yes", "no"]}}, "b": {"if": "steps.a.output.choice == 'yse'"}},
        {},
        [
            (
                "steps.b.if",
                "'yse' is never one of the values it is compared with in `steps.a.output.choice == 'yse'`",
            )
        ],
    ),
    (
        "a condition that is a text",
        {"a": {"output": A_TEXT}, "b": {"if": "steps.a.output.text"}},
        {},
        [("steps.b.if", "this gives a text")],
    ),
    (
        "len of a number",
        {"a": {"checks": [{"rule": "len(run.tokens) > 3"}]}},
        {},
        [
            (
                "steps.a.checks[0].rule",
                "len needs a text or a list or a mapping, and this is a number in `len(run.tokens)`",
            )
        ],
    ),
    (
        "a result into nothing",
        {"a": {"output": A_TEXT}},
        {"result": "${{ steps.a.output.txt }}"},
        [("result", "there is no `txt`: the schema is closed (`steps.a.output.txt`)")],
    ),
    (
        "a join of too many",
        {"a": {}, "b": {"needs": ["a"], "join": {"at_least": 2}}},
        {},
        [("steps.b.join", "at_least: 2 can never be met by 1 dependencies")],
    ),
    (
        "a join of more branches than there are",
        {"a": MAPPED, "b": {"needs": ["a"], "join": {"at_least": 4}}},
        {},
        [("steps.b.join", "at_least: 4 can never be met by `a`, which has at most 3 branches")],
    ),
    (
        "a join of nothing",
        {"a": {"join": "any"}},
        {},
        [("steps.a.join", "there is nothing to join: the step waits for no other")],
    ),
    (
        "a condition that is never true",
        {"a": {"if": False}, "b": {"if": "1 > 2"}},
        {},
        [
            ("steps.a.if", "the condition is never true: the step can never run"),
            ("steps.b.if", "the condition is never true: the step can never run"),
        ],
    ),
    (
        "a rule that never holds, and what waits for it",
        {"a": {"checks": [{"rule": "false"}]}, "b": {"needs": ["a"]}, "c": {"needs": ["b"]}},
        {},
        [
            ("steps.a.checks[0].rule", "the rule never holds: no output can pass"),
            ("steps.b", "the step can never run: `a`, which it waits for, can never pass"),
            ("steps.c", "the step can never run: `a`, which it waits for, can never pass"),
        ],
    ),
    (
        "a normal step after a finally step",
        {"a": {"finally": True}, "b": {"with": {"n": "${{ steps.a.output }}"}}},
        {},
        [("steps.b.with.n", "`a` is a `finally` step: it runs when this one is over")],
    ),
    (
        "a result of a finally step",
        {"a": {}, "b": {"finally": True}},
        {"result": "${{ steps.b.output }}"},
        [("result", "the result refers to `b`, which runs after it is known")],
    ),
    (
        "finally after finally",
        {"a": {"finally": True}, "b": {"finally": True, "needs": ["a"]}},
        {},
        [("steps.b.needs[0]", "`a` is a `finally` step too, and those run side by side")],
    ),
    (
        "a remote reference in a schema",
        {"a": {"output": {"$ref": "https://example.org/schema"}}},
        {},
        [
            (
                "steps.a.output.$ref",
                "the JSON Schema is refused: $ref must stay inside the schema (`#/$defs/name`): nothing is fetched",
            )
        ],
    ),
    (
        "a default that does not fit",
        {"a": {}},
        {"inputs": {"n": {"type": "integer", "default": "three"}}},
        [
            (
                "inputs.n.default",
                'the default does not fit its own schema: "three" is not of type "integer"',
            )
        ],
    ),
    (
        "a required member that a closed schema forbids",
        {"a": {"output": {"type": "object", "required": ["n"], "properties": {}, "additionalProperties": False}}},
        {},
        [
            (
                "steps.a.output.required[0]",
                "`n` is required, and the closed schema does not allow it: no object can pass",
            )
        ],
    ),
    (
        "a grounded path into nothing",
        {"a": {"output": A_TEXT, "checks": [{"grounded": {"field": "quote.url"}}]}},
        {},
        [
            (
                "steps.a.checks[0].grounded.field",
                "the output has no `quote.url`: there is no `quote`: the schema is closed",
            )
        ],
    ),
    (
        "an effect whose branches share a key",
        {"a": {"foreach": {"over": [1, 2]}, "effect": {"key": "${{ run.id }}/x"}}},
        {},
        [("steps.a.effect.key", "every branch would have the same key, so one effect would stand for all of them")],
    ),
    (
        "an expression where none is read",
        {"a": {"goal": "Find ${{ inputs.x }}"}},
        {},
        [("steps.a.goal", "expressions are not read here: the text is taken as it is")],
    ),
    (
        "a check that calls nowhere",
        {"a": {"goal": "Find it", "checks": [{"call": "f"}]}},
        {},
        [("steps.a.checks[0].pool", "a goal step has no pool, so the check must name one")],
    ),
    (
        "inputs of a sub-plan",
        {
            "a": {
                "plan": {
                    "name": "inner",
                    "inputs": {"n": {"type": "integer"}, "m": {"type": "integer"}},
                    "steps": {"x": {"pool": "p", "call": "f", "with": {"n": "${{ inputs.k }}"}}},
                },
                "with": {"n": "three", "other": 1},
            }
        },
        {},
        [
            ("steps.a.with", "the sub-plan needs `m`"),
            ("steps.a.with.n", 'the sub-plan does not take this `n`: "three" is not of type "integer"'),
            ("steps.a.with.other", "the sub-plan takes no `other`"),
            ("steps.a.plan.steps.x.with.n", "the plan has no input `k` (`inputs.k`)"),
        ],
    ),
]


@pytest.mark.parametrize(("steps", "keys", "expected"), [case[1:] for case in REFUSED], ids=[c[0] for c in REFUSED])
def test_a_bad_plan_is_refused_with_place_and_reason(
    steps: Steps, keys: dict[str, JsonValue], expected: list[tuple[str, str]]
) -> None:
    assert errors(steps, **keys) == expected


ALLOWED: Final[list[tuple[str, Steps, dict[str, JsonValue]]]] = [
    (
        "guards in every form",
        {
            "a": {"if": "run.steps > 0", "on_fail": ["gap"]},
            "b": {"if": "not steps.a.skipped", "with": {"n": "${{ steps.a.output.x }}"}},
            "c": {"with": {"n": "${{ steps.a.output.x if not steps.a.skipped else 0 }}"}},
            "d": {"if": "steps.a.skipped or steps.a.output.x == 1"},
            "e": {"with": {"n": "${{ steps.a.output or 'none' }}"}},
            "f": {"join": "any", "with": {"n": "${{ steps.a.output }}"}},
            "g": {"if": "steps.a.output != null and steps.a.output.x == 1"},
            "h": {"finally": True, "with": {"n": "${{ steps.a.output }}", "s": "${{ steps.a.status }}"}},
        },
        {"result": {"a": "${{ steps.a.output }}"}},
    ),
    (
        "branches",
        {
            "a": {
                "foreach": {"over": "${{ inputs.xs }}", "as": "x"},
                "with": {"n": "${{ x.n + index }}"},
                "if": "x.n > 1",
            },
            "b": {"foreach": {"each": "a"}, "with": {"n": "${{ item }}"}, "on_fail": ["gap"]},
            "c": {"with": {"good": "${{ steps.b.passed }}", "bad": "${{ steps.b.gaps }}"}, "join": {"at_least": 2}},
            "d": {"foreach": {"over": "inputs.xs"}, "effect": {"key": "${{ run.origin_id }}/${{ item.n }}"}},
        },
        {"inputs": {"xs": {"type": "array", "items": {"type": "object", "properties": {"n": {"type": "number"}}}}}},
    ),
    (
        "kinds that may fit",
        {
            "a": {
                "output": {"anyOf": [{"type": "string"}, {"type": "object", "properties": {"n": {"type": "number"}}}]}
            },
            "b": {"if": "steps.a.output == 'x' or steps.a.output.n > 2"},
            "c": {"output": {"type": ["number", "null"]}, "checks": [{"rule": "output == null or output + 1 > 2"}]},
            "d": {"if": "'x' in steps.e.output.words and len(sorted(steps.e.output.words)) == 2"},
            "e": {"output": {"$ref": "#/$defs/W", "$defs": {"W": {"properties": {"words": {"type": "array"}}}}}},
        },
        {},
    ),
    (
        "checks see output and arguments",
        {
            "a": {
                "foreach": {"over": [1, 2], "as": "n"},
                "with": {"k": "${{ n }}"},
                "checks": [{"rule": "output == args.k + n"}],
            },
        },
        {},
    ),
    (
        "a sub-plan's result",
        {
            "a": {
                "plan": {
                    "name": "inner",
                    "steps": {"x": {"pool": "p", "call": "f", "output": A_TEXT}},
                    "result": "${{ steps.x.output }}",
                }
            },
            "b": {"if": "steps.a.output.text == 'x'"},
        },
        {},
    ),
    ("an empty cache of names", {"a-b": {}, "c": {"with": {"n": '${{ steps["a-b"].output }}'}}}, {}),
]


@pytest.mark.parametrize(("steps", "keys"), [case[1:] for case in ALLOWED], ids=[case[0] for case in ALLOWED])
def test_a_good_plan_is_let_pass(steps: Steps, keys: dict[str, JsonValue]) -> None:
    assert errors(steps, **keys) == []


def test_pools_functions_and_arguments_are_checked_with_a_catalogue() -> None:
    steps: Steps = {
        "a": {"pool": "q"},
        "b": {"call": "g", "pool": "p"},
        "c": {"task": "Do it", "pool": "p"},
        "d": {"with": {"n": -1, "name": "x", "m": 2}},
        "e": {"with": {"n": "${{ steps.h.output.text }}"}},
        "h": {"output": A_TEXT, "with": {"n": 1}, "on_fail": [{"escalate": {"pool": "agens"}}]},
        "i": {
            "with": {"n": "${{ steps.h.output.text }} or so"},
            "effect": {"key": "${{ run.id }}", "on_unknown": "retry"},
        },
        "j": {"call": "open", "pool": "p", "with": {"any": [1]}, "checks": [{"call": "f", "with": {"n": 1}}]},
        "k": {"if": "steps.d.output.m > 1", "with": {"n": 1}},
    }
    assert errors_of(check_plan(plan_of(steps), Pools())) == [
        ("steps.k.if", "there is no `m`: the schema is closed (`steps.d.output.m`)"),
        ("steps.a.pool", "there is no pool `q`"),
        ("steps.b.call", "pool `p` has no function `g`"),
        ("steps.c.pool", "pool `p` has no agent, so it cannot run a task"),
        ("steps.d.with.n", "`f` of pool `p` does not take this `n`: -1 is less than the minimum of 0"),
        ("steps.d.with.name", '`f` of pool `p` does not take this `name`: "x" is shorter than 2 characters'),
        ("steps.d.with.m", "`f` of pool `p` takes no `m`"),
        ("steps.e.with.n", "`f` of pool `p` takes a number as `n`, and this is a text"),
        ("steps.h.on_fail[0].escalate.pool", "there is no pool `agens`"),
        ("steps.i.with.n", "`f` of pool `p` takes a number as `n`, and this is a text"),
        (
            "steps.i.effect.on_unknown",
            "`f` of pool `p` does not declare that it honours an idempotency key, so an effect cannot be retried",
        ),
    ]


def test_a_missing_argument_is_an_error_and_a_near_name_is_offered() -> None:
    report = check_plan(plan_of({"a": {"with": {"nam": "xx"}}}), Pools())
    assert [(issue.message, issue.expected) for issue in report.errors] == [
        ("`f` of pool `p` needs `n`", "`n` under `with`"),
        ("`f` of pool `p` takes no `nam`", "did you mean name?"),
    ]


def test_warnings_say_what_is_probably_not_meant() -> None:
    inner: JsonValue = {"name": "inner", "budget": {"usd": 2.0}, "steps": {"x": {"pool": "p", "call": "f"}}}
    steps: Steps = {
        "a": {"effect": {"key": "always"}, "timeout": {"attempt": "10m", "total": "5m"}},
        "b": {"plan": inner},
        "c": {"output": {"type": "object", "requird": ["n"]}},
    }
    report = check_plan(plan_of(steps, budget={"steps": 2}))
    assert report.errors == ()
    assert [(issue.path, issue.message) for issue in report.warnings] == [
        ("steps.c.output.requird", "`requird` is no keyword of JSON Schema and checks nothing"),
        (
            "steps.a.effect.key",
            "the key is the same in every run, so the second run would find the effect of the first",
        ),
        ("budget.steps", "budget.steps is 2, and 3 steps are not even mapped: the run cannot finish"),
        ("steps.a.timeout.attempt", "one attempt may take 10m, all of them 5m"),
        ("steps.b.plan", "the share reserves 2 usd of a run that has 1"),
        ("steps.b.plan", "the share reserves 1,000 steps of a run that has 2"),
    ]


def test_plans_may_lie_only_so_deep_inside_plans() -> None:
    def nested(inside: int) -> JsonValue:
        step: JsonValue = {"pool": "p", "call": "f"} if inside == 0 else {"plan": nested(inside - 1)}
        return {"name": "inner", "steps": {"x": step}}

    deepest = Plan.model_validate(nested(limits.SUBPLAN_DEPTH_MAX))
    assert check_plan(deepest).errors == ()
    # The reader of files counts alike: what it takes is not refused here, and what it refuses is refused here too.
    assert read_plan(json.dumps(nested(limits.SUBPLAN_DEPTH_MAX)), "deep.plan.yaml").plan == deepest
    with pytest.raises(PlanError, match="plans inside plans, 9 deep"):
        read_plan(json.dumps(nested(limits.SUBPLAN_DEPTH_MAX + 1)), "deep.plan.yaml")
    report = check_plan(Plan.model_validate(nested(limits.SUBPLAN_DEPTH_MAX + 1)))
    path = ".plan.".join(["steps.x"] * (limits.SUBPLAN_DEPTH_MAX + 1))
    assert errors_of(report) == [(f"{path}.plan", "plans lie more than 8 deep inside plans")]


def test_issues_stand_at_file_line_and_column() -> None:
    source = read_plan(BRIEF.replace("steps.sizing.output", "steps.sizng.output"), "brief.plan.yaml")
    (issue,) = check_plan(source.plan, places=source.sources).errors
    line = next(at for at, text in enumerate(BRIEF.splitlines(), start=1) if "steps.sizing.output" in text)
    assert (issue.file, issue.line, issue.path) == ("brief.plan.yaml", line, "steps.draft.with.sizing")
    assert issue.expected == "did you mean sizing?"
    assert "steps.sizng.output" in issue.source_line


def test_errors_are_raised_together_and_capped() -> None:
    steps: Steps = {f"s{n}": {"needs": ["nowhere"], "with": {"n": "${{ inputs.x }}"}} for n in range(ISSUES_MAX)}
    report = check_plan(plan_of(steps))
    assert len(report.errors) == ISSUES_MAX + 1
    assert report.errors[-1].message == f"and {ISSUES_MAX} more"
    with pytest.raises(PlanError) as caught:
        report.raise_if_errors()
    assert caught.value.issues == report.errors
    check_plan(plan_of({"a": {}})).raise_if_errors()


def test_a_plan_of_ten_thousand_steps_is_read_and_checked_in_time() -> None:
    step = """\
  s{0}:
    pool: p
    call: f
    with:
      topic: ${{{{ inputs.topic }}}}
      near: ${{{{ steps.s{1}.output.n }}}}
      far: ${{{{ steps.s{2}.output.n }}}}
    output: {{type: object, required: [n], properties: {{n: {{type: number}}}}}}
    checks: [{{rule: output.n >= 0}}]
"""
    first = "  s0: {pool: p, call: f, output: {type: object, properties: {n: {type: number}}}}\n"
    text = "name: large\ninputs: {topic: {type: string}}\nbudget: {steps: 10000}\nsteps:\n" + first
    text += "".join(step.format(at, at - 1, at // 2) for at in range(1, 10_000))
    used_s = []
    for _ in range(3):  # a busy neighbour may slow one down
        started_s = process_time()
        source = read_plan(text, "large.plan.yaml")
        report = check_plan(source.plan, places=source.sources)
        used_s.append(process_time() - started_s)
        assert report.errors == report.warnings == ()
        assert len(report.critical_path) == 10_000
        if used_s[-1] < 3.0:
            break
    assert min(used_s) < 3.0


def test_a_list_of_branches_is_capped_and_an_empty_one_is_told() -> None:
    report = check_plan(
        plan_of({"a": {"foreach": {"over": [0] * (limits.BRANCHES_MAX + 1)}}, "b": {"foreach": {"over": []}}})
    )
    assert errors_of(report) == [("steps.a.foreach.over", "the list has 100,001 items")]
    assert [(issue.path, issue.message) for issue in report.warnings] == [
        ("steps.b.foreach.over", "the list is empty: the step passes without running")
    ]


def test_a_wide_plan_full_of_mistakes_is_refused_without_comparing_all_names() -> None:
    steps: Steps = {f"step{n}": {"needs": [f"stop{n}"]} for n in range(3_000)}
    assert len(check_plan(plan_of(steps)).errors) == ISSUES_MAX + 1
