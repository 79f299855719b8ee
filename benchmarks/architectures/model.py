"""The words of the harness: tasks in public form, what an agent is asked, what it answers."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal, Protocol

from orchestrator.ids import JsonValue

Class = Literal["decomposable", "sequential", "coupled", "tool-heavy"]
CLASSES: tuple[Class, ...] = ("decomposable", "sequential", "coupled", "tool-heavy")
Role = Literal["solve", "plan", "coordinate", "stop", "debate", "synthesise", "verify"]
TurnKind = Literal["work", "plan", "coordinate", "peer", "stop", "debate", "synthesise", "verify", "tool_retry", "join"]
OVERHEAD_KINDS: tuple[TurnKind, ...] = (
    "plan",
    "coordinate",
    "peer",
    "stop",
    "debate",
    "synthesise",
    "verify",
    "tool_retry",
)
Claims = dict[str, JsonValue]  #: answers to steps, by step


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One step of a task, without its answer."""

    id: str
    text: str
    needs: tuple[str, ...] = ()
    context: int = 0  #: facts it takes from elsewhere in the task, which an agent that sees only the step may lose


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One task instance, as agents see it. The answer is not in it; the grader works it out elsewhere."""

    id: str
    family: str
    klass: Class
    prompt: str
    units: tuple[Unit, ...]
    final: Literal["all", "last"] = "all"  #: the answer is every step's, or the last one's
    tools: int = 0  #: tools an agent may choose from
    alternatives: int = 0  #: wrong answers a step can have; 0: many
    answer_schema: dict[str, JsonValue] = field(default_factory=dict)  #: JSON Schema of a step's answer

    @property
    def needs(self) -> dict[str, tuple[str, ...]]:
        """The steps and what they need."""
        return {unit.id: unit.needs for unit in self.units}

    def unit(self, name: str) -> Unit:
        """A step by its id.

        Raises:
            KeyError: no such step.
        """
        for unit in self.units:
            if unit.id == name:
                return unit
        raise KeyError(name)

    def answer(self, claims: Mapping[str, JsonValue]) -> JsonValue:
        """The final answer that claims make; null while steps it needs are missing."""
        wanted = [unit.id for unit in self.units] if self.final == "all" else [self.units[-1].id]
        if any(claims.get(name) is None for name in wanted):
            return None
        return claims[wanted[0]] if self.final == "last" else [claims[name] for name in wanted]

    def to_json(self) -> dict[str, JsonValue]:
        """Plain data, for the task host and for records."""
        return json.loads(json.dumps(asdict(self)))  # type: ignore[no-any-return]  # a mapping by construction

    @staticmethod
    def from_json(data: Mapping[str, object]) -> "Case":
        """The inverse of `to_json`.

        Raises:
            TypeError, KeyError: `data` is no case.
        """
        given = dict(data)
        units = given.pop("units")
        assert isinstance(units, Sequence), "steps are a list"
        made = tuple(Unit(**{**unit, "needs": tuple(unit["needs"])}) for unit in units)
        return Case(units=made, **given)  # type: ignore[arg-type]  # as written by `to_json`


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What an agent is asked."""

    role: Role
    case: str
    agent: str  #: which of the agents it is: a0, a1, …, or the lead
    trial: int = 0  #: repetition of the same instance
    units: tuple[str, ...] = ()  #: steps to work on, or to look at
    known: Claims = field(default_factory=dict)  #: answers that others hand over
    peers: tuple[Claims, ...] = ()  #: whole answers of other agents
    architecture: str = ""  #: which one asks
    iterations: int = 10  #: turns at most
    phase: str = ""  #: tells turns of the same agent apart: round 2, second loop
    tier: str = "standard"
    attempt: int = 1  #: 1 + refusals so far; counts no lost worker
    reasons: tuple[str, ...] = ()  #: of the refusal before
    planted: tuple[str, ...] = ()  #: steps whose first answer is made wrong on purpose
    alone: bool = False  #: the agent sees its step and what it is handed, not the whole task
    handed: bool = False  #: `known` crossed from another agent
    verifier: str = ""  #: who verifies: empty for the usual one, `placebo`, or another name that draws for itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One call of a model, or the like of it."""

    kind: TurnKind
    agent: str
    tokens_in: int = 0
    tokens_out: int = 0
    usd: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What an agent answers."""

    claims: Claims = field(default_factory=dict)
    turns: tuple[Turn, ...] = ()
    note: str = ""  #: free text; differs between attempts as texts of models do
    refused: tuple[str, ...] = ()  #: steps that a verifier or lead does not accept
    needs: dict[str, list[str]] = field(default_factory=dict)  #: of a plan: what it thinks depends on what


class Agent(Protocol):
    """Whoever does the thinking: a model behind an endpoint, a simulation, or a recording."""

    label: str  #: stands beside every figure, such as `simulated`

    async def act(self, request: Request, meter: object) -> Reply:
        """Answer a request. `meter` pays for calls of models; None where nothing is to be paid for."""
        ...
