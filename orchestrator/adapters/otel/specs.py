"""What plans say of their steps, as far as spans tell it; known by digest, since most runs are of few plans."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, cast

from orchestrator.ids import JsonValue

STEPS_MAX: Final = 1_000  #: of a plan that is kept
PLANS_KEPT: Final = 256
_KINDS: Final = ("task", "call", "human", "plan", "goal")


@dataclass(frozen=True, slots=True)
class Spec:
    """What a plan says of a step, as far as its spans tell."""

    kind: str = "call"
    function: str = ""


def spec(step: JsonValue) -> Spec:
    """Of a step in its journaled form."""
    told = step if isinstance(step, dict) else {}
    kind = next((kind for kind in _KINDS if told.get(kind) is not None), "call")
    return Spec(kind, cast(str, told.get("call")) if kind == "call" and isinstance(told.get("call"), str) else "")


def specs_of(digest: str, plan: Mapping[str, JsonValue] | None) -> dict[str, Spec]:
    """Of all steps of a plan, which may be changed; none where its payload was deleted."""
    known = _known.get(digest)
    if known is None:
        steps = (plan or {}).get("steps")
        known = {name: spec(step) for name, step in steps.items()} if isinstance(steps, dict) else {}
        if known and len(known) <= STEPS_MAX:
            _known[digest] = known
            while len(_known) > PLANS_KEPT:
                _known.popitem(last=False)
    return dict(known)


_known: OrderedDict[str, dict[str, Spec]] = OrderedDict()

__all__ = ["Spec", "spec", "specs_of"]
