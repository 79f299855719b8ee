"""The architectures: each turns a task into a plan, or a short series of plans, for the engine to run."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol

from benchmarks.architectures.model import Case
from benchmarks.architectures.parameters import Protocols
from benchmarks.architectures.plans import Built, Gate, Node, PlanShelf, asking
from benchmarks.architectures.record import Episode, RunView, claims_of
from orchestrator.ids import JsonValue

LOOPS_MAX: Final = 40  #: of a single agent that may spend as much as a team


class Desk(Protocol):
    """What an architecture gets: the task, its numbers, and an engine that runs plans for this episode."""

    case: Case
    protocols: Protocols
    shelf: PlanShelf
    episode: Episode
    budget_turns: int  #: turns that an equal-budget arm may spend; 0: unknown
    planted: tuple[str, ...]  #: steps whose first answer is wrong on purpose

    async def run(self, built: Built, **given: JsonValue) -> RunView:
        """Run a plan to its end and take its turns in. The same call after a crash finds the run that exists."""
        ...


Architecture = Callable[[Desk], Awaitable[None]]


def units_of(case: Case) -> tuple[str, ...]:
    """All steps, in an order in which they can be done."""
    return tuple(unit.id for unit in case.units)


def solver(desk: Desk, name: str, *, agent: str = "a0", phase: str = "", gate: Gate | None = None) -> Node:
    """An agent that works on the whole task, alone, in one loop."""
    return Node(
        id=name,
        request=asking(
            role="solve",
            architecture=desk.episode.architecture,
            agent=agent,
            units=units_of(desk.case),
            iterations=desk.protocols.iterations,
            phase=phase,
            tier=desk.protocols.tier,
            planted=desk.planted,
        ),
        gate=gate,
    )


def take(desk: Desk, view: RunView, output: JsonValue | None = None) -> None:
    """Make an output the episode's answer."""
    episode = desk.episode
    chosen = view.output if output is None else output
    if view.status not in {"succeeded", "degraded"}:
        episode.reason, episode.status = view.reason, "no answer"
        return
    final = chosen.get("final") if isinstance(chosen, dict) else None
    episode.final, episode.claims = final, claims_of(chosen)
    episode.status = "no answer" if final is None else "answered"


def _agents(desk: Desk) -> list[str]:
    return [f"a{number}" for number in range(desk.protocols.agents)]


def _said(desk: Desk, view: RunView, names: Mapping[str, str]) -> None:
    desk.episode.agent_claims = tuple((agent, claims_of(view.passed.get(step))) for step, agent in names.items())


async def single(desk: Desk) -> None:
    """One agent, one loop: think, act, observe, until done."""
    view = await desk.run(desk.shelf.plan("single", (solver(desk, "solve"),)))
    _said(desk, view, {"solve": "a0"})
    take(desk, view)


async def _independent(desk: Desk, name: str, call: str) -> RunView:
    agents = _agents(desk)
    nodes = [solver(desk, agent, agent=agent) for agent in agents]
    join = Node(id="join", call=call, peers=tuple(agents))
    view = await desk.run(desk.shelf.plan(name, (*nodes, join)))
    _said(desk, view, dict(zip(agents, agents, strict=True)))
    desk.episode.exchanges, desk.episode.delivered = 1, len(agents)
    return view


async def independent_concat(desk: Desk) -> None:
    """The paper's independent agents: every answer, one after the other, and none compared."""
    view = await _independent(desk, "independent-concat", "desk.concatenate")
    episode = desk.episode
    finals = view.output.get("finals") if isinstance(view.output, dict) else None
    episode.finals = tuple(finals) if isinstance(finals, list) else ()
    episode.status = "answered" if any(final is not None for final in episode.finals) else "no answer"
    episode.claims = dict(episode.agent_claims[0][1]) if episode.agent_claims else {}
    episode.final = list(episode.finals)


async def independent_vote(desk: Desk) -> None:
    """An ensemble: independent agents, then the commonest answer."""
    take(desk, await _independent(desk, "independent-vote", "desk.vote"))


async def debate(desk: Desk) -> None:
    """Round 1 alone; then every agent sees all answers of the round before; at the end a vote."""
    agents, rounds = _agents(desk), desk.protocols.debate_rounds
    nodes = [solver(desk, f"{agent}_1", agent=agent, phase="") for agent in agents]
    for number in range(2, rounds + 1):
        for agent in agents:
            request = asking(
                role="debate",
                architecture="debate",
                agent=agent,
                units=units_of(desk.case),
                iterations=desk.protocols.round_iterations,
                phase=f"round {number}",
                tier=desk.protocols.tier,
            )
            others = tuple(f"{other}_{number - 1}" for other in agents if other != agent)
            nodes.append(Node(id=f"{agent}_{number}", request=request, inputs=(f"{agent}_{number - 1}",), peers=others))
    last = tuple(f"{agent}_{rounds}" for agent in agents)
    view = await desk.run(desk.shelf.plan("debate", (*nodes, Node(id="vote", call="desk.vote", peers=last))))
    _said(desk, view, dict(zip(last, agents, strict=True)))
    desk.episode.exchanges = rounds * len(agents)
    desk.episode.delivered = (rounds - 1) * len(agents) * (len(agents) - 1) + len(agents)
    take(desk, view)


async def equal_budget(desk: Desk) -> None:
    """One agent with as many turns as the plan-DAG took: it does the task again and takes its commonest answers."""
    turns = max(1, len(desk.case.units))
    loops = min(LOOPS_MAX, max(1, (desk.budget_turns or desk.protocols.agents * turns) // turns))
    names = tuple(f"loop_{number}" for number in range(1, loops + 1))
    nodes = [solver(desk, name, phase="" if number == 0 else f"again {number}") for number, name in enumerate(names)]
    vote = Node(id="vote", call="desk.vote_steps", peers=names, case=True)
    view = await desk.run(desk.shelf.plan("equal-budget", (*nodes, vote)))
    _said(desk, view, dict.fromkeys(names, "a0"))
    # One agent does one thing after the other, whatever the engine could run side by side.
    desk.episode.seconds = desk.episode.work_seconds
    take(desk, view)


async def best_of_n(desk: Desk) -> None:
    """Whole answers of n agents, each judged by the same verifier; the first that is accepted."""
    agents = _agents(desk)
    gate = Gate(retries=0, may_miss=True)
    nodes = [solver(desk, agent, agent=agent, gate=gate) for agent in agents]
    view = await desk.run(
        desk.shelf.plan("best-of-n", (*nodes, Node(id="pick", call="desk.first", peers=tuple(agents))))
    )
    _said(desk, view, dict(zip(agents, agents, strict=True)))
    desk.episode.exchanges, desk.episode.delivered = 1, len(agents)
    take(desk, view)


def step_request(
    desk: Desk, unit: str, *, handed: bool, phase: str = ""
) -> tuple[tuple[str, JsonValue | tuple[str, ...]], ...]:
    """What an agent is asked that does one step, handed the answers it needs and no more."""
    return asking(
        role="solve",
        architecture=desk.episode.architecture,
        agent="a0",
        units=(unit,),
        iterations=desk.protocols.round_iterations,
        phase=phase,
        tier=desk.protocols.worker_tier or desk.protocols.tier,
        alone=True,
        handed=handed,
        planted=tuple(name for name in desk.planted if name == unit),
    )


def step_nodes(desk: Desk, needs: Mapping[str, tuple[str, ...]], gate: Gate | None) -> list[Node]:
    """One node per step of a task."""
    names = {unit: f"s_{number}" for number, unit in enumerate(needs)}
    return [
        Node(
            id=names[unit],
            request=step_request(desk, unit, handed=bool(found)),
            inputs=tuple(names[need] for need in found),
            gate=gate,
        )
        for unit, found in needs.items()
    ]


def synthesis(desk: Desk, inputs: tuple[str, ...]) -> Node:
    """The lead puts the answers of all steps together."""
    request = asking(
        role="synthesise",
        architecture=desk.episode.architecture,
        agent="lead",
        tier=desk.protocols.tier,
        handed=True,
    )
    return Node(id="synthesis", request=request, inputs=inputs)
