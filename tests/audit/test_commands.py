"""The audit from the command line: checkpoints, days, exports, reports, deletion and drills, as a user meets them."""

import json
import sqlite3
from datetime import UTC, datetime

import pytest

from tests.audit.conftest import KEY
from tests.cli.conftest import CHAIN, Shell


@pytest.fixture
def keyed(shell: Shell) -> Shell:
    """The command with a key of checkpoints."""
    shell.env["ORCHESTRATOR_AUDIT_KEY"] = KEY
    return shell


def damage(shell: Shell, text: str) -> None:
    db = sqlite3.connect(shell.home / ".orchestrator" / "journal.db")
    db.executescript(text)
    db.close()


def test_a_run_that_was_taken_out_is_missed_back_to_the_last_checkpoint(keyed: Shell) -> None:
    first = keyed("run", "chain.plan.yaml", "--json").json["run"]
    told = keyed("audit", "checkpoint").err
    assert "✓ signed  checkpoint 1 in .orchestrator/journal.db.checkpoints.jsonl: 1 of 1 runs are new" in told
    second = keyed("run", "chain.plan.yaml", "--json").json["run"]
    whole = keyed("audit", "verify", "--all")
    assert "nothing is missing up to checkpoint 1" in whole.err
    assert whole.err.rstrip().endswith("1 runs began or went on since")

    take = "DELETE FROM events WHERE run = {0}; DELETE FROM runs WHERE id = {0};"
    damage(keyed, take.format(2))
    assert keyed("audit", "verify", "--all", "--json").json["damaged"] == []  # nobody had signed the second
    damage(keyed, take.format(1))
    told = keyed("audit", "verify", "--all", "--json", code=1).json["damaged"]
    assert [(one["run"], one["record"]) for one in told] == [(first, 1)]
    assert "the whole run is missing" in told[0]["reason"]
    assert second not in str(told)
    refused = keyed("audit", "checkpoint", code=1)
    assert "nothing was signed" in refused.err
    assert "the whole run is missing" in refused.out


def test_checkpoints_need_a_key_and_say_so(shell: Shell) -> None:
    shell("run", "chain.plan.yaml")
    refused = shell("audit", "checkpoint", code=2).err
    assert "a checkpoint is signed, and there is no key; set ORCHESTRATOR_AUDIT_KEY" in refused
    short = shell("audit", "checkpoint", code=2, ORCHESTRATOR_AUDIT_KEY="too short").err
    assert "fewer than 32 characters" in short
    shell("audit", "checkpoint", ORCHESTRATOR_AUDIT_KEY=KEY)
    assert "was not looked at: ORCHESTRATOR_AUDIT_KEY holds its key" in shell("audit", "verify", "--all").err
    assert "was not given" in shell("audit", "verify", "--all", code=1, ORCHESTRATOR_AUDIT_KEY="o" * 40).err


def test_a_ledger_that_was_cut_is_noticed_by_whoever_kept_its_number(keyed: Shell) -> None:
    keyed("run", "chain.plan.yaml")
    for _ in range(2):
        keyed("audit", "checkpoint")
    file = keyed.home / ".orchestrator" / "journal.db.checkpoints.jsonl"
    assert file.stat().st_mode & 0o777 == 0o600
    lines = file.read_text().splitlines(keepends=True)
    assert keyed("audit", "verify", "--all", "--at-least", "2").code == 0
    file.write_text(lines[0])
    assert "was cut off: it should go to 2" in keyed("audit", "verify", "--all", "--at-least", "2", code=1).err
    file.write_text(lines[1])
    assert "checkpoint 1: the line is missing" in keyed("audit", "verify", "--all", code=1).err
    file.write_text(lines[0] + lines[1][:40])
    assert "was not written to its end" in keyed("audit", "verify", "--all", code=1).err


def test_a_day_is_verified_alone(shell: Shell) -> None:
    shell("run", "chain.plan.yaml")
    today = shell("audit", "report", "--json").json[0]["at"]
    day = datetime.fromtimestamp(today, UTC).date().isoformat()
    assert shell("audit", "verify", "--day", day, "--json").json["runs"] == 1
    assert shell("audit", "verify", "--day", "2001-01-01", "--json").json["runs"] == 0
    assert "is no date" in shell("audit", "verify", "--day", "yesterday", code=2).err


def test_gc_leaves_a_signed_word_and_the_rest_provable(keyed: Shell) -> None:
    runs = [keyed("run", "chain.plan.yaml", "--json").json["run"] for _ in range(3)]
    keyed("audit", "checkpoint")
    assert "2 runs forgotten" in keyed("gc", "--keep-days", "0", "--keep-runs", "1").err
    assert keyed("audit", "verify", "--all", "--json").json["damaged"] == []
    ledger = (keyed.home / ".orchestrator" / "journal.db.checkpoints.jsonl").read_text().splitlines()
    last = json.loads(ledger[-1])
    assert (last["kind"], sorted(last["runs"])) == ("forgotten", sorted(runs[:2]))
    assert last["reason"] == "gc: older than 0 days and not among the newest 1 of its plan"
    del keyed.env["ORCHESTRATOR_AUDIT_KEY"]
    refused = keyed("gc", "--keep-days", "0", "--keep-runs", "0", code=2).err
    assert "would miss what is deleted, and there is no key" in refused
    assert [row["run"] for row in keyed("ps", "--all", "--json").json] == runs[2:]


def test_what_the_law_says_must_go_goes_and_the_chain_stays(keyed: Shell) -> None:
    run = keyed("run", "chain.plan.yaml", "-i", "name=MargaretMustermann", "--json").json["run"]
    keyed("audit", "checkpoint")
    assert (
        "a deletion is signed" in keyed("audit", "forget", run, "--reason", "x", code=2, ORCHESTRATOR_AUDIT_KEY="").err
    )
    assert "deleted what it said" in keyed("audit", "forget", run, "--reason", "request 17 of the register").err
    assert "MargaretMustermann" not in str(keyed("events", run, "--jsonl").out)
    file = keyed.home / ".orchestrator" / "journal.db"
    assert b"MargaretMustermann" not in file.read_bytes()
    whole = keyed("audit", "verify", "--all", "--json").json
    assert (whole["damaged"], whole["runs"]) == ([], 1)
    assert keyed("audit", "check", "--all").code == 0
    keyed("audit", "forget", run, "--reason", "request 18", "--whole")
    assert keyed("ps", "--all", "--json").json == []
    assert keyed("audit", "verify", "--all", "--json").json["damaged"] == []


def test_an_open_run_is_not_forgotten(keyed: Shell) -> None:
    _, run = keyed.gated_run()
    assert "cancel it or let it end" in keyed("audit", "forget", run, "--reason", "x", code=2).err
    assert not (keyed.home / ".orchestrator" / "journal.db.checkpoints.jsonl").exists()
    keyed.open_the_gate()


def test_an_export_of_a_time_is_signed_and_remembered(keyed: Shell) -> None:
    for _ in range(2):
        keyed("run", "chain.plan.yaml")
    keyed("audit", "checkpoint")
    assert "22 records" in keyed("audit", "export", "--from", "2020-01-01", "-o", "all.jsonl").err
    told = keyed("audit", "verify", "--file", "all.jsonl")
    assert "the signature fits" in told.err
    assert "it is signed; no key" in keyed("audit", "verify", "--file", "all.jsonl", ORCHESTRATOR_AUDIT_KEY="").err
    assert "0 records" in keyed("audit", "export", "--to", "2020-01-01", "-o", "none.jsonl").err
    assert "name a RUN, or a time" in keyed("audit", "export", code=2).err
    assert "lies before" in keyed("audit", "export", "--from", "2020-01-02", "--to", "2020-01-01", code=2).err
    ledger = (keyed.home / ".orchestrator" / "journal.db.checkpoints.jsonl").read_text().splitlines()
    assert [json.loads(line)["kind"] for line in ledger] == ["checkpoint", "exported", "exported"]
    assert json.loads(ledger[1])["by"]

    lines = (keyed.home / "all.jsonl").read_text().splitlines(keepends=True)
    unsigned = json.loads(lines[-1])
    unsigned["mac"] = unsigned["seal"]["key"] = None
    (keyed.home / "all.jsonl").write_text("".join(lines[:-1]) + json.dumps(unsigned, ensure_ascii=False) + "\n")
    assert "is not signed, and a key was given" in keyed("audit", "verify", "--file", "all.jsonl", code=1).out


def test_the_report_tells_who_answered_and_what_they_were_shown(shell: Shell) -> None:
    shell("run", "asks.plan.yaml", "--no-input", code=4)
    run = shell("ps", "--json").json[0]["run"]
    shell("approve", run, "ask", "--choice", "hold", "--reason", "not yet")
    shell("quarantine", run, "draft", "--reason", "found wrong")
    told = shell("audit", "report", "--json").json
    assert [(deed["did"], deed["step"], deed["what"]) for deed in told] == [
        ("started", "", "asks"), ("answered", "ask", "hold: not yet"),
        ("quarantined", "draft", f"with {told[2]['what'].split()[1]} built on it: found wrong"),
    ]  # fmt: skip
    assert told[1]["saw"] == 'Publish? "the draft"'
    assert told[0]["who"] == told[1]["who"] != ""
    text = shell("audit", "report", run).out
    assert "answered" in text
    assert '(saw: Publish? "the draft")' in text


def test_a_drill_proves_a_copy_and_refuses_a_damaged_one(keyed: Shell) -> None:
    keyed("run", "chain.plan.yaml")
    keyed("run", "gaps.plan.yaml", code=7)
    keyed("audit", "checkpoint")
    keyed.env["TMPDIR"] = str(keyed.home)
    told = keyed("backup", "copy.db", "--drill")
    assert "✓ sound  2 runs" in told.err
    assert "nothing missing up to checkpoint 1; restored in" in told.err
    document = keyed("restore", "copy.db", "--drill", "--json").json
    assert (document["runs"], document["damaged"], document["broken"]) == (2, [], [])
    assert document["checkpoint"]["number"] == 1
    assert len(keyed("ps", "--all", "--json").json) == 2

    db = sqlite3.connect(keyed.home / "copy.db")
    db.executescript("DELETE FROM events WHERE run = 1; DELETE FROM runs WHERE id = 1;")
    db.close()
    harmed = keyed("restore", "copy.db", "--drill", code=1)
    assert "the whole run is missing" in harmed.out
    assert "✗ not sound" in harmed.err
    assert list(keyed.home.glob("orchestrator-drill-*")) == []


def test_an_export_goes_into_a_new_file_whole_or_not_at_all(keyed: Shell) -> None:
    run = keyed("run", "chain.plan.yaml", "--json").json["run"]
    (keyed.home / "there.jsonl").write_text("mine")
    assert (
        "there.jsonl exists; name a file that does not"
        in keyed("audit", "export", run, "-o", "there.jsonl", code=2).err
    )
    assert (keyed.home / "there.jsonl").read_text() == "mine"
    assert "cannot be written: No such file" in keyed("audit", "export", run, "-o", "no/such/file", code=2).err
    keyed("audit", "export", "nobody", "-o", "part.jsonl", code=2)
    assert not (keyed.home / "part.jsonl").exists()


def test_a_file_that_is_no_export_is_not_called_signed(keyed: Shell) -> None:
    (keyed.home / "no.jsonl").write_text("garbage")
    told = keyed("audit", "verify", "--file", "no.jsonl", code=1)
    assert "line 1 is no exported event" in told.out
    assert "signed" not in told.err


def test_a_deletion_says_why_and_which_conversation_holds_the_words_still(keyed: Shell) -> None:
    run = keyed("run", "chain.plan.yaml", "--json").json["run"]
    assert "say on whose word, and why" in keyed("audit", "forget", run, "--reason", " ", code=2).err
    assert "conversation" not in keyed("audit", "forget", run, "--reason", "asked").err
    talk = CHAIN.replace("name: {type: string, default: x}", "text: {type: string}").replace(
        "inputs.name", "inputs.text"
    )
    (keyed.home / "talk.plan.yaml").write_text(talk)
    turn = keyed("run", "talk.plan.yaml", "--session", "s1", "-i", "text=hello", "--json").json["run"]
    told = keyed("audit", "forget", turn, "--reason", "asked").err
    assert "it was a turn of the conversation s1, which holds it still" in told
