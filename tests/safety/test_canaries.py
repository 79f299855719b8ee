"""Secrets planted in everything that a service is sent, finds and is told: none is in what it writes, byte for byte.

A real `orchestrator serve` with a model, a collector of traces and a receiver of webhooks, all on loopback. What it
writes grows with ORCHESTRATOR_PROVE=full to one GB in all; by default it is some megabytes.
"""

import asyncio
import json
import random
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from benchmarks.performance.load.client import Answered, Client, Lost
from tests.safety.canary_pools import BARE, CANARIES, TEXTS, prose
from tests.safety.canary_sinks import Sinks
from tests.service.http.process import Shop, shop
from tests.sizes import SIZES

pytestmark = pytest.mark.anyio
FULL = SIZES.name == "prove"
VOLUME_BYTES = 1_000_000_000 if FULL else 3_000_000
WORDS = 1_000 if FULL else 60
USERS = 6
MODEL_KEY = "sk-proj-theKeyOfTheModel0123456789"
STRANGER = "sk-proj-aKeyThatNobodyWasGiven0123"
PLANS = {
    "job": """
version: 1
name: job
inputs: {text: {type: string}}
budget: {usd: 5, tokens: 100000000}
steps:
  read: {pool: desk, call: read, with: {text: "${{ inputs.text }}"}, on_fail: [gap]}
  write: {pool: desk, call: write, with: {found: "${{ steps.read.output }}"}, if: not steps.read.skipped}
  ask: {pool: readers, task: "Look ${{ inputs.text }} up.", on_fail: [gap]}
result: {read: "${{ steps.read.output }}", write: "${{ steps.write.output }}", ask: "${{ steps.ask.output }}"}
""",
    "talk": """
version: 1
name: talk
inputs: {text: {type: string}}
budget: {usd: 5, tokens: 100000000}
steps:
  ask: {pool: readers, task: Answer., with: {before: "${{ session.turns }}"}, on_fail: [gap]}
result: ${{ steps.ask.output }}
""",
}


@pytest.fixture
def anyio_backend() -> str:
    """Real processes are at work here, which a jumping clock does not see."""
    return "asyncio"


def environment(sinks: Sinks) -> dict[str, str]:
    """Everything that can be told is told, and struck."""
    safe = {"inputs": "redact", "pii": {"given": "redact", "gives": "redact"}, "hints": True}
    endpoint = {"base_url": f"{sinks.url}/v1", "api_key_env": "CANARY_MODEL_KEY", "concurrency": 64}
    model = json.dumps({"model": "stand-in", "endpoint": "standin", "free": True})
    return {
        "CANARY_WORDS": str(WORDS),
        "CANARY_MODEL_KEY": MODEL_KEY,
        "ORCHESTRATOR_POOLS": "tests.safety.canary_pools",
        "ORCHESTRATOR_LOG": "json",
        "ORCHESTRATOR_SAFETY": json.dumps(safe),
        "ORCHESTRATOR_WEBHOOKS__LOOPBACK": json.dumps([f"127.0.0.1:{sinks.port}"]),
        "ORCHESTRATOR_MODELS__ENDPOINTS__STANDIN": json.dumps(endpoint),
        "ORCHESTRATOR_MODELS__FAILURES_TO_OPEN": "1000000",
        **{f"ORCHESTRATOR_MODELS__TIERS__{tier}": model for tier in ("CHEAP", "STANDARD", "STRONG")},
        "OTEL_EXPORTER_OTLP_ENDPOINT": sinks.url,
        "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
        "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "true",
    }


@asynccontextmanager
async def opened(tmp_path: Path) -> AsyncIterator[tuple[Shop, Sinks, str]]:
    """A service, what it talks to, and a key."""
    async with Sinks([*CANARIES, MODEL_KEY, STRANGER]).serving() as sinks:
        with shop(tmp_path, **environment(sinks)) as made:
            for path in (tmp_path / "plans").iterdir():
                path.unlink()
            for name, text in PLANS.items():
                (tmp_path / "plans" / f"{name}.plan.yaml").write_text(text)
            scopes = [word for scope in ("read", "run", "manage") for word in ("--scope", scope)]
            caps = ["--requests-per-minute", "1000000", "--open-runs", "10000"]
            key = await asyncio.to_thread(made.key, "ada", *scopes, *caps)
            sinks.canaries.append(key.encode())
            service = await asyncio.to_thread(made.serve, "--debug")
            yield made, sinks, key
            assert service.poll() is None
            service.terminate()
            assert await asyncio.to_thread(service.wait, 120) == 0


def headers(key: str, chance: random.Random) -> dict[str, str]:
    """What a request may carry besides; none of it is anybody's to keep."""
    names = ("User-Agent", "Cookie", "Referer", "X-Api-Key", "tracestate", "baggage", "X-Forwarded-For", "X-Request-Id")
    planted = {name: chance.choice(CANARIES) for name in names}
    return {**planted, "Authorization": f"Bearer {key}"}


async def patiently(client: Client, path: str, sent: dict[str, str]) -> Answered:
    """Ask again for as long as no whole answer comes: on a busy machine a run may outlast a request."""
    while True:
        try:
            return await client.ask("GET", path, None, sent)
        except Lost:
            continue


async def user(number: int, made: Shop, sinks: Sinks, key: str, enough: asyncio.Event) -> int:
    """Ask until enough was written; how many runs ended."""
    chance, ended = random.Random(number), 0
    client = Client(made.port)
    while not enough.is_set():
        ended += 1
        text = f"{' '.join(chance.sample(TEXTS, 4))} {prose(WORDS // 4, chance)}"
        if number % 3 == 2:
            path, body = f"/v1/sessions/s{number}-{ended // 10}/turns", {"plan": "talk", "text": text}
            answer = await client.ask("POST", path, body, {**headers(key, chance), "Prefer": "wait=60"})
            assert answer.status in {200, 202}, answer
        else:
            asked = {"plan": "job", "inputs": {"text": text}}
            answer = await client.ask("POST", f"/v1/runs?token={STRANGER}", asked, headers(key, chance))
            assert answer.status == 202, answer
            run = answer.json()["id"]
            events = await patiently(client, f"/v1/runs/{run}/events", headers(key, chance))
            sinks.scan("events", events.body)
            sinks.scan("answers", (await client.ask("GET", f"/v1/runs/{run}", None, headers(key, chance))).body)
        refused = await client.ask("GET", f"/v1/runs/{STRANGER}", None, headers(STRANGER, chance))
        assert refused.status in {401, 429}  # too many such keys from one address are asked to wait
        nameless = await client.ask("POST", "/v1/runs", {"plan": chance.choice(BARE)}, headers(key, chance))
        assert nameless.status in {404, 422}
        wrong = {"plan": "job", "inputs": {chance.choice(BARE): chance.choice(TEXTS)}}
        assert (await client.ask("POST", "/v1/runs", wrong, headers(key, chance))).status == 422
    client.close()
    return ended


def written(folder: Path) -> dict[str, list[Path]]:
    """The files of each sink."""
    return {"log": sorted(folder.glob("log-*")), "journal": sorted((folder / ".orchestrator").iterdir())}


def size(folder: Path) -> int:
    """Bytes of the files so far."""
    return sum(path.stat().st_size for paths in written(folder).values() for path in paths if path.exists())


def test_there_are_canaries() -> None:
    assert len(CANARIES) >= 12
    assert all(re.search(re.escape(canary), " ".join(TEXTS)) for canary in CANARIES)


async def test_none_gets_out(tmp_path: Path) -> None:
    async with opened(tmp_path) as (made, sinks, key):
        asking = Client(made.port)
        hook = {"url": f"{sinks.url}/hook", "events": ["run.succeeded", "run.degraded", "run.failed"]}
        answer = await asking.ask("POST", "/v1/webhooks", hook, {"Authorization": f"Bearer {key}"})
        assert answer.status in {200, 201}, answer
        asking.close()
        enough = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            users = [group.create_task(user(number, made, sinks, key, enough)) for number in range(USERS)]
            while sinks.volume.total() + size(tmp_path) < VOLUME_BYTES:  # noqa: ASYNC110  # files grow without events
                await asyncio.sleep(0.2)
            enough.set()
    for words in (["audit", "export", "--from", "2020-01-01", "-o", "all.jsonl"], ["backup", "copy.db"]):
        await asyncio.to_thread(made.command, *words)
    stores = {**written(tmp_path), "export": [tmp_path / "all.jsonl"], "backup": [tmp_path / "copy.db"]}
    for sink, paths in stores.items():
        for path in paths:
            sinks.scan_file(sink, path)
    runs = sum(one.result() for one in users)
    print(json.dumps({"runs": runs, "bytes": sinks.volume, "asked": sinks.asked, "found": sinks.found}))
    assert sinks.found == {}
    assert sinks.asked["/hook"] >= 1
    assert sinks.packed >= 1
    assert {sink for sink, size in sinks.volume.items() if size > 5_000} >= {
        "log", "journal", "traces", "webhooks", "events", "answers", "export", "backup",
    }  # fmt: skip


async def test_an_outlet_without_its_filter_is_found(tmp_path: Path) -> None:
    sinks = Sinks(CANARIES)
    (tmp_path / "plain").write_text("x" * 100 + CANARIES[3] + "x")
    sinks.scan_file("plain", tmp_path / "plain")
    import gzip

    (tmp_path / "packed.gz").write_bytes(gzip.compress(b"y" * 100 + CANARIES[4].encode()))
    sinks.scan_file("packed", tmp_path / "packed.gz")
    assert set(sinks.found) == {f"{CANARIES[3]} in plain", f"{CANARIES[4]} in packed"}
