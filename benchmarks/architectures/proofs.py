"""The closed forms against runs through the real engine: what was expected, what was seen, how far apart."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from benchmarks.architectures.model import Case, Claims, Unit
from benchmarks.architectures.parameters import Parameters
from benchmarks.architectures.plans import TIMEOUT, Gate, checks_of, ladder_of
from benchmarks.architectures.pools import agent_pools
from benchmarks.architectures.simulated import SimulatedAgent, TokenWorld
from orchestrator import Budget, Engine, Plan
from orchestrator.core import facts as f
from orchestrator.ids import JsonValue

TOLERANCE: Final = 4.0  #: standard errors
CHUNK: Final = 2_000  #: branches of one run
AMPLE: Final = Budget(usd=1e6, tokens=1_000_000_000_000, steps=1_000_000, wall=360_000.0)
_QUIET: Final = dict.fromkeys(("contradiction", "drift", "omission"), 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proved:
    """One quantity: theory beside the engine."""

    form: str
    what: str
    expected: float
    seen: float
    error: float  #: standard error of `seen`; 0 for an exact invariant
    n: int

    @property
    def z(self) -> float:
        """Distance in standard errors; infinite where an exact invariant does not hold."""
        apart = self.seen - self.expected
        if self.error == 0:
            return 0.0 if abs(apart) < 1e-12 else math.inf
        return apart / self.error

    @property
    def holds(self) -> bool:
        """Within TOLERANCE."""
        return abs(self.z) < TOLERANCE


def share(form: str, what: str, expected: float, hits: int, n: int) -> Proved:
    """A share, whose error is the one that theory gives it."""
    error = math.sqrt(expected * (1 - expected) / n)
    return Proved(form=form, what=what, expected=expected, seen=hits / n, error=error, n=n)


def average(form: str, what: str, expected: float, values: Sequence[float]) -> Proved:
    """A mean, whose error is estimated from the values."""
    n = len(values)
    mean = math.fsum(values) / n
    spread = math.fsum((value - mean) ** 2 for value in values) / (n - 1)
    return Proved(form=form, what=what, expected=expected, seen=mean, error=math.sqrt(spread / n), n=n)


def plain(p: float | dict[str, float] = 0.0, d: float = 0.0, f_: float = 0.0, **other: object) -> Parameters:
    """Parameters with everything switched off but what is asked for."""
    given: dict[str, object] = {
        "p": p if isinstance(p, dict) else dict.fromkeys(("cheap", "standard", "strong"), p),
        "detect": dict.fromkeys(_QUIET, d),
        "false_alarm": f_,
        "rho": 0.0,
        "attractor": 0.0,
        "alternatives": 50,
        "blind": 0.0,
        "context_loss": 0.0,
        "handoff": {},
        "plan_fault": 0.0,
        "tool_failure": 0.0,
        "tool_choice": 0.0,
    }
    return Parameters(**{**given, **other})  # type: ignore[arg-type]  # checked by the record itself


def chain_case(name: str, steps: int, *, alternatives: int = 0, chained: bool = True) -> Case:
    """A task of `steps` steps, in a chain or side by side."""
    units = tuple(Unit(id=f"u{at}", text="", needs=(f"u{at - 1}",) if chained and at else ()) for at in range(steps))
    return Case(
        id=name,
        family="proof",
        klass="sequential" if chained else "decomposable",
        prompt="",
        units=units,
        final="last" if chained else "all",
        alternatives=alternatives,
    )


@dataclass(slots=True)
class Branch:
    """What happened to one branch of a mapped step."""

    outputs: list[Claims] = field(default_factory=list)
    passed: bool = False
    turns: int = 0

    @property
    def accepted(self) -> Claims:
        """What passed; empty when nothing did."""
        return self.outputs[-1] if self.passed else {}


class Laboratory:
    """Simulated agents in an engine of their own, for many small tasks at once."""

    def __init__(self, parameters: Parameters, cases: Iterable[Case], seed: int) -> None:
        self.cases = {case.id: case for case in cases}
        self.world = TokenWorld(seed)
        self.agent = SimulatedAgent(parameters, seed, self.cases, self.world)

    def right(self, case: str, claims: Mapping[str, JsonValue]) -> bool:
        """Whether all claims are right, and there are any."""
        return bool(claims) and all(
            self.world.is_right(self.cases[case], unit, value) for unit, value in claims.items()
        )

    async def mapped(
        self,
        requests: Sequence[dict[str, JsonValue]],
        *,
        call: str = "act",
        gate: Gate | None = None,
        **extra: JsonValue,
    ) -> list[Branch]:
        """One branch per request, through the gate."""
        found: list[Branch] = []
        with Plan("proof", inputs={"items": {"type": "array"}}) as plan:
            step = plan.map(
                f"agents.{call}",
                over=plan.inputs.items,
                id="work",
                with_={"request": "${{ item }}", "inputs": [], "peers": [], **extra},
                max_parallel=CHUNK,
                checks=checks_of(gate),
                on_fail=ladder_of(gate),
                timeout=TIMEOUT,
            )
            plan.result(step)
        frozen = plan.freeze()
        async with Engine(pools=agent_pools(self.agent, self.cases, books=False), store="memory:") as engine:
            for at in range(0, len(requests), CHUNK):
                part: list[JsonValue] = list(requests[at : at + CHUNK])
                run = await engine.submit(frozen, {"items": part}, budget=AMPLE)
                await run.result()
                found += (await branches_of(engine, run.id, len(part)))["work"]
        return found

    async def chained(
        self, names: Sequence[str], steps: int, *, gate: Gate | None = None, planted: bool = False
    ) -> list[list[Claims]]:
        """The same chain of steps for every case: claims by step, for each case."""
        asked: dict[str, JsonValue] = {"role": "solve", "agent": "a0", "handed": True}
        with Plan("proof-chain", inputs={"names": {"type": "array"}}) as plan:
            before = None
            for at in range(steps):
                request: dict[str, JsonValue] = {
                    **asked,
                    "units": [f"u{at}"],
                    "case": "${{ inputs.names[index] }}" if at else "${{ item }}",
                }
                request |= {"planted": ["u0"]} if planted and at == 0 else {}
                source = {"over": plan.inputs.names} if before is None else {"each": before}
                before = plan.map(
                    "agents.act",
                    **source,  # type: ignore[arg-type]  # one of the two ways to map
                    id=f"s{at}",
                    with_={"request": request, "inputs": [] if before is None else ["${{ item }}"], "peers": []},
                    max_parallel=CHUNK,
                    checks=checks_of(gate),
                    on_fail=ladder_of(gate),
                    timeout=TIMEOUT,
                )
            plan.result(before)
        async with Engine(pools=agent_pools(self.agent, self.cases, books=False), store="memory:") as engine:
            run = await engine.submit(plan.freeze(), {"names": list(names)}, budget=AMPLE)
            await run.result()
            by_step = await branches_of(engine, run.id, len(names))
        return [[by_step[f"s{at}"][number].accepted for at in range(steps)] for number in range(len(names))]


async def branches_of(engine: Engine, run_id: str, count: int) -> dict[str, list[Branch]]:
    """Outputs and ends of every branch, from the journal."""
    found: dict[str, list[Branch]] = {}
    after = 0
    while records := await engine.runs.journal.read(run_id, after=after, limit=10_000):  # type: ignore[arg-type]  # an id
        after = records[-1].seq
        for record in records:
            match record.fact:
                case f.StepProduced(step=step, branch=branch, output=output) if isinstance(output, dict):
                    claims = output["claims"]
                    assert isinstance(claims, dict), "written by `act`"
                    one = found.setdefault(step, [Branch() for _ in range(count)])[branch]
                    one.outputs.append(claims)
                    one.turns += len(output["turns"])  # type: ignore[arg-type]  # a list, written by `act`
                case f.StepPassed(step=step, branch=branch) if branch >= 0:
                    found[step][branch].passed = True
                case _:
                    pass
    return found


def requests(names: Iterable[str], units: Sequence[str], **other: JsonValue) -> list[dict[str, JsonValue]]:
    """One request per case."""
    return [{"role": "solve", "agent": "a0", "case": name, "units": list(units), **other} for name in names]


def text(found: Sequence[Proved]) -> str:
    """The proofs as lines."""
    lines = [
        f"{'holds ' if one.holds else 'FAILED'} {one.form:4} {one.what:52} expected {one.expected:9.5f} "
        f"seen {one.seen:9.5f} z {one.z:6.2f} n {one.n}"
        for one in found
    ]
    return "\n".join(lines)


def as_json(found: Sequence[Proved]) -> str:
    """The proofs as JSON."""
    rows = [
        {"form": one.form, "what": one.what, "expected": one.expected, "seen": one.seen, "z": one.z, "n": one.n}
        for one in found
    ]
    return json.dumps(rows, indent=1)
