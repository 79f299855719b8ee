"""The model gateway beside the bare client: the same calls in turn, against an endpoint that answers at once."""

import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx2
from openai import AsyncOpenAI

from benchmarks.performance.cell import Job, Probe, main, peak_rss_bytes, rss_bytes
from benchmarks.performance.instant_endpoint import PIECES
from orchestrator.app import open_models
from orchestrator.ports.model import Message, Prompt
from orchestrator.settings import EndpointSettings, GatewaySettings, ModelSettings, Settings
from orchestrator.testing.purse import Purse

AT_ONCE = 1_000  #: concurrent calls
WARM_CALLS = 30
TEXT = "word " * PIECES
QUESTION = "Say a few words about heat pumps. " * 10

Call = Callable[[], Awaitable[float]]  #: makes one call; returns seconds to the first text


@asynccontextmanager
async def endpoint() -> AsyncIterator[str]:
    """The address of an endpoint in a process of its own."""
    server = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.performance.instant_endpoint",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(await server.stdout.readline())}/v1"
    finally:
        server.stdin.close()
        await server.wait()


def settings_for(url: str, *, stream: bool, concurrency: int = 64) -> Settings:
    """A gateway with everything on: rates, prices, limits."""
    here = EndpointSettings(
        base_url=url,
        api_key_env="",
        provider="openai",
        stream=stream,
        concurrency=concurrency,
        requests_per_minute=10_000_000,
        tokens_per_minute=10_000_000_000,
    )
    models = {"standard": (ModelSettings(model="gpt-5-mini", endpoint="here"),)}
    return Settings(models=GatewaySettings(endpoints={"here": here}, tiers=models))  # type: ignore[arg-type]  # a literal


def bare_client(url: str) -> AsyncOpenAI:
    """The vendor's client as the gateway configures it."""
    http = httpx2.AsyncClient(headers={"Accept-Encoding": "identity"}, timeout=None)  # as the gateway
    return AsyncOpenAI(base_url=url, api_key="none", max_retries=0, http_client=http)


def bare_call(client: AsyncOpenAI, *, stream: bool) -> Call:
    """One call of the bare client."""

    async def call() -> float:
        began_s, first_s, pieces = time.perf_counter(), 0.0, []
        if stream:
            chunks = await client.chat.completions.create(
                model="gpt-5-mini",
                messages=[{"role": "user", "content": QUESTION}],
                max_tokens=256,
                stream=True,
                stream_options={"include_usage": True},
            )
            async for chunk in chunks:
                if chunk.choices and chunk.choices[0].delta.content:
                    first_s = first_s or time.perf_counter() - began_s
                    pieces.append(chunk.choices[0].delta.content)
        else:
            whole = await client.chat.completions.create(
                model="gpt-5-mini", messages=[{"role": "user", "content": QUESTION}], max_tokens=256
            )
            pieces.append(whole.choices[0].message.content or "")
        assert "".join(pieces) == TEXT
        return first_s

    return call


async def calls(job: Job, probe: Probe) -> None:
    """Bare and through the gateway in turn, at once and streamed; then many through the gateway together."""
    async with endpoint() as url:
        for stream in (False, True):
            client = bare_client(url)
            async with client, open_models(settings_for(url, stream=stream)) as models:
                purse = Purse(usd=1_000.0)
                prompt = Prompt(tier="standard", messages=(Message(role="user", content=QUESTION),), tokens_max=256)

                async def through(models: object = models, prompt: Prompt = prompt, purse: Purse = purse) -> float:
                    began_s, first_s = time.perf_counter(), 0.0

                    def seen(_text: str) -> None:
                        nonlocal first_s
                        first_s = first_s or time.perf_counter() - began_s

                    answer = await models.complete(prompt, purse, seen)  # type: ignore[attr-defined]  # bound early
                    assert answer.text == TEXT
                    return first_s

                mode = "stream" if stream else "at_once"
                found = await in_turn({"bare": bare_call(client, stream=stream), "gateway": through}, job["runs"])
                probe.facts |= {f"{mode}_{name}": value for name, value in found.items()}
        await together(url, probe)


async def in_turn(ways: dict[str, Call], runs: int) -> dict[str, float]:
    """Medians per call: wall, CPU, and time to the first text; one call of each way after the other."""
    for call in ways.values():
        for _ in range(WARM_CALLS):
            await call()
    taken: dict[str, list[tuple[float, float, float]]] = {name: [] for name in ways}
    for _ in range(runs):
        for name, call in ways.items():
            wall_s, cpu_s = time.perf_counter(), time.process_time()
            first_s = await call()
            taken[name].append((time.perf_counter() - wall_s, time.process_time() - cpu_s, first_s))
    found: dict[str, float] = {}
    for name, rows in taken.items():
        for column, what in enumerate(("wall_s", "cpu_s", "first_s")):
            found[f"{name}_{what}"] = statistics.median(row[column] for row in rows)
    # Neighbours are compared, so that a load which comes and goes is in both of a pair.
    pairs = list(zip(taken["bare"], taken["gateway"], strict=True))
    for column, what in enumerate(("wall_s", "cpu_s", "first_s")):
        found[f"more_{what}"] = statistics.median(through[column] - bare[column] for bare, through in pairs)
    return found


async def together(url: str, probe: Probe) -> None:
    """Many calls at once through one gateway."""
    async with open_models(settings_for(url, stream=True, concurrency=AT_ONCE)) as models:
        purse = Purse(usd=1_000.0)
        prompt = Prompt(
            tier="standard", messages=(Message(role="user", content=QUESTION),), tokens_max=256, deadline_s=600.0
        )
        before_bytes = rss_bytes()
        began_s = time.perf_counter()
        answers = await asyncio.gather(*(models.complete(prompt, purse) for _ in range(AT_ONCE)))
        wall_s = time.perf_counter() - began_s
    if [answer.text for answer in answers] != [TEXT] * AT_ONCE or len(purse.calls) != AT_ONCE or purse.held:
        raise AssertionError("not every call was answered once and paid once")
    probe.facts |= {"together_wall_s": wall_s, "together_bytes": max(peak_rss_bytes() - before_bytes, 0)}


if __name__ == "__main__":
    main({"gateway": calls})
