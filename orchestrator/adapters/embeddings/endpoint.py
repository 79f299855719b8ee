"""A model of embeddings at an OpenAI-compatible address: one request, no retries, faults as those of models."""

from collections.abc import Sequence
from math import sqrt
from typing import Final

import anyio
import httpx2
from openai import AsyncOpenAI

from orchestrator.adapters.openai.faults import translated
from orchestrator.ports.embeddings import Embedded, Vector
from orchestrator.ports.model_errors import ModelBadReply, ModelTimeout

EMBED_S: Final = 10.0  #: of one request: a cache that takes longer is no help
TEXTS_MAX: Final = 256  #: of one request
SIZE_MAX: Final = 8_192  #: numbers of one vector


class EndpointEmbeddings:
    """Vectors of length one from `/embeddings`."""

    def __init__(self, base_url: str, api_key: str | None, model: str, usd_per_million: float = 0.0) -> None:
        self._model, self._price = model, usd_per_million
        http = httpx2.AsyncClient(timeout=httpx2.Timeout(EMBED_S), follow_redirects=False)
        self._client = AsyncOpenAI(
            base_url=base_url, api_key=api_key or "none", max_retries=0, timeout=EMBED_S, http_client=http
        )

    @property
    def name(self) -> str:
        return self._model

    @property
    def usd_per_million(self) -> float:
        return self._price

    async def embed(self, texts: Sequence[str]) -> Embedded:
        vectors: list[Vector] = []
        tokens = 0
        for at in range(0, len(texts), TEXTS_MAX):
            lot = list(texts[at : at + TEXTS_MAX])
            found, used = await self._some(lot)
            vectors += found
            tokens += used
        return Embedded(vectors=tuple(vectors), tokens=tokens, usd=tokens * self._price / 1_000_000)

    async def _some(self, texts: list[str]) -> tuple[list[Vector], int]:
        try:
            with anyio.fail_after(EMBED_S):
                reply = await self._client.embeddings.create(model=self._model, input=texts, encoding_format="float")
        except TimeoutError as error:
            raise ModelTimeout(self._model, f"no vectors within {EMBED_S:g} s", may_be_billed=True) from error
        except Exception as error:
            raise translated(error, self._model) from error
        rows = sorted(reply.data or [], key=lambda row: row.index)
        if [row.index for row in rows] != list(range(len(texts))):
            raise ModelBadReply(self._model, f"{len(rows)} vectors for {len(texts)} texts", may_be_billed=True)
        usage = getattr(reply, "usage", None)
        return [self._unit(row.embedding) for row in rows], max(int(getattr(usage, "prompt_tokens", 0) or 0), 0)

    def _unit(self, numbers: Sequence[float]) -> Vector:
        if not 0 < len(numbers) <= SIZE_MAX:
            raise ModelBadReply(self._model, f"a vector of {len(numbers)} numbers", may_be_billed=True)
        length = sqrt(sum(float(n) * float(n) for n in numbers))
        if not 0 < length < float("inf"):
            raise ModelBadReply(self._model, "a vector without a direction", may_be_billed=True)
        return tuple(float(n) / length for n in numbers)

    async def aclose(self) -> None:
        await self._client.close()
