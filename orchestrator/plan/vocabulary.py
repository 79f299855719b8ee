"""The words an expression may use, as data: `plan check` refuses by them and the manual is generated from them."""

from dataclasses import dataclass
from typing import Final

from orchestrator.plan.models import Plan, Step
from orchestrator.plan.parts import Check, Effect, Foreach, Human, Part

__all__ = [
    "ALL_KINDS",
    "EXPRESSIONS",
    "GUARDS",
    "ITEM_NAMES_RESERVED",
    "ROOTS",
    "RUN_MEMBERS",
    "SESSION_MEMBERS",
    "STEP_MEMBERS",
    "Kinds",
    "Member",
]

Kinds = frozenset[str]  #: of `null boolean number string array object`, JSON Schema's names; `integer` is a number
ALL_KINDS: Final[Kinds] = frozenset({"null", "boolean", "number", "string", "array", "object"})
_TEXT: Final[Kinds] = frozenset({"string"})
_NUMBER: Final[Kinds] = frozenset({"number"})
_LIST: Final[Kinds] = frozenset({"array"})
_TRUTH: Final[Kinds] = frozenset({"boolean"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One name below a root: what it can be, and what it says."""

    kinds: Kinds
    meaning: str


STEP_MEMBERS: Final[dict[str, Member]] = {
    "output": Member(
        kinds=ALL_KINDS,
        meaning="what passed; null when the step was skipped, cancelled, failed or is a gap. Of a mapped step: a list "
        "in input order with null for every branch that did not pass, empty when the step was skipped. Of a `human` "
        "step: `choice` and `reason`. Of a `plan` step: the result of the sub-plan",
    ),
    "passed": Member(
        kinds=_LIST,
        meaning="the outputs that passed: of a mapped step those of its good branches in input order, of any other "
        "step its one output or none",
    ),
    "gaps": Member(
        kinds=_LIST,
        meaning="`index` and `reason` of every branch that is missing; of a step that is not mapped: itself, with "
        "index null",
    ),
    "status": Member(kinds=_TEXT, meaning="`passed`, `failed`, `skipped`, `gap` or `cancelled`, once it has settled"),
    "skipped": Member(kinds=_TRUTH, meaning="whether it was skipped"),
    "degraded": Member(
        kinds=_TRUTH, meaning="whether it is a gap, passed with gaps in branches, or its sub-plan ended Degraded"
    ),
    "attempts": Member(kinds=_NUMBER, meaning="attempts made, over all branches"),
    "cost_usd": Member(kinds=_NUMBER, meaning="what it cost so far, checks included, in USD"),
}
GUARDS: Final = frozenset({"passed", "gaps", "status", "skipped", "degraded"})  #: members that are never null

RUN_MEMBERS: Final[dict[str, Member]] = {
    "id": Member(kinds=_TEXT, meaning="the id of the run"),
    "origin_id": Member(kinds=_TEXT, meaning="the id of the first run of a chain of retries and forks; equal in all"),
    "cost_usd": Member(kinds=_NUMBER, meaning="spent so far, sub-plans included, in USD"),
    "tokens": Member(kinds=_NUMBER, meaning="tokens used so far, sub-plans included"),
    "steps": Member(kinds=_NUMBER, meaning="first dispatches so far, sub-plans included"),
    "tenant": Member(kinds=_TEXT, meaning="whose run it is"),
    "lane": Member(kinds=_TEXT, meaning="`high`, `normal`, `low` or `batch`"),
    "plan": Member(kinds=_TEXT, meaning="the name of the plan"),
}
SESSION_MEMBERS: Final[dict[str, Member]] = {
    "id": Member(kinds=_TEXT, meaning="the id of the session"),
    "summary": Member(
        kinds=_TEXT,
        meaning="what was said before `turns`, with every pinned fact; says so where turns were left out of it",
    ),
    "turns": Member(
        kinds=_LIST,
        meaning="the newest turns, oldest first, each with `role` and `content`; the last is what was asked",
    ),
    "facts": Member(kinds=_LIST, meaning="the pinned facts, as texts"),
    "dropped": Member(kinds=_NUMBER, meaning="turns that are neither in `turns` nor in the summary"),
}

#: root -> (where it may stand, what it is)
ROOTS: Final[dict[str, tuple[str, str]]] = {
    "inputs": ("everywhere", "the inputs of the run, defaults filled in: `inputs.NAME`"),
    "steps": ("everywhere", "other steps of the same plan: `steps.ID.MEMBER`; makes an edge"),
    "run": ("everywhere", "the run itself: `run.MEMBER`"),
    "session": (
        "everywhere",
        "the conversation, as it stood at submission; refused at start when the run has none: `session.MEMBER`",
    ),
    "output": ("`checks`", "the output that is being checked; under `agree`, of the sample or the elected one"),
    "args": ("`checks`", "the step's `with`, resolved"),
    "index": ("steps with `foreach`", "the branch's position, from 0"),
    "the name in `foreach.as`": (
        "steps with `foreach`",
        "the branch's item; under `each`, the output of that branch. Written `item` when `as` is absent",
    ),
}

#: names that `foreach.as` cannot take, beside the reserved words of the language
ITEM_NAMES_RESERVED: Final = frozenset({"inputs", "steps", "run", "session", "output", "args", "index"})

#: (model, field) -> whether it is one expression, its braces optional, or a value in whose texts `${{ … }}` may stand
EXPRESSIONS: Final[dict[tuple[type[Part], str], str]] = {
    (Step, "if_"): "expression",
    (Check, "rule"): "expression",
    (Foreach, "over"): "expression",
    (Step, "task"): "template",
    (Step, "with_"): "template",
    (Check, "with_"): "template",
    (Human, "show"): "template",
    (Effect, "key"): "template",
    (Plan, "result"): "template",
}
