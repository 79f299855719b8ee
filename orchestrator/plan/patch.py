"""Patches: the only way a plan changes under a run. Reads them, and applies them to plans as a pure function."""

from collections.abc import Collection
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator

from orchestrator.errors import PlanError, PlanIssue
from orchestrator.ids import Digest, JsonValue, StepId
from orchestrator.plan.explain import explained
from orchestrator.plan.issues import Path, path_text
from orchestrator.plan.models import Plan, Step, digest_of
from orchestrator.plan.parts import Name, Part, Text, exactly_one, is_digest

__all__ = [
    "OPS_MAX",
    "Add",
    "Drop",
    "Operation",
    "Patch",
    "Replace",
    "RetryStep",
    "Rewire",
    "apply_patch",
    "read_patch",
]

OPS_MAX: Final = 10_000  #: operations of one patch
OP_KINDS: Final = ("add", "replace", "drop", "rewire", "retry")


class Add(Part):
    """A new step."""

    id: Name
    step: Step


class Replace(Part):
    """Another step under the id of an old one."""

    id: Name
    step: Step


class Drop(Part):
    """A step goes. What refers to it must go, or be changed, in the same patch."""

    id: Name


class Rewire(Part):
    """A step gets its inputs from elsewhere: named arguments are exchanged, others stay; `needs` is exchanged whole."""

    step: Name
    with_: Annotated[dict[Name, JsonValue], Field(min_length=1)] | None = Field(default=None, alias="with")
    needs: tuple[Name, ...] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.with_ is None and self.needs is None:
            raise ValueError("expected with, needs, or both; found neither")
        return self


class RetryStep(Part):
    """A step that did not pass is to be tried again as it is. It changes the run, and nothing in the plan."""

    step: Name


class Operation(Part):
    """One change. Exactly one of add, replace, drop, rewire, retry."""

    add: Add | None = None
    replace: Replace | None = None
    drop: Drop | None = None
    rewire: Rewire | None = None
    retry: RetryStep | None = None

    @property
    def kind(self) -> str:
        """`add`, `replace`, `drop`, `rewire` or `retry`."""
        return next(name for name in OP_KINDS if getattr(self, name) is not None)

    @property
    def step_id(self) -> StepId:
        """The step that is touched."""
        named = self.add or self.replace or self.drop
        if named is not None:
            return StepId(named.id)
        found = self.rewire or self.retry
        assert found is not None  # validated: one kind is set
        return StepId(found.step)

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        exactly_one(self, OP_KINDS)
        return self


def _digest(text: str) -> str:
    if not is_digest(text):
        raise ValueError("expected sha256: and 64 hex digits, the digest of the plan that the patch is for")
    return text


class Patch(Part):
    """A recorded change of a plan: what it is based on, who wants it, why, and the operations in their order."""

    patch: Literal[1]  #: version of the patch format
    base: Annotated[str, AfterValidator(_digest)]  #: digest of the plan it is for
    author: Annotated[str, Field(min_length=1, max_length=200)]  #: a person, or the planner
    reason: Text
    ops: Annotated[tuple[Operation, ...], Field(min_length=1, max_length=OPS_MAX)]

    def canonical(self) -> dict[str, JsonValue]:
        """The patch as plain JSON; `Patch.model_validate` reads it back."""
        data: dict[str, JsonValue] = self.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        return data

    @property
    def digest(self) -> Digest:
        """`sha256:…` of the canonical JSON."""
        return digest_of(self.canonical())

    def touched(self) -> tuple[StepId, ...]:
        """The steps that the operations name, each once, in their order."""
        return tuple(dict.fromkeys(op.step_id for op in self.ops))


def apply_patch(plan: Plan, patch: Patch, *, locked: Collection[StepId], check: bool = True) -> Plan:
    """The plan after the patch; `plan` itself stays as it is. Operations take effect one after the other.

    `locked` are the steps that passed or are running: nothing may touch them. `check=False` is for replaying a patch
    that was checked when it was accepted, so that a stricter check of a later version cannot stop an old run.

    Raises:
        PlanError: the patch is for another plan, touches a locked step, names a step that does not exist, adds one that
            does, or leaves a plan that is not valid. Nothing is applied in part.
    """
    if patch.base != plan.digest:
        raise PlanError((_issue(f"the patch is for plan {patch.base}, and this is {plan.digest}", "base", _REBASE),))
    held = frozenset(locked)
    steps = dict(plan.steps)
    dropped: set[StepId] = set()
    issues: list[PlanIssue] = []
    for at, op in enumerate(patch.ops):
        step_id, path = op.step_id, f"ops[{at}].{op.kind}"
        if step_id in held:
            issues.append(_issue(f"step {step_id!r} has passed or is running, and cannot change", path, _LOCKED))
        elif op.add is not None:
            if step_id in steps:
                issues.append(_issue(f"there is a step {step_id!r} already", path, "replace, or another id"))
            elif step_id in dropped:
                issues.append(_issue(f"step {step_id!r} is dropped and added in one patch", path, "replace"))
            else:
                steps[step_id] = op.add.step
        elif step_id not in steps:
            issues.append(_issue(f"there is no step {step_id!r}", path, "add, or the id of a step of this plan"))
        elif op.replace is not None:
            steps[step_id] = op.replace.step
        elif op.drop is not None:
            del steps[step_id]
            dropped.add(step_id)
        elif op.rewire is not None:
            steps[step_id] = _rewired(steps[step_id], op.rewire)
    if issues:
        raise PlanError(tuple(issues))
    try:
        made = Plan.model_validate({**{name: getattr(plan, name) for name in Plan.model_fields}, "steps": steps})
    except ValidationError as error:
        raise explained(error, Plan, {}, _Ops()) from error
    if check:
        from orchestrator.plan.check import check_plan  # it brings the graph library along

        check_plan(made).raise_if_errors()
    return made


_REBASE: Final = "a patch that is made for the plan as it is now"
_LOCKED: Final = "an operation on a step that is neither passed nor running"


def _rewired(step: Step, rewire: Rewire) -> Step:
    data: dict[str, object] = {name: getattr(step, name) for name in Step.model_fields}
    if rewire.with_ is not None:
        data["with_"] = {**step.with_, **rewire.with_}
    if rewire.needs is not None:
        data["needs"] = rewire.needs
    return Step.model_validate(data)


def _issue(message: str, path: str, expected: str = "") -> PlanIssue:
    return PlanIssue(message=message, file="<patch>", path=path, expected=expected)


class _Ops:
    """Places of a plan that a patch has made: it stands in no file."""

    def issue(self, message: str, path: Path, *, expected: str = "", key: bool = False) -> PlanIssue:
        """An issue of the plan as it would be."""
        return _issue(message, path_text(path), expected)


def read_patch(text: str | bytes, file: str = "<patch>") -> Patch:
    """A patch out of YAML or JSON, read as strictly as a plan: unknown and duplicate keys are refused.

    Raises:
        PlanError: it is not a patch; with file, line and column.
    """
    from orchestrator.plan.yaml_text import read_yaml  # the reader is needed by few who import this module

    located = read_yaml(text, file)
    if not isinstance(located.value, dict):
        raise PlanError((located.issue("a patch is a mapping", (), expected="patch, base, author, reason and ops"),))
    try:
        return Patch.model_validate(located.value, by_alias=True, by_name=False)
    except ValidationError as error:
        raise explained(error, Patch, located.value, located) from None
