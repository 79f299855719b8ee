"""Plans of agents: a few nodes in, a frozen plan out, remembered by shape."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from orchestrator import FrozenPlan, Plan, checks, ladder
from orchestrator.ids import JsonValue
from orchestrator.plan.parts import Check, Rung

REMEMBERED_MAX: Final = 2_000  #: plans kept by shape
TIMEOUT: Final = {"attempt": "10m", "total": "1h"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """A verifier on a node, and what follows a refusal."""

    retries: int = 2
    escalate: bool = False
    verifiers: tuple[str, ...] = ("",)  #: one check each
    may_miss: bool = False  #: after the ladder: a gap instead of a failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One step: an agent at work, or the desk."""

    id: str
    call: str = "agents.act"
    request: tuple[tuple[str, JsonValue | tuple[str, ...]], ...] = ()  #: literal fields of the request
    inputs: tuple[str, ...] = ()  #: nodes whose claims it is handed
    peers: tuple[str, ...] = ()  #: nodes whose whole answers it sees
    given: str = ""  #: name of a plan input with claims it starts from
    units: str = ""  #: name of a plan input with the steps it works on
    gate: Gate | None = None
    case: bool = False  #: a desk function that is told the case


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A plan and its edges, for the critical path."""

    plan: FrozenPlan
    needs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class PlanShelf:
    """Plans by shape, so that each is made, checked and compiled once."""

    def __init__(self) -> None:
        self._kept: dict[object, Built] = {}

    def plan(self, name: str, nodes: tuple[Node, ...], inputs: tuple[str, ...] = ()) -> Built:
        """The plan of these nodes; its result is the last one's output. `inputs` are given at submission."""
        key = (name, nodes, inputs)
        if key not in self._kept:
            if len(self._kept) >= REMEMBERED_MAX:
                self._kept.pop(next(iter(self._kept)))
            self._kept[key] = _built(name, nodes, inputs)
        return self._kept[key]


def asking(**request: JsonValue | tuple[str, ...]) -> tuple[tuple[str, JsonValue | tuple[str, ...]], ...]:
    """Literal fields of a request, in an order that does not depend on how they were written."""
    return tuple(sorted(request.items()))


def _built(name: str, nodes: tuple[Node, ...], inputs: tuple[str, ...]) -> Built:
    given: dict[str, dict[str, JsonValue]] = {"case": {"type": "string"}, "trial": {"type": "integer"}}
    given |= {key: {} for key in inputs}
    with Plan(name, inputs=given) as plan:
        made = None
        for node in nodes:
            made = plan.step(
                node.call,
                id=node.id,
                with_=_arguments(node),
                checks=checks_of(node.gate),
                on_fail=ladder_of(node.gate),
                timeout=TIMEOUT,
                model=_tier(node),
                output={"type": "object"},
            )
        plan.result(made)
    return Built(plan=plan.freeze(), needs={node.id: (*node.inputs, *node.peers) for node in nodes})


def _tier(node: Node) -> Mapping[str, object] | None:
    tier = dict(node.request).get("tier")
    return None if tier is None else {"tier": tier}


def _arguments(node: Node) -> dict[str, object]:
    if not node.call.startswith("agents."):
        outputs = [f"${{{{ steps.{name}.passed }}}}" for name in node.peers]
        return {"outputs": outputs} | ({"case": "${{ inputs.case }}"} if node.case else {})
    request: dict[str, object] = {
        name: list(value) if isinstance(value, tuple) else value for name, value in node.request if name != "tier"
    }
    request |= {"case": "${{ inputs.case }}", "trial": "${{ inputs.trial }}"}
    if node.units:
        request["units"] = f"${{{{ inputs.{node.units} }}}}"
    inputs: list[object] = [f"${{{{ steps.{name}.output }}}}" for name in node.inputs]
    if node.given:
        inputs.append({"claims": f"${{{{ inputs.{node.given} }}}}"})
    return {"request": request, "inputs": inputs, "peers": [f"${{{{ steps.{name}.output }}}}" for name in node.peers]}


def checks_of(gate: Gate | None) -> list[Check]:
    """The checks of a gate: one function of the verifiers per name."""
    if gate is None:
        return []
    return [
        checks.call("verifiers.verify", request=checks.args.request, inputs=checks.args.inputs, verifier=verifier)
        for verifier in gate.verifiers
    ]


def ladder_of(gate: Gate | None) -> list[Rung]:
    """The ladder of a gate."""
    if gate is None:
        return []
    rungs = [ladder.retry(gate.retries)] if gate.retries else []
    rungs += [ladder.escalate(tier="strong")] if gate.escalate else []
    return [*rungs, ladder.gap() if gate.may_miss else ladder.fail()]
