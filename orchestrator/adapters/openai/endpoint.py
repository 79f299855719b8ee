"""One OpenAI-compatible address: sends a request once, reads its answer, and names what went wrong."""

from collections.abc import Callable
from typing import Any, Final

import httpx2
from openai import AsyncOpenAI

from orchestrator.adapters.openai.faults import translated
from orchestrator.adapters.openai.replies import ReplyReader
from orchestrator.adapters.openai.requests import body_of
from orchestrator.adapters.openai.wire import limit_to
from orchestrator.ports.endpoint import ChatReply, ChatRequest
from orchestrator.ports.model_errors import ModelBadReply
from orchestrator.settings import EndpointSettings

#: Below the five seconds after which many servers drop an idle connection: a request that meets such an end has been
#: sent, so it would stay charged.
KEEP_ALIVE_S: Final = 3.0
_OPENAI_URL: Final = "https://api.openai.com/v1"
#: To open a connection: an endpoint that cannot be reached leaves time for another. Everything after it is bounded by
#: the caller's deadline. Generous, because a thousand connections opened at once on a busy machine take their time.
CONNECT_S: Final = 30.0
_NO_KEY: Final = "none"  #: what is sent where the endpoint wants no key: the client insists on one


class OpenAIEndpoint:
    """An address with its key. The vendor's retries are off; redirects are not followed; nothing is logged here."""

    def __init__(self, base_url: str, api_key: str | None, settings: EndpointSettings) -> None:
        self._settings = settings
        # Not decompressed, so that the limit in bytes is one of memory too.
        http = httpx2.AsyncClient(
            headers={"Accept-Encoding": "identity"},
            timeout=httpx2.Timeout(None, connect=CONNECT_S),
            limits=httpx2.Limits(
                max_connections=settings.concurrency,
                max_keepalive_connections=settings.concurrency,
                keepalive_expiry=KEEP_ALIVE_S,
            ),
            follow_redirects=False,
            event_hooks={"response": [limit_to(settings.reply_bytes_max)]},
        )
        self._client = AsyncOpenAI(
            base_url=base_url,
            api_key=api_key or _NO_KEY,
            max_retries=0,
            timeout=httpx2.Timeout(None, connect=CONNECT_S),
            http_client=http,
        )
        new_field = settings.tokens_field == "auto" and base_url.rstrip("/") == _OPENAI_URL
        self._tokens_field = (
            settings.tokens_field
            if settings.tokens_field != "auto"
            else "max_completion_tokens"
            if new_field
            else "max_tokens"
        )

    async def ask(self, request: ChatRequest, on_text: Callable[[str], None]) -> ChatReply:
        body = body_of(request, self._settings, self._tokens_field)
        reader = ReplyReader(request.model, on_text)
        try:
            if self._settings.stream:
                await self._stream(body, reader)
            else:
                await self._at_once(body, reader)
            return reader.whole()
        except Exception as error:
            raise translated(error, request.model) from error

    async def _stream(self, body: dict[str, Any], reader: ReplyReader) -> None:
        raw = await self._client.chat.completions.with_raw_response.create(
            **body, stream=True, stream_options={"include_usage": True}
        )
        self._expect(raw.headers, "text/event-stream", reader.model)
        async with raw.parse() as chunks:
            async for chunk in chunks:
                reader.read(chunk, "delta")

    async def _at_once(self, body: dict[str, Any], reader: ReplyReader) -> None:
        raw = await self._client.chat.completions.with_raw_response.create(**body)
        self._expect(raw.headers, "application/json", reader.model)
        reader.read(raw.parse(), "message")

    def _expect(self, headers: httpx2.Headers, wanted: str, model: str) -> None:
        found = headers.get("content-type", "").partition(";")[0].strip().lower()
        if found != wanted:
            raise ModelBadReply(model, f"the reply is not {wanted}", may_be_billed=True)

    async def aclose(self) -> None:
        await self._client.close()
