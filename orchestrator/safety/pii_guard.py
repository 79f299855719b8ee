"""The guard of people's data: strikes it out, hides it behind placeholders, or refuses, on the way in and out."""

import hashlib
import hmac
import re
import secrets
from collections import Counter
from collections.abc import Iterable
from typing import Final, Literal, cast, get_args

from orchestrator.errors import PromiseError
from orchestrator.ids import JsonValue
from orchestrator.ports.guard import PASS, Passing, Ruling, Stage
from orchestrator.ports.recogniser import MEANINGS, Recogniser
from orchestrator.ports.redaction import RedactedStream
from orchestrator.safety.recognisers import KINDS, AnyKind
from orchestrator.safety.redactor import Redactor

Mode = Literal["off", "redact", "placeholders", "refuse"]
_TAG_CHARS: Final = 10
_PLACEHOLDER: Final = re.compile(rf"\[(?:{'|'.join((*KINDS, *MEANINGS))})-[0-9a-f]{{{_TAG_CHARS}}}\]")


class PiiGuard:
    """What a worker is given goes by `given`, what it gives back by `gives`.

    `redact` puts a mark such as `[email]` in the place of a find; `refuse` ends the attempt; `placeholders`, for what
    is given alone, puts `[email-3f9a2c41d0]` there: the same text has the same one all through a run and another in
    every other. Tools are handed what a placeholder stands for, and so is whoever reads the output; a model never is.

    What a placeholder stands for is kept for the length of the attempt, in memory, and nowhere else: each attempt finds
    it anew in what it is given. Placeholders are an HMAC under `key`; without one a key is drawn for this process, so
    that they differ between processes and nobody can try guesses against them.

    Raises:
        PromiseError: a mode or a kind is not known, or `gives` asks for placeholders that nobody could resolve.
    """

    def __init__(
        self,
        given: Mode = "off",
        gives: Mode = "off",
        *,
        kinds: Iterable[AnyKind] = KINDS,
        key: bytes | None = None,
        name: str = "pii",
        recogniser: Recogniser | None = None,
    ) -> None:
        self.name = name
        self._kinds = tuple(kinds)
        for mode in (given, gives):
            if mode not in get_args(Mode):
                raise PromiseError(f"guard {name}: mode {mode!r} is not known", f"use {', '.join(get_args(Mode))}")
        if gives == "placeholders":
            raise PromiseError(
                f"guard {name}: placeholders in an output could never be resolved", "use redact or refuse for `gives`"
            )
        if recogniser is None and (meant := [kind for kind in self._kinds if kind in MEANINGS]):
            raise PromiseError(
                f"guard {name}: no form tells the kind {meant[0]!r}", "give it a recogniser, such as PresidioRecogniser"
            )
        strange = [kind for kind in self._kinds if kind not in (*KINDS, *MEANINGS)]
        if strange:
            raise PromiseError(
                f"guard {name}: kind {strange[0]!r} is not known", f"use {', '.join((*KINDS, *MEANINGS))}"
            )
        self._given, self._gives = given, gives
        self._key = key or secrets.token_bytes(32)
        self._recogniser = recogniser
        self._plain = Redactor(self._kinds, recogniser=recogniser)

    @property
    def stages(self) -> frozenset[Stage]:
        """Where it is asked."""
        found: set[Stage] = set()
        if self._given != "off":
            found |= {"input", "tool_result"}
        if self._given == "placeholders":
            found |= {"tool_call", "output"}
        if self._gives != "off":
            found |= {"output"}
        return frozenset(found)

    async def look(self, passing: Passing) -> Ruling:
        """See the port."""
        return self.ruled(passing)

    def ruled(self, passing: Passing) -> Ruling:
        """What `look` says, for code that does not await."""
        match passing.stage:
            case "input" | "tool_result":
                return self._ruled(passing, self._given)
            case "tool_call":
                return self._revealed(passing)
            case "output":
                shown = self._revealed(passing) if self._given == "placeholders" else PASS
                if self._gives == "off":
                    return shown
                # What the worker was given in clear text, it may give back only as `gives` says.
                value = shown.value if shown.verdict == "change" else passing.value
                ruled = self._ruled(passing, self._gives, value)
                return ruled if ruled.verdict != "pass" else shown

    def said(self, value: JsonValue) -> JsonValue:
        """See `StreamGuard`: what a worker says on its way goes by `gives` too, and is struck where that refuses."""
        return value if self._gives == "off" else self._plain.value(value)

    def piece(self, memory: dict[str, object], text: str) -> str:
        """See `StreamGuard`: watchers see marks, whatever the modes are."""
        stream = memory.setdefault("stream", None) or self._plain.stream()
        memory["stream"] = stream
        return cast(RedactedStream, stream).feed(text)

    def rest(self, memory: dict[str, object]) -> str:
        """See `StreamGuard`."""
        stream = memory.pop("stream", None)
        return cast(RedactedStream, stream).end() if stream is not None else ""

    def _ruled(self, passing: Passing, mode: Mode, value: JsonValue = None) -> Ruling:
        value = passing.value if value is None else value
        counts: Counter[str] = Counter()
        known = cast(dict[str, str], passing.memory.setdefault("known", {}))

        def mark(kind: str, text: str) -> str:
            counts[kind] += 1
            if mode != "placeholders":
                return f"[{kind}]"
            placeholder = self._placeholder(passing.key.run_id, kind, text)
            known[placeholder] = text
            return placeholder

        changed = Redactor(self._kinds, mark=mark, recogniser=self._recogniser).value(value)
        if not counts:
            return PASS
        reasons = tuple(f"{count} {kind}" for kind, count in sorted(counts.items()))
        if mode == "refuse":
            return Ruling(verdict="block", reasons=reasons)
        return Ruling(verdict="change", value=changed, reasons=reasons)

    def _placeholder(self, run_id: str, kind: str, text: str) -> str:
        said = hmac.new(self._key, f"{run_id}\0{kind}\0{text}".encode(), hashlib.sha256)
        return f"[{kind}-{said.hexdigest()[:_TAG_CHARS]}]"

    def _revealed(self, passing: Passing) -> Ruling:
        known = cast(dict[str, str], passing.memory.get("known", {}))
        count = 0

        def clear(match: re.Match[str]) -> str:
            nonlocal count
            found = known.get(match[0])
            count += found is not None
            return match[0] if found is None else found

        def walk(value: JsonValue) -> JsonValue:
            match value:
                case str():
                    return _PLACEHOLDER.sub(clear, value)
                case list():
                    return [walk(item) for item in value]
                case dict():
                    return {_PLACEHOLDER.sub(clear, name): walk(item) for name, item in value.items()}
                case _:
                    return value

        changed = walk(passing.value)
        return Ruling(verdict="change", value=changed, reasons=(f"{count} put back",)) if count else PASS


class SlowPiiGuard:
    """A guard of people's data whose recogniser takes long: it looks in a thread, and holds up nobody else.

    What streams and what a worker says on its way it looks at where that is said, a sentence at a time.
    """

    def __init__(self, guard: PiiGuard) -> None:
        self._guard, self.name = guard, guard.name
        self.said, self.piece, self.rest = guard.said, guard.piece, guard.rest

    @property
    def stages(self) -> frozenset[Stage]:
        """Where it is asked."""
        return self._guard.stages

    def look(self, passing: Passing) -> Ruling:
        """See the port."""
        return self._guard.ruled(passing)
