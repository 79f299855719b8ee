"""Checks an exported audit trail with nothing but its lines: no store, no trust in who wrote it."""

import json
from typing import cast

from orchestrator.core.chain import FIRST_HASH, Link, check_link
from orchestrator.core.codec import decode
from orchestrator.core.event import canonical_event
from orchestrator.errors import JournalCorrupt
from orchestrator.ids import JsonValue, RunId
from orchestrator.ports.journal import Recorded


class Chains:
    """The chains of the runs in one export."""

    def __init__(self) -> None:
        self._heads: dict[RunId, tuple[int, bytes]] = {}
        self._line = 0

    def add(self, line: bytes) -> None:
        """Check the next line: its place, its hash, and that what it says is what the hash covers.

        Raises:
            JournalCorrupt: it was changed, or a line before it is missing.
        """
        self._line += 1
        try:
            told: JsonValue = json.loads(line)
        except (ValueError, RecursionError):
            told = None
        if not isinstance(told, dict) or not isinstance(told.get("proof"), dict):
            raise JournalCorrupt("?", self._line, f"line {self._line} is no exported event")
        run_id = RunId(str(told.get("run")))
        seq, before = self._heads.get(run_id, (0, FIRST_HASH))
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

    def _link(self, run_id: RunId, seq: int, told: dict[str, JsonValue]) -> Link:
        proof = cast(dict[str, JsonValue], told["proof"])
        try:
            return Link(
                seq=seq,
                header=str(proof["header"]).encode(),
                payload_digest=_bytes(proof["payload_digest"]),
                hash=bytes.fromhex(str(told["hash"])),
                salt=_bytes(proof["salt"]),
                payload=str(proof["payload"]).encode() if proof["payload"] is not None else None,
            )
        except (KeyError, ValueError) as error:
            raise JournalCorrupt(run_id, seq, f"its proof cannot be read ({error})") from None

    def document(self) -> dict[str, JsonValue]:
        """{runs, records, damaged: [], heads: {run: last hash}}."""
        return {
            "runs": len(self._heads),
            "records": sum(seq for seq, _ in self._heads.values()),
            "damaged": [],
            "heads": {run_id: head.hex() for run_id, (_, head) in self._heads.items()},
        }


def _bytes(value: JsonValue) -> bytes | None:
    return bytes.fromhex(str(value)) if value is not None else None
