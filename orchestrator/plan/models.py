"""The plan as data: one frozen model that YAML, Python and a planner all produce."""

import hashlib
import json
from collections.abc import Callable
from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, StrictBool, field_validator, model_validator

from orchestrator.ids import Digest, JsonValue, StepId
from orchestrator.plan import limits
from orchestrator.plan.kept import kept_text
from orchestrator.plan.parts import (
    Budget,
    Check,
    Defaults,
    Effect,
    Foreach,
    Human,
    Join,
    ModelUse,
    Name,
    Part,
    Retry,
    RungText,
    Supervision,
    Text,
    Timeout,
    exactly_one,
)

STEP_KINDS = ("task", "call", "human", "plan", "goal")
JsonSchema = dict[str, JsonValue]


class Step(Part):
    """One node of the plan. Exactly one of task, call, human, plan, goal."""

    description: Annotated[str, Field(max_length=limits.TEXT_CHARS_MAX)] = ""
    pool: Name | None = None  #: where it runs; required for task and call
    task: Text | None = None  #: an instruction to the pool's agent
    call: Name | None = None  #: a named function of the pool
    human: Human | None = None
    plan: "Plan | None" = None  #: a sub-plan: a run of its own
    goal: Text | None = None  #: planned at run time by a sub-supervisor
    with_: dict[Name, JsonValue] = Field(default_factory=dict, alias="with")
    output: JsonSchema | None = None  #: JSON Schema (2020-12); enforced always
    checks: Annotated[tuple[Check, ...], Field(max_length=limits.CHECKS_MAX)] = ()
    on_fail: Annotated[tuple[RungText, ...], Field(max_length=limits.RUNGS_MAX)] = ()
    replan_if: Text | None = None  #: its output is news: what comes after may have to change, before it is read
    needs: Annotated[tuple[Name, ...], Field(max_length=limits.STEPS_MAX)] = ()  #: pure ordering
    if_: Text | StrictBool | None = Field(default=None, alias="if")
    foreach: Foreach | None = None
    join: Join = "all"
    early: StrictBool = False  #: with at_least: start at the n-th pass and cancel the rest
    timeout: Timeout | None = None  #: None: the plan's defaults
    retry: Retry | None = None
    model: ModelUse | None = None
    effect: Effect | None = None
    budget: Budget | None = None  #: the share of a `plan` or `goal` step
    supervisor: Supervision | None = None  #: how a goal is planned
    finally_: StrictBool = Field(default=False, alias="finally")  #: runs whatever happened

    @property
    def kind(self) -> Literal["task", "call", "human", "plan", "goal"]:
        """Which of the five a step is."""
        for name in STEP_KINDS:
            if getattr(self, name) is not None:
                return name  # type: ignore[return-value]  # the tuple holds just these literals
        raise AssertionError("validated: one kind is set")

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        if id(self.model_fields_set) in _kept_ids:
            return self  # compact, so it was looked at before: a builder's step comes by again with its plan
        kind = exactly_one(self, STEP_KINDS)
        if kind in ("task", "call") and self.pool is None:
            raise ValueError(f"a {kind} step needs a pool")
        if kind not in ("task", "call") and self.pool is not None:
            raise ValueError(f"a {kind} step has no pool")
        if self.budget is not None and kind not in ("plan", "goal"):
            raise ValueError("budget on a step is the share of a plan or goal step")
        if self.supervisor is not None and kind != "goal":
            raise ValueError("supervisor goes with goal: nothing else is planned at run time")
        if self.model is not None and kind not in ("task", "call"):
            raise ValueError("model goes with task and call: nothing else uses one")
        if self.effect is not None and kind != "call":
            raise ValueError("effect goes with call: only a function of the host can honour a key")
        if self.early and self.join == "all":
            raise ValueError("early goes with join: any or at_least")
        if not self.checks:
            return self
        agrees = [check for check in self.checks if check.agree is not None]
        if len(agrees) > 1:
            raise ValueError("at most one agree check")
        if agrees and (self.effect is not None or kind not in ("task", "call")):
            raise ValueError("agree runs the work several times: only a task or call without effect can do that")
        before = [check.kind for check in self.checks[: self.checks.index(agrees[0])]] if agrees else []
        if not {"rule", "grounded"}.issuperset(before):
            raise ValueError("call, judge and human checks go after agree: they are asked about the elected output")
        return self


_put = object.__setattr__
_kept_sets: dict[frozenset[str], set[str]] = {}  #: names of given fields; large plans repeat a few combinations
_kept_ids: set[int] = set()  #: of the sets above, by which a compact step is known
_kept_outputs: dict[str, JsonSchema] = {name: {"type": name} for name in ("string", "integer", "number", "boolean")}
_KEPT_MAX = 1_024


def compact(step: Step) -> Step:
    """The same step in half the memory: large plans hold thousands.

    Attributes that are set one by one share the table of their names between instances, which those that validation
    sets all at once do not (CPython); the names of the given fields and the commonest schemas are shared too.
    """
    made = Step.__new__(Step)
    for name, value in step.__dict__.items():
        _put(made, name, value)
    if step.output is not None and len(step.output) == 1:
        kind = step.output.get("type")
        if isinstance(kind, str) and kind in _kept_outputs:
            _put(made, "output", _kept_outputs[kind])
    names = frozenset(step.model_fields_set)
    kept = _kept_sets.get(names)
    if kept is None:
        kept = set(names)
        if len(_kept_sets) < _KEPT_MAX:
            _kept_sets[names] = kept
            _kept_ids.add(id(kept))
    _put(made, "__pydantic_fields_set__", kept)
    _put(made, "__pydantic_extra__", None)
    _put(made, "__pydantic_private__", None)
    return made


class Plan(Part):
    """A goal turned into a DAG of steps: frozen, canonical, with a digest."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False, ignored_types=(cached_property,)
    )

    version: Literal[1] = 1
    name: Name
    description: Annotated[str, Field(max_length=limits.TEXT_CHARS_MAX)] = ""
    inputs: dict[Name, JsonSchema] = Field(default_factory=dict)  #: JSON Schema per input; `default` makes it optional
    constraints: Annotated[tuple[Text, ...], Field(max_length=100)] = ()
    budget: Budget = Budget()
    defaults: Defaults = Defaults()
    steps: Annotated[dict[Name, Step], Field(min_length=1, max_length=limits.STEPS_MAX)]
    result: JsonValue = None  #: references to what the run is for; None: every passed step's output by id

    def canonical(self) -> dict[str, JsonValue]:
        """The plan as plain JSON: names as people write them, defaults of the format version left out."""
        data: dict[str, JsonValue] = self.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        return {"version": 1, **data}

    @cached_property
    def data(self) -> dict[str, JsonValue]:
        """`canonical()`, made once and shared by all runs of the plan: not to be changed."""
        made = self.canonical()
        steps = made["steps"]
        assert isinstance(steps, dict), "a plan has steps"
        for own, step in zip(steps.values(), self.steps.values(), strict=True):
            assert isinstance(own, dict), "a step is a mapping"
            for key, value in (("with", step.with_), ("output", step.output)):
                if key in own and own[key] == value:
                    own[key] = value  # one copy of what is plain JSON already
        made["steps"] = dict(zip(self.steps, steps.values(), strict=True))  # and of the ids
        return made

    @field_validator("version", mode="before")
    @classmethod
    def _is_a_number(cls, version: object) -> object:
        if isinstance(version, bool):  # equal to 1 in Python, and no version
            raise ValueError("expected 1")
        return version

    @model_validator(mode="after")
    def _compact(self) -> Self:
        for step_id, step in self.steps.items():
            if id(step.model_fields_set) not in _kept_ids:
                self.steps[step_id] = compact(step)
        return self

    @cached_property
    def digest(self) -> Digest:
        """`sha256:…` of the canonical JSON; equal for equal plans, whatever door they came through.

        Raises:
            PlanError: a text holds NUL or half a character, or an integer has more than `OUTPUT_INTEGER_BITS_MAX` bits:
                no journal could keep the plan.
        """
        return _digest(kept_text(self.data, canonical_json))

    def step(self, step_id: StepId) -> Step:
        """The step of this id; KeyError when there is none."""
        return self.steps[step_id]


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _encoder() -> Callable[[object], str]:
    """What writes canonical JSON: `JSONEncoder.encode` makes a writer per call, half the cost of a small one."""
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:  # no C accelerator
        return _ENCODER.encode
    write = make(None, _ENCODER.default, json.encoder.encode_basestring, None, ":", ",", True, False, False)
    return lambda value: "".join(write(value, 0))


_encode = _encoder()


def canonical_json(value: JsonValue) -> str:
    """JSON with sorted keys and no spaces: equal text for equal values.

    Raises:
        ValueError: a number is NaN or infinite.
    """
    return _encode(value)


def digest_of(value: JsonValue) -> Digest:
    """`sha256:` and the hash of the canonical JSON of `value`, as UTF-8.

    Raises:
        ValueError: a number is NaN or infinite, or a string holds a lone surrogate.
    """
    return _digest(canonical_json(value).encode())


def _digest(text: bytes) -> Digest:
    return Digest("sha256:" + hashlib.sha256(text).hexdigest())


Step.model_rebuild()
# CPython fixes the shared table of names by the first few instances, and those of validation leave it empty.
compact(Step.model_construct(pool="pool", call="call"))
