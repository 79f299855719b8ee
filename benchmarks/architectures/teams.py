"""Teams with a lead: flat rounds as the paper has them, the hybrid, and the plan-DAG with the gate."""

from collections.abc import Mapping

from benchmarks.architectures.architectures import (
    Architecture,
    Desk,
    best_of_n,
    debate,
    equal_budget,
    independent_concat,
    independent_vote,
    single,
    solver,
    step_nodes,
    step_request,
    synthesis,
    take,
    units_of,
)
from benchmarks.architectures.metrics import decomposability
from benchmarks.architectures.model import Claims
from benchmarks.architectures.plans import Gate, Node, asking
from benchmarks.architectures.record import claims_of
from orchestrator.ids import JsonValue


def shares(units: tuple[str, ...], agents: int) -> dict[str, tuple[str, ...]]:
    """Steps in exactly `agents` flat parts, as even as can be, in order; later parts may be empty."""
    base, extra = divmod(len(units), agents)
    found, at = {}, 0
    for number in range(agents):
        size = base + (number < extra)
        found[f"a{number}"] = units[at : at + size]
        at += size
    return found


async def centralised(desk: Desk) -> None:
    """The paper's team: flat parts without dependencies, rounds of coordination and work, then a synthesis."""
    await _rounds(desk, peer_phases=0)


async def hybrid(desk: Desk) -> None:
    """The same, and agents ask each other for what they miss before a round ends."""
    await _rounds(desk, peer_phases=desk.protocols.peer_phases)


async def _rounds(desk: Desk, *, peer_phases: int) -> None:
    episode, protocols, units = desk.episode, desk.protocols, units_of(desk.case)
    plan = Node(id="plan", request=_lead(desk, "plan", units=units))
    planned = await desk.run(desk.shelf.plan("lead-plan", (plan,)))
    if planned.status != "succeeded":
        take(desk, planned)  # without a plan there is no answer
        return
    parts = {agent: part for agent, part in shares(units, protocols.agents).items() if part}
    found: Claims = {}  # what the lead holds
    own: dict[str, Claims] = {agent: {} for agent in parts}
    settled: set[str] = set()  # agents whose findings the lead let stand
    for number in range(1, protocols.rounds + 1):
        active = [agent for agent in parts if agent not in settled]
        if not active:
            break
        reviewed = await _coordinate(desk, number, active, parts, found)
        for unit in reviewed:
            found.pop(unit, None)
        missing = {agent: tuple(unit for unit in parts[agent] if unit not in found) for agent in active}
        if number > 1:
            settled |= {agent for agent, open_ in missing.items() if not open_}
        working = {agent: open_ for agent, open_ in missing.items() if open_}
        for phase in range(1 + peer_phases):
            asked = {agent: open_ for agent in working if (open_ := tuple(u for u in working[agent] if u not in found))}
            if not asked:
                break
            kind = "work" if phase == 0 else "peer"
            for agent, claims in (await _work(desk, number, phase, kind, asked, found)).items():
                own[agent] |= claims
                found |= claims
        episode.exchanges += len(active) + (len(working) if peer_phases else 0)
        if number > 1:
            await desk.run(desk.shelf.plan("lead-stop", (Node(id="stop", request=_lead(desk, "stop")),)))
            if set(found) == set(units) and not reviewed:
                break
    episode.agent_claims = tuple(own.items())
    episode.delivered = episode.exchanges * 2
    node = Node(id="synthesis", request=synthesis(desk, ()).request, given="found")
    view = await desk.run(desk.shelf.plan("lead-synthesis", (node,), ("found",)), found=found)
    take(desk, view)


async def _coordinate(
    desk: Desk, number: int, active: list[str], parts: Mapping[str, tuple[str, ...]], found: Claims
) -> set[str]:
    """One call of the lead per active agent: it reads all findings, and may not let some of the agent's stand."""
    phase = f"round {number}"
    nodes = tuple(
        Node(id=f"to_{agent}", request=_lead(desk, "coordinate", units=parts[agent], phase=phase), given="found")
        for agent in active
    )
    view = await desk.run(desk.shelf.plan("lead-coordinates", nodes, ("found",)), found=found)
    refused: set[str] = set()
    for output in view.passed.values():
        said = output.get("refused") if isinstance(output, dict) else None
        refused |= {str(unit) for unit in (said if isinstance(said, list) else [])}
    return refused


async def _work(
    desk: Desk, number: int, phase: int, kind: str, asked: Mapping[str, tuple[str, ...]], found: Claims
) -> dict[str, Claims]:
    """All asked agents at once, each in a copy of its own; they see what the lead holds, and no step of each other."""
    phase_name = f"round {number}{f' {kind} {phase}' if phase else ''}"
    nodes = tuple(
        Node(
            id=agent,
            request=asking(
                role="solve",
                architecture=desk.episode.architecture,
                agent=agent,
                iterations=desk.protocols.round_iterations,
                phase="" if number == 1 and phase == 0 else phase_name,
                tier=desk.protocols.worker_tier or desk.protocols.tier,
                alone=True,
                handed=True,
                planted=desk.planted,
            ),
            given="found",
            units=f"units_{agent}",
        )
        for agent in asked
    )
    given: dict[str, JsonValue] = {"found": found} | {f"units_{agent}": list(open_) for agent, open_ in asked.items()}
    view = await desk.run(desk.shelf.plan("agents-work", nodes, tuple(given)), **given)
    return {agent: claims_of(view.passed.get(agent)) for agent in asked}


def _lead(
    desk: Desk, role: str, *, units: tuple[str, ...] = (), phase: str = ""
) -> tuple[tuple[str, JsonValue | tuple[str, ...]], ...]:
    return asking(
        role=role,
        architecture=desk.episode.architecture,
        agent="lead",
        units=units,
        phase=phase,
        tier=desk.protocols.tier,
    )


# ---- the plan-DAG


def gate_of(desk: Desk, verifiers: tuple[str, ...] = ("",)) -> Gate:
    """The gate of the protocols: retries with the reasons, then the strong tier once."""
    return Gate(retries=desk.protocols.retries, escalate=desk.protocols.escalate, verifiers=verifiers)


def wants_a_team(desk: Desk, needs: Mapping[str, tuple[str, ...]]) -> bool:
    """Whether steps can run side by side, and do not hang on facts from all over the task.

    Judged from the plan and the task's public form; no answer is known here.
    """
    mean = sum(unit.context for unit in desk.case.units) / len(desk.case.units)
    return decomposability(needs) >= desk.protocols.spread and mean <= desk.protocols.coupling


async def plan_dag(desk: Desk) -> None:
    """Ours: the lead plans a DAG, steps start when their inputs have passed, and nothing passes without its check.

    A task that does not come apart goes to one agent, whose whole answer passes the same gate.
    """
    await _planned(desk, gate_of(desk))


async def placebo(desk: Desk) -> None:
    """Control: the plan-DAG with a verifier that refuses without looking."""
    await _planned(desk, gate_of(desk, ("placebo",)))


async def _planned(desk: Desk, gate: Gate) -> None:
    node = Node(id="plan", request=_lead(desk, "plan", units=units_of(desk.case)))
    view = await desk.run(desk.shelf.plan("lead-plan", (node,)))
    if view.status != "succeeded":
        take(desk, view)  # without a plan there is no answer
        return
    needs = _needs(desk, view.output)
    desk.episode.exchanges = 1
    if not wants_a_team(desk, needs):
        desk.episode.route = "single agent"
        view = await desk.run(desk.shelf.plan("gated-single", (solver(desk, "solve", gate=gate),)))
        desk.episode.agent_claims = (("a0", claims_of(view.passed.get("solve"))),)
        desk.episode.delivered = 1
        take(desk, view)
        return
    desk.episode.route = "plan-DAG"
    await _dag(desk, needs, gate)


async def _dag(desk: Desk, needs: Mapping[str, tuple[str, ...]], gate: Gate | None) -> None:
    nodes = step_nodes(desk, needs, gate)
    steps = tuple(node.id for node in nodes)
    view = await desk.run(desk.shelf.plan("plan-dag", (*nodes, synthesis(desk, steps))))
    desk.episode.agent_claims = tuple((step, claims_of(view.passed.get(step))) for step in steps)
    desk.episode.exchanges += len(nodes)
    desk.episode.delivered = sum(len(found) for found in needs.values()) + len(nodes) + 1
    take(desk, view)


async def blind_retry(desk: Desk) -> None:
    """Control: every step is done as often as the ladder may at most, and the last answer counts; nobody checks."""
    units, times = desk.case.needs, desk.protocols.retries + 1
    nodes: list[Node] = []
    names = {unit: f"s_{number}" for number, unit in enumerate(units)}
    for unit, found in units.items():
        for time in range(1, times + 1):
            phase = "" if time == 1 else f"again {time}"
            inputs = tuple(names[need] for need in found)
            request = step_request(desk, unit, handed=bool(found), phase=phase)
            nodes.append(Node(id=f"{names[unit]}_{time}", request=request, inputs=inputs))
        tries = tuple(f"{names[unit]}_{time}" for time in range(1, times + 1))
        nodes.append(Node(id=names[unit], call="desk.last", peers=tries))
    view = await desk.run(desk.shelf.plan("blind-retry", (*nodes, synthesis(desk, tuple(names.values())))))
    desk.episode.agent_claims = tuple((step, claims_of(view.passed.get(step))) for step in names.values())
    desk.episode.exchanges = len(units)
    desk.episode.delivered = sum(len(found) for found in units.values()) + len(units)
    take(desk, view)


def _needs(desk: Desk, output: JsonValue) -> dict[str, tuple[str, ...]]:
    """The plan's dependencies, held against the task: steps it does not know are refused, a cycle too."""
    said = output.get("needs") if isinstance(output, dict) else None
    planned = said if isinstance(said, dict) else {}
    found: dict[str, tuple[str, ...]] = {}
    for unit in desk.case.units:
        needs = planned.get(unit.id)
        listed = needs if isinstance(needs, list) else list(unit.needs)
        found[unit.id] = tuple(str(need) for need in listed if need in found)  # only earlier steps: no cycle can be
    return found


ARCHITECTURES: dict[str, Architecture] = {
    "single": single,
    "independent-concat": independent_concat,
    "independent-vote": independent_vote,
    "debate": debate,
    "centralised": centralised,
    "hybrid": hybrid,
    "ours": plan_dag,
    "equal-budget": equal_budget,
    "best-of-n": best_of_n,
    "blind-retry": blind_retry,
    "placebo": placebo,
}
