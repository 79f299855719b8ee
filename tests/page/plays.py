"""Runs to look at: one with a story in every step, one that failed, one that waits, wide ones."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from orchestrator.core import facts as f
from orchestrator.ids import Digest, JsonValue, RunId, StepId
from orchestrator.plan.models import Plan
from orchestrator.ports.journal import Recorded
from orchestrator.testing.scenario import Scenario

NOON_S = 1_767_268_800.0  #: when scenarios begin
DIGEST = Digest("sha256:" + "0" * 64)
REGIONS: list[JsonValue] = ["EU", "US", "JP", "KR", "IN", "BR", "MX", "ZA", "AU", "CA", "UK", "NO"]


def brief_plan() -> Plan:
    """A page on a topic, region by region: maps, joins, judges, a person, an effect."""
    return Plan.model_validate(
        {
            "version": 1,
            "name": "market-brief",
            "description": "One page on a topic, region by region",
            "inputs": {
                "topic": {"type": "string", "minLength": 3},
                "regions": {"type": "array", "items": {"type": "string"}, "default": REGIONS, "maxItems": 12},
            },
            "constraints": ["Every figure carries a year and a source"],
            "budget": {"usd": 4.0, "tokens": 900_000, "wall": "20m", "steps": 40},
            "steps": {
                "sources": {
                    "pool": "research",
                    "foreach": {"over": "${{ inputs.regions }}", "as": "region", "max_parallel": 4},
                    "task": "Primary sources on ${{ inputs.topic }} in ${{ region }}",
                    "output": {"type": "object", "required": ["items"], "properties": {"items": {"type": "array"}}},
                    "checks": [{"rule": "len(output['items']) >= 2", "reason": "fewer than two sources"}],
                    "on_fail": [{"retry": 1}, "gap"],
                },
                "prices": {"pool": "tools", "call": "spot_prices", "with": {"topic": "${{ inputs.topic }}"}},
                "sizing": {
                    "pool": "analyst",
                    "call": "size_market",
                    "with": {"tables": "${{ steps.sources.passed }}", "missing": "${{ steps.sources.gaps }}"},
                    "join": {"at_least": 1},
                    "checks": [
                        {
                            "rule": "output.low <= output.mid and output.mid <= output.high",
                            "reason": "low is above mid",
                        },
                        {"call": "plausible", "pool": "auditors"},
                    ],
                    "on_fail": [{"retry": 2}],
                },
                "draft": {
                    "pool": "writer",
                    "task": "Write the brief. Use only the sizing and the sources.",
                    "with": {"sizing": "${{ steps.sizing.output }}", "prices": "${{ steps.prices.output }}"},
                    "model": {"tier": "standard"},
                    "checks": [{"judge": {"rubric": "Every number is in sizing", "tier": "strong", "pass_at": 0.8}}],
                    "on_fail": [{"retry": 1}, {"escalate": {"tier": "strong"}}],
                },
                "approve": {
                    "human": {
                        "ask": "Publish this brief?",
                        "show": "${{ steps.draft.output }}",
                        "choices": ["publish", "hold"],
                        "expires": "24h",
                        "then": "hold",
                    }
                },
                "publish": {
                    "pool": "tools",
                    "if": "steps.approve.output.choice == 'publish'",
                    "call": "publish",
                    "with": {"body": "${{ steps.draft.output }}"},
                    "effect": {"key": "${{ run.origin_id }}/publish"},
                },
                "tidy": {"pool": "tools", "call": "clean_up", "finally": True},
            },
            "result": "${{ steps.draft.output }}",
        }
    )


def _played(scenario: Scenario) -> tuple[Recorded, ...]:
    """In a thread: the one that drives a browser has a loop already."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(scenario.play, {"topic": "heat pumps"}).result().records


FIRST = "Heat pumps: 11.2 million units were sold in 2025 across the regions looked at.\n\nThe market is large."
SECOND = (
    "Heat pumps: 9.8 million units were sold in 2025 across eleven regions (source: national registers).\n\n"
    "The range is 8.1 to 12.4 million. No figure is given for Norway, where no second source was found.\n"
    "Spot prices fell by 6 % between January and October."
)


@cache
def brief() -> tuple[Recorded, ...]:
    """Degraded: one region is a gap, sizing and draft were refused once, a person said publish."""
    play = Scenario(brief_plan())
    for index, region in enumerate(REGIONS):
        if region == "NO":
            play.wrong_answer("sources", {"items": ["https://example.org/no"]}, branch=index, times=2, after="11s")
            continue
        if region == "IN":
            play.fails("sources", kind="rate_limit", message="429 from the endpoint", branch=index, after="2s")
        items: list[JsonValue] = [f"https://example.org/{region}/{number}" for number in range(3)]
        play.on(
            "sources", branch=index, returns={"items": items}, after=f"{6 + 3 * (index % 5)}s", usd=0.021, tokens=5_200
        )
    played = (
        play.on("prices", returns={"january": 104.2, "october": 97.9}, after="3s")
        .wrong_answer("sizing", {"low": 12.4, "mid": 9.8, "high": 8.1}, after="5s")
        .on(
            "sizing",
            returns={"low": 8.1, "mid": 9.8, "high": 12.4, "unit": "million"},
            after="6s",
            usd=0.04,
            tokens=9_100,
        )
        .on("sizing", check=2, returns=True, after="1s")
        .on("draft", returns=FIRST, after="14s", usd=0.11, tokens=18_300)
        .judge("draft", score=0.42, reasons=["11.2 million is not in the sizing", "no source is named"])
        .on("draft", returns=SECOND, after="16s", usd=0.12, tokens=19_900)
        .judge("draft", score=0.93)
        .person("approve", "publish", reason="read it, figures agree with the registers", after="4m")
        .on("publish", returns={"url": "https://example.org/briefs/7"}, after="2s")
        .on("tidy", returns={"removed": 3}, after="1s")
    )
    return _played(played)


def until(records: Iterable[Recorded], kind: type[f.Fact], step: str = "") -> tuple[Recorded, ...]:
    """A journal as it was when a fact had been written."""
    found: list[Recorded] = []
    for record in records:
        found.append(record)
        fact = record.fact
        if isinstance(fact, kind) and (not step or (isinstance(fact, f.StepFact) and fact.step == step)):
            return tuple(found)
    raise AssertionError(f"no {kind.__name__} of {step!r}")


def waiting() -> tuple[Recorded, ...]:
    """The brief while a person is asked."""
    return until(brief(), f.ApprovalAsked)


@cache
def failed() -> tuple[Recorded, ...]:
    """The sizing fails for good, and everything below it is skipped."""
    play = Scenario(brief_plan())
    for index, region in enumerate(REGIONS):
        items: list[JsonValue] = [f"https://example.org/{region}/{number}" for number in range(3)]
        play.on("sources", branch=index, returns={"items": items}, after=f"{6 + index}s", usd=0.02, tokens=5_000)
    played = (
        play.on("prices", returns={"january": 104.2}, after="3s")
        .wrong_answer("sizing", {"low": 9, "mid": 8, "high": 7}, after="4s")
        .wrong_answer("sizing", {"low": 9, "mid": 8.5, "high": 7}, after="5s")
        .fails("sizing", kind="terminal", message="division by zero in size_market, row 7", after="2s")
        .on("tidy", returns={"removed": 0}, after="1s")
    )
    return _played(played)


# ---- made of facts alone


def records_of(facts: Iterable[f.Fact], run: str = "run-1") -> tuple[Recorded, ...]:
    """Facts as a journal gives them back; their hashes mean nothing."""
    return tuple(
        Recorded(run_id=RunId(run), seq=seq, epoch=1, fact=fact, prev_hash="0" * 64, hash="0" * 64)
        for seq, fact in enumerate(facts, start=1)
    )


def accepted(plan: Plan, run: str = "run-1", at_s: float = NOON_S) -> f.RunAccepted:
    """The first fact of a run."""
    return f.RunAccepted(
        at_s=at_s, run=RunId(run), plan=plan.name, plan_digest=plan.digest, request_digest=DIGEST, machine=1,
        origin=RunId(run), usd=plan.budget.usd, tokens=plan.budget.tokens, wall_s=plan.budget.wall,
        steps=plan.budget.steps, inputs={},
    )  # fmt: skip


def begun(plan: Plan, run: str = "run-1", at_s: float = NOON_S) -> list[f.Fact]:
    """The facts every run begins with."""
    return [accepted(plan, run, at_s), f.PlanFrozen(at_s=at_s, digest=plan.digest, plan=plan.data)]


def passing(step: str, at_s: float, branch: int = f.WHOLE, pool: str = "work", seconds: float = 1.0) -> list[f.Fact]:
    """One step's way to its end: sent, begun, produced, checked, passed."""
    name, output = StepId(step), {"step": step}
    began = at_s + seconds / 4
    return [
        f.StepDispatched(at_s=at_s, step=name, branch=branch, attempt=1, pool=pool, digest=DIGEST),
        f.StepStarted(at_s=began, step=name, branch=branch, attempt=1, actor="worker-1"),
        f.StepProduced(at_s=at_s + seconds, step=name, branch=branch, attempt=1, digest=DIGEST, usd=0.001, tokens=90,
                       output=output),
        f.CheckVerdict(at_s=at_s + seconds, step=name, branch=branch, attempt=1, check=0, name="schema", verdict="pass",
                       digest=DIGEST),
        f.StepPassed(at_s=at_s + seconds, step=name, branch=branch, attempt=1, digest=DIGEST),
    ]  # fmt: skip


def wide_plan(steps: int, width: int = 20) -> Plan:
    """Layers of steps, each waiting for two of the layer before."""
    made: dict[str, JsonValue] = {}
    pools = ("research", "analyst", "writer", "tools")
    for number in range(steps):
        layer, place = divmod(number, width)
        step: dict[str, JsonValue] = {"pool": pools[(layer + place // 7) % len(pools)], "call": "work"}
        if layer:
            before = [(layer - 1) * width + place, (layer - 1) * width + (place + layer) % width]
            step["needs"] = [f"step-{one}" for one in dict.fromkeys(before)]
        made[f"step-{number}"] = step
    budget: JsonValue = {"usd": 50.0, "steps": max(steps, 1)}
    return Plan.model_validate({"version": 1, "name": f"wide-{steps}", "budget": budget, "steps": made})


@cache
def wide(steps: int = 300, done: int | None = None, width: int = 20) -> tuple[Recorded, ...]:
    """A run of `wide_plan`: the first `done` steps passed, the next few run. All of them: it has ended."""
    plan = wide_plan(steps, width)
    done = steps if done is None else done
    facts = begun(plan, run=f"wide-{steps}")
    for number in range(done):
        facts += passing(f"step-{number}", NOON_S + 2 * (number // width) + (number % width) / 50)
    at_s = facts[-1].at_s
    for number in range(done, min(done + 8, steps)):
        facts.append(f.StepDispatched(at_s=at_s, step=StepId(f"step-{number}"), attempt=1, pool="work", digest=DIGEST))
    if done == steps:
        facts.append(
            f.RunEnded(
                at_s=at_s, status="succeeded", usd=0.001 * steps, tokens=90 * steps, steps=steps, output={"done": steps}
            )
        )
    return records_of(facts, run=f"wide-{steps}")
