"""Everything a simulation assumes, in one record that is written down before a run."""

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

TIERS = ("cheap", "standard", "strong")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """The simulated agents and verifiers. Source of the model: error DAGs with Beta difficulties, see the guide."""

    p: dict[str, float] = field(default_factory=lambda: {"cheap": 0.25, "standard": 0.15, "strong": 0.08})
    rho: float = 0.2  #: how much agents share the difficulty of a step, 0 to below 1
    alternatives: int = 4  #: wrong answers a step can have
    attractor: float = 0.3  #: share of wrong agents that fall for the same wrong answer
    kinds: dict[str, float] = field(
        default_factory=lambda: {"contradiction": 0.23, "drift": 0.38, "omission": 0.39}
    )  #: mix of kinds of errors, summing to 1
    detect: dict[str, float] = field(
        default_factory=lambda: {"contradiction": 0.7, "drift": 0.6, "omission": 0.65}
    )  #: chance that a verifier refuses a wrong answer, by kind
    detect_inherited: float = 0.0  #: chance that a step is refused for a wrong input it did nothing wrong with
    false_alarm: float = 0.05  #: chance that a right answer is refused
    blind: float = 0.1  #: share of errors that no verifier sees, ever
    miss_rho: float = 0.0  #: how much verifiers share the miss rate of an error
    placebo: float = 0.3  #: chance that the placebo verifier refuses anything
    lead_detect: dict[str, float] = field(
        default_factory=lambda: {"contradiction": 0.364, "drift": 0.24, "omission": 0.668}
    )  #: the same of a lead that reads findings between rounds
    lead_false_alarm: float = 0.02
    containment: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(TIERS, 0.0)
    )  #: chance that an agent repairs a wrong input instead of building on it, by tier
    verifiers: dict[str, tuple[float, float]] = field(
        default_factory=dict
    )  #: chances to refuse wrong and right answers of verifiers with names of their own
    context_loss: float = 0.05  #: chance per fact that an agent who sees only its step lacks it
    handoff: dict[str, float] = field(
        default_factory=lambda: {
            "debate": 0.032,
            "centralised": 0.018,
            "hybrid": 0.124,
            "ours": 0.018,
            "placebo": 0.018,
            "blind-retry": 0.018,
        }
    )  #: chance that an answer is misread on its way to another agent, by architecture
    conformity: float = 0.6  #: chance that a debater takes the commonest answer
    rethink: float = 0.2  #: chance that a debater who disagrees answers anew
    plan_fault: float = 0.02  #: chance that a plan leaves out one dependency
    tool_failure: float = 0.03  #: chance that a turn is lost to a failing tool
    tool_choice: float = 0.002  #: added chance of an error per tool to choose from
    tokens_base: int = 400
    tokens_fact: int = 60  #: per answer handed over
    tokens_history: int = 120  #: per earlier turn of the same agent
    tokens_out: int = 150
    seconds_base: float = 0.6
    seconds_token: float = 0.02  #: per token written
    seconds_vary: bool = False  #: times are exponential with that mean, instead of all alike
    usd_million: dict[str, tuple[float, float]] = field(
        default_factory=lambda: {"cheap": (0.15, 0.6), "standard": (1.0, 4.0), "strong": (3.0, 12.0)}
    )  #: simulated prices: USD per million tokens in and out

    def __post_init__(self) -> None:
        for name, mix in (("kinds", self.kinds), ("detect", self.detect), ("lead_detect", self.lead_detect)):
            if set(mix) != set(self.kinds):
                raise ValueError(f"{name} names {sorted(mix)}; the kinds of errors are {sorted(self.kinds)}")
        if abs(sum(self.kinds.values()) - 1) > 1e-9:
            raise ValueError(f"kinds sum to {sum(self.kinds.values())}; they sum to 1")
        rates = [*self.p.values(), *self.kinds.values(), *self.detect.values(), *self.lead_detect.values()]
        rates += [
            *self.handoff.values(),
            self.attractor,
            self.false_alarm,
            self.placebo,
            self.blind,
            *self.containment.values(),
        ]
        rates += [self.context_loss, self.conformity, self.rethink, self.plan_fault, self.tool_failure]
        if not all(0.0 <= rate <= 1.0 for rate in rates):
            raise ValueError("a chance lies between 0 and 1")

    @staticmethod
    def read(path: Path) -> "Parameters":
        """Parameters from a JSON file; unknown names are refused, absent ones keep their defaults.

        Raises:
            ValueError: the file is no such record; the message says where.
        """
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ValueError(f"{path}: {error}") from error
        known = {each.name for each in fields(Parameters)}
        data.pop("comment", None)
        if unknown := sorted(set(data) - known):
            raise ValueError(f"{path}: no parameter {', '.join(unknown)}; there are {', '.join(sorted(known))}")
        if "usd_million" in data:
            data["usd_million"] = {tier: tuple(prices) for tier, prices in data["usd_million"].items()}
        return Parameters(**data)

    def to_json(self) -> dict[str, object]:
        """Plain data."""
        return json.loads(json.dumps(asdict(self)))  # type: ignore[no-any-return]  # a mapping by construction


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocols:
    """The numbers of the architectures; defaults are the paper's."""

    agents: int = 3  #: n
    iterations: int = 10  #: turns of an agent that works alone
    round_iterations: int = 3  #: turns of an agent per round
    debate_rounds: int = 3  #: d
    rounds: int = 5  #: of a lead, at most
    peer_phases: int = 1
    retries: int = 2  #: rungs of the ladder: retries told the reasons
    escalate: bool = True  #: then the strong tier once
    tier: str = "standard"
    worker_tier: str = ""  #: of the agents a lead directs; empty: `tier`
    spread: float = 1.5  #: steps per critical path from which a task counts as decomposable
    coupling: float = 1.0  #: mean facts from elsewhere per step above which it does not

    def __post_init__(self) -> None:
        counted = (self.agents, self.iterations, self.round_iterations, self.debate_rounds, self.rounds)
        if min(counted) < 1 or min(self.peer_phases, self.retries) < 0:
            raise ValueError("agents, iterations and rounds are 1 or more, peer phases and retries 0 or more")
        if self.tier not in TIERS or self.worker_tier not in {"", *TIERS}:
            raise ValueError(f"a tier is one of {', '.join(TIERS)}")
