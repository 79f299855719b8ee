"""Never run: what the plan builder's users may write, as a strict type checker sees it.

Each `type: ignore` is a mistake that must stay one; an unused ignore is an error.
"""

from collections.abc import Awaitable, Callable
from typing import assert_type

from pydantic import BaseModel

from orchestrator.plan import checks, ladder
from orchestrator.plan.builder import PlanBuilder as Plan
from orchestrator.plan.models import Plan as FrozenPlan
from orchestrator.plan.options import all_, any_, at_least
from orchestrator.plan.parts import AtLeast, Budget, Check, Rung, Timeout
from orchestrator.plan.refs import Expr, Inputs, Ref, StepRef, expr, length


class BriefIn(BaseModel):
    topic: str
    regions: list[str]


async def find_sources(ctx: object, topic: str, region: str) -> list[str]:
    return [topic, region]


def registered(fn: Callable[..., Awaitable[list[str]]]) -> Callable[..., Awaitable[list[str]]]:
    return fn


with Plan("market-brief", inputs=BriefIn, budget=Budget(usd=4), constraints=["short"]) as p:
    assert_type(p, Plan)
    assert_type(p.inputs, Inputs)
    assert_type(p.inputs.topic, Ref)
    assert_type(p.item, Ref)
    src = p.map(
        find_sources,
        over=p.inputs.regions,
        topic=p.inputs.topic,
        max_parallel=4,
        checks=[checks.rule("len(output) >= 3"), checks.rule(length(checks.output) > 3, reason="more")],
        on_fail=[ladder.retry(2), ladder.gap(), "gap"],
    )
    assert_type(src, StepRef)
    assert_type(src.passed, Ref)
    assert_type(src.anything[0]["below"], Ref)
    assert_type(src.output == "x", Expr)
    assert_type((src.output > 3) & ~src.skipped | (src.low + 1 < 2), Expr)
    size = p.step("analyst.size", tables=src.passed, join=at_least(2), needs=[src, "other"], model="strong")
    text = p.task(
        "writer", f"Write of {size}", output=list[str], join=any_, when=expr("run.cost_usd > 2"), data={"x": [size]}
    )
    asked = p.human("approve", ask="Well?", choices=["yes"], show=text, when=text.degraded, join=all_)
    goal = p.goal("Tell them", with_={"what": asked.choice}, budget=Budget(usd=1), timeout=Timeout(attempt=3))
    p.step(find_sources, id="last", finally_=True, effect=f"{p.run.id}/last", topic="x", region="y")
    sub = Plan("sub")
    p.plan(sub, each=src, url=p.item)
    p.result({"text": text, "goal": goal})
    p.step(registered(find_sources), topic=1)

assert_type(p.freeze(), FrozenPlan)
assert_type(at_least(2), AtLeast)
assert_type(checks.judge("Is it so?"), Check)
assert_type(ladder.ask(expires="2h", then="gap"), Rung)

p.step(7)  # type: ignore[arg-type] # neither a function nor a name
p.step(find_sources, join="some")  # type: ignore[arg-type] # no such join
p.step(find_sources, checks=["len(output) > 1"])  # type: ignore[list-item] # a text is no check
p.step(find_sources, on_fail=["retry"])  # type: ignore[list-item] # a word that is no rung
p.step(find_sources, model="huge")  # type: ignore[arg-type] # no such tier
p.step(find_sources, needs=[7])  # type: ignore[list-item] # a number is no step
p.human("h", ask="Well?")  # type: ignore[call-arg] # a question without choices
p.human("h", ask="Well?", choices=["a"], checcks=[])  # type: ignore[call-arg] # unknown option
p.goal("g", when=7)  # type: ignore[arg-type] # a number is no condition
ladder.replan("everything")  # type: ignore[arg-type] # no such scope
checks.grounded("x", in_="web")  # type: ignore[arg-type] # no such place
