"""Every command once through the installed one, from nothing: its exit code and what it says."""

import json

from orchestrator.cli.commands import COMMANDS

EVAL = """
version: 1
name: chains
plan: chain.plan.yaml
pass_at: 0.9
cases:
  - {id: three, expect: [{rule: output.n == 6}]}
  - {id: four, inputs: {n: 4}, expect: [{rule: output.n == 7}]}
"""


def test_every_command(shell) -> None:
    installed = shell.installed
    called: set[str] = set()

    def call(*arguments: str, code: int = 0) -> object:
        called.add(arguments[0])
        return installed(*arguments, code=code)

    first = call("run", "fails.plan.yaml", "--json", code=1).json["run"]
    asking = call("run", "asks.plan.yaml", "--json", code=4).json["run"]
    assert call("ps", "--json").json[0]["run"] == asking
    assert call("show", first, "--json").json["status"] == "failed"
    assert "✗ failed" in call("watch", first, code=1).err
    assert "2 is even" in call("why", first, "bad").out
    assert json.loads(call("events", first, "--jsonl").lines[-1])["kind"] == "run.ended"
    assert call("cost", first, "--json").json["run"] == first
    assert call("approve", asking, "ask", "--choice", "hold", "--reason", "no").out == "hold\n"
    assert "no run is open" in call("resume").err
    assert "2 is even" in call("retry", first, "--from-failed", code=1).err
    assert call("fork", first, "--from", "bad", "--set", "n=3").out == "3\n"
    assert "had ended already" in call("cancel", asking).err
    assert "built on it: bad" in call("quarantine", first, "first", "--reason", "wrong").err
    assert call("plan", "check", "chain.plan.yaml", "--json").json["valid"] is True
    assert call("plan", "draw", "chain.plan.yaml").lines[0] == "chain"
    assert call("plan", "schema").json["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert "inputs" in call("plan", "diff", "chain.plan.yaml", "gaps.plan.yaml").out
    assert call("plan", "estimate", "chain.plan.yaml").lines[0] == "steps: 2 to 2"
    assert call("pools", "--json").json[0]["pool"] == "desk"
    assert call("audit", "verify", "--all", "--json").json["damaged"] == []
    call("audit", "export", first, "-o", "trail.jsonl")
    assert "✓ whole" in call("audit", "verify", "--file", "trail.jsonl").err
    call("backup", "copy.db")
    call("restore", "copy.db", "--yes")
    assert "0 runs would be forgotten" in call("gc", "--dry-run").err
    assert call("config", "show", "--json").json["pools"] == ["deskpools"]
    assert "there is no model to ask" in call("ask", "What is a gap?", code=2).err
    (shell.home / "chain.eval.yaml").write_text(EVAL)
    assert call("eval", "chain.eval.yaml", "--json", code=1).json["accuracy"]["value"] == 0.5
    assert "2 disasters" in call("chaos", "chain.plan.yaml", "--seeds", "2").err
    for process in ("up", "supervise"):
        assert "belongs to one process" in call(process, code=2).err
    assert "needs a transport between processes" in call("worker", "--pool", "desk", code=2).err
    assert "one process has no dead letters" in call("dlq", "list", code=2).err
    assert "0 kept answers were forgotten" in call("cache", "drop", "--tag", "plan:chain").err
    assert "needs no `db upgrade`" in call("db", "upgrade", code=2).err
    assert "--limit" in call("bench", "architectures", "--limit", "0", code=2).err
    assert "make one first" in call("serve", "--host", "0.0.0.0", "--port", "0", code=2).err
    assert "there is no key" in call("keys", "list").err
    assert called == {entry.name for entry in COMMANDS}
