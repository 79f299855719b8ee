"""Secrets planted in everything a run touches: none is in its journal, traces, log lines or webhooks, byte for byte.

The volume grows with ORCHESTRATOR_PROVE=full to one GiB in all; by default it is some megabytes.
"""

import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from orchestrator import Engine
from orchestrator.adapters.otel.telemetry import Telemetry
from orchestrator.app.safety import redactor_of
from orchestrator.plan.files import parse_plan
from orchestrator.ports.journal import RunQuery, RunRow
from orchestrator.ports.webhooks import Notice
from orchestrator.safety.redactor import Redactor
from orchestrator.service import logs
from orchestrator.settings import Settings
from tests.safety.samples import GOOD
from tests.sizes import SIZES
from workers import Pool, TerminalError

pytestmark = pytest.mark.anyio
RUNS = 20  #: of one engine
VOLUME_BYTES = (1 << 30) if SIZES.name == "prove" else 2 << 20
SECRET = {"email", "card", "iban", "key"}
CANARIES = [find for kind, _, find in GOOD if kind in SECRET and "\n" not in find and len(find) > 11]
BARE = [canary for canary in CANARIES if canary not in Redactor().text(canary)]  #: known without a word before them
TEXTS = [text for _, text, find in GOOD if find in CANARIES]
PLAN = parse_plan(
    """
version: 1
name: p
inputs: {text: {type: string}}
steps:
  read:
    pool: desk
    call: read
    with: {text: "${{ inputs.text }}"}
    on_fail: [gap]
  write: {pool: desk, call: write, with: {found: "${{ steps.read.output }}"}, if: not steps.read.skipped}
result: {read: "${{ steps.read.output }}", write: "${{ steps.write.output }}"}
"""
)
SAFE = {"inputs": "redact", "pii": {"given": "redact", "gives": "redact"}, "hints": True}


class Lines:
    """Where log lines go."""

    def __init__(self) -> None:
        self.text: list[str] = []

    def __call__(self, *_: object) -> "Lines":
        return self

    def info(self, text: str) -> None:
        self.text.append(text)

    error = warning = debug = exception = info


@pytest.fixture
def anyio_backend() -> str:
    """Threads are at work here, which a jumping clock does not see."""
    return "asyncio"


@pytest.fixture
def lines() -> Iterator[Lines]:
    out, before = Lines(), structlog.get_config()
    structlog.configure(
        processors=logs.processors("json", redactor=redactor_of(Settings().safety)),
        logger_factory=out,
        wrapper_class=structlog.make_filtering_bound_logger("debug"),  # a command in this process may have raised it
        cache_logger_on_first_use=False,
    )
    yield out
    structlog.configure(**before)


def worker(chance: random.Random, size: int) -> Pool:
    """A pool that finds canaries by itself, says them everywhere it can, and fails with them now and then."""
    pool = Pool("desk")

    def some() -> str:
        words = ["the pump", "moves heat", "from cold", "to warm", *chance.sample(TEXTS, 3)]
        return " ".join(chance.choices(words, k=size))

    @pool.worker
    async def read(ctx, text: str) -> dict[str, object]:  # type: ignore[no-untyped-def]
        log = structlog.get_logger()
        said = f"{text} {some()}"
        log.info("reading", said=said, nested={"deep": [said]})
        ctx.progress(0.5, said)
        ctx.evidence("search", {"found": said})
        if chance.random() < 0.3:
            try:
                raise ValueError(said)
            except ValueError:
                log.exception("it failed")
            raise TerminalError(said)
        return {"found": said, chance.choice(BARE): [said]}

    @pool.worker
    async def write(ctx, found: object) -> str:  # type: ignore[no-untyped-def]
        structlog.get_logger().info("writing", found=str(found))
        return some()

    return pool


def test_there_are_canaries() -> None:
    assert len(CANARIES) >= 12
    assert all(re.search(re.escape(canary), " ".join(TEXTS)) for canary in CANARIES)


async def test_none_gets_out(tmp_path: Path, lines: Lines) -> None:
    chance, found, volume = random.Random(7), set[str](), dict.fromkeys(("journal", "webhooks", "log", "traces"), 0)

    def scan(sink: str, text: str) -> None:
        volume[sink] += len(text)
        found.update(f"{canary} in the {sink}" for canary in CANARIES if canary in text)

    while sum(volume.values()) < VOLUME_BYTES:
        exporter = InMemorySpanExporter()
        file = tmp_path / "journal.db"
        settings = Settings(store=f"sqlite:///{file}", safety=SAFE)  # type: ignore[arg-type]  # as a user writes it
        telemetry = Telemetry(exporter, redactor=redactor_of(settings.safety), content=True)
        async with Engine(settings, pools=[worker(chance, 60)], telemetry=telemetry) as engine:
            for _ in range(RUNS):
                run = await engine.submit(PLAN, {"text": " ".join(chance.sample(TEXTS, 4))})
                await run.result()
            for row in await engine.runs.journal.runs(RunQuery()):
                scan("webhooks", body_of(row))
        telemetry.close()
        for span in exporter.get_finished_spans():
            scan("traces", str(span.to_json()))
        for text in lines.text:
            scan("log", text)
        lines.text.clear()
        for one in tmp_path.iterdir():
            scan("journal", one.read_bytes().decode(errors="replace"))
            one.unlink()
    assert found == set()
    assert min(volume.values()) > 5_000, "every sink was written to"


def body_of(row: RunRow) -> str:
    """What a webhook tells of a run."""
    return Notice(
        run_id=row.run_id,
        tenant=row.tenant,
        plan=row.plan,
        status=row.status,
        accepted_at_s=row.accepted_at_s,
        at_s=row.ended_at_s or 0.0,
        usd=row.usd,
        tokens=row.tokens,
    ).body
