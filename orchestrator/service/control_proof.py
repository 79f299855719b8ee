"""The form of an exported audit trail, and its proof with nothing but its lines: no store, no trust in who wrote it.

An export is JSON lines: every event of some runs, and then one line that says which runs these are and how far they go,
so that an end that was cut off is missed. Where there is a key that last line is signed.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Final, cast

from orchestrator.core.chain import FIRST_HASH, Link, check_link
from orchestrator.core.checkpoints import Mark, key_id, mac_of
from orchestrator.core.codec import decode
from orchestrator.core.event import canonical_event
from orchestrator.errors import JournalCorrupt
from orchestrator.ids import JsonValue, RunId
from orchestrator.ports.journal import Recorded

_NOBODY: Final = "?"  #: stands for the run where a line names none


def line_of(document: JsonValue) -> str:
    """A line of an export, without its break. There is one way to write it, so that no changed byte goes unseen."""
    return json.dumps(document, ensure_ascii=False)


def seal_of(marks: Mapping[RunId, Mark], keys: Sequence[str], about: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """The last line of an export: the runs in it, how far each goes, what was asked for; signed with the first key."""
    seal: dict[str, JsonValue] = {
        **about,
        "runs": {name: [mark.seq, mark.hash] for name, mark in marks.items()},
        "records": sum(mark.seq for mark in marks.values()),
        "key": key_id(keys[0]) if keys else None,
    }
    return {"seal": seal, "mac": mac_of(keys[0], seal) if keys else None}


class Chains:
    """The chains of the runs in one export. `wanted` are marks of a ledger: what is at those places is remembered."""

    def __init__(self, keys: Sequence[str] = (), wanted: Mapping[RunId, Mark] | None = None) -> None:
        self._keys, self._wanted = keys, wanted or {}
        self._heads: dict[RunId, tuple[int, bytes]] = {}
        self._line = 0
        self._sealed = False
        self.signed: bool | None = None  #: None: it was signed, and no key was given to check that with
        self.marked: dict[RunId, str] = {}  #: hashes at the places that were wanted
        self.emptied: set[RunId] = set()  #: runs of which payloads were deleted

    def add(self, line: bytes) -> None:
        """Check the next line: its place, its hash, and that what it says is what the hash covers.

        Raises:
            JournalCorrupt: it was changed, or a line before it is missing.
        """
        self._line += 1
        told = self._read(line)
        if self._sealed:
            raise JournalCorrupt(_NOBODY, self._line, f"line {self._line} follows the line that ends the export")
        if "seal" in told:
            self._seal(told)
            return
        if not isinstance(told.get("proof"), dict):
            raise JournalCorrupt(_NOBODY, self._line, f"line {self._line} is no exported event")
        run_id = RunId(str(told.get("run")))
        seq, before = self._heads.get(run_id, (0, FIRST_HASH))
        if seq and run_id != next(reversed(self._heads)):
            raise JournalCorrupt(run_id, seq + 1, "the record is out of its place: another run stands in between")
        if told.get("seq") != seq + 1:
            raise JournalCorrupt(run_id, seq + 1, f"the record is missing; the next one is {told.get('seq')}")
        link = self._link(run_id, seq + 1, told)
        self._heads[run_id] = seq + 1, check_link(run_id, link, before)
        held = decode(run_id, link.seq, link.header, link.payload, had_payload=link.payload_digest is not None)
        covered = canonical_event(
            Recorded(
                run_id=run_id,
                seq=link.seq,
                epoch=held.epoch,
                fact=held.fact,
                prev_hash=before.hex(),
                hash=link.hash.hex(),
                forgotten=held.forgotten,
            )
        )
        said = {name: value for name, value in told.items() if name != "proof"}
        if json.loads(json.dumps(covered)) != said:
            raise JournalCorrupt(run_id, link.seq, "the event says something else than what its hash covers")
        if held.forgotten:
            self.emptied.add(run_id)
        mark = self._wanted.get(run_id)
        if mark is not None and mark.seq == link.seq:
            self.marked[run_id] = link.hash.hex()

    def end(self) -> None:
        """Nothing follows.

        Raises:
            JournalCorrupt: the line that ends an export is missing.
        """
        if not self._sealed:
            raise JournalCorrupt(
                _NOBODY, self._line + 1, "the line that ends an export is missing: its end was cut off"
            )

    def _read(self, line: bytes) -> dict[str, JsonValue]:
        text = line.decode(errors="replace")
        try:
            told: JsonValue = json.loads(text)
            same = line_of(told) + "\n" == text and text.encode() == line
        except (ValueError, RecursionError):
            told, same = None, False
        if not isinstance(told, dict):
            raise JournalCorrupt(_NOBODY, self._line, f"line {self._line} is no exported event")
        if not same:
            raise JournalCorrupt(_NOBODY, self._line, f"line {self._line} is not written as exports are")
        return told

    def _seal(self, told: dict[str, JsonValue]) -> None:
        self._sealed = True
        seal, mac = told["seal"], told.get("mac")
        if not isinstance(seal, dict) or not isinstance(seal.get("runs"), dict) or len(told) != 2:
            raise JournalCorrupt(_NOBODY, self._line, "the line that ends the export is none")
        heads: dict[str, JsonValue] = {name: [seq, head.hex()] for name, (seq, head) in self._heads.items()}
        for name, said in cast(dict[str, JsonValue], seal["runs"]).items():
            if heads.get(name) != said:
                last = self._heads.get(RunId(name), (0, b""))[0]
                raise JournalCorrupt(name, last + 1, "its end is missing: the export says it goes further")
        if heads != seal["runs"]:
            strange = next(name for name in heads if name not in cast(dict[str, JsonValue], seal["runs"]))
            raise JournalCorrupt(strange, 1, "the line that ends the export knows nothing of this run")
        if [*heads] != [*seal["runs"]]:
            raise JournalCorrupt(_NOBODY, self._line, "the runs stand in another order than they were exported in")
        if seal.get("records") != sum(seq for seq, _ in self._heads.values()):
            raise JournalCorrupt(_NOBODY, self._line, "the line that ends the export counts other records")
        self._check_mac(seal, mac)

    def _check_mac(self, seal: JsonValue, mac: JsonValue) -> None:
        name = cast(dict[str, JsonValue], seal).get("key")
        if (name is None) != (mac is None):
            raise JournalCorrupt(_NOBODY, self._line, "a signature or the name of its key was taken out")
        if mac is None:
            self.signed = False
            if self._keys:
                raise JournalCorrupt(_NOBODY, self._line, "the export is not signed, and a key was given to check it")
            return
        if not self._keys:
            return
        key = next((key for key in self._keys if key_id(key) == name), None)
        if key is None:
            raise JournalCorrupt(_NOBODY, self._line, f"it was signed with the key {name}, which was not given")
        if mac_of(key, seal) != mac:
            raise JournalCorrupt(_NOBODY, self._line, "the signature does not fit: the export was put together anew")
        self.signed = True

    def _link(self, run_id: RunId, seq: int, told: dict[str, JsonValue]) -> Link:
        proof = cast(dict[str, JsonValue], told["proof"])
        try:
            if len(proof) != 4:
                raise KeyError("there are other fields")
            return Link(
                seq=seq,
                header=_text(proof["header"]).encode(),
                payload_digest=_bytes(proof["payload_digest"]),
                hash=bytes.fromhex(_text(told["hash"])),
                salt=_bytes(proof["salt"]),
                payload=_text(proof["payload"]).encode() if proof["payload"] is not None else None,
            )
        except (KeyError, ValueError) as error:
            raise JournalCorrupt(run_id, seq, f"its proof cannot be read ({error})") from None

    @property
    def lasts(self) -> dict[RunId, int]:
        """How far each run goes."""
        return {run_id: seq for run_id, (seq, _) in self._heads.items()}

    def document(self) -> dict[str, JsonValue]:
        """{runs, records, damaged: [], signed, heads: {run: last hash}}."""
        return {
            "runs": len(self._heads),
            "records": sum(seq for seq, _ in self._heads.values()),
            "damaged": [],
            "signed": self.signed,
            "heads": {run_id: head.hex() for run_id, (_, head) in self._heads.items()},
        }


def _text(value: JsonValue) -> str:
    if not isinstance(value, str):
        raise ValueError("a text was expected")  # told as damage, like any other form
    return value


def _bytes(value: JsonValue) -> bytes | None:
    """Bytes of lower-case digits; other spellings would be changes that no hash sees."""
    if value is None:
        return None
    raw = bytes.fromhex(_text(value))
    if raw.hex() != value:
        raise ValueError("digits are written another way")
    return raw
