"""The main job on a fleet of processes: PostgreSQL and Valkey from wheels, `up` with its autoscaler, and the audit.

Usage: python tools/demo_fleet.py [FOLDER]. No key, no server, no package of the system. Everything is gone at the end
but the report and the log in FOLDER (demo-fleet-output).
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.servers.postgres import PostgresServer  # noqa: E402  # the checkout first
from tests.servers.redis import RedisServer  # noqa: E402  # the checkout first

READY_S = 120.0
GOOD_ENDS = {0: "succeeded", 7: "ended degraded: the gaps are named in the report"}


def main() -> int:
    """Servers up, fleet up, job, everything down."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "demo-fleet-output").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    began_s = time.monotonic()
    say("starting PostgreSQL and Valkey")
    postgres, redis = PostgresServer().create().start(), RedisServer("valkey").start()
    up = None
    try:
        environment = {
            **os.environ,
            "ORCHESTRATOR_STORE": postgres.database(),
            "ORCHESTRATOR_TRANSPORT": redis.url,
            "ORCHESTRATOR_POOLS": "workers.kinds",
        }
        own = [sys.executable, "-m", "orchestrator"]
        subprocess.run([*own, "db", "upgrade"], env=environment, check=True, stdout=subprocess.DEVNULL)
        log = folder / "fleet.log"
        pools = subprocess.run([*own, "pools", "--json"], env=environment, check=True, capture_output=True, text=True)
        scales = [word for row in json.loads(pools.stdout) for word in ("--scale", f"{row['pool']}=0..2")]
        with log.open("wb") as out:
            command = [*own, "up", *scales, "--cooldown", "5", "--scaler-events", str(folder / "scaler.jsonl")]
            up = subprocess.Popen(command, env=environment, stdout=out, stderr=out)
        until(log, "owns runs in", up)
        say(f"a supervisor is up; auditing this environment's packages ({log.name} tells what the fleet does)")
        plan = str(ROOT / "plans" / "dependency-audit.plan.yaml")
        with (folder / "result.json").open("wb") as out:
            code = subprocess.run(
                [*own, "run", plan, "-i", f"out={folder}", "--json"], env=environment, stdout=out, check=False
            ).returncode
        subprocess.run([*own, "pools"], env=environment, check=False)
        changes = (folder / "scaler.jsonl").read_text().splitlines()
        say(f"the autoscaler changed pools {len(changes)} times (scaler.jsonl)")
    finally:
        if up is not None:
            up.send_signal(signal.SIGTERM)
            up.wait()
        redis.close()
        postgres.delete()
    say(f"{GOOD_ENDS.get(code, 'failed')} after {time.monotonic() - began_s:.0f} s; see {folder}")
    return 0 if code in GOOD_ENDS else code


def until(log: Path, what: str, process: "subprocess.Popen[bytes]") -> None:
    """Wait until the log says it."""
    end_s = time.monotonic() + READY_S
    while what not in log.read_text():
        if process.poll() is not None or time.monotonic() > end_s:
            raise SystemExit(f"demo-fleet: the fleet did not start:\n{log.read_text()}")
        time.sleep(0.1)


def say(text: str) -> None:
    """One line."""
    print(f"demo-fleet: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
