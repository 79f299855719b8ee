"""Every journal a release ever wrote is read by this one."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.core.chain import verify
from orchestrator.core.codec import CODEC_VERSION, decode
from orchestrator.core.event import canonical_event
from orchestrator.ports.journal import Recorded
from orchestrator.testing.facts import accepted, ended, passed, produced
from tests.replay import golden


def events_of(journal: golden.Golden) -> list[dict[str, object]]:
    """What this release says of the stored bytes."""
    found, before = [], "0" * 64
    for link in journal.links:
        held = decode(journal.run_id, link.seq, link.header, link.payload, had_payload=link.payload_digest is not None)
        record = Recorded(
            run_id=journal.run_id,
            seq=link.seq,
            epoch=held.epoch,
            fact=held.fact,
            prev_hash=before,
            hash=link.hash.hex(),
            forgotten=held.forgotten,
        )
        found.append(canonical_event(record))
        before = record.hash
    return found


@pytest.mark.parametrize("path", golden.paths(), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_golden_journal_is_whole_and_says_what_it_said(path: Path) -> None:
    journal = golden.read(path)
    assert verify(journal.run_id, journal.links) == len(journal.links)
    told = events_of(journal)
    if path.parent.name == f"v{CODEC_VERSION}":
        assert told == journal.events
    else:  # fields may have been added since; what was said then is still said
        for now, then in zip(told, journal.events, strict=True):
            assert {name: now[name] for name in then if name != "data"} == {
                name: value for name, value in then.items() if name != "data"
            }


def test_no_layout_has_changed_within_a_codec_version() -> None:
    pinned = json.loads(golden.layouts_path().read_text())
    assert golden.layouts() == pinned, (
        "the fields of a fact changed: raise CODEC_VERSION, add an upcaster for each kind that changed, and run "
        "`python -m tests.replay.golden` for the new version (before its first release, for this one)"
    )


def test_every_version_has_a_folder() -> None:
    assert golden.versions() == list(range(1, CODEC_VERSION + 1))


@pytest.mark.anyio
async def test_a_journal_written_as_a_golden_reads_the_same(tmp_path: Path) -> None:
    records = await golden.recorded((accepted(), produced({"é\u2028": [1, None]}), passed(), ended()), epoch=3)
    path = tmp_path / "story.jsonl"
    golden.write(path, records)

    journal = golden.read(path)

    assert verify(journal.run_id, journal.links) == 4
    assert events_of(journal) == journal.events
    unhashed = [replace(record, prev_hash="", hash="") for record in records]
    assert [event | {"prev_hash": "", "hash": ""} for event in journal.events] == [
        canonical_event(record) for record in unhashed
    ]
    with pytest.raises(FileExistsError):
        golden.write(path, records)
