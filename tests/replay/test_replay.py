"""Golden journals drive today's machine: to the same end, and from every record on to something that can go on."""

from pathlib import Path

import pytest

from orchestrator.core import facts as f
from orchestrator.core.codec import CODEC_VERSION, decode
from orchestrator.core.history import check_history
from orchestrator.core.machine import RunMachine
from orchestrator.engine.recovery import machine_of
from orchestrator.ports.journal import Recorded
from tests.replay import golden

GOLDENS = golden.paths()


def records_of(path: Path) -> list[Recorded]:
    journal = golden.read(path)
    records = []
    for link in journal.links:
        held = decode(journal.run_id, link.seq, link.header, link.payload, had_payload=link.payload_digest is not None)
        records.append(
            Recorded(
                run_id=journal.run_id,
                seq=link.seq,
                epoch=held.epoch,
                fact=held.fact,
                prev_hash="0" * 64,
                hash=link.hash.hex(),
            )
        )
    return records


def test_there_are_goldens_of_every_reference_plan() -> None:
    names = {path.stem for path in GOLDENS if path.parent.name == "v1"}
    assert names >= {"chain", "diamond", "wide", "nested", "climbing", "asking", "effecting", "cancelled", "limited"}


def test_there_are_goldens_of_what_parts_write_into_journals() -> None:
    written = {
        record.fact.KIND: record.fact
        for path in GOLDENS
        if path.parent.name == f"v{CODEC_VERSION}"
        for record in records_of(path)
    }
    assert {"tier.chosen", "session.pinned", "guard.tripped", "replan.asked", "replan.refused"} <= set(written)
    assert "tool.failed" in written
    assert {"plan.patched", "run.rated", "model.called", "tool.intended", "budget.reserved"} <= set(written)
    served = [
        record.fact
        for record in records_of(golden.FOLDER / f"v{CODEC_VERSION}" / "cached.jsonl")
        if isinstance(record.fact, f.ModelCalled) and record.fact.served
    ]
    assert [(fact.served, fact.saved_cache_usd) for fact in served] == [("exact", 0.02)]


@pytest.mark.parametrize("path", GOLDENS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_golden_replays_to_its_end(path: Path) -> None:
    records = records_of(path)
    machine = machine_of(records)
    ended = next(n for n, record in enumerate(records) if isinstance(record.fact, f.RunEnded))
    last = records[ended].fact
    assert isinstance(last, f.RunEnded)
    assert all(isinstance(record.fact, f.RunRated) for record in records[ended + 1 :])
    assert machine.state.ended == last.status
    assert machine.state.ledger.steps == last.steps
    assert machine.facts() == []


@pytest.mark.parametrize("path", GOLDENS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_golden_breaks_no_rule_of_histories(path: Path) -> None:
    assert not check_history(records_of(path))


@pytest.mark.parametrize("path", GOLDENS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_golden_can_be_taken_over_after_any_record(path: Path) -> None:
    records = records_of(path)
    frozen = next(n for n, record in enumerate(records) if isinstance(record.fact, f.PlanFrozen))
    for end in range(frozen + 1, len(records) + 1):
        machine: RunMachine = machine_of(records[:end])
        commands = machine.outstanding(records[end - 1].fact.at_s, lost=True)
        assert commands or machine.state.ended, f"after record {end} nothing would ever happen again"
