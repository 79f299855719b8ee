"""The replanner: a failed step becomes a patch that changes what is still open, or the run goes on without one."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from orchestrator.errors import PlanError, PlanningFailed
from orchestrator.ids import JsonValue, StepId
from orchestrator.plan.catalogue import PoolCatalogue
from orchestrator.plan.check import check_plan
from orchestrator.plan.models import Plan, canonical_json
from orchestrator.plan.patch import Patch, apply_patch
from orchestrator.plan.references import plan_graph
from orchestrator.ports.model import Models
from orchestrator.ports.planner import Draft, ReplanRequest
from orchestrator.supervisor.allowance import Allowance
from orchestrator.supervisor.drafts import DraftOp, DraftPatch, DraftStep, cut, read, schema_of
from orchestrator.supervisor.gates import lost, with_gate
from orchestrator.supervisor.lowering import Lowering, told
from orchestrator.supervisor.planning import answer_of
from orchestrator.supervisor.prompts import again, replan_messages
from orchestrator.supervisor.rules import Supervisor

PATCH_TRIES_MAX: Final = 3  #: drafts of one patch
_SCHEMA: Final = schema_of(DraftPatch)


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The model says that there is nothing better to do."""

    reason: str


@dataclass(frozen=True, slots=True)
class ModelPatches:
    """Writes patches by a host's rules; implements `orchestrator.ports.planner.Planner`."""

    models: Models
    host: Supervisor
    catalogue: PoolCatalogue
    deadline_s: float = 180.0  #: of one call

    async def replan(self, request: ReplanRequest) -> Patch | None:
        """A patch that has been checked whole, or None when the model gives up.

        Raises:
            PlanningFailed: no draft was in order within the tries.
            BudgetExceeded, ModelError: as for a plan.
        """
        allowed = Allowance.of(self.host, request.supervision, max(request.depth, 1), self.catalogue).having(
            self.models
        )
        tier = request.supervision.planner if request.supervision is not None else self.host.planner
        drafts = list(request.drafts)
        if drafts and drafts[-1].accepted:  # a crash came between the draft and the patch
            made = self._made(request, allowed, drafts[-1].answer)
            if not isinstance(made, tuple):
                return None if isinstance(made, GiveUp) else made
        goals = allowed.goals and self.host.goals_in_patches
        ask = replan_messages(request, replace(allowed, goals=goals), self.host.about())
        while len(drafts) < min(PATCH_TRIES_MAX, self.host.tries):
            messages = (*ask, *again(tuple(drafts)))
            answer, errors = await answer_of(self.models, tier, messages, _SCHEMA, request.desk, self.deadline_s)
            made = errors or self._made(request, allowed, answer)
            refused = made if isinstance(made, tuple) else ()
            draft = Draft(number=len(drafts) + 1, tier=tier, accepted=not refused, answer=answer, errors=refused)
            await request.desk.drafted(draft)
            drafts.append(draft)
            if not isinstance(made, tuple):
                return None if isinstance(made, GiveUp) else made
        raise PlanningFailed(tuple(draft.errors for draft in drafts))

    def _made(self, request: ReplanRequest, allowed: Allowance, answer: str) -> Patch | GiveUp | tuple[str, ...]:
        """The patch of one answer, held against everything; or what is wrong with it."""
        draft, errors = read(DraftPatch, answer)
        if draft is None:
            return errors
        if not draft.ops:
            return GiveUp(draft.reason)
        steps = [op.step for op in draft.ops if op.step is not None]
        trusted = (canonical_json(request.plan.data),)
        wrong = [*_forms(draft.ops), *allowed.faults(steps, None, trusted), *_scope(request, draft.ops)]
        wrong += self._goals(request.plan, draft.ops)
        if wrong:
            return cut(wrong)
        lowered = self._ops(request, allowed, draft.ops)
        if isinstance(lowered, tuple):
            return lowered
        return self._checked(request, allowed, draft.reason, lowered)

    def _goals(self, plan: Plan, ops: list[DraftOp]) -> Iterator[str]:
        """Goals in words of the model's own: what fails may have talked it into them, so the host has to allow them."""
        known = {step.goal for step in plan.steps.values()}
        for op in ops:
            goal = op.step.goal if op.step is not None else None
            if goal is not None and goal not in known and not self.host.goals_in_patches:
                yield f"{op.op} {op.id}: a patch brings no goal of its own; write the steps"

    def _ops(self, request: ReplanRequest, allowed: Allowance, ops: list[DraftOp]) -> list[JsonValue] | tuple[str, ...]:
        lowering = Lowering(
            allowed, judging=self.host.judge, replans=True, inner=request.supervision or self.host.supervision()
        )
        kept = {op.id for op in ops if op.op == "drop"}
        ids = (set(request.plan.steps) | {op.id for op in ops}) - kept
        many = {name for name, step in request.plan.steps.items() if step.foreach is not None}
        many = (many - {op.id for op in ops if op.op == "replace"}) | {
            op.id for op in ops if op.step is not None and (op.step.each is not None or op.step.optional)
        }
        inputs = list(request.plan.inputs)
        made: list[JsonValue] = []
        for op in ops:
            if op.step is not None:
                body = lowering.step(op.step, inputs, many, ids)
                old = request.plan.data["steps"]
                assert isinstance(old, dict), "a plan has steps"
                gated = with_gate(body, old.get(op.id), ids, self.host.judge)
                made.append({op.op: {"id": op.id, "step": gated}})
            elif op.op == "drop":
                made.append({"drop": {"id": op.id}})
            elif op.op == "retry":
                made.append({"retry": {"step": op.id}})
            else:
                stand_in = DraftStep(id=op.id, people=None, uses=op.uses)
                given = lowering.step(stand_in, inputs, many, ids)["with"]
                made.append({"rewire": {"step": op.id, "with": given}})
        return cut(lowering.faults) if lowering.faults else made

    def _checked(
        self, request: ReplanRequest, allowed: Allowance, reason: str, ops: list[JsonValue]
    ) -> Patch | tuple[str, ...]:
        plan = request.plan
        try:
            patch = Patch.model_validate(
                {"patch": 1, "base": plan.digest, "author": "supervisor", "reason": reason, "ops": ops}
            )
            changed = apply_patch(plan, patch, locked=[StepId(name) for name in request.locked])
            check_plan(changed, self.catalogue).raise_if_errors()
            _ = changed.digest, patch.digest  # what no journal could keep is found here
        except PlanError as error:
            return cut(told(error))
        except ValueError as error:
            return cut([line.strip() for line in str(error).splitlines()[1:6]] or [str(error)])
        wrong = [
            fault
            for name in patch.touched()
            if name in changed.steps
            for fault in allowed.step_faults(name, changed.steps[name])
        ]
        most = max(allowed.steps + 1, len(plan.steps))
        if len(changed.steps) > most:
            wrong.append(f"the plan would have {len(changed.steps)} steps; at most {most}")
        wrong += lost(plan, changed)
        if request.scope == "news" and changed.digest == plan.digest:
            wrong.append("nothing changes: give no operations where the plan is still right")
        elif request.scope != "news" and _stands_still(plan, changed, request.step):
            wrong.append(f"nothing changes for {request.step}: replace or drop it, or give it other inputs")
        return cut(wrong) if wrong else patch


def _forms(ops: list[DraftOp]) -> list[str]:
    """Operations that do not have what their kind needs."""
    wrong = []
    for op in ops:
        if (op.op in ("add", "replace")) != (op.step is not None):
            wrong.append(f"{op.op} {op.id}: {'it needs a step' if op.step is None else 'it takes no step'}")
        elif op.step is not None and op.step.id != op.id:
            wrong.append(f"{op.op} {op.id}: its step is called {op.step.id}")
        if (op.op == "rewire") != bool(op.uses):
            wrong.append(f"{op.op} {op.id}: {'it needs uses' if op.op == 'rewire' else 'uses go with rewire'}")
    return wrong


def _scope(request: ReplanRequest, ops: list[DraftOp]) -> list[str]:
    """Operations outside of what the rung lets change."""
    if request.scope == "step":
        return [f"{op.op} {op.id}: only {request.step} may change" for op in ops if op.id != request.step]
    below = _downstream(request.plan, request.step)
    if request.scope == "news":
        below.discard(str(request.step))
    return [
        f"{op.op} {op.id}: it is {'not' if request.scope == 'news' else f'neither {request.step} nor'} after it"
        for op in ops
        if op.id in request.plan.steps and op.id not in below
    ]


def _downstream(plan: Plan, step: StepId) -> set[str]:
    edges = plan_graph(plan).edges.values()
    found, todo = {str(step)}, [str(step)]
    while todo:
        at = todo.pop()
        for edge in edges:
            if edge.source == at and edge.target not in found:
                found.add(edge.target)
                todo.append(edge.target)
    return found


def _stands_still(plan: Plan, changed: Plan, step: StepId) -> bool:
    """Whether the step that failed would only be tried again as it is: that is no new plan."""
    before, after = plan.steps.get(step), changed.steps.get(step)
    return after is not None and before == after
