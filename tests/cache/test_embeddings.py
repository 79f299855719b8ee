"""Models of embeddings: an endpoint's answers are checked before they are believed; a real one on this machine."""

import asyncio
import json
import math
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from orchestrator.adapters.embeddings.endpoint import EndpointEmbeddings
from orchestrator.adapters.embeddings.local import LocalEmbeddings
from orchestrator.app.cache import open_embeddings
from orchestrator.errors import PromiseError
from orchestrator.ports.embeddings import packed, unpacked
from orchestrator.ports.model_errors import ModelBadReply, ModelError, ModelRateLimited, ModelUnauthorised
from orchestrator.settings import Settings

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]
ROOT = Path(__file__).resolve().parents[2]


def vectors(*rows: list[float], tokens: int = 7) -> dict[str, Any]:
    data = [{"object": "embedding", "index": at, "embedding": row} for at, row in enumerate(rows)]
    return {"object": "list", "model": "e", "data": data, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}


@asynccontextmanager
async def endpoint(status: int, reply: object, asked: list[dict[str, Any]] | None = None) -> AsyncIterator[str]:
    """Answers every request with the same words."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
        )
        body = await reader.readexactly(length)
        if asked is not None:
            asked.append(json.loads(body))
        data = json.dumps(reply).encode()
        told = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nConnection: close\r\n"
        told += f"Content-Length: {len(data)}\r\n\r\n"
        writer.write(told.encode() + data)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"


async def test_vectors_have_length_one_and_what_they_cost_is_told() -> None:
    asked: list[dict[str, Any]] = []
    async with endpoint(200, vectors([3.0, 4.0], [0.0, 2.0]), asked) as url:
        model = EndpointEmbeddings(url, None, "e", usd_per_million=2.0)
        found = await model.embed(["a", "b"])
        await model.aclose()
    assert found.vectors == ((0.6, 0.8), (0.0, 1.0))
    assert (found.tokens, found.usd) == (7, 14e-6)
    assert [(one["model"], one["input"]) for one in asked] == [("e", ["a", "b"])]


@pytest.mark.parametrize(
    ("status", "reply", "error"),
    [
        (200, vectors([1.0, 0.0]), ModelBadReply),  # one vector for two texts
        (200, vectors([0.0, 0.0], [1.0, 0.0]), ModelBadReply),  # without a direction
        (200, vectors([], [1.0]), ModelBadReply),
        (200, {"object": "list"}, ModelBadReply),
        (401, {"error": {"message": "no"}}, ModelUnauthorised),
        (429, {"error": {"message": "slow"}}, ModelRateLimited),
    ],
)
async def test_what_an_endpoint_says_is_not_believed_unseen(
    status: int, reply: object, error: type[ModelError]
) -> None:
    async with endpoint(status, reply) as url:
        model = EndpointEmbeddings(url, None, "e")
        with pytest.raises(error):
            await model.embed(["a", "b"])
        await model.aclose()


async def test_settings_that_name_no_usable_model_are_refused(tmp_path: Path) -> None:
    def settings(**given: object) -> Settings:
        return Settings(models={"cache": {"embeddings": given}})  # type: ignore[arg-type]  # pydantic reads it

    with pytest.raises(PromiseError, match=r"has no model\.onnx"):
        open_embeddings(settings(folder=tmp_path))
    with pytest.raises(PromiseError, match="endpoint 'nowhere', which is not configured"):
        open_embeddings(settings(model="e", endpoint="nowhere"))
    with pytest.raises(ValueError, match="and not both"):
        settings(model="e", folder=tmp_path)
    assert open_embeddings(Settings()) is None


async def test_a_packed_vector_is_the_same_vector() -> None:
    assert unpacked(packed((0.5, -0.25, 1.0))) == (0.5, -0.25, 1.0)


@pytest.fixture(scope="module")
def minilm() -> Path:
    """A real small model of embeddings; where it cannot be had the test is skipped aloud, and in CI it fails."""
    command = [sys.executable, "tools/ensure-embeddings.py", "minilm"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        outcome = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        outcome(f"no model of embeddings: {done.stderr.strip()}")
    return Path(done.stdout.strip())


@pytest.mark.model
async def test_a_small_real_model_tells_like_questions_from_others(minilm: Path) -> None:
    model = LocalEmbeddings(minilm)
    texts = ["How do I reset my password?", "How can I reset the password?", "Where do penguins live?"]
    one, like, other = (await model.embed(texts)).vectors
    await model.aclose()
    assert (len(one), model.name) == (384, "local/minilm")
    assert all(math.isclose(sum(n * n for n in vector), 1.0, abs_tol=1e-5) for vector in (one, like, other))
    alike, unlike = (sum(a * b for a, b in zip(one, vector, strict=True)) for vector in (like, other))
    assert alike > 0.9
    assert unlike < 0.4
