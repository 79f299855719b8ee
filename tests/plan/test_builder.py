"""Plans written in Python: equal to their YAML forms, and refused on the line of the mistake."""

import datetime as dt
import enum
import json
import operator
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, JsonValue

from orchestrator.errors import PlanError
from orchestrator.plan import checks, ladder
from orchestrator.plan.builder import PlanBuilder as Plan
from orchestrator.plan.expressions import bare
from orchestrator.plan.files import dump_plan, parse_plan
from orchestrator.plan.models import Plan as FrozenPlan
from orchestrator.plan.options import any_, at_least
from orchestrator.plan.parts import Budget, Defaults, Effect, ModelUse, Retry, Timeout
from orchestrator.plan.refs import Expr, StepRef, expr, length, literal, text_of
from workers import Pool, Registry


class Source(BaseModel):
    url: str
    year: int = 2024


class SourceList(BaseModel):
    items: list[Source]
    note: str | None = None


class Sizing(BaseModel):
    low: float
    mid: float
    high: float
    status: str = "final"


class BriefIn(BaseModel):
    topic: Annotated[str, Field(min_length=3)]
    regions: Annotated[list[str], Field(max_length=12)] = ["EU", "US", "JP"]


research, analyst, tools = Pool("research"), Pool("analyst"), Pool("tools")


@research.worker
async def find_sources(ctx: object, topic: str, region: str) -> SourceList:
    raise AssertionError("plans call nothing")


@analyst.worker
async def size_market(
    ctx: object, tables: list[SourceList], missing: list[dict[str, JsonValue]] | None = None
) -> Sizing:
    raise AssertionError("plans call nothing")


@tools.worker
async def publish(ctx: object, body: JsonValue):  # type: ignore[no-untyped-def] # says nothing of its output
    raise AssertionError("plans call nothing")


@tools.worker
async def fetch(ctx: object, url: str, retries: int = 3) -> str:
    raise AssertionError("plans call nothing")


SOURCES_OUT: dict[str, JsonValue] = {
    "type": "object",
    "required": ["items"],
    "properties": {
        "items": {"type": "array", "items": {"$ref": "#/$defs/Source"}},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
    },
    "$defs": {
        "Source": {
            "type": "object",
            "required": ["url"],
            "properties": {"url": {"type": "string"}, "year": {"type": "integer", "default": 2024}},
        }
    },
}


SIZING_OUT: dict[str, JsonValue] = {
    "type": "object",
    "required": ["low", "mid", "high"],
    "properties": {
        "low": {"type": "number"},
        "mid": {"type": "number"},
        "high": {"type": "number"},
        "status": {"type": "string", "default": "final"},
    },
}


def refused(act: Callable[[], object]) -> tuple[str, str, str]:
    """Message, place and remedy of the one thing that is wrong."""
    with pytest.raises(PlanError) as caught:
        act()
    (issue,) = caught.value.issues
    return issue.message, issue.path, issue.expected


def opened() -> Plan:
    return Plan("market-brief", inputs=BriefIn)


# ---- the two forms of one plan


def design_sample() -> FrozenPlan:
    with Plan("market-brief", inputs=BriefIn) as p:
        src = p.map(
            find_sources,
            over=p.inputs.regions,
            topic=p.inputs.topic,
            max_parallel=4,
            checks=[checks.rule("len(output['items']) >= 3")],
            on_fail=[ladder.retry(2), ladder.gap()],
        )
        size = p.step(size_market, tables=src.passed, join=at_least(2))
        p.result(size)
    return p.freeze()


DESIGN_SAMPLE: dict[str, JsonValue] = {
    "version": 1,
    "name": "market-brief",
    "inputs": {
        "topic": {"type": "string", "minLength": 3},
        "regions": {"type": "array", "items": {"type": "string"}, "default": ["EU", "US", "JP"], "maxItems": 12},
    },
    "steps": {
        "find_sources": {
            "pool": "research",
            "call": "find_sources",
            "foreach": {"over": "${{ inputs.regions }}", "max_parallel": 4},
            "with": {"topic": "${{ inputs.topic }}", "region": "${{ item }}"},
            "output": SOURCES_OUT,
            "checks": [{"rule": "len(output['items']) >= 3"}],
            "on_fail": [{"retry": 2}, "gap"],
        },
        "size_market": {
            "pool": "analyst",
            "call": "size_market",
            "with": {"tables": "${{ steps.find_sources.passed }}"},
            "join": {"at_least": 2},
            "output": SIZING_OUT,
        },
    },
    "result": "${{ steps.size_market.output }}",
}


def whole_format() -> FrozenPlan:
    with Plan(
        "market-brief",
        inputs={"topic": {"type": "string", "minLength": 3}, "regions": list[str]},
        description="One page on a topic, region by region",
        constraints=["Every figure carries a year and a source"],
        budget=Budget(usd=4, tokens=900_000, wall=1200, steps=40, on_limit="ask"),
        defaults=Defaults(
            timeout=Timeout(attempt=90, total=360, idle=20),
            retry=Retry(attempts=2, errors=("timeout", "rate_limit")),
        ),
    ) as p:
        region = p.item_as("region")
        sources = p.task(
            research,
            f"Primary sources on {p.inputs.topic} in {region}",
            id="sources",
            over=p.inputs.regions,
            as_="region",
            max_parallel=4,
            output={"type": "object", "required": ["items"], "properties": {"items": {"type": "array"}}},
            checks=[
                checks.rule(length(checks.output["items"]) >= 3, reason="at least three sources"),
                checks.grounded("items.url", in_="tool_results"),
            ],
            on_fail=[ladder.retry(2), ladder.escalate(tier="strong"), "gap"],
        )
        sizing = p.step(
            "analyst.size_market",
            id="sizing",
            tables=sources.passed,
            missing=sources.gaps,
            join=at_least(2),
            early=True,
            checks=[
                checks.rule((checks.output.low <= checks.output.mid) & (checks.output.mid <= checks.output.high)),
                checks.agree(3, 2, field="mid", tolerance=0.1),
                checks.call("plausible", pool="finance", region="EU"),
            ],
            on_fail=[ladder.retry(1), ladder.escalate(pool="senior"), ladder.replan("downstream"), ladder.fail()],
            timeout={"attempt": "30s"},
            retry={"attempts": 5, "backoff": "2s..1m"},
        )
        draft = p.task(
            "writer",
            "Write the brief. Use only the sizing and the sources.",
            id="draft",
            description="the page itself",
            sizing=sizing,
            sources=sources.passed,
            model={"tier": "cheap", "cache": "exact", "batch": {"deadline": "6h"}},
            checks=[
                checks.judge("Every number is in sizing or sources", pass_at=0.9, votes=3),
                checks.human("Is this fit to print?", expires="2h", then="accept"),
            ],
            on_fail=[ladder.retry(1), ladder.ask(expires="24h", then="fail")],
        )
        approve = p.human(
            "approve",
            when=(p.run.cost_usd > 2.0) | draft.degraded,
            ask="Publish this brief?",
            show=draft,
            choices=["publish", "hold"],
            expires="12h",
            then="hold",
        )
        p.step(
            publish,
            id="publish",
            when=approve.skipped | (approve.output.choice == "publish"),
            body=draft.output,
            effect=Effect(key=f"{p.run.id}/publish", on_unknown="retry"),
        )
        p.goal("Find who should read it", id="readers", with_={"brief": draft}, budget={"usd": 0.5}, join=any_)
        p.step("tools.tidy", finally_=True, needs=["readers"])
        p.result({"brief": draft, "size": sizing.output.mid})
    return p.freeze()


WHOLE_FORMAT: dict[str, JsonValue] = {
    "version": 1,
    "name": "market-brief",
    "description": "One page on a topic, region by region",
    "inputs": {"topic": {"type": "string", "minLength": 3}, "regions": {"type": "array", "items": {"type": "string"}}},
    "constraints": ["Every figure carries a year and a source"],
    "budget": {"usd": 4.00, "tokens": 900000, "wall": "20m", "steps": 40, "on_limit": "ask"},
    "defaults": {
        "timeout": {"attempt": "90s", "total": "6m", "idle": "20s"},
        "retry": {"attempts": 2, "backoff": "1s..30s", "errors": ["timeout", "rate_limit"]},
    },
    "steps": {
        "sources": {
            "pool": "research",
            "foreach": {"over": "${{ inputs.regions }}", "as": "region", "max_parallel": 4},
            "task": "Primary sources on ${{ inputs.topic }} in ${{ region }}",
            "output": {"type": "object", "required": ["items"], "properties": {"items": {"type": "array"}}},
            "checks": [
                {"rule": "len(output.items) >= 3", "reason": "at least three sources"},
                {"grounded": {"field": "items.url", "in": "tool_results"}},
            ],
            "on_fail": [{"retry": 2}, {"escalate": {"tier": "strong"}}, "gap"],
        },
        "sizing": {
            "pool": "analyst",
            "call": "size_market",
            "with": {"tables": "${{ steps.sources.passed }}", "missing": "${{ steps.sources.gaps }}"},
            "join": {"at_least": 2},
            "early": True,
            "checks": [
                {"rule": "output.low <= output.mid and output.mid <= output.high"},
                {"agree": {"runs": 3, "quorum": 2, "field": "mid", "tolerance": 0.1}},
                {"call": "plausible", "pool": "finance", "with": {"region": "EU"}},
            ],
            "on_fail": [{"retry": 1}, {"escalate": {"pool": "senior"}}, {"replan": "downstream"}, "fail"],
            "timeout": {"attempt": "30s"},
            "retry": {"attempts": 5, "backoff": "2s..60s"},
        },
        "draft": {
            "description": "the page itself",
            "pool": "writer",
            "task": "Write the brief. Use only the sizing and the sources.",
            "with": {"sizing": "${{ steps.sizing.output }}", "sources": "${{ steps.sources.passed }}"},
            "model": {"tier": "cheap", "cache": "exact", "batch": {"deadline": "6h"}},
            "checks": [
                {
                    "judge": {
                        "rubric": "Every number is in sizing or sources",
                        "tier": "strong",
                        "pass_at": 0.9,
                        "votes": 3,
                    }
                },
                {"human": {"ask": "Is this fit to print?", "expires": "2h", "then": "accept"}},
            ],
            "on_fail": [{"retry": 1}, {"ask": {"expires": "24h", "then": "fail"}}],
        },
        "approve": {
            "if": "run.cost_usd > 2.0 or steps.draft.degraded",
            "human": {
                "ask": "Publish this brief?",
                "show": "${{ steps.draft.output }}",
                "choices": ["publish", "hold"],
                "expires": "12h",
                "then": "hold",
            },
        },
        "publish": {
            "pool": "tools",
            "if": 'steps.approve.skipped or steps.approve.output.choice == "publish"',
            "call": "publish",
            "with": {"body": "${{ steps.draft.output }}"},
            "effect": {"key": "${{ run.id }}/publish", "on_unknown": "retry"},
        },
        "readers": {
            "goal": "Find who should read it",
            "with": {"brief": "${{ steps.draft.output }}"},
            "budget": {"usd": 0.5},
            "join": "any",
        },
        "tidy": {"pool": "tools", "call": "tidy", "finally": True, "needs": ["readers"]},
    },
    "result": {"brief": "${{ steps.draft.output }}", "size": "${{ steps.sizing.output.mid }}"},
}


def chain() -> FrozenPlan:
    p = Plan("chain")
    first = p.step(fetch, url="a")
    second = p.step(fetch, url=first)
    p.step(fetch, url=second, needs=[first], description="the last")
    return p.freeze()


TEXT: dict[str, JsonValue] = {"type": "string"}
CHAIN: dict[str, JsonValue] = {
    "name": "chain",
    "steps": {
        "fetch": {"pool": "tools", "call": "fetch", "with": {"url": "a"}, "output": TEXT},
        "fetch_2": {"pool": "tools", "call": "fetch", "with": {"url": "${{ steps.fetch.output }}"}, "output": TEXT},
        "fetch_3": {
            "description": "the last",
            "pool": "tools",
            "call": "fetch",
            "with": {"url": "${{ steps.fetch_2.output }}"},
            "needs": ["fetch"],
            "output": TEXT,
        },
    },
}


def pipeline() -> FrozenPlan:
    p = Plan("pipeline", inputs={"urls": list[str]})
    pages = p.map(fetch, over=p.inputs.urls, retries=p.index, max_parallel=8)
    p.map("tools.parse", each=pages, page=p.item, at=p.index, id="parsed", when=p.item != "")
    p.map(fetch, over=["a", {"b": p.inputs.urls[0]}], id="fixed")
    return p.freeze()


PIPELINE: dict[str, JsonValue] = {
    "name": "pipeline",
    "inputs": {"urls": {"type": "array", "items": {"type": "string"}}},
    "steps": {
        "fetch": {
            "pool": "tools",
            "call": "fetch",
            "foreach": {"over": "${{ inputs.urls }}", "max_parallel": 8},
            "with": {"url": "${{ item }}", "retries": "${{ index }}"},
            "output": TEXT,
        },
        "parsed": {
            "pool": "tools",
            "call": "parse",
            "foreach": {"each": "fetch"},
            "if": 'item != ""',
            "with": {"page": "${{ item }}", "at": "${{ index }}"},
        },
        "fixed": {
            "pool": "tools",
            "call": "fetch",
            "foreach": {"over": ["a", {"b": "${{ inputs.urls[0] }}"}]},
            "with": {"url": "${{ item }}"},
            "output": TEXT,
        },
    },
}


def nested() -> FrozenPlan:
    with Plan("page", inputs={"url": str, "depth": {"type": "integer", "default": 1}}) as sub:
        sub.result(sub.step(fetch, url=sub.inputs.url))
    with Plan("site", inputs={"urls": list[str]}) as p:
        pages = p.plan(sub, over=p.inputs.urls, url=p.item, budget=Budget(steps=5), on_fail=[ladder.gap()])
        p.plan(sub.freeze(), id="front", with_={"url": "/"}, when=length(p.inputs.urls) > 0)
        p.result(pages.passed)
    return p.freeze()


SUB: dict[str, JsonValue] = {
    "name": "page",
    "inputs": {"url": TEXT, "depth": {"type": "integer", "default": 1}},
    "steps": {"fetch": {"pool": "tools", "call": "fetch", "with": {"url": "${{ inputs.url }}"}, "output": TEXT}},
    "result": "${{ steps.fetch.output }}",
}
NESTED: dict[str, JsonValue] = {
    "name": "site",
    "inputs": {"urls": {"type": "array", "items": {"type": "string"}}},
    "steps": {
        "page": {
            "plan": SUB,
            "foreach": {"over": "${{ inputs.urls }}"},
            "with": {"url": "${{ item }}"},
            "budget": {"steps": 5},
            "on_fail": ["gap"],
        },
        "front": {"plan": SUB, "with": {"url": "/"}, "if": "len(inputs.urls) > 0"},
    },
    "result": "${{ steps.page.passed }}",
}


class Colour(enum.StrEnum):
    RED = "red"


def values() -> FrozenPlan:
    p = Plan("values", inputs={"url": str})
    page = p.step("tools.fetch", id="my-page", url=p.inputs.url)
    source = Source.model_construct(url=page.output.url, year=p.run.steps)  # type: ignore[arg-type] # references, not values
    p.step(
        "tools.show",
        with_={"when": dt.date(2026, 1, 2), "id": 7},
        source=source,
        both=(page, [p.inputs, {"deep": page.status}]),
        colour=Colour.RED,
        path=Path("a/b"),
        nothing=None,
        text=f"from {p.inputs.url} and {page['odd key']}",
        model="strong",
    )
    return p.freeze()


VALUES: dict[str, JsonValue] = {
    "name": "values",
    "inputs": {"url": TEXT},
    "steps": {
        "my-page": {"pool": "tools", "call": "fetch", "with": {"url": "${{ inputs.url }}"}},
        "show": {
            "pool": "tools",
            "call": "show",
            "model": {"tier": "strong"},
            "with": {
                "when": "2026-01-02",
                "id": 7,
                "source": {"url": '${{ steps["my-page"].output.url }}', "year": "${{ run.steps }}"},
                "both": [
                    '${{ steps["my-page"].output }}',
                    ["${{ inputs }}", {"deep": '${{ steps["my-page"].status }}'}],
                ],
                "colour": "red",
                "path": "a/b",
                "nothing": None,
                "text": 'from ${{ inputs.url }} and ${{ steps["my-page"].output["odd key"] }}',
            },
        },
    },
}


def conditions() -> FrozenPlan:
    p = Plan("conditions", inputs={"n": int, "tags": list[str]})
    n, tags = p.inputs.n, p.inputs.tags
    p.step("tools.a", when=~((n > 1) & (n < 9)) | (n == 5))
    p.step("tools.b", when=(n + 1) * 2 - (3 - n) >= -n / 2)
    p.step("tools.c", when=tags.contains("x") & n.in_([1, 2.5, None]) & (tags[n] != 'say "ä"'))
    p.step("tools.d", when=f"len({tags}) > 1 and {n > 3}", needs=["c"])
    p.step("tools.e", when=expr("inputs.n // 2 == 1"))
    p.step("tools.f", when=True)
    return p.freeze()


CONDITIONS: dict[str, JsonValue] = {
    "name": "conditions",
    "inputs": {"n": {"type": "integer"}, "tags": {"type": "array", "items": {"type": "string"}}},
    "steps": {
        "a": {"pool": "tools", "call": "a", "if": "not (inputs.n > 1 and inputs.n < 9) or inputs.n == 5"},
        "b": {"pool": "tools", "call": "b", "if": "(inputs.n + 1) * 2 - (3 - inputs.n) >= -inputs.n / 2"},
        "c": {
            "pool": "tools",
            "call": "c",
            "if": '"x" in inputs.tags and inputs.n in [1, 2.5, null] and inputs.tags[inputs.n] != "say \\"ä\\""',
        },
        "d": {"pool": "tools", "call": "d", "if": "len(inputs.tags) > 1 and (inputs.n > 3)", "needs": ["c"]},
        "e": {"pool": "tools", "call": "e", "if": "inputs.n // 2 == 1"},
        "f": {"pool": "tools", "call": "f", "if": True},
    },
}


def smallest() -> FrozenPlan:
    p = Plan("smallest")
    p.task("writer", "Say hello")
    return p.freeze()


SMALLEST: dict[str, JsonValue] = {"name": "smallest", "steps": {"writer": {"pool": "writer", "task": "Say hello"}}}


def agents() -> FrozenPlan:
    p = Plan("agents", budget={"usd": 0.1, "wall": "5m"}, defaults={"retry": {"attempts": 1}})
    drafts = p.task("writer", "Three titles", over=["a", "b"], output=list[str], model=ModelUse(tier="cheap"))
    best = p.task("writer", f"Pick one for {p.item}", each=drafts, output=Sizing, timeout=Timeout(attempt=5))
    p.goal("Print it", with_={"titles": best}, output={"type": "string"})
    p.task("writer", "Say so", finally_=True, effort=3)
    return p.freeze()


AGENTS: dict[str, JsonValue] = {
    "name": "agents",
    "budget": {"usd": 0.1, "wall": "300s"},
    "defaults": {"retry": {"attempts": 1}},
    "steps": {
        "writer": {
            "pool": "writer",
            "task": "Three titles",
            "foreach": {"over": ["a", "b"]},
            "output": {"type": "array", "items": {"type": "string"}},
            "model": {"tier": "cheap"},
        },
        "writer_2": {
            "pool": "writer",
            "task": "Pick one for ${{ item }}",
            "foreach": {"each": "writer"},
            "timeout": {"attempt": 5},
            "output": SIZING_OUT,
        },
        "goal": {"goal": "Print it", "with": {"titles": "${{ steps.writer_2.output }}"}, "output": TEXT},
        "writer_3": {"pool": "writer", "task": "Say so", "with": {"effort": 3}, "finally": True},
    },
}

PAIRS: list[tuple[Callable[[], FrozenPlan], dict[str, JsonValue]]] = [
    (design_sample, DESIGN_SAMPLE),
    (whole_format, WHOLE_FORMAT),
    (chain, CHAIN),
    (pipeline, PIPELINE),
    (nested, NESTED),
    (values, VALUES),
    (conditions, CONDITIONS),
    (smallest, SMALLEST),
    (agents, AGENTS),
]


@pytest.mark.parametrize(("build", "written"), PAIRS, ids=lambda each: getattr(each, "__name__", ""))
def test_the_python_form_equals_the_written_form(
    build: Callable[[], FrozenPlan], written: dict[str, JsonValue]
) -> None:
    read = parse_plan(json.dumps(written))
    built = build()

    assert built.canonical() == read.canonical()
    assert built.digest == read.digest
    assert parse_plan(dump_plan(built)).digest == built.digest


def test_the_pairs_use_every_key_of_the_format() -> None:
    def keys(value: JsonValue, *below: str) -> set[str]:
        """The keys of `value`, and of what stands under those of its keys that are named in `below`."""
        if isinstance(value, list):
            return {key for each in value for key in keys(each, *below)}
        if not isinstance(value, dict):
            return {value} if isinstance(value, str) else set()
        return set(value) | {key for name in below if name in value for key in keys(value[name])}

    used: set[str] = set()
    for _, written in PAIRS:
        steps = written["steps"]
        assert isinstance(steps, dict)
        used |= keys(written) | keys(list(steps.values()), "checks", "on_fail")
    every = ["version", "name", "description", "inputs", "constraints", "budget", "defaults", "steps", "result"]
    every += ["pool", "task", "call", "human", "plan", "goal", "with", "output", "checks", "on_fail", "needs", "if"]
    every += ["foreach", "join", "early", "timeout", "retry", "model", "effect", "finally"]
    every += ["rule", "reason", "grounded", "agree", "judge", "escalate", "ask", "replan", "gap", "fail"]
    assert used >= set(every)


# ---- references


def test_a_step_as_an_argument_stands_for_its_output() -> None:
    p = opened()
    size = p.step(size_market, tables=[])

    assert str(size) == str(size.output) == "${{ steps.size_market.output }}"
    assert f"{size.low}" == "${{ steps.size_market.output.low }}"
    assert str(size["low"]) == str(size.low)


def test_a_field_that_is_called_like_the_steps_own_is_reached_by_brackets() -> None:
    size = opened().step(size_market, tables=[])

    assert text_of(size.status) == "steps.size_market.status"
    assert text_of(size["status"]) == "steps.size_market.output.status"


def test_the_shape_of_a_mapped_step_is_a_list() -> None:
    p = opened()
    src = p.map(find_sources, over=p.inputs.regions, topic="x")

    assert text_of(src[0]["items"][1].url) == "steps.find_sources.output[0].items[1].url"
    assert text_of(src.passed[0].note) == "steps.find_sources.passed[0].note"
    assert text_of(src.gaps[0].reason) == "steps.find_sources.gaps[0].reason"
    assert refused(lambda: src.items) == (
        "`steps.find_sources.output` is a list and has no field 'items'",
        "",
        "[index] first, or p.map(fn, each=…)",
    )


def test_unknown_names_are_refused_at_once_with_the_nearest() -> None:
    p = opened()
    size = p.step(size_market, tables=[])

    assert refused(lambda: p.inputs.topik) == ("the plan has no input 'topik'", "", "topic")
    assert refused(lambda: size.lov) == ("`steps.size_market.output` has no field 'lov'", "", "low")
    assert refused(lambda: size["mids"]) == ("`steps.size_market.output` has no field 'mids'", "", "mid")
    assert refused(lambda: size.low.value) == (
        "`steps.size_market.output.low` is a number and has no field 'value'",
        "",
        "`steps.size_market.output.low` itself",
    )
    assert refused(lambda: p.run.cost) == ("`run` has no field 'cost'", "", "cost_usd")
    assert refused(lambda: Plan("x").inputs.topic) == (
        "the plan has no input 'topic'",
        "",
        "inputs=… where the plan is opened",
    )
    assert not hasattr(p.inputs, "topik")
    assert not hasattr(size, "_repr_html_")


def test_an_output_without_a_schema_has_any_field() -> None:
    page = opened().step(publish, body=1)

    assert text_of(page.anything["at all"][-1].x) == 'steps.publish.output.anything["at all"][-1].x'


def test_a_sub_plan_tells_the_shape_of_its_result() -> None:
    sub = Plan("sub")
    sub.result(sub.step(size_market, tables=[]))
    step = opened().plan(sub)

    assert text_of(step.low) == "steps.sub.output.low"
    assert refused(lambda: step.lowest)[0] == "`steps.sub.output` has no field 'lowest'"


def test_a_persons_answer_has_a_choice_and_a_reason() -> None:
    step = opened().human("approve", ask="Well?", choices=["yes", "no"])

    assert text_of(step.choice) == "steps.approve.output.choice"
    assert refused(lambda: step.answer)[0] == "`steps.approve.output` has no field 'answer'"


@pytest.mark.parametrize(
    ("act", "remedy"),
    [
        (
            bool,
            "& | ~ in place of and, or, not (with brackets around comparisons); when=… in place of if",
        ),
        (
            lambda ref: ref == 1 and ref > 2,
            "& | ~ in place of and, or, not (with brackets around comparisons); when=… in place of if",
        ),
        (list, "p.map(fn, over=…) in place of a loop"),
        (len, "length(…)"),
        (lambda ref: 1 in ref, "ref.contains(item) or ref.in_(list)"),
        (lambda ref: f"{ref:.2f}", "no format"),
        (lambda ref: ref[1:2], ""),
        (lambda ref: ref == object(), "text, number, true, false, null, list or mapping"),
        (lambda ref: ref > float("inf"), "text, number, true, false, null, list or mapping"),
    ],
)
def test_what_cannot_be_known_yet_is_refused_with_the_remedy(act: Callable[[Expr], object], remedy: str) -> None:
    ref = opened().inputs.regions

    assert refused(lambda: act(ref))[2] == remedy


def test_references_of_another_plan_are_refused() -> None:
    p, other = opened(), opened()
    far = other.step(size_market, tables=[])

    assert refused(lambda: p.step(publish, body={"x": [far.low]})) == (
        "<Ref steps.size_market.output.low> belongs to another plan",
        "steps.publish.with.body.x[0]",
        "a reference of this plan, or p.plan(sub, …) to use the other",
    )
    for act in (
        lambda: p.step(publish, body=1, when=far.low > 1),
        lambda: p.step(publish, body=1, needs=[far]),
        lambda: p.step(publish, body=1, effect=far),
        lambda: p.map(fetch, over=far.output),
        lambda: p.result(far),
        lambda: p.human("h", ask="?", choices=["a"], show=far),
        lambda: p.inputs.topic == far.low,
    ):
        assert "another plan" in refused(act)[0] or "two plans" in refused(act)[0] or "only a list" in refused(act)[0]


def test_every_operator_gives_an_expression_that_means_the_same() -> None:
    a, b = Expr("a"), Expr("b")
    scope: dict[str, JsonValue] = {"a": 7, "b": 3}
    cases: list[tuple[Expr, JsonValue]] = [
        (a - (b - 1), 5),
        ((a - b) - 1, 3),
        (a / (b * 2), 7 / 6),
        (a // b % 2, 0),
        (a % (b - 1), 1),
        (-(a + b) * 2, -20),
        (1 + a * b, 22),
        (10 - a, 3),
        (2 * (a + b), 20),
        (21 / a, 3.0),
        (15 // a, 2),
        (15 % a, 1),
        ((a > b) == True, True),  # noqa: E712 # builds an expression
        (~((a > b) & (a > 10)), True),
        ((a < b) | ~(b == 3), False),
        (True & (a != b), True),
        (False | (a <= b), False),
        (b.in_([1, 2, 3]), True),
        (expr("a if b > 1 else 0") + 1, 8),
        (expr("a or b") * 2, 14),
        (-Expr("a") - -1, -6),
    ]

    assert [bare(text_of(made)).evaluate(scope) for made, _ in cases] == [value for _, value in cases]


NUMBERS: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.integers(-9, 9), st.sampled_from(["a", "b"])),
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(["+", "-", "*"]), inner, inner), st.tuples(st.just("neg"), inner)
    ),
    max_leaves=6,
)
TRUTHS: st.SearchStrategy[Any] = st.recursive(
    st.tuples(st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), NUMBERS, NUMBERS),
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(["==", "!=", "&", "|"]), inner, inner), st.tuples(st.just("~"), inner)
    ),
    max_leaves=6,
)
NAMED = {"a": 7, "b": -3}
OPERATE: dict[str, Callable[..., Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "neg": operator.neg,
    "&": operator.and_,
    "|": operator.or_,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def as_expression(tree: Any) -> Any:
    """The tree over references; at least one operand of every operator is one."""
    match tree:
        case int():
            return tree
        case str():
            return Expr(tree)
        case "~", one:
            return ~as_expression(one)
        case sign, *operands:
            first, *others = map(as_expression, operands)
            return OPERATE[sign](literal(first), *others)
        case _:
            raise AssertionError(tree)


def as_value(tree: Any) -> Any:
    match tree:
        case int():
            return tree
        case str():
            return NAMED[tree]
        case "~", one:
            return not as_value(one)
        case sign, *operands:
            return OPERATE[sign](*map(as_value, operands))
        case _:
            raise AssertionError(tree)


def deep(tree: Any) -> int:
    return 1 + max(map(deep, tree[1:])) if isinstance(tree, tuple) else 0


@given(TRUTHS)
def test_brackets_stand_where_they_are_needed(tree: Any) -> None:
    text = text_of(as_expression(tree))
    assume(deep(tree) < 12)  # the language caps nesting

    assert bare(text).evaluate(dict(NAMED)) == as_value(tree)


# ---- steps and options


def test_ids_come_from_names_and_given_ids_win() -> None:
    p = opened()
    made = [
        p.step(fetch, url="a"),
        p.step(fetch, url="b"),
        p.step(fetch, url="c", id="third"),
        p.task("market-writer", "x"),
        p.goal("y"),
        p.plan(FrozenPlan.model_validate(SMALLEST)),
    ]

    assert [step.step_id for step in made] == ["fetch", "fetch_2", "third", "market_writer", "goal", "smallest"]
    assert refused(lambda: p.step(fetch, url="d", id="fetch")) == (
        "there are two steps 'fetch'",
        "steps.fetch",
        "another id=… for one of them",
    )
    assert refused(lambda: p.step(fetch, url="d", id="no id"))[0] == "'no id' is no id for a step"


def test_arguments_are_held_against_the_contract() -> None:
    p = opened()

    assert refused(lambda: p.step(fetch, urll="a")) == ("there is no parameter 'urll'", "steps.fetch.with.urll", "url")
    assert refused(lambda: p.step(fetch)) == ("parameter 'url' is missing", "steps.fetch.with", "url=…")
    assert refused(lambda: p.step(fetch, url="a", with_={"url": "b"}))[0] == "argument 'url' is given twice"
    sub = FrozenPlan.model_validate(SUB)
    assert refused(lambda: p.plan(sub, ulr="x")) == ("there is no input 'ulr'", "steps.page.with.ulr", "url")
    assert refused(lambda: p.plan(sub)) == ("input 'url' is missing", "steps.page.with", "url=…")


def test_the_item_goes_to_the_one_parameter_left_open() -> None:
    p = opened()
    regions = p.inputs.regions

    assert p.map(find_sources, over=regions, topic="x").step_id == "find_sources"
    assert refused(lambda: p.map(find_sources, over=regions)) == (
        "it is not clear which parameter of 'find_sources' takes the item (topic, region)",
        "steps.find_sources_2.with",
        "topic=p.item",
    )
    assert refused(lambda: p.map("tools.parse", over=regions))[2] == "parameter=p.item"
    assert refused(lambda: p.map(find_sources, over=regions, topic=p.item))[0] == "parameter 'region' is missing"
    named = p.map(fetch, over=regions, as_="region", id="named")
    assert named.mapped
    assert refused(lambda: p.map(fetch, over=regions, as_="region", url=p.item)) == (
        "the item of this step is called 'region'",
        "steps.fetch.with",
        "p.item_as('region')",
    )
    assert refused(lambda: p.map(fetch, over=regions, as_="region", url="x")) == (
        "it is not clear which parameter of 'fetch' takes the item (none is left open)",
        "steps.fetch.with",
        "parameter=p.item_as('region')",
    )
    assert refused(lambda: p.task("w", f"{p.item}", over=regions, as_="region")) == (
        "the item of this step is called 'region'",
        "steps.w.task",
        "p.item_as('region')",
    )


def test_only_a_list_has_items() -> None:
    p = opened()
    one = p.step(fetch, url="x")

    assert refused(lambda: p.map(fetch, over=p.inputs.topic)) == (
        "<InputRef inputs.topic> is of type string, and only a list has items",
        "steps.fetch_2.foreach.over",
        "a reference to a list",
    )
    assert refused(lambda: p.map(fetch, over=7))[0] == "7 is no list"
    assert refused(lambda: p.map(fetch))[0] == "a map needs a list"
    assert refused(lambda: p.map(fetch, each=one))[0] == "step 'fetch' has no branches to follow"
    assert refused(lambda: p.map(fetch, over=[1], each=one))[0] == "a step has over or each, not both"
    assert refused(lambda: p.map(fetch, over=[1], as_="steps"))[1] == "steps.fetch_2.foreach.as"
    assert refused(lambda: p.task("w", "x", as_="region"))[2] == "over=… or each=…"


DEEP = "steps.w.with.body[2]" + "[0]" * 63
NO_DATA = "object is no data that a plan can hold"
TOO_LONG = 'longer than 2,000 characters in `inputs.topic == "' + "x" * 183 + "`"
ONLY_CALLS = "effect goes with call: only a function of the host can honour a key"
VERBATIM = "this text is used as it is written, and cannot hold a reference"
NO_ASSIGNMENT = "`=` cannot stand here: write `==` to compare; nothing can be assigned in `a = 1`"
NO_DURATION = 'attempt is the text "soon"'


@pytest.mark.parametrize(
    ("act", "message", "place"),
    [
        (lambda p: p.step(len), "'len' is no worker function", "p.step"),
        (lambda p: p.step("parse"), "'parse' names no pool", "p.step"),
        (lambda p: p.task(7, "x"), "7 is no pool", "p.task"),
        (lambda p: p.task("w", "in ${{ item }}"), "this step has no item", "steps.w.task"),
        (lambda p: p.task("w", "in ${{ imputs.topic }}"), "there is no 'imputs' to refer to", "steps.w.task"),
        (lambda p: p.task("w", "x", when="output > 1"), "there is no 'output' to refer to", "steps.w.if"),
        (lambda p: p.task("w", "x", when="a = 1"), NO_ASSIGNMENT, ""),
        (lambda p: p.task("w", "x ${{ a. }}"), "cannot be read here in ` a. `", "steps.w.task"),
        (lambda p: p.task("w", "x", checks=["len(output) > 1"]), "'len(output) > 1' is no check", "steps.w.checks[0]"),
        (lambda p: p.task("w", "x", on_fail=["retry"]), "'retry' is no rung", "steps.w.on_fail[0]"),
        (lambda p: p.task("w", "x", needs=[7]), "7 is no step", "steps.w.needs"),
        (lambda p: p.task("w", "x", early=True), "early goes with join: any or at_least", "steps.w"),
        (lambda p: p.task("w", "x", body=object()), "object is no data that a plan can hold", "steps.w.with.body"),
        (lambda p: p.task("w", "x", body=float("nan")), "nan is no number that JSON has", "steps.w.with.body"),
        (lambda p: p.task("w", "x", body=[[1]] * 2 + [nest(70)]), "the value is nested deeper than 64", DEEP),
        (lambda p: p.task("w", "x", body=[Pair(1, object())]), NO_DATA, "steps.w.with.body[0]"),
        (lambda p: p.task("w", "x", output=print), "<built-in function print> has no JSON Schema", "steps.w.output"),
        (lambda p: p.task("w", "x" * 70_000), 'task is the text "' + "x" * 59 + '…"', "steps.w.task"),
        (lambda p: p.task("w", "x", when=p.inputs.topic == "x" * 3000), TOO_LONG, "steps.w.if"),
        (lambda p: p.inputs.regions[True], "`inputs.regions` is indexed by one whole number or text, not by True", ""),
        (lambda p: p.inputs[0], "`inputs` is an object: 0 is no field of it", ""),
        (lambda p: p.task("w", "x", effect="k"), "effect is no option of this kind of step", "steps.w"),
        (lambda p: p.step("tools.f", over=[1]), "over is no option of this kind of step", "steps.f"),
        (lambda p: p.goal("x", effect={"key": p.inputs.topic}), ONLY_CALLS, "steps.goal"),
        (lambda p: p.task("w", "x", body={1: 2}), "1 cannot be a key", "steps.w.with.body"),
        (lambda p: p.task("w", "x", timeout={"attempt": "soon"}), NO_DURATION, "steps.w.timeout.attempt"),
        (lambda p: p.human("h", ask=f"{p.inputs.topic}?", choices=["a"]), VERBATIM, "steps.h.human.ask"),
        (lambda p: p.human("h", ask="?", choices=["a"], then="b"), "then must be one of a, or fail", "steps.h.human"),
        (lambda p: p.goal(f"{p.inputs.topic}"), VERBATIM, "steps.goal.goal"),
        (lambda p: p.plan(p), "a plan cannot be a step of itself", "p.plan"),
        (lambda p: p.freeze(), "plan 'market-brief' has no steps", "steps"),
        (lambda p: Plan("no name"), "'no name' is no name for a plan", "name"),
        (lambda p: Plan("x", inputs=7), "7 does not describe inputs", "inputs"),
        (lambda p: at_least(0), "at_least(0) would wait for nothing", "join"),
        (lambda p: checks.agree(5, 2), "quorum must be more than half of runs and at most runs", "checks.agree"),
        (lambda p: ladder.escalate(), "escalate is an empty mapping", "ladder.escalate"),
        (lambda p: ladder.retry(0), "retry is 0", "ladder.retry"),
    ],
)  # fmt: skip
def test_mistakes_are_refused_where_they_are_made(act: Callable[[Plan], object], message: str, place: str) -> None:
    found = refused(lambda: act(opened()))

    assert (found[0], found[1]) == (message, place)


def test_nothing_is_added_after_a_refusal_or_after_freezing() -> None:
    p = opened()
    with pytest.raises(PlanError):
        p.task("w", "x", early=True)
    p.task("w", "x")
    frozen = p.freeze()

    assert list(frozen.steps) == ["w"]
    assert p.freeze() is frozen
    assert refused(lambda: p.task("w", "x"))[0] == "plan 'market-brief' is frozen"
    assert refused(lambda: p.result(1))[0] == "plan 'market-brief' is frozen"
    assert repr(p) == "<Plan 'market-brief': 1 steps, frozen>"


def test_a_result_is_said_once() -> None:
    p = opened()
    p.result(p.task("w", "x"))

    assert refused(lambda: p.result(1))[0] == "the plan has its result already"


# ---- inputs


def test_inputs_of_a_model_are_whole_schemas_each() -> None:
    class Deep(BaseModel):
        first: Source
        several: list[Source] = Field(default_factory=list, description="more of them")
        plain: int | None = None

    assert Plan("x", inputs=Deep).inputs.first.url is not None
    p = Plan("x", inputs=Deep)
    p.task("w", "x")
    defs = {
        "Source": {
            "type": "object",
            "required": ["url"],
            "properties": {"url": TEXT, "year": {"type": "integer", "default": 2024}},
        }
    }
    assert p.freeze().inputs == {
        "first": {"$ref": "#/$defs/Source", "$defs": defs},
        "several": {
            "type": "array",
            "items": {"$ref": "#/$defs/Source"},
            "default": [],
            "description": "more of them",
            "$defs": defs,
        },
        "plain": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None},
    }
    assert refused(lambda: p.inputs.several[0].ulr)[2] == "url"


def test_a_default_that_is_never_the_same_is_refused() -> None:
    ticks = iter(range(10))

    class Now(BaseModel):
        at: int = Field(default_factory=lambda: next(ticks))

    assert refused(lambda: Plan("x", inputs=Now))[1] == "inputs.at"


def test_a_model_that_contains_itself_and_a_field_called_title_are_fine() -> None:
    p = Plan("x", inputs=Tree)
    p.task("w", "x")

    assert list(p.freeze().inputs) == ["title", "children"]
    assert text_of(p.inputs.children[0].children[0].title) == "inputs.children[0].children[0].title"
    assert refused(lambda: p.inputs.children[0].titel)[2] == "title"


class Tree(BaseModel):
    title: str
    children: list["Tree"] = []


def test_a_step_reference_is_what_the_verbs_return() -> None:
    p = opened()
    made = [p.step(fetch, url="a"), p.task("w", "x"), p.goal("y"), p.human("h", ask="?", choices=["a"])]

    assert [(type(step), step.mapped) for step in made] == [(StepRef, False)] * 4


def test_a_frozen_plan_shares_nothing_with_what_it_was_made_of() -> None:
    schema: dict[str, JsonValue] = {"type": "object", "properties": {"x": {"type": "string"}}}
    deep: dict[str, JsonValue] = {"y": [1]}
    p = Plan("x", inputs={"a": schema})
    p.task("w", "x", output=schema, deep=deep)
    frozen = p.freeze()
    before = frozen.canonical()
    schema["properties"] = {}
    deep["y"] = []

    assert Plan("x", inputs={"a": {"type": "string"}}).inputs.a is not None
    assert frozen.canonical() == before


def test_freezing_with_pools_holds_the_plan_against_their_functions() -> None:
    p = Plan("x")
    p.step("tools.nothing", id="gone")
    p.freeze()

    message, path, _ = refused(lambda: p.freeze(Registry([tools])))
    assert path == "steps.gone.call"
    assert "nothing" in message


def test_thousands_of_steps_may_share_a_name() -> None:
    p = opened()
    made = [p.step("tools.f", x=at).step_id for at in range(2_000)]

    assert (made[0], made[1], made[-1], len(set(made))) == ("f", "f_2", "f_2000", 2_000)


def test_what_pydantic_can_write_is_taken_and_references_in_it_too() -> None:
    p = Plan("x", inputs={"n": int})
    p.step(
        "tools.f", pair=Pair(p.inputs.n, {1}), level=Level.HIGH, choice=expr('{"a": inputs.n}.a') == {"a": [p.inputs.n]}
    )

    assert p.freeze().steps["f"].with_ == {
        "pair": {"left": "${{ inputs.n }}", "right": [1]},
        "level": 3,
        "choice": '${{ ({"a": inputs.n}.a) == {"a": [inputs.n]} }}',
    }


@dataclass
class Pair:
    left: object
    right: object


class Level(enum.IntEnum):
    HIGH = 3


def nest(depth: int) -> JsonValue:
    value: JsonValue = 1
    for _ in range(depth):
        value = [value]
    return value
