"""The Batch API of an OpenAI-compatible address: files, batches, and results by their custom ids."""

import json
from collections.abc import Sequence
from typing import Any, Final

import httpx2
from openai import AsyncOpenAI

from orchestrator.adapters.openai.endpoint import CONNECT_S
from orchestrator.adapters.openai.faults import translated
from orchestrator.adapters.openai.replies import ReplyReader
from orchestrator.adapters.openai.requests import body_of
from orchestrator.adapters.openai.wire import limit_to
from orchestrator.ports.batches import BatchItem, BatchOutcome, ServiceState
from orchestrator.ports.model_errors import ModelBadReply, ModelBadRequest, ModelError, ModelUnavailable
from orchestrator.settings import EndpointSettings

ENDPOINT: Final = "/v1/chat/completions"
WINDOW: Final = "24h"
KEY: Final = "orchestrator_group"  #: name of the metadata that holds a group's key
ITEMS_MAX: Final = 50_000  #: of one batch, and
FILE_BYTES_MAX: Final = 200_000_000  #: of its file: limits of the service
RESULT_BYTES_MAX: Final = 1 << 30  #: of one file of results
LOOKED_AT_MAX: Final = 1_000  #: newest batches among which a group is looked for
CLOCK_OFF_S: Final = 3_600.0  #: by which the service's clock may be behind
AGAIN_S: Final = 60.0  #: advice, where it is among none of them
CALL_S: Final = 120.0  #: one request
_NO_KEY: Final = "none"
_ENDED: Final = frozenset({"completed", "expired", "cancelled"})
_MODEL: Final = "batch"  #: what errors of the service as a whole name


class OpenAIBatches:
    """Answers the port `BatchService`. The vendor's retries are off: a submission that failed may have been taken."""

    def __init__(self, base_url: str, api_key: str | None, settings: EndpointSettings) -> None:
        self._settings = settings
        http = httpx2.AsyncClient(
            headers={"Accept-Encoding": "identity"},
            timeout=httpx2.Timeout(CALL_S, connect=CONNECT_S),
            follow_redirects=False,
            event_hooks={"response": [limit_to(RESULT_BYTES_MAX)]},
        )
        self._client = AsyncOpenAI(
            base_url=base_url, api_key=api_key or _NO_KEY, max_retries=0, timeout=CALL_S, http_client=http
        )
        self._tokens_field = "max_completion_tokens" if settings.tokens_field == "auto" else settings.tokens_field

    async def submit(self, key: str, items: Sequence[BatchItem]) -> str:
        lines = [json.dumps(self._line(item), ensure_ascii=False) for item in items]
        data = ("\n".join(lines) + "\n").encode()
        if len(items) > ITEMS_MAX or len(data) > FILE_BYTES_MAX:
            reason = f"{len(items)} items of {len(data)} bytes; at most {ITEMS_MAX} and {FILE_BYTES_MAX}"
            raise ModelBadRequest(_MODEL, reason)
        try:
            file = await self._client.files.create(file=(f"{key}.jsonl", data, "application/jsonl"), purpose="batch")
            batch = await self._client.batches.create(
                completion_window=WINDOW, endpoint=ENDPOINT, input_file_id=file.id, metadata={KEY: key}
            )
        except Exception as error:
            raise translated(error, _MODEL) from error
        return _id_of(batch)

    async def find(self, key: str, since_s: float) -> str:
        seen = 0
        try:
            async for batch in self._client.batches.list(limit=100):
                seen += 1
                if (getattr(batch, "metadata", None) or {}).get(KEY) == key:
                    return _id_of(batch)
                made_s = getattr(batch, "created_at", None)
                if isinstance(made_s, int | float) and made_s < since_s - CLOCK_OFF_S:
                    return ""  # the newest come first
                if seen >= LOOKED_AT_MAX:
                    reason = f"the group is not among the newest {LOOKED_AT_MAX:,} batches, so nobody knows of it"
                    raise ModelUnavailable(_MODEL, reason, AGAIN_S)
        except ModelError:
            raise
        except Exception as error:
            raise translated(error, _MODEL) from error
        return ""

    async def state(self, batch: str) -> ServiceState:
        try:
            found = await self._client.batches.retrieve(batch)
        except Exception as error:
            raise translated(error, _MODEL) from error
        status = getattr(found, "status", None)
        if status in _ENDED:
            return "ended"
        return "refused" if status == "failed" else "working"

    async def outcomes(self, batch: str) -> list[BatchOutcome]:
        try:
            found = await self._client.batches.retrieve(batch)
            outcomes: dict[str, BatchOutcome] = {}
            for name in ("output_file_id", "error_file_id"):
                file = getattr(found, name, None)
                if isinstance(file, str) and file:
                    content = await self._client.files.content(file)
                    for one in _lines(content.text):
                        outcomes.setdefault(one.id, one)
        except ModelError:
            raise
        except Exception as error:
            raise translated(error, _MODEL) from error
        return list(outcomes.values())

    async def cancel(self, batch: str) -> None:
        try:
            await self._client.batches.cancel(batch)
        except Exception as error:
            raise translated(error, _MODEL) from error

    async def aclose(self) -> None:
        await self._client.close()

    def _line(self, item: BatchItem) -> dict[str, Any]:
        body = body_of(item.request, self._settings, self._tokens_field)
        return {"custom_id": item.id, "method": "POST", "url": ENDPOINT, "body": body}


def _id_of(batch: object) -> str:
    found = getattr(batch, "id", None)
    if not isinstance(found, str) or not found:
        raise ModelBadReply(_MODEL, "the service gave a batch no id")
    return found


def _lines(text: str) -> list[BatchOutcome]:
    """Outcomes of a file of results; a line that is none of ours is left out: its item then has no word."""
    found = []
    for line in text.splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and isinstance(row.get("custom_id"), str):
            found.append(_outcome(row))
    return found


def _outcome(row: dict[str, Any]) -> BatchOutcome:
    name, error, response = row["custom_id"], row.get("error"), row.get("response")
    if isinstance(error, dict):
        code = str(error.get("code") or "error")
        return BatchOutcome(id=name, error=code[:64], untouched=code in ("batch_expired", "batch_cancelled"))
    if not isinstance(response, dict) or response.get("status_code") != 200:
        status = response.get("status_code") if isinstance(response, dict) else None
        return BatchOutcome(id=name, error=f"status_{status}" if isinstance(status, int) else "no_response")
    reader = ReplyReader(_MODEL, lambda _: None)
    try:
        reader.read(_object(response.get("body")), "message")
        return BatchOutcome(id=name, reply=reader.whole())
    except ModelError as failed:
        return BatchOutcome(id=name, error=failed.kind)


class _Part:
    """An object of a reply: attributes, and no more."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.__dict__.update(values)


def _object(value: Any) -> Any:
    if isinstance(value, dict):
        return _Part({str(key): _object(one) for key, one in value.items()})
    return [_object(one) for one in value] if isinstance(value, list) else value
