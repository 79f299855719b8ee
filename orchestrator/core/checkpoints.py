"""Signed checkpoints: what must be in the journal, said by somebody who holds a key the journal does not know.

A chain of hashes proves that nothing was changed inside a run. It cannot prove that the whole run is there, or that its
end was not cut off, or that nobody computed all of it anew. A checkpoint can: it is a line of JSON that names runs with
their newest record and its hash, bound to the line before it, under an HMAC-SHA256 whose key lies elsewhere.

    mac = HMAC-SHA256(key, the line without its mac, as canonical JSON)

The key is symmetric: it convinces those who hold it, and whoever holds it could sign too. Lines say only what changed
since the line before, so that a ledger grows with the work done and not with the runs kept.
"""

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from orchestrator.errors import CheckpointBroken
from orchestrator.ids import JsonValue, RunId
from orchestrator.plan.models import canonical_json

VERSION: Final = 1
KEY_CHARS_MIN: Final = 32  #: of a key; shorter ones can be guessed
RUNS_MAX: Final = 50_000  #: named by one line
NO_MAC: Final = "0" * 64  #: stands before the first line
_KEY_ID_CHARS: Final = 12
_HASH_CHARS: Final = 64

#: What a line is about. `checkpoint`: so far every run named is whole. `forgotten`: these runs, or what they said, were
#: deleted on somebody's word. `exported`: these runs were handed out.
CheckpointKind = Literal["checkpoint", "forgotten", "exported"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A place in the chain of a run."""

    seq: int
    hash: str  #: of that record, 64 hex digits


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """One line of a ledger."""

    number: int  #: from 1, without a gap
    at_s: float
    kind: CheckpointKind
    runs: Mapping[RunId, Mark]
    by: str = ""  #: who asked for it
    reason: str = ""
    payloads_only: bool = False  #: of `forgotten`: the records stay
    before: str = NO_MAC  #: the mac of the line before
    key: str = ""  #: which key signed, by `key_id`
    mac: str = ""


def key_id(key: str) -> str:
    """A name of a key that does not give it away."""
    return hmac.new(key.encode(), b"orchestrator audit key", hashlib.sha256).hexdigest()[:_KEY_ID_CHARS]


def _body(entry: Checkpoint) -> dict[str, JsonValue]:
    runs: dict[str, JsonValue] = {run_id: [mark.seq, mark.hash] for run_id, mark in entry.runs.items()}
    return {
        "v": VERSION,
        "number": entry.number,
        "at": entry.at_s,
        "kind": entry.kind,
        "runs": runs,
        "by": entry.by,
        "reason": entry.reason,
        "payloads_only": entry.payloads_only,
        "before": entry.before,
        "key": entry.key,
    }


def mac_of(key: str, body: JsonValue) -> str:
    """The signature of a JSON value, 64 hex digits."""
    return hmac.new(key.encode(), canonical_json(body).encode(), hashlib.sha256).hexdigest()


def line_of(entry: Checkpoint) -> str:
    """A signed checkpoint as it is written: canonical JSON, without a line break."""
    return canonical_json({**_body(entry), "mac": entry.mac})


@dataclass(slots=True)
class Ledger:
    """What the lines of a ledger add up to. `keys`: any of them may have signed; the first signs what is new.

    Raises:
        ValueError: there is no key, or one is too short to protect anything.
    """

    keys: tuple[str, ...]
    expected: dict[RunId, Mark] = field(default_factory=dict)  #: must be in the journal, at least so far
    gone: dict[RunId, Mark] = field(default_factory=dict)  #: deleted whole on somebody's word
    emptied: dict[RunId, Mark] = field(default_factory=dict)  #: what they said was deleted on somebody's word
    number: int = 0
    mac: str = NO_MAC  #: of the newest line: whoever keeps it elsewhere can tell that the ledger itself was cut
    at_s: float = 0.0  #: of the newest line

    def __post_init__(self) -> None:
        if not self.keys or min(map(len, self.keys)) < KEY_CHARS_MIN:
            raise ValueError(f"a key of checkpoints has at least {KEY_CHARS_MIN} characters")

    def add(self, line: str) -> Checkpoint:
        """Take the next line.

        Raises:
            CheckpointBroken: it was changed, is out of place, or was signed with another key.
        """
        entry = _read(self.number + 1, line)
        if entry.number != self.number + 1 or entry.before != self.mac:
            raise CheckpointBroken(self.number + 1, f"the line is missing; the next one kept is {entry.number}")
        key = next((key for key in self.keys if key_id(key) == entry.key), None)
        if key is None:
            raise CheckpointBroken(entry.number, f"it was signed with the key {entry.key}, which was not given")
        if not hmac.compare_digest(mac_of(key, _body(entry)).encode(), entry.mac.encode()):
            raise CheckpointBroken(entry.number, "the signature does not fit: it was changed after it was signed")
        self._take(entry)
        return entry

    def sign(
        self,
        kind: CheckpointKind,
        runs: Mapping[RunId, Mark],
        *,
        at_s: float,
        by: str = "",
        reason: str = "",
        payloads_only: bool = False,
    ) -> list[str]:
        """New lines that name these runs, already added; several where they are more than one line takes."""
        lines: list[str] = []
        names = list(runs)
        for at in range(0, max(len(names), 1), RUNS_MAX):
            entry = Checkpoint(
                number=self.number + 1,
                at_s=float(at_s),
                kind=kind,
                runs={name: runs[name] for name in names[at : at + RUNS_MAX]},
                by=by,
                reason=reason,
                payloads_only=payloads_only,
                before=self.mac,
                key=key_id(self.keys[0]),
            )
            mac = mac_of(self.keys[0], _body(entry))
            line = canonical_json({**_body(entry), "mac": mac})
            lines.append(line)
            self.add(line)
        return lines

    def _take(self, entry: Checkpoint) -> None:
        self.number, self.mac, self.at_s = entry.number, entry.mac, entry.at_s
        if entry.kind == "checkpoint":
            self.expected.update(entry.runs)
        elif entry.kind == "forgotten" and entry.payloads_only:
            self.expected.update(entry.runs)
            self.emptied.update(entry.runs)
        elif entry.kind == "forgotten":
            for run_id, mark in entry.runs.items():
                self.expected.pop(run_id, None)
                self.gone[run_id] = mark


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the journal holds of a run that a ledger speaks of."""

    hash: str | None  #: of the record at the mark; None: there is no such record
    last_seq: int  #: newest record; 0: there is no such run
    emptied: bool = False  #: payloads were deleted


def lacks(ledger: Ledger, found: Mapping[RunId, Found]) -> Iterable[tuple[RunId, int, str]]:
    """(run, record, what is wrong) for each run that is not as the ledger says, in the order of the ledger.

    A run that was deleted on somebody's word may be missing; when it is still there it must be what it was.
    """
    nothing = Found(hash=None, last_seq=0)
    for run_id, mark in ledger.expected.items():
        seen = found.get(run_id, nothing)
        if seen.last_seq == 0:
            yield run_id, 1, f"the whole run is missing; signed up to record {mark.seq}, and nobody asked to delete it"
        elif seen.last_seq < mark.seq:
            yield run_id, seen.last_seq + 1, f"the end was cut off: it was signed up to record {mark.seq}"
        elif seen.hash != mark.hash:
            yield run_id, mark.seq, "the hash is not the one that was signed: the run was written anew"
        elif seen.emptied and run_id not in ledger.emptied:
            yield run_id, 1, "what it said was deleted, and no signed line says who asked for that"
    for run_id, mark in ledger.gone.items():
        seen = found.get(run_id, nothing)
        if seen.last_seq and seen.hash != mark.hash:
            yield run_id, mark.seq, "it was deleted on somebody's word, and another run has its name"


def _read(number: int, line: str) -> Checkpoint:
    try:
        told: JsonValue = json.loads(line)
    except (ValueError, RecursionError):
        raise CheckpointBroken(number, "the line is no JSON") from None
    if not isinstance(told, dict):
        raise CheckpointBroken(number, "the line is no checkpoint")
    if told.get("v") != VERSION:
        raise CheckpointBroken(number, f"its version is {told.get('v')}; this release reads {VERSION}")
    entry = _entry(number, told)
    if not line.isascii() and line.encode(errors="replace").decode() != line:
        raise CheckpointBroken(number, "the line is no UTF-8")
    if line_of(entry) != line:  # a field more, another order, other spellings of a number: all of it is unsigned
        raise CheckpointBroken(number, "the line is not written as checkpoints are")
    return entry


def _entry(number: int, told: dict[str, JsonValue]) -> Checkpoint:
    match told:
        case {
            "number": int(own),
            "at": int(at_s) | float(at_s),
            "kind": str(kind),
            "runs": dict(runs),
            "by": str(by),
            "reason": str(reason),
            "payloads_only": bool(payloads_only),
            "before": str(before),
            "key": str(key),
            "mac": str(mac),
        } if kind in get_args(CheckpointKind):
            return Checkpoint(
                number=own,
                at_s=float(at_s),
                kind=kind,  # type: ignore[arg-type]  # one of its words, as was just looked up
                runs={RunId(run_id): _mark(number, mark) for run_id, mark in runs.items()},
                by=by,
                reason=reason,
                payloads_only=payloads_only,
                before=before,
                key=key,
                mac=mac,
            )
    raise CheckpointBroken(number, "a field is missing or mistyped")


def _mark(number: int, value: JsonValue) -> Mark:
    match value:
        case [int(seq), str(hash_)] if seq > 0 and len(hash_) == _HASH_CHARS:
            return Mark(seq=seq, hash=hash_)
    raise CheckpointBroken(number, "a mark is no record with its hash")
