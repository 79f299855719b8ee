"""The models of a schedule: a judge, a planner of patches and a planner of goals, who err, hang, and bill for it."""

import random
from collections.abc import Sequence
from typing import Final, Protocol

from orchestrator.core.facts import Fact
from orchestrator.core.route import RouteAnswer, RouteQuestion
from orchestrator.errors import PlanError, PlanningFailed
from orchestrator.ids import RunId, StepId
from orchestrator.plan.models import Plan, Step
from orchestrator.plan.parts import AUTO
from orchestrator.plan.patch import Patch, apply_patch
from orchestrator.ports.checker import Judgement, JudgeRequest, Vote
from orchestrator.ports.model import Meter, ModelCall, Tier
from orchestrator.ports.planner import Choice, Draft, GoalRequest, Planned, ReplanRequest
from orchestrator.ports.tasks import TaskKey
from orchestrator.testing.simulation.node import Node

THINKS_S: Final = 2.0
HANG_S: Final = 400.0
_STEP: Final[dict[str, object]] = {"pool": "w", "call": "f", "with": {"x": "${{ inputs.x }}"}}
_GOAL: Final[dict[str, object]] = {"name": "g", "inputs": {"x": {"default": None}}}
GOALS: Final = (
    Plan.model_validate({**_GOAL, "steps": {"a": _STEP}, "result": "${{ steps.a.output }}"}),
    Plan.model_validate(
        {
            **_GOAL,
            "steps": {"a": _STEP, "b": {"pool": "w", "call": "f", "with": {"x": "${{ steps.a.output }}"}}},
            "result": "${{ steps.b.output }}",
        }
    ),
)


class Books(Protocol):
    """What is noted outside of the system."""

    def called(self, key: TaskKey, charge: str, usd: float, tokens: int) -> None:
        """A model was called, and will bill."""
        ...

    def approved(self, run_id: RunId, step: str) -> None:
        """A judge said that an output passes."""
        ...


class Routes:
    """Chooses tiers, always the same for the same question; see `Routing`."""

    tiers: tuple[Tier, ...] = ("cheap", "standard", "strong")

    def choose(self, question: RouteQuestion) -> RouteAnswer | None:
        """A tier where the plan leaves it open."""
        if question.asked != AUTO:
            return None
        tier = "cheap" if len(question.text) % 2 else "standard"
        return RouteAnswer(tier=tier, advised=tier, by="rule", reason="by its length")

    def saw(self, run_id: RunId, facts: Sequence[Fact]) -> None:
        """It learns nothing."""


class Minds:
    """Judge and planner of one supervisor; see `Checker`, `Planner` and `GoalPlanner`."""

    def __init__(self, node: Node, dice: random.Random, books: Books) -> None:
        self._node, self._dice, self._called, self._approved = node, dice, books.called, books.approved
        self._count = 0

    async def _think(self, key: TaskKey, meter: Meter) -> None:
        """One call of a model, paid for."""
        charge = await meter.reserve(0.05, 100)
        usd = 0.05 * self._dice.random()
        self._called(key, charge, usd, 60)
        hangs = self._node.strikes("mind.hangs")
        await self._node.sleep(HANG_S if hangs else self._dice.random() * THINKS_S)
        meter.called(
            ModelCall(charge=charge, model="m", endpoint="e", outcome="ok", usd=usd, tokens_in=50, tokens_out=10)
        )

    async def judge(self, request: JudgeRequest) -> Judgement:
        """A verdict, for money."""
        await self._think(TaskKey(request.run_id, request.step, -1, 0), request.meter)
        if self._node.strikes("mind.wrong"):
            if self._dice.random() < 0.3:
                raise ValueError("the judge broke")
            return Judgement(verdict=self._dice.choice(("fix", "reject", "check_broken")), reasons=("no",))
        for number in range(len(request.cast) + 1, request.votes + 1):
            if request.voted is not None:
                await request.voted(Vote(number=number, score=0.9))
        self._approved(request.run_id, str(request.step))
        return Judgement(verdict="pass", score=0.9)

    async def replan(self, request: ReplanRequest) -> Patch | None:
        """A patch, perhaps a useless one."""
        await self._think(TaskKey(request.run_id, request.step, request.branch, request.attempt), request.desk)
        if self._node.strikes("mind.wrong"):
            drafted = Draft(number=len(request.drafts) + 1, tier="strong", accepted=False, answer="?", errors=("no",))
            await request.desk.drafted(drafted)
            return None
        if self._dice.random() < 0.3:  # a draft that a crash may follow
            await request.desk.drafted(Draft(number=len(request.drafts) + 1, tier="strong", accepted=True, answer="?"))
        self._count += 1
        step = str(request.step)
        simple = {"pool": "w", "call": "f"}
        added = {"id": f"n{self._count}{self._dice.randint(0, 999)}", "step": simple}
        ops: tuple[list[object], ...] = (
            [{"retry": {"step": step}}],
            [{"replace": {"id": step, "step": simple}}],
            [{"add": added}, {"retry": {"step": step}}],
            [{"add": added}],
            [{"drop": {"id": step}}],
        )
        for op in self._dice.sample(ops, len(ops)):
            body = {"patch": 1, "base": request.plan.digest, "author": "planner", "reason": "better", "ops": op}
            patch = Patch.model_validate(body)
            try:
                apply_patch(request.plan, patch, locked=[StepId(name) for name in request.locked])
            except PlanError:
                continue
            return patch
        return None

    def refusal(self, step: Step) -> str:  # the port's signature
        """It plans every goal."""
        return ""

    async def plan(self, request: GoalRequest) -> Planned:
        """A plan of one or two steps."""
        key = TaskKey(request.run_id, request.step, request.branch, request.attempt)
        if request.choice is None:
            await request.desk.decided(Choice(pattern="chain", row="r", reason="it is short"))
        await self._think(key, request.desk)
        number = len(request.drafts) + 1
        if self._node.strikes("mind.wrong"):
            draft = Draft(number=number, tier="strong", accepted=False, answer="?", errors=("no plan",))
            await request.desk.drafted(draft)
            raise PlanningFailed((("no plan",),))
        await request.desk.drafted(Draft(number=number, tier="strong", accepted=True, answer="ok"))
        return Planned(plan=self._dice.choice(GOALS), tries=number, usd_estimate=0.1)


__all__ = ["GOALS", "Minds", "Routes"]
