"""The hash chain of a run: every record is bound to its place, its header, its payload and the record before it.

    payload digest = sha256(salt || payload)
    hash           = sha256(hash before || run || sequence number || payload digest, or 32 zeros || header)

The salt (16 bytes) lies beside the payload and is deleted with it: what remains of a deleted payload is a digest nobody
can test guesses against, and the chain stays whole.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from orchestrator.errors import JournalCorrupt
from orchestrator.ids import RunId

HASH_BYTES: Final = 32
SALT_BYTES: Final = 16
FIRST_HASH: Final = bytes(HASH_BYTES)  #: the hash before the first record: 64 zeros in hexadecimal
NO_PAYLOAD: Final = bytes(HASH_BYTES)  #: stands where a record has no payload; no digest has this value


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One record as the chain sees it."""

    seq: int
    header: bytes
    payload_digest: bytes | None  #: None: the record never had a payload
    hash: bytes
    salt: bytes | None = None  #: None when the payload was deleted, or never was
    payload: bytes | None = None


def payload_digest(salt: bytes, payload: bytes) -> bytes:
    """What stands for a payload in the chain, also after the payload is gone; 32 bytes."""
    return hashlib.sha256(salt + payload).digest()


def link_hash(before: bytes, run_id: RunId, seq: int, header: bytes, digest: bytes | None) -> bytes:
    """The hash of one record, 32 bytes.

    Unambiguous without lengths: the first and fourth part have 32 bytes, the third 8, the run's id cannot hold NUL, and
    the header is what remains.
    """
    return hashlib.sha256(
        b"%b%b\0%b%b%b" % (before, run_id.encode(), seq.to_bytes(8, "big"), digest or NO_PAYLOAD, header)
    ).digest()


def verify(run_id: RunId, links: Iterable[Link], *, before: bytes = FIRST_HASH, after: int = 0) -> int:
    """Check records that follow record `after`, whose hash is `before`; return the last sequence number.

    Raises:
        JournalCorrupt: a record is missing, out of place, or not what it was when it was written.
    """
    seq = after
    for link in links:
        seq += 1
        if link.seq != seq:
            raise JournalCorrupt(run_id, seq, f"the record is missing; the next one kept is {link.seq}")
        before = check_link(run_id, link, before)
    return seq


def check_link(run_id: RunId, link: Link, before: bytes) -> bytes:
    """Check one record against the hash before it; return its hash.

    Raises:
        JournalCorrupt: the record is not what it was when it was written.
    """
    if link.payload is not None:
        if link.salt is None or link.payload_digest is None:
            raise JournalCorrupt(run_id, link.seq, "a payload lies where none was written")
        if payload_digest(link.salt, link.payload) != link.payload_digest:
            raise JournalCorrupt(run_id, link.seq, "the payload does not fit its digest")
    if link_hash(before, run_id, link.seq, link.header, link.payload_digest) != link.hash:
        raise JournalCorrupt(run_id, link.seq, "the hash does not fit: this record or the one before it was changed")
    return link.hash
