"""One process drives a run and owns the journal; a second one looks, answers, cancels, and takes over after a kill."""

import contextlib
import json
import os
import signal
import socket
import stat
import threading

import pytest


def test_a_second_terminal_looks_at_a_run_on_its_way(shell) -> None:
    owner, run = shell.gated_run()
    listens = shell.home / ".orchestrator" / "journal.db.sock"

    assert stat.S_IMODE(listens.stat().st_mode) == 0o600
    assert shell("ps").lines[1].split()[:4] == [run, "running", "gated", "1/3"]
    assert "slow    running" in shell("show", run).out
    assert "nobody drives" not in shell("show", run).out
    assert [json.loads(line)["kind"] for line in shell("events", run, "--jsonl").lines][:2] == [
        "run.accepted",
        "plan.frozen",
    ]
    assert f"as process {owner.pid} has them" in shell("pools").err
    assert shell("pools", "--json").json[0]["running"] == 1
    assert shell("audit", "verify", run).code == 0
    assert "done before" not in shell("why", run, "slow").out.splitlines()[-1]
    assert shell("cost", run, "--json").json["usage"]["usd"] == 0.0
    held = shell("run", "chain.plan.yaml", code=6)
    assert f"process {owner.pid}" in held.err

    shell.open_the_gate()
    out, _ = owner.communicate(timeout=30)
    assert (owner.returncode, out) == (0, "done before\n")
    assert not listens.exists()


def test_watch_follows_to_the_end(shell) -> None:
    owner, run = shell.gated_run()

    watching = shell.start("watch", run)
    shell.until(lambda: "slow" in watching.stderr.readline(), "the watcher sees the slow step")
    shell.open_the_gate()
    _, err = watching.communicate(timeout=30)
    assert watching.returncode == 0
    assert "✓ passed  slow" in err
    owner.communicate(timeout=30)


def test_cancel_reaches_the_owner(shell) -> None:
    owner, run = shell.gated_run("--json")

    assert f"× cancelling  {run}" in shell("cancel", run, "--reason", "enough").err
    out, _ = owner.communicate(timeout=30)
    assert owner.returncode == 5
    assert json.loads(out)["status"] == "cancelled"


def test_an_answer_reaches_the_owner_of_another_run(shell) -> None:
    asking = shell("run", "asks.plan.yaml", "--json", code=4).json["run"]
    owner, _ = shell.gated_run()

    answered = shell("approve", asking, "ask", "--choice", "publish", "--reason", "fine")
    assert f"process {owner.pid} drives the run on" in answered.err
    shell.until(lambda: "published" in shell.witnessed(), "the owner drives the answered run on")

    shell.open_the_gate()
    owner.communicate(timeout=30)
    assert shell("show", asking, "--json").json["status"] == "succeeded"


def test_quarantine_reaches_the_owner(shell) -> None:
    owner, run = shell.gated_run()

    assert "built on it: slow" in shell("quarantine", run, "before", "--reason", "wrong source").err
    owner.communicate(timeout=30)
    assert owner.returncode == 1


def test_a_killed_owner_leaves_a_dead_socket_and_resume_goes_on(shell) -> None:
    owner, run = shell.gated_run()
    os.kill(owner.pid, signal.SIGKILL)
    owner.communicate(timeout=30)
    assert (shell.home / ".orchestrator" / "journal.db.sock").exists()

    assert shell("ps").lines[1].split()[1] == "open"
    shell.open_the_gate()
    resumed = shell("resume", run)
    assert resumed.out == "done before\n"
    assert shell.witnessed() == ["done before", "done before and after"]
    assert not (shell.home / ".orchestrator" / "journal.db.sock").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_lets_what_runs_come_home_and_leaves_the_run_open(shell, number: int, code: int) -> None:
    owner, run = shell.gated_run()

    owner.send_signal(number)
    shell.until(lambda: "stopping" in owner.stderr.readline(), "the owner says that it stops")
    shell.open_the_gate()
    _, err = owner.communicate(timeout=30)
    assert owner.returncode == code
    assert f"orchestrator resume {run}" in err
    assert shell.witnessed() == ["done before"]
    assert shell("resume", run).out == "done before\n"
    assert shell.witnessed() == ["done before", "done before and after"]


def test_a_second_signal_ends_the_process_at_once(shell) -> None:
    owner, run = shell.gated_run()

    owner.send_signal(signal.SIGINT)
    shell.until(lambda: "stopping" in owner.stderr.readline(), "the owner says that it stops")
    owner.send_signal(signal.SIGINT)
    owner.communicate(timeout=30)
    assert owner.returncode == 130
    assert shell("ps", "--json").json[0]["run"] == run


def test_bad_requests_get_a_reply_and_hurt_nobody(shell) -> None:
    owner, run = shell.gated_run()
    where = str(shell.home / ".orchestrator" / "journal.db.sock")

    assert _asked(where, b"no json\n")["error"]["kind"] == "PromiseError"
    assert _asked(where, b"[1]\n")["error"]["kind"] == "PromiseError"
    assert "there is no verb" in _asked(where, b'{"verb": "format"}\n')["error"]["text"]
    assert "run" in _asked(where, b'{"verb": "show"}\n')["error"]["text"]
    assert "after" in _asked(where, b'{"verb": "events", "args": {"run": "last", "after": -1}}\n')["error"]["text"]
    missing = _asked(where, b'{"verb": "show", "args": {"run": "x"}}\n')["error"]
    assert (missing["kind"], missing["args"]) == ("RunNotFound", ["x"])
    assert "over 1,048,576 bytes" in _asked(where, b"x" * (2 << 20))["error"]["text"]
    assert _asked(where, b"[" * 100_000 + b"\n")["error"]["kind"] == "PromiseError"
    assert _asked(where, b'{"verb": "ps"}\n')["value"][0]["run"] == run
    assert owner.poll() is None


def test_a_long_path_falls_back_to_a_short_socket(shell) -> None:
    deep = shell.home / ("d" * 90)
    deep.mkdir()
    store = f"sqlite:///{deep}/journal.db"
    owner = shell.start("run", "gated.plan.yaml", "--store", store)
    shell.until(shell.witnessed, "the run's first step")

    shell.until(lambda: "running" in shell("ps", "--store", store, code=None).out, "the owner answers")
    assert not list(deep.glob("*.sock"))
    shell.open_the_gate()
    owner.communicate(timeout=30)
    assert owner.returncode == 0


def _asked(where: str, request: bytes) -> dict:
    """Send bytes as they are; the first reply."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(where)
        sender = threading.Thread(target=_send, args=(client, request))
        sender.start()
        with client.makefile("rb") as replies:
            line = replies.readline()
        sender.join()
    return json.loads(line)


def _send(client: socket.socket, request: bytes) -> None:
    with contextlib.suppress(OSError):  # it was told enough before the end
        client.sendall(request)
