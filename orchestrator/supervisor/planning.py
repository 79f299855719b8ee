"""The planner: a goal in words becomes a plan that has been checked whole, within bounds, or a typed failure."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from orchestrator.errors import PlanError, PlanningFailed
from orchestrator.ids import JsonValue
from orchestrator.plan.catalogue import PoolCatalogue
from orchestrator.plan.check import check_plan
from orchestrator.plan.estimate import branch_bounds
from orchestrator.plan.models import Plan, Step
from orchestrator.plan.parts import Supervision
from orchestrator.ports.model import Message, Models, Prompt, Tier
from orchestrator.ports.model_errors import ModelBadOutput, ModelFiltered, ModelRefused, ModelTruncated
from orchestrator.ports.planner import Choice, Desk, Draft, GoalRequest, Planned
from orchestrator.supervisor.allowance import Allowance
from orchestrator.supervisor.drafts import DraftPlan, cut, read, schema_of
from orchestrator.supervisor.lowering import Lowering, features_of, told
from orchestrator.supervisor.patterns import Features, choose, misfit
from orchestrator.supervisor.prompts import again, decided, plan_messages
from orchestrator.supervisor.rules import Supervisor

DRAFT_TOKENS_MAX: Final = 8_192  #: of one draft
#: answers that are a bad draft rather than trouble with the endpoint
BAD_ANSWERS: Final = (ModelBadOutput, ModelTruncated, ModelRefused, ModelFiltered)
_SCHEMA: Final = schema_of(DraftPlan)


@dataclass(frozen=True, slots=True)
class _Made:
    """What one answer came to."""

    errors: tuple[str, ...]
    plan: Plan | None = None
    features: Features | None = None


@dataclass(frozen=True, slots=True)
class GoalPlans:
    """Plans goals by a host's rules; implements `orchestrator.ports.planner.GoalPlanner`."""

    models: Models
    host: Supervisor
    catalogue: PoolCatalogue
    deadline_s: float = 180.0  #: of one call

    def refusal(self, step: Step) -> str:
        """Why a goal cannot be planned here; empty when it can."""
        own = step.supervisor or self.host.supervision()
        allowed = Allowance.of(self.host, own, 1, self.catalogue)
        hosts = set(self.host.about()) or set(self.catalogue.pools())
        strange = sorted(set(own.pools or ()) - hosts)
        if strange:
            return f"the host allows no pool {', '.join(strange)} (allowed: {', '.join(sorted(hosts))})"
        missing = sorted(set(own.effects) - set(self.host.effects))
        if missing:
            return f"the host allows no effect of {', '.join(missing)}"
        if own.people and not self.host.people:
            return "the host does not let plans ask people"
        return "" if allowed.pools else "none of its pools is here"

    async def plan(self, request: GoalRequest) -> Planned:
        """A plan for a goal; see `orchestrator.ports.planner.GoalPlanner`.

        Raises:
            PlanningFailed: no draft was in order within the tries.
            BudgetExceeded: the run has not enough left for the next call.
            ModelError: the endpoint gave no answer.
        """
        own = request.supervision
        allowed = Allowance.of(self.host, own, request.depth, self.catalogue).having(self.models)
        tries = min(self.host.tries, own.tries)
        drafts, choice = list(request.drafts), request.choice
        if choice is None and own.pattern != "auto":
            choice = Choice(pattern=own.pattern, row="named", reason="the request names it")
            await request.desk.decided(choice)
        if drafts and drafts[-1].accepted:  # a crash came between the draft and the plan
            made, _ = self._made(request, allowed, drafts[-1].answer, choice)
            if made.plan is not None and not made.errors:
                return self._planned(made.plan, len(drafts))
        ask = plan_messages(request, allowed, self.host.about())
        while len(drafts) < tries:
            tail = again(tuple(drafts)) + ((decided(choice),) if choice is not None else ())
            answer, errors = await answer_of(
                self.models, own.planner, (*ask, *tail), _SCHEMA, request.desk, self.deadline_s
            )
            made = _Made(errors)
            if not errors:
                made, found = self._made(request, allowed, answer, choice)
                if choice is None and found is not None:
                    choice = found
                    await request.desk.decided(choice)
            draft = Draft(
                number=len(drafts) + 1,
                tier=own.planner,
                accepted=not made.errors,
                answer=answer,
                errors=made.errors,
            )
            await request.desk.drafted(draft)
            drafts.append(draft)
            if made.plan is not None and not made.errors:
                return self._planned(made.plan, len(drafts))
        raise PlanningFailed(tuple(draft.errors for draft in drafts))

    def _planned(self, plan: Plan, tries: int) -> Planned:
        return Planned(plan=plan, tries=tries, usd_estimate=self._price(plan))

    def _made(
        self, request: GoalRequest, allowed: Allowance, answer: str, choice: Choice | None
    ) -> tuple[_Made, Choice | None]:
        """Hold one answer against everything, cheapest first; also the pattern, where it can be told."""
        draft, errors = read(DraftPlan, answer)
        if draft is None:
            return _Made(errors), None
        if len(draft.steps) + (draft.closing is not None) > allowed.steps:
            return _Made(
                (f"the plan has {len(draft.steps):,} steps; at most {allowed.steps}, the closing one too",)
            ), None
        trusted = (request.goal, *request.constraints)
        wrong = cut(list(allowed.faults(draft.steps, draft.closing, trusted)))
        if wrong:
            return _Made(wrong), None
        lowering = Lowering(
            allowed,
            judging=self.host.judge,
            replans=True,
            inner=_inner(request.supervision, self.host),
            goal_output=request.output,
        )
        data = lowering.plan(
            draft,
            name=_name(request),
            constraints=request.constraints,
            inputs=request.args,
            closing=min(request.supervision.closing, self.host.closing),
            goal=request.goal,
        )
        if lowering.faults:
            return _Made(cut(lowering.faults)), None
        plan, issues = checked(data, self.catalogue, allowed)
        if plan is None or issues:
            return _Made(issues), None
        features = features_of(draft)
        found = choice or choose(features, self.host.patterns, self.host.measured)
        over = self._over(plan, features, allowed, request)
        unfit = misfit(found.pattern, features)
        if unfit:
            over = (f"the pattern is {found.pattern}, because {found.reason}: {unfit}", *over)
        return _Made(over, plan, features), found

    def _over(self, plan: Plan, features: Features, allowed: Allowance, request: GoalRequest) -> tuple[str, ...]:
        """Caps on the plan as a whole."""
        found = []
        if features.width > allowed.fan_out:
            found.append(f"{features.width} steps or branches beside each other; at most {allowed.fan_out}")
        most = self.host.usd_estimate_max if self.host.usd_estimate_max is not None else request.room.usd
        price = self._price(plan)
        if price > most:
            found.append(f"by the host's rates the plan costs about {price:g} USD, and {most:g} is allowed")
        return tuple(found)

    def _price(self, plan: Plan) -> float:
        """What the steps cost by the host's rates, lists of unknown length counted at the most that may run at once."""
        total = 0.0
        for step_id, step in plan.steps.items():
            if step.human is not None:
                continue
            asked = step.model.tier if step.model is not None else "standard"
            tier: Tier = "standard" if asked == "auto" else asked
            most = branch_bounds(plan, step_id)[1]
            branches = most if most is not None else step.foreach.max_parallel if step.foreach is not None else 1
            rate = self.host.usd_per_step.get("strong" if step.goal is not None else tier, 0.0)
            total += branches * rate if step.call is None else 0.0
        return round(total, 6)


def checked(
    data: dict[str, JsonValue], catalogue: PoolCatalogue, allowed: Allowance
) -> tuple[Plan | None, tuple[str, ...]]:
    """The plan that data gives, after the full check against the pools, and a second look at what it may use."""
    made = built(lambda: Plan.model_validate(data))
    if isinstance(made, tuple):
        return None, made
    try:
        check_plan(made, catalogue).raise_if_errors()
    except PlanError as error:
        return None, cut(told(error))
    strange = [fault for name, step in made.steps.items() for fault in allowed.step_faults(name, step)]
    return made, cut(strange)


def built(make: Callable[[], Plan]) -> Plan | tuple[str, ...]:
    """What `make` gives, or what is wrong in words for the model."""
    try:
        made = make()
        _ = made.digest  # what no journal could keep is found here
    except PlanError as error:
        return cut(told(error))
    except ValueError as error:  # pydantic's own
        return cut([line.strip() for line in str(error).splitlines()[1:6]] or [str(error)])
    return made


async def answer_of(
    models: Models,
    tier: Tier,
    messages: tuple[Message, ...],
    schema: dict[str, JsonValue],
    desk: Desk,
    deadline_s: float,
) -> tuple[str, tuple[str, ...]]:
    """What the model wrote, or why that is no draft at all.

    Raises:
        BudgetExceeded: there is no room for the call.
        ModelError: the endpoint gave no answer, which is no fault of a draft.
    """
    prompt = Prompt(
        tier=tier, messages=messages, output_schema=schema, tokens_max=DRAFT_TOKENS_MAX, deadline_s=deadline_s
    )
    try:
        completion = await models.complete(prompt, desk)
    except BAD_ANSWERS as error:
        return getattr(error, "text", ""), (str(error),)
    return completion.text, ()


def _inner(own: Supervision, host: Supervisor) -> Supervision:
    """What goals inside the plan carry: the rules of the goal above them, so that nothing widens on the way down."""
    return own.model_copy(update={"pattern": "auto", "closing": min(own.closing, host.closing)})


def _name(request: GoalRequest) -> str:
    return f"{request.step}-plan"[:64]
