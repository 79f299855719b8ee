"""What SQL journals share: facts as bytes on their way in, rows as checked records on their way out."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Final

from orchestrator.core.chain import SALT_BYTES, Link
from orchestrator.core.codec import decode, encode
from orchestrator.errors import ArtifactMissing, JournalCorrupt
from orchestrator.ids import ArtifactDigest, RunId
from orchestrator.ports.journal import Append, Recorded, RunRow

DIGEST_BYTES: Final = 32
_SALTS_DRAWN: Final = 256

Encoded = list[tuple[bytes, bytes | None]]
ROW_NAMES: Final = tuple(field.name for field in fields(RunRow) if field.name != "parked")  #: that all journals have


def encode_all(entries: Sequence[Append]) -> list[Encoded]:
    """Header and payload of every fact; nothing is written yet.

    Raises:
        ValueRefused: a fact holds something no journal keeps.
    """
    return [[encode(fact, entry.epoch) for fact in entry.facts] for entry in entries]


def _draw_salts() -> Iterator[bytes]:
    """Random salts, drawn from the system many at a time."""
    while True:
        drawn = os.urandom(SALT_BYTES * _SALTS_DRAWN)
        for at in range(0, len(drawn), SALT_BYTES):
            yield drawn[at : at + SALT_BYTES]


salts: Final = _draw_salts()


def stored_link(run_id: RunId, expected: int, row: Sequence[object], forgotten: int) -> Link:
    """A row (seq, header, digest, hash, salt, payload, artifact) as the chain sees it; `forgotten` is the last record
    whose payload somebody asked to forget.

    Raises:
        JournalCorrupt: it is another record than the expected one, or a part of it is missing.
    """
    seq, header, digest, hash_, salt, payload, artifact = row
    if seq != expected:
        raise JournalCorrupt(run_id, expected, f"the record is missing; the next one kept is {seq}")
    if not isinstance(header, bytes) or not isinstance(hash_, bytes) or not isinstance(digest, bytes | None):
        raise JournalCorrupt(run_id, expected, "the record does not hold bytes")
    if not isinstance(salt, bytes | None) or not isinstance(payload, bytes | None):
        raise JournalCorrupt(run_id, expected, "the payload does not hold bytes")
    if payload is None and artifact is not None:
        raise JournalCorrupt(run_id, expected, "the artifact that holds its payload is missing")
    if payload is None and digest is not None and expected > forgotten:
        raise JournalCorrupt(run_id, expected, "the payload is missing, and nobody asked to forget it")
    return Link(seq=expected, header=header, payload_digest=digest, hash=hash_, salt=salt, payload=payload)


def recorded(run_id: RunId, link: Link, before: bytes) -> Recorded:
    """A checked link as the record it holds; `before` is the hash of the record before it.

    Raises:
        JournalCorrupt: no fact that this release knows.
    """
    held = decode(run_id, link.seq, link.header, link.payload, had_payload=link.payload_digest is not None)
    return Recorded(
        run_id=run_id,
        seq=link.seq,
        epoch=held.epoch,
        fact=held.fact,
        prev_hash=before.hex(),
        hash=link.hash.hex(),
        forgotten=held.forgotten,
    )


def raw_digest(digest: ArtifactDigest) -> bytes:
    """The bytes of a digest.

    Raises:
        ArtifactMissing: it is none.
    """
    kind, _, digits = digest.partition(":")
    try:
        raw = bytes.fromhex(digits)
    except ValueError:
        raw = b""
    if kind != "sha256" or len(raw) != DIGEST_BYTES:
        raise ArtifactMissing(digest, "not a digest of an artifact; they read sha256: and 64 hexadecimal digits")
    return raw
