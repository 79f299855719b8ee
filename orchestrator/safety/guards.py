"""Guards that ship: who may cause an effect, how much may come out, and what smells of an injection."""

import re
from collections.abc import Iterable
from typing import Final, get_args

from orchestrator.errors import PromiseError
from orchestrator.ids import JsonValue
from orchestrator.plan.models import canonical_json
from orchestrator.ports.guard import PASS, Label, Passing, Ruling, Stage

LOOKED_CHARS_MAX: Final = 200_000  #: of one value that hints are looked for in
SIGNAL_FROM: Final = 0.5  #: score at which something is worth a line in the journal


class EffectGate:
    """Lets nothing change the world on the strength of values whose labels are not all allowed.

    At a step with an effect, every value under `with` counts. At a tool with an effect, the arguments were written by a
    model that has read whatever the agent was given, so those labels count, `model` with them, and `tool` and
    `document` once any tool has answered. A value whose labels nobody knows is not allowed.

    Raises:
        PromiseError: a label is not known.
    """

    name = "effects"
    stages: frozenset[Stage] = frozenset({"input", "tool_call", "tool_result"})

    def __init__(self, allow: Iterable[Label] = ("trusted", "user")) -> None:
        self._allow = frozenset(allow)
        strange = self._allow.difference(get_args(Label))
        if strange:
            raise PromiseError(f"label {min(strange)!r} is not known", f"use {', '.join(get_args(Label))}")

    async def look(self, passing: Passing) -> Ruling:
        """See the port."""
        match passing.stage:
            case "input" if passing.effect:
                return self._ruled({name: passing.labels.get(name) for name in _names_of(passing.value)})
            case "tool_call" if passing.effect:
                read = frozenset[Label]({"model"}).union(*passing.labels.values())
                if "read" in passing.memory:
                    read |= frozenset[Label]({"tool", "document"})
                return self._ruled({"its arguments": read})
            case "tool_result":
                passing.memory["read"] = True
            case _:
                pass
        return PASS

    def _ruled(self, labels: dict[str, frozenset[Label] | None]) -> Ruling:
        reasons: list[str] = []
        for name, found in labels.items():
            if found is None:
                reasons.append(f"nobody knows whence {name} comes")
            elif found - self._allow:
                reasons.append(f"{name} may come from: {', '.join(sorted(found - self._allow))}")
        return Ruling(verdict="block", reasons=tuple(reasons)) if reasons else PASS


def _names_of(value: JsonValue) -> Iterable[str]:
    args = value.get("args") if isinstance(value, dict) else None
    return args if isinstance(args, dict) else ()


class OutputLimit:
    """Stops an output, or a tool's result, over so many bytes of JSON.

    Raises:
        PromiseError: the limit is below 1.
    """

    name = "size"
    stages: frozenset[Stage] = frozenset({"output", "tool_result"})

    def __init__(self, bytes_max: int) -> None:
        if bytes_max < 1:
            raise PromiseError(f"an output of {bytes_max} bytes is none", "use a number from 1")
        self._bytes_max = bytes_max

    async def look(self, passing: Passing) -> Ruling:
        """See the port."""
        size = len(canonical_json(passing.value).encode())
        if size <= self._bytes_max:
            return PASS
        return Ruling(verdict="block", reasons=(f"{size} bytes, over {self._bytes_max}",))


#: What injections and jailbreaks often hold, and how much each weighs. All of it can be evaded: hints, and no wall.
_HINTS: Final = tuple(
    (name, weight, re.compile(pattern, re.IGNORECASE))
    for name, weight, pattern in (
        ("takes instructions back", 0.6, r"\b(?:ignore|disregard|forget|override)\b.{0,40}\b(?:previous|prior|above|all|earlier|system)\b.{0,30}\b(?:instruction|prompt|rule|message|context)"),  # noqa: E501 # a pattern is read whole
        ("takes instructions back, in another language", 0.6, r"bisherigen? (?:anweisung|regel)|instructions? pr[ée]c[ée]dentes?|instrucciones anteriores"),  # noqa: E501 # a pattern is read whole
        ("gives itself a role", 0.4, r"\byou are now\b|\bact as (?:if|an? )|\bpretend (?:to be|you)|\bdeveloper mode\b|\bDAN\b|no restrictions"),  # noqa: E501 # a pattern is read whole
        ("speaks as the system", 0.5, r"(?:^|\n)\s*(?:system|assistant|developer)\s*:|<\|(?:im_start|im_end|system|endoftext)\|>|\[/?INST\]|</?(?:system|tool_call|tool_result)>"),  # noqa: E501 # a pattern is read whole
        ("asks for the prompt or for keys", 0.5, r"\b(?:reveal|print|repeat|show|send|quote)\b.{0,60}\b(?:system prompt|instructions|api[ _-]?keys?|secrets?|passwords?|credentials?)"),  # noqa: E501 # a pattern is read whole
        ("asks to be kept secret", 0.4, r"\b(?:do not|don't|never) (?:tell|mention|reveal|inform)\b.{0,30}\b(?:user|anyone|nobody|operator)|tell nobody"),  # noqa: E501 # a pattern is read whole
        ("wants a tool called", 0.3, r"\b(?:call|use|run|execute|invoke)\b.{0,20}\b(?:the )?(?:tool|function|command|shell)\b"),  # noqa: E501 # a pattern is read whole
        ("claims an approval", 0.3, r"(?:already|has been|was) (?:approved|authori[sz]ed)|approval was given|signature verified"),  # noqa: E501 # a pattern is read whole
        ("closes a data block", 0.6, r"DATA [0-9a-f]{12}>>>|<<<DATA [0-9a-f]{12}"),
        ("hides characters", 0.5, r"[\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]|[\U000e0000-\U000e007f]"),
        ("carries something encoded", 0.2, r"\b(?:base64|decode this|rot13)\b|[A-Za-z0-9+/]{120,}={0,2}"),
    )
)  # fmt: skip


class Hints:
    """Weighs what smells of an injection or a jailbreak, journals it, and lets it pass: hints are never the wall.

    `weigh` gives the score and what it rests on; `from_` is the score at which a line is journaled.
    """

    name = "hints"
    stages: frozenset[Stage] = frozenset({"input", "tool_result", "output"})

    def __init__(self, from_: float = SIGNAL_FROM) -> None:
        self._from = from_

    async def look(self, passing: Passing) -> Ruling:
        """See the port."""
        score, found = self.weigh("\n".join(_texts(passing.value)))
        if score < self._from:
            return PASS
        return Ruling(verdict="signal", score=round(score, 3), reasons=tuple(found))

    @staticmethod
    def weigh(text: str) -> tuple[float, list[str]]:
        """0 to 1, and the hints that were found; the score is what is left when each takes its part of the doubt."""
        found = [(name, weight) for name, weight, pattern in _HINTS if pattern.search(text[:LOOKED_CHARS_MAX])]
        doubt = 1.0
        for _, weight in found:
            doubt *= 1.0 - weight
        return 1.0 - doubt, [name for name, _ in found]


def _texts(value: JsonValue) -> Iterable[str]:
    todo: list[JsonValue] = [value]
    while todo:
        match todo.pop():
            case str() as text:
                yield text
            case list() as items:
                todo += items
            case dict() as members:
                yield from members
                todo += members.values()
            case _:
                pass
