"""What one plan may use: the host's rules and the goal's own, the narrower of both. Refuses, never mends silently."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final, Self

from orchestrator.plan.catalogue import PoolCatalogue
from orchestrator.plan.models import Step
from orchestrator.plan.parts import Supervision, Tier
from orchestrator.supervisor.drafts import Closing, DraftStep
from orchestrator.supervisor.rules import Supervisor
from orchestrator.supervisor.trust import foreign_addresses

CLOSING_ID: Final = "answer"  #: the step that a plan ends in


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What a draft may name."""

    pools: tuple[str, ...]
    tiers: tuple[Tier, ...]
    steps: int
    fan_out: int
    goals: bool  #: whether a step may be a goal
    effects: frozenset[str]
    people: bool
    catalogue: PoolCatalogue

    @classmethod
    def of(cls, host: Supervisor, own: Supervision | None, depth: int, catalogue: PoolCatalogue) -> Self:
        """The narrower of the host's rules and those of a goal at this depth; `own` None: the host's alone."""
        mine = own or host.supervision()
        hosts = tuple(host.about()) or tuple(catalogue.pools())
        wanted = mine.pools if mine.pools is not None else hosts
        return cls(
            pools=tuple(sorted(set(hosts).intersection(wanted).intersection(catalogue.pools()))),
            tiers=tuple(tier for tier in host.tiers if tier in mine.tiers),
            steps=min(host.steps, mine.steps),
            fan_out=min(host.fan_out, mine.fan_out),
            goals=depth <= min(host.depth, mine.depth),
            effects=frozenset(host.effects).intersection(mine.effects),
            people=host.people and mine.people,
            catalogue=catalogue,
        )

    def having(self, models: object) -> Self:
        """The same with those tiers alone that have a model, where the models say which."""
        able = getattr(models, "tiers", None)
        return self if able is None else replace(self, tiers=tuple(tier for tier in self.tiers if tier in able))

    def narrowed(self, pools: Iterable[str]) -> Self:
        """The same with fewer pools."""
        return replace(self, pools=tuple(sorted(set(self.pools).intersection(pools))))

    def faults(self, steps: Iterable[DraftStep], closing: Closing | None, trusted: tuple[str, ...]) -> Iterator[str]:
        """Everything in a draft that is not allowed."""
        written: list[str] = []
        for step in steps:
            yield from self._step(step)
            written += _texts(step)
        if closing is not None:
            yield from self._agent("closing", closing.pool, closing.tier)
            written.append(closing.task)
        foreign = foreign_addresses(written, trusted)
        if foreign:
            shown = ", ".join(foreign[:5])
            yield f"addresses that neither the goal nor a constraint names are not allowed: {shown}"

    def _step(self, step: DraftStep) -> Iterator[str]:
        at = f"step {step.id}"
        kinds = [name for name in ("task", "call", "goal", "people") if getattr(step, name) is not None]
        if len(kinds) != 1:
            yield f"{at}: exactly one of task, call, goal, people; it has {' and '.join(kinds) or 'none'}"
            return
        if step.id == CLOSING_ID:
            yield f"{at}: the id {CLOSING_ID!r} is the closing step's own"
        if kinds[0] in ("goal", "people") and (step.pool is not None or step.tier is not None):
            yield f"{at}: a step with {kinds[0]} has no pool and no tier"
        if step.goal is not None and not self.goals:
            yield f"{at}: no goal is allowed at this depth; write the steps"
        if step.people is not None and not self.people:
            yield f"{at}: people may not be asked"
        if step.task is not None:
            yield from self._agent(at, step.pool, step.tier)
        if step.call is not None:
            yield from self._call(at, step)
        elif step.effect is not None:
            yield f"{at}: effect goes with call"
        if isinstance(step.each, list) and len(step.each) > self.fan_out:
            yield f"{at}: {len(step.each)} items; at most {self.fan_out} branches"
        for text in _texts(step):
            if "${{" in text:
                yield f"{at}: expressions are not read in texts; name the value under `uses`"
                break

    def _agent(self, at: str, pool: str | None, tier: str | None) -> Iterator[str]:
        yield from self._pool(at, pool, tier)
        if pool in self.pools and not self.catalogue.has_agent(pool or ""):
            yield f"{at}: pool {pool} has no agent for a task; {_agents(self)}"

    def _pool(self, at: str, pool: str | None, tier: str | None) -> Iterator[str]:
        if pool is None:
            yield f"{at}: it needs a pool; allowed: {', '.join(self.pools)}"
        elif pool not in self.pools:
            yield f"{at}: pool {pool} is not allowed; allowed: {', '.join(self.pools)}"
        if tier is not None and tier not in self.tiers:
            yield f"{at}: tier {tier} is not allowed; allowed: {', '.join(self.tiers)}"

    def _call(self, at: str, step: DraftStep) -> Iterator[str]:
        yield from self._pool(at, step.pool, step.tier)
        if step.pool not in self.pools:
            return
        contract = self.catalogue.functions(step.pool or "").get(step.call or "")
        if contract is None:
            yield f"{at}: pool {step.pool} has no function {step.call}"
            return
        named = f"{step.pool}.{step.call}"
        if (contract.effect_key or step.effect is not None) and named not in self.effects:
            yield f"{at}: {named} has effects outside, and the host does not allow it"
        elif contract.effect_key and step.effect is None:
            yield f"{at}: {named} has effects outside, so it needs an `effect` key"

    def step_faults(self, at: str, step: Step) -> Iterator[str]:
        """What is not allowed of a finished step, as a second look: at every pool and tier it can come to."""
        pools = [step.pool, *(rung.escalate.pool for rung in step.on_fail if rung.escalate is not None)]
        pools += [check.pool for check in step.checks]
        for pool in pools:
            if pool is not None and pool not in self.pools:
                yield f"step {at}: pool {pool} is not allowed"
        if step.effect is not None and f"{step.pool}.{step.call}" not in self.effects:
            yield f"step {at}: its effect is not allowed"
        if step.human is not None and not self.people:
            yield f"step {at}: people may not be asked"


def _agents(allowance: Allowance) -> str:
    able = [pool for pool in allowance.pools if allowance.catalogue.has_agent(pool)]
    return f"agents have: {', '.join(able)}" if able else "no allowed pool has one"


def _texts(step: DraftStep) -> list[str]:
    found = [text for text in (step.task, step.goal, step.rubric, step.effect, *step.rules) if text is not None]
    if step.people is not None:
        found.append(step.people.ask)
    for value in step.values:
        items = value.value if isinstance(value.value, list) else [value.value]
        found += [item for item in items if isinstance(item, str)]
    if isinstance(step.each, list):
        found += [item for item in step.each if isinstance(item, str)]
    return found
