"""Simulated agents and verifiers: seeded, stochastic, and labelled as such wherever they appear.

They know the answers, as a simulation must, and hand them out with the chances of `Parameters`. Draws depend on names
alone (seed, task, step, agent, attempt), so that the order in which an engine runs things changes nothing.
"""

from collections.abc import Mapping
from typing import Protocol

from benchmarks.architectures.chance import beta, exponential, number, uniform
from benchmarks.architectures.model import Case, Claims, Reply, Request, Turn, TurnKind, Unit
from benchmarks.architectures.parameters import Parameters
from orchestrator.ids import JsonValue

PLACEBO = "placebo"  #: the name of a verifier that refuses without looking
MISREAD = "misread"  #: an answer that got garbled on its way


class World(Protocol):
    """The truth, and what being wrong looks like."""

    def value(self, case: Case, unit: str, which: int) -> JsonValue:
        """The right answer of a step for `which` 0, wrong ones above."""
        ...

    def is_right(self, case: Case, unit: str, value: JsonValue) -> bool:
        """Whether a value is the right answer of a step."""
        ...


class TokenWorld:
    """A world of meaningless tokens: nobody can tell right from wrong but the world itself."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def value(self, case: Case, unit: str, which: int) -> JsonValue:
        return f"{number('token', self._seed, case.id, unit, which):016x}"

    def is_right(self, case: Case, unit: str, value: JsonValue) -> bool:
        return value == self.value(case, unit, 0)


class GoldWorld:
    """A world of real tasks: right answers as their authors gave them, wrong ones bent from these."""

    def __init__(self, golds: Mapping[str, Claims]) -> None:
        self._golds = golds

    def value(self, case: Case, unit: str, which: int) -> JsonValue:
        gold = self._golds[case.id][unit]
        return gold if which == 0 else bent(gold, which)

    def is_right(self, case: Case, unit: str, value: JsonValue) -> bool:
        return value == self._golds[case.id][unit]


def bent(value: JsonValue, which: int) -> JsonValue:
    """The `which`-th wrong version of an answer, of the same shape."""
    match value:
        case bool():
            return not value
        case int() | float():
            return value + which
        case str():
            return f"{value} ~{which}"
        case list():
            return [*value[:-1], bent(value[-1], which)] if value else [which]
        case dict():
            last = max(value) if value else "wrong"
            return {**value, last: bent(value.get(last), which)}
        case None:
            return which


class SimulatedAgent:
    """Agents and verifiers by the model of `Parameters`."""

    def __init__(self, parameters: Parameters, seed: int, cases: Mapping[str, Case], world: World) -> None:
        self.label = "simulated"
        self._is, self._seed, self._cases, self._world = parameters, seed, cases, world

    async def act(self, request: Request, meter: object = None) -> Reply:
        """Answer at once."""
        case = self._cases[request.case]
        match request.role:
            case "solve":
                return self._solve(case, request)
            case "plan":
                return self._plan(case, request)
            case "coordinate":
                return self._coordinate(case, request)
            case "stop":
                return Reply(turns=(self._turn("stop", request, 0, len(request.known)),))
            case "debate":
                return self._debate(case, request)
            case "synthesise":
                claims = self._received(case, request)
                return Reply(claims=claims, turns=(self._turn("synthesise", request, 0, len(claims)),))
            case "verify":
                return self._verify(case, request)

    # ---- working

    def _solve(self, case: Case, request: Request) -> Reply:
        known = self._received(case, request) if request.handed else dict(request.known)
        done: Claims = {}
        turns: list[Turn] = []
        for name in request.units:
            unit = case.unit(name)
            if len(turns) >= request.iterations:
                break
            if any(need not in known and need not in done for need in unit.needs):
                continue  # its inputs are nowhere to be seen
            if self._chance("tool", case, name, request) < self._is.tool_failure:
                turns.append(self._turn("tool_retry", request, len(turns), len(known)))
                if len(turns) >= request.iterations:
                    break
            turns.append(self._turn("work", request, len(turns), len(known)))
            done[name] = self._answer(case, unit, request, {**known, **done})
        return Reply(claims=done, turns=tuple(turns), note=self._note(request))

    def _answer(self, case: Case, unit: Unit, request: Request, inputs: Claims) -> JsonValue:
        if unit.id in request.planted and request.attempt == 1 and request.agent == "a0":
            return self._world.value(case, unit.id, 1)
        error = self._error_rate(case, unit, request)
        if self._chance("error", case, unit.id, request) < error:
            return self._world.value(case, unit.id, self._wrong(case, unit, request))
        spoilt = [need for need in unit.needs if not self._world.is_right(case, need, inputs[need])]
        if spoilt and self._chance("contain", case, unit.id, request) >= self._is.containment[request.tier]:
            # Right work on wrong inputs: whoever does it gets the same wrong result.
            mark = number("inherited", case.id, unit.id, *[inputs[need] for need in spoilt])
            return self._world.value(case, unit.id, 1 + mark % self._ways(case))
        return self._world.value(case, unit.id, 0)

    def _error_rate(self, case: Case, unit: Unit, request: Request) -> float:
        mean = min(1.0, self._is.p[request.tier] + self._is.tool_choice * case.tools)
        rate = beta(mean, self._is.rho, "difficulty", self._seed, case.id, unit.id, request.tier)
        facts = unit.context if request.alone else 0
        return 1 - (1 - rate) * (1 - self._is.context_loss) ** facts

    def _wrong(self, case: Case, unit: Unit, request: Request) -> int:
        draw = self._chance("which", case, unit.id, request)
        if draw < self._is.attractor:
            return 1
        share = (draw - self._is.attractor) / (1 - self._is.attractor)
        return 1 + int(share * self._ways(case))

    def _ways(self, case: Case) -> int:
        return case.alternatives or self._is.alternatives

    def _received(self, case: Case, request: Request) -> Claims:
        """What arrives of answers that were handed over: some are misread."""
        kappa = self._is.handoff.get(request.architecture, 0.0)
        if kappa == 0.0:
            return dict(request.known)
        return {
            unit: value
            if uniform("handoff", self._seed, case.id, request.trial, unit, value) >= kappa
            else self._world.value(case, unit, 1 + number(MISREAD, value) % self._ways(case))
            for unit, value in request.known.items()
        }

    # ---- working together

    def _plan(self, case: Case, request: Request) -> Reply:
        needs = {unit.id: list(unit.needs) for unit in case.units}
        edges = [(unit, need) for unit, found in needs.items() for need in found]
        if edges and uniform("plan", self._seed, case.id, request.trial) < self._is.plan_fault:
            unit, need = edges[number("edge", self._seed, case.id, request.trial) % len(edges)]
            needs[unit].remove(need)
        return Reply(needs=needs, turns=(self._turn("plan", request, 0, len(case.units)),))

    def _coordinate(self, case: Case, request: Request) -> Reply:
        refused = tuple(
            unit
            for unit in request.units
            if unit in request.known
            and self._refuses(case, unit, request.known[unit], request, self._is.lead_detect, self._is.lead_false_alarm)
        )
        return Reply(refused=refused, turns=(self._turn("coordinate", request, 0, len(request.known)),))

    def _debate(self, case: Case, request: Request) -> Reply:
        mine, everyone = dict(request.known), [dict(request.known), *map(dict, request.peers)]
        texts = [_key(case, claims) for claims in everyone]
        counts = {text: texts.count(text) for text in texts}
        most = max(counts.values())
        common = [text for text in dict.fromkeys(texts) if counts[text] == most]
        facts = sum(len(claims) for claims in everyone)
        first = self._turn("debate", request, 0, facts)
        if counts[texts[0]] < most and self._loose("conform", case, request) < self._is.conformity:
            taken = dict(everyone[texts.index(common[0])])
            garbled = uniform("handoff", self._seed, case.id, request.agent, request.phase) < self._is.handoff.get(
                request.architecture, 0.0
            )
            if garbled and taken:
                last = case.units[-1].id
                taken[last] = self._world.value(case, last, 1)
            return Reply(claims=taken, turns=(first,), note=self._note(request))
        if len(counts) > 1 and self._loose("rethink", case, request) < self._is.rethink:
            again = self._solve(case, request)
            claims = {**mine, **again.claims}
            return Reply(claims=claims, turns=(first, *again.turns), note=self._note(request))
        return Reply(claims=mine, turns=(first,), note=self._note(request))

    # ---- verifying

    def _verify(self, case: Case, request: Request) -> Reply:
        refused = tuple(
            unit
            for unit in request.units
            if unit in request.known
            and self._refuses(case, unit, request.known[unit], request, self._is.detect, self._is.false_alarm)
        )
        return Reply(refused=refused, turns=(self._turn("verify", request, 0, len(request.known)),))

    def _refuses(
        self, case: Case, unit: str, value: JsonValue, request: Request, detect: Mapping[str, float], alarm: float
    ) -> bool:
        draw = self._chance(f"verdict {request.verifier}", case, unit, request)
        if request.verifier == PLACEBO:
            return draw < self._is.placebo
        own = self._is.verifiers.get(request.verifier)
        if own is not None:
            return draw < own[self._world.is_right(case, unit, value)]
        if self._world.is_right(case, unit, value):
            return draw < alarm
        if uniform("blind", self._seed, case.id, unit) < self._is.blind:
            return draw < alarm  # it looks right to everybody
        needs = case.unit(unit).needs
        inherited = any(
            need in claims and not self._world.is_right(case, need, claims[need])
            for claims in (request.known, *request.peers)
            for need in needs
        )
        if inherited:
            return draw < max(alarm, self._is.detect_inherited)
        chance = detect[self._kind(case, unit, value)]
        missed = beta(1 - chance, self._is.miss_rho, "miss", self._seed, case.id, unit, value, request.attempt)
        return draw < 1 - missed

    def _kind(self, case: Case, unit: str, value: JsonValue) -> str:
        draw, total = uniform("kind", self._seed, case.id, unit, value), 0.0
        for kind, share in self._is.kinds.items():
            total += share
            if draw < total:
                return kind
        return next(reversed(self._is.kinds))

    # ---- bookkeeping

    def _chance(self, what: str, case: Case, unit: str, request: Request) -> float:
        return uniform(
            what, self._seed, case.id, unit, request.agent, request.trial, request.phase, request.tier, request.attempt
        )

    def _loose(self, what: str, case: Case, request: Request) -> float:
        return uniform(what, self._seed, case.id, request.agent, request.trial, request.phase)

    def _note(self, request: Request) -> str:
        return f"{request.agent} {request.phase or 'alone'}, try {request.attempt}"

    def _turn(self, kind: TurnKind, request: Request, before: int, facts: int) -> Turn:
        is_ = self._is
        tokens_in = is_.tokens_base + is_.tokens_fact * facts + is_.tokens_history * before
        price_in, price_out = is_.usd_million[request.tier]
        return Turn(
            kind=kind,
            agent=request.agent,
            tokens_in=tokens_in,
            tokens_out=is_.tokens_out,
            usd=(tokens_in * price_in + is_.tokens_out * price_out) / 1e6,
            seconds=self._seconds(kind, request, before),
        )

    def _seconds(self, kind: TurnKind, request: Request, before: int) -> float:
        mean = self._is.seconds_base + self._is.seconds_token * self._is.tokens_out
        if not self._is.seconds_vary:
            return mean
        names = (request.case, request.agent, request.trial, request.phase, request.attempt, *request.units, before)
        return exponential(mean, "seconds", self._seed, kind, *names)


def _key(case: Case, claims: Claims) -> str:
    return repr(case.answer(claims))
