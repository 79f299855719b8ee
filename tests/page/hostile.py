"""A run whose every free text is an attack on whoever shows it."""

from dataclasses import replace
from functools import cache

from orchestrator.core import facts as f
from orchestrator.ids import Digest, JsonValue, StepId
from orchestrator.plan.models import Plan
from orchestrator.ports.journal import Recorded
from tests.page.plays import DIGEST, NOON_S, accepted, records_of

HOSTILE = (
    '<img src=x onerror="window.broken=1"><script>window.broken=1</script>\'"`'
    "${window.broken=1}</script></pre></style><!--]]>\u2028javascript:window.broken=1"
)
QUOTED = HOSTILE.replace("${", "$ {")  #: where an expression would be read
EVIL: dict[str, JsonValue] = {
    HOSTILE: HOSTILE,
    "constructor": {"prototype": 1},
    "__proto__": {"broken": 1},
    "type": "div",
    "clipped": HOSTILE,
    "props": {"dangerouslySetInnerHTML": {"__html": HOSTILE}},
}


def hostile_plan() -> Plan:
    """A plan with attacks wherever a plan has words."""
    return Plan.model_validate(
        {
            "version": 1,
            "name": "hostile",
            "description": HOSTILE,
            "constraints": [HOSTILE],
            "inputs": {"topic": {"type": "string", "default": HOSTILE}},
            "steps": {
                "one": {"pool": "work", "task": QUOTED, "checks": [{"rule": "True", "reason": HOSTILE}]},
                "two": {"pool": "work", "call": "work", "with": {"x": "${{ steps.one.output }}"}},
                "ask": {"human": {"ask": QUOTED, "choices": ["yes", "no"], "then": "no"}},
            },
        }
    )


@cache
def hostile(tenant: str = "default") -> tuple[Recorded, ...]:
    """The run while a person is asked."""
    plan = hostile_plan()
    one, two, ask = StepId("one"), StepId("two"), StepId("ask")
    at_s, bad = NOON_S, Digest(HOSTILE)
    inputs: dict[str, JsonValue] = {"topic": HOSTILE, HOSTILE: [HOSTILE]}
    facts: list[f.Fact] = [
        replace(accepted(plan, "hostile"), inputs=inputs, tenant=tenant, lane=HOSTILE),
        f.PlanFrozen(at_s=at_s, digest=plan.digest, plan=plan.data),
        f.StepDispatched(at_s=at_s + 1, step=one, attempt=1, pool=HOSTILE, tier=HOSTILE, digest=bad),
        f.StepStarted(at_s=at_s + 2, step=one, attempt=1, actor=HOSTILE),
        f.StepProgress(at_s=at_s + 2, step=one, attempt=1, message=HOSTILE, fraction=0.5),
        f.ToolCalled(at_s=at_s + 2, step=one, attempt=1, tool=HOSTILE, result=EVIL),
        f.ModelCalled(
            at_s=at_s + 2, step=one, attempt=1, model=HOSTILE, outcome=HOSTILE, charge="c", endpoint=HOSTILE, usd=0.1
        ),
        f.PlanDrafted(
            at_s=at_s + 2, step=one, attempt=1, number=1, purpose="plan", tier=HOSTILE, accepted=False,
            answer=HOSTILE, errors=(HOSTILE,),
        ),
        f.EffectIntended(at_s=at_s + 2, step=one, attempt=1, key=HOSTILE),
        f.JudgeVoted(at_s=at_s + 2, step=one, attempt=1, check=1, number=1, score=0.1, reasons=(HOSTILE,)),
        f.StepProduced(at_s=at_s + 3, step=one, attempt=1, digest=bad, output=EVIL),
        f.CheckVerdict(
            at_s=at_s + 3, step=one, attempt=1, check=1, name=HOSTILE, verdict="fix", digest=bad, reasons=(HOSTILE,),
            evidence=EVIL, actor=HOSTILE,
        ),
        f.StepRejected(at_s=at_s + 3, step=one, attempt=1, reasons=(HOSTILE,)),
        f.StepDispatched(at_s=at_s + 4, step=one, attempt=2, pool=HOSTILE, digest=bad, cause="ladder"),
        f.AttemptFailed(at_s=at_s + 5, step=one, attempt=2, error=HOSTILE, message=HOSTILE),
        f.StepFailed(at_s=at_s + 5, step=one, attempt=2, cause=HOSTILE),
        f.ApprovalAsked(
            at_s=at_s + 5, step=ask, attempt=1, subject="step", choices=("yes", HOSTILE), then=HOSTILE,
            expires_at_s=at_s + 1e9, ask=HOSTILE, show=EVIL,
        ),
        f.StepDispatched(at_s=at_s + 6, step=two, attempt=1, pool="work", digest=DIGEST),
        f.StepGap(at_s=at_s + 6, step=two, attempt=1, reason=HOSTILE),
    ]  # fmt: skip
    return records_of(facts, run="hostile")


@cache
def hostile_ended() -> tuple[Recorded, ...]:
    """The same after its end, of a tenant of that name."""
    gaps: tuple[dict[str, JsonValue], ...] = ({"step": HOSTILE, "branch": None, "reason": HOSTILE},)
    last = f.RunEnded(
        at_s=NOON_S + 9, status="failed", usd=0.1, tokens=0, steps=2, output=EVIL, gaps=gaps, reason=HOSTILE
    )
    return records_of([*(record.fact for record in hostile(HOSTILE)), last], run="hostile")
