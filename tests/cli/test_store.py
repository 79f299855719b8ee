"""backup, restore, gc, audit."""

import json
import stat

import anyio

from orchestrator.adapters.sql.journal import SqliteJournal
from orchestrator.core.facts import CancelRequested
from orchestrator.ports.journal import Append, RunQuery


def test_backup_and_restore(shell) -> None:
    shell("run", "chain.plan.yaml")
    before = shell("ps", "--all", "--json").json

    shell("backup", "copy.db")
    assert stat.S_IMODE((shell.home / "copy.db").stat().st_mode) == 0o600
    assert "exists" in shell("backup", "copy.db", code=1).err
    shell("run", "chain.plan.yaml")
    assert "would be lost" in shell("restore", "copy.db", code=2).err
    shell("restore", "copy.db", "--yes")
    assert shell("ps", "--all", "--json").json == before
    shell("restore", "copy.db", "--store", "sqlite:///elsewhere.db")
    assert shell("ps", "--all", "--json", "--store", "sqlite:///elsewhere.db").json == before
    assert "is not there" in shell("restore", "nowhere.db", "--yes", code=1).err


def test_backup_and_gc_while_a_run_is_on_its_way(shell) -> None:
    shell("run", "chain.plan.yaml")
    shell.gated_run()

    shell("backup", "copy.db")
    assert len(shell("gc", "--keep-days", "0", "--keep-runs", "0", "--json").json["runs"]) == 1
    assert len(shell("ps", "--all", "--json", "--store", "sqlite:///copy.db").json) == 2


def test_gc_forgets_what_no_rule_keeps(shell) -> None:
    for _ in range(3):
        shell("run", "chain.plan.yaml")
    runs = [row["run"] for row in shell("ps", "--all", "--json").json]

    assert "0 runs would be forgotten" in shell("gc", "--dry-run").err
    assert shell("gc", "--keep-days", "0", "--keep-runs", "2", "--dry-run").lines == runs[2:]
    assert "1 payloads forgotten" in shell("gc", "--keep-days", "0", "--keep-runs", "2", "--payloads-only").err
    assert "payloads were forgotten" in shell("show", runs[2]).out
    assert shell("audit", "verify", runs[2]).code == 0
    assert "2 runs forgotten" in shell("gc", "--keep-days", "0", "--keep-runs", "1").err
    assert [row["run"] for row in shell("ps", "--all", "--json").json] == runs[:1]


def test_an_export_convinces_a_stranger_until_a_letter_is_changed(shell) -> None:
    run = shell("run", "chain.plan.yaml", "--json").json["run"]
    shell("audit", "export", run, "-o", "trail.jsonl")
    trail = (shell.home / "trail.jsonl").read_text().splitlines()

    told = shell("audit", "verify", "--file", "trail.jsonl", "--json").json
    assert (told["records"], told["damaged"], list(told["heads"])) == (len(trail) - 1, [], [run])
    assert told["heads"][run] == json.loads(trail[-2])["hash"]
    assert json.loads(trail[-1])["seal"]["runs"] == {run: [len(trail) - 1, told["heads"][run]]}

    def damaged(lines: list[str]) -> str:
        (shell.home / "other.jsonl").write_text("\n".join(lines) + "\n")
        return shell("audit", "verify", "--file", "other.jsonl", code=1).out

    assert "record is missing" in damaged(trail[:3] + trail[4:])
    assert "says something else" in damaged([trail[0].replace('"plan": "chain"', '"plan": "chaim"'), *trail[1:]])
    forged = json.loads(trail[0])
    forged["proof"]["payload"] = forged["proof"]["payload"].replace("3", "4")
    assert "does not fit its digest" in damaged([json.dumps(forged), *trail[1:]])
    assert "is no exported event" in damaged([*trail[:-1], "{}"])
    assert "follows the line that ends the export" in damaged([*trail, trail[0]])
    assert "was cut off" in damaged(trail[:-1])


def test_verify_tells_of_all_runs(shell) -> None:
    shell("run", "chain.plan.yaml")
    shell("run", "gaps.plan.yaml", code=7)

    assert shell("audit", "verify", "--all", "--json").json["runs"] == 2
    assert "✓ whole" in shell("audit", "verify", "last").err
    assert "name a RUN, or --all, or --file F" in shell("audit", "verify", code=2).err


def test_verify_finds_a_changed_byte(shell) -> None:
    shell("run", "chain.plan.yaml", "-i", "name=SENTINELSENTINEL")
    file = shell.home / ".orchestrator" / "journal.db"
    data = file.read_bytes()
    assert b"SENTINELSENTINEL" in data
    file.write_bytes(data.replace(b"SENTINELSENTINEL", b"SENTINELSENTINEM", 1))

    ended = shell("audit", "verify", "--all", code=1)
    assert "the payload does not fit its digest" in ended.out


def test_check_reads_every_run_by_the_rules(shell) -> None:
    shell("run", "chain.plan.yaml")
    shell("run", "gaps.plan.yaml", code=7)

    told = shell("audit", "check", "--all", "--json").json
    assert (told["runs"], told["broken"]) == (2, [])
    assert "✓ every rule is kept  1 runs" in shell("audit", "check", "last").err
    assert "name a RUN, or --all" in shell("audit", "check", code=2).err


def test_check_names_the_first_rule_that_is_broken(shell) -> None:
    run = shell("run", "chain.plan.yaml", "--json").json["run"]

    async def append_after_the_end() -> None:
        journal = await SqliteJournal.open(shell.home / ".orchestrator" / "journal.db")
        row = (await journal.runs(RunQuery(run_id=run)))[0]
        late = CancelRequested(at_s=1.0, reason="too late")
        entry = Append(run_id=run, first_seq=row.last_seq + 1, epoch=row.epoch, facts=(late,))
        assert await journal.append([entry]) == ()
        await journal.close()

    anyio.run(append_after_the_end)

    assert shell("audit", "verify", run).code == 0
    ended = shell("audit", "check", run, code=1)
    assert "end.last: cancel.requested after the run has ended" in ended.out
