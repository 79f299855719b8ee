"""What a host lets supervisors do, and the request to plan a goal: plain data, made before any engine is open."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from orchestrator.errors import PromiseError
from orchestrator.ids import JsonValue
from orchestrator.plan import limits
from orchestrator.plan.models import Plan
from orchestrator.plan.parts import Budget, Supervision, Tier
from orchestrator.supervisor.patterns import PATTERNS, Measured, Row

if TYPE_CHECKING:
    from pydantic import BaseModel

TIERS: Final[tuple[Tier, ...]] = ("cheap", "standard", "strong")
#: USD that one step of a tier is taken to cost before anything is known of it: about 10,000 tokens in and 1,000 out at
#: the middle of the public prices of 2026. A guess for a cap on plans; what is spent is measured, and the budget holds.
USD_PER_STEP: Final[Mapping[Tier, float]] = {"cheap": 0.002, "standard": 0.01, "strong": 0.05}
FIX_FROM: Final = 0.25  #: share of `pass_at` below which an output is rejected rather than sent back to be mended
CLOSING_RUBRIC: Final = "It answers the goal, keeps every constraint, and says nothing that its data does not say."


@dataclass(frozen=True, slots=True, kw_only=True)
class Judging:
    """How the outputs of supervised plans are judged.

    `closing`: the last step gets a judge although the planner asked for none. `calibrated` thresholds come from
    `orchestrator.supervisor.calibration.calibrate`.
    """

    tier: Tier = "strong"
    pass_at: float = 0.8  #: 0 to 1
    votes: int = 1  #: 1 to 9
    closing: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.pass_at <= 1 or not 1 <= self.votes <= 9:
            raise PromiseError("the judging is out of range", "use pass_at from 0 to 1 and votes from 1 to 9")


@dataclass(frozen=True, slots=True)
class Supervisor:
    """A host's rules for supervisors: `Engine(supervisor=Supervisor(...))`, `Supervisor(...).goal("...")`.

    `pools` are those that plans may use, by name or with a line on what each is for; None: every pool of the engine.
    `steps`, `fan_out`, `depth` and `tries` cap one plan, `usd_estimate_max` its price by `usd_per_step`. Plans ask
    people only with `people`, and call functions with effects only where `effects` names them as `pool.function`.
    `goals_in_patches`: a patch may bring goals in words of the model's own; without it only those that the plan has.
    `patterns` decides how work is split up, `measured` is what a comparison on tasks of your own has shown.

    Raises:
        PromiseError: a number is out of range.
    """

    planner: Tier = "strong"
    judge: Judging | None = field(default=Judging(), kw_only=True)
    pools: Iterable[str] | Mapping[str, str] | None = field(default=None, kw_only=True)
    tiers: tuple[Tier, ...] = field(default=TIERS, kw_only=True)
    steps: int = field(default=limits.SUPERVISED_STEPS, kw_only=True)
    fan_out: int = field(default=limits.SUPERVISED_FAN_OUT, kw_only=True)
    depth: int = field(default=limits.SUPERVISED_DEPTH, kw_only=True)
    tries: int = field(default=limits.SUPERVISED_TRIES, kw_only=True)
    effects: tuple[str, ...] = field(default=(), kw_only=True)
    people: bool = field(default=False, kw_only=True)
    goals_in_patches: bool = field(default=False, kw_only=True)
    closing: float = field(default=limits.SUPERVISED_CLOSING, kw_only=True)
    usd_per_step: Mapping[Tier, float] = field(default_factory=lambda: dict(USD_PER_STEP), kw_only=True)
    usd_estimate_max: float | None = field(default=None, kw_only=True)  #: None: what is left of the budget
    pattern: Literal["auto", "one_agent", "chain", "fan_out", "supervisors"] = field(default="auto", kw_only=True)
    patterns: tuple[Row, ...] = field(default=PATTERNS, kw_only=True)
    measured: Measured | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if self.pools is not None and not isinstance(self.pools, Mapping):
            object.__setattr__(self, "pools", dict.fromkeys(self.pools, ""))
        if self.pools is not None and not self.pools:
            raise PromiseError("a supervisor without pools can plan nothing", "name a pool, or leave `pools` out")
        try:
            self.supervision()
        except ValueError as error:
            raise PromiseError(f"these rules are no supervision: {error}", "use numbers within the ranges") from None

    def about(self) -> dict[str, str]:
        """The pools that are allowed, with what each is for; empty: every pool."""
        return dict(self.pools) if isinstance(self.pools, Mapping) else {}

    def supervision(self) -> Supervision:
        """The rules as a plan carries them on a goal."""
        named = tuple(self.about())
        return Supervision(
            planner=self.planner,
            pools=named or None,
            tiers=self.tiers,
            steps=self.steps,
            fan_out=self.fan_out,
            depth=self.depth,
            tries=self.tries,
            effects=self.effects,
            people=self.people,
            pattern=self.pattern,
            closing=self.closing,
        )

    def goal(
        self,
        text: str,
        *,
        output: "type[BaseModel] | dict[str, JsonValue] | None" = None,
        name: str = "goal",
        constraints: Iterable[str] = (),
        budget: Budget | None = None,
    ) -> "Goal":
        """A request to reach a goal, to be handed to `engine.submit`.

        `output` is the form of the answer: a pydantic model or a JSON Schema. `constraints` hold for every task and
        every judge of the plan.
        """
        return Goal(
            text=text,
            output=output,
            name=name,
            constraints=tuple(constraints),
            budget=budget or Budget(),
            supervision=self.supervision(),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A goal in words. `freeze()` gives the plan of one step that stands for it."""

    text: str
    output: "type[BaseModel] | dict[str, JsonValue] | None"
    name: str
    constraints: tuple[str, ...]
    budget: Budget
    supervision: Supervision

    def freeze(self) -> Plan:
        """The plan: one goal, planned at run time by the rules it carries.

        Raises:
            PlanError: the output has no JSON form.
            ValidationError: the text or a constraint is empty or too long.
        """
        step: dict[str, object] = {"goal": self.text, "supervisor": self.supervision}
        if self.output is not None:
            from orchestrator.plan.shapes import schema_of  # only where a Python type is given

            step["output"] = schema_of(self.output, "output")
        data: dict[str, object] = {
            "name": self.name,
            "constraints": self.constraints,
            "budget": self.budget,
            "steps": {"goal": step},
            "result": "${{ steps.goal.output }}",
        }
        return Plan.model_validate(data)
