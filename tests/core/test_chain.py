"""The hash chain, byte by byte."""

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.chain import FIRST_HASH, Link, link_hash, payload_digest, verify
from orchestrator.errors import JournalCorrupt
from orchestrator.ids import RunId

RUN = RunId("run-1")


def chain(*records: tuple[bytes, bytes | None]) -> list[Link]:
    before, links = FIRST_HASH, []
    for seq, (header, payload) in enumerate(records, 1):
        salt = None if payload is None else bytes([seq]) * 16
        digest = None if payload is None or salt is None else payload_digest(salt, payload)
        before = link_hash(before, RUN, seq, header, digest)
        links.append(Link(seq=seq, header=header, payload_digest=digest, hash=before, salt=salt, payload=payload))
    return links


THREE = chain((b"[1]", b"[2]"), (b"[3]", None), (b"[4]", b""))


def test_the_formula_is_the_one_that_is_documented() -> None:
    digest = hashlib.sha256(b"s" * 16 + b"payload").digest()
    assert payload_digest(b"s" * 16, b"payload") == digest
    first = hashlib.sha256(bytes(32) + b"run-1\0" + (1).to_bytes(8, "big") + digest + b"header").digest()
    assert link_hash(FIRST_HASH, RUN, 1, b"header", digest) == first
    second = hashlib.sha256(first + b"run-1\0" + (2).to_bytes(8, "big") + bytes(32) + b"header").digest()
    assert link_hash(first, RUN, 2, b"header", None) == second


def test_a_whole_chain_verifies_also_from_the_middle_and_without_payloads() -> None:
    assert verify(RUN, THREE) == 3
    assert verify(RUN, []) == 0
    assert verify(RUN, THREE[1:], before=THREE[0].hash, after=1) == 3
    assert verify(RUN, [replace(link, payload=None, salt=None) for link in THREE]) == 3


@given(st.integers(0, 2), st.sampled_from(["header", "payload_digest", "hash", "salt", "payload"]), st.data())
def test_any_flipped_bit_is_found_at_its_record(at: int, part: str, data: st.DataObject) -> None:
    link = THREE[at]
    value = getattr(link, part)
    if not value:
        return
    bit = data.draw(st.integers(0, len(value) * 8 - 1))
    changed = bytearray(value)
    changed[bit // 8] ^= 1 << bit % 8
    links = [*THREE[:at], replace(link, **{part: bytes(changed)}), *THREE[at + 1 :]]

    with pytest.raises(JournalCorrupt) as caught:
        verify(RUN, links)

    assert (caught.value.run_id, caught.value.seq) == (RUN, at + 1)


@pytest.mark.parametrize(
    ("links", "seq", "reason"),
    [
        (THREE[1:], 1, "next one kept is 2"),
        ([THREE[0], THREE[2]], 2, "next one kept is 3"),
        ([THREE[1], THREE[0]], 1, "next one kept is 2"),
        ([THREE[0], THREE[0]], 2, "next one kept is 1"),
        ([THREE[0], replace(THREE[1], payload=b"", salt=b"")], 2, "where none was written"),
        ([replace(THREE[0], salt=None)], 1, "where none was written"),
        ([replace(THREE[0], payload=b"[3]")], 1, "does not fit its digest"),
        ([replace(THREE[0], payload_digest=None, payload=None)], 1, "hash does not fit"),
    ],
)
def test_what_is_missing_or_moved_is_named(links: list[Link], seq: int, reason: str) -> None:
    with pytest.raises(JournalCorrupt, match=reason) as caught:
        verify(RUN, links)
    assert caught.value.seq == seq


def test_a_record_fits_no_other_run_and_no_other_place() -> None:
    with pytest.raises(JournalCorrupt, match="hash does not fit"):
        verify(RunId("run-2"), THREE)
    assert link_hash(FIRST_HASH, RUN, 1, b"h", None) != link_hash(FIRST_HASH, RUN, 2, b"h", None)
