"""Puts what the vendor's client raises into our own errors. Nothing a server wrote is quoted but its error code."""

import email.utils
import json
import re
import time
from typing import Final

import httpx2
import openai

from orchestrator.adapters.openai.wire import Compressed, TooManyBytes
from orchestrator.ports.model_errors import (
    ModelBadReply,
    ModelBadRequest,
    ModelContextTooLong,
    ModelError,
    ModelFiltered,
    ModelInterrupted,
    ModelNotFound,
    ModelRateLimited,
    ModelReplyTooLarge,
    ModelTimeout,
    ModelUnauthorised,
    ModelUnavailable,
)

RETRY_AFTER_MAX_S: Final = 3_600.0  #: a server that asks for more is not believed
#: Answers of something in front of the model, which may have gone on working: Cloudflare's 52x among them.
_FROM_A_PROXY: Final = frozenset({502, 504, 520, 522, 524})
_TOO_LONG: Final = re.compile(
    r"context[ _](length|window|size)|maximum context|too many (input )?tokens", re.IGNORECASE
)
_CODE: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def translated(error: Exception, model: str) -> ModelError:
    """Our error for whatever a try ended with; what nobody foresaw is a bad reply that may have been billed."""
    match error:
        case ModelError():
            return error
        case openai.APIStatusError():
            return _by_status(error, model)
        case openai.APIError() if not isinstance(error, openai.APIConnectionError):
            # The server broke off its own stream with an error object.
            return ModelInterrupted(model, f"an error inside the stream{_code(error)}", may_be_billed=True)
        case _:
            return _by_cause(error, model)


def _by_cause(error: Exception, model: str) -> ModelError:
    for cause in _causes(error):
        match cause:
            case TooManyBytes():
                reason = f"more than {cause.limit_bytes:,} bytes; see reply_bytes_max"
                return ModelReplyTooLarge(model, reason, may_be_billed=True)
            case Compressed():
                return ModelBadReply(model, "a compressed body that nobody asked for", may_be_billed=True)
            case httpx2.ConnectTimeout() | httpx2.PoolTimeout():
                return ModelTimeout(model, "no connection in time")
            case httpx2.TimeoutException():
                return ModelTimeout(model, "the connection fell silent", may_be_billed=True)
            case httpx2.ConnectError() | httpx2.UnsupportedProtocol():
                return ModelUnavailable(model, "no connection")
            case httpx2.RemoteProtocolError() | httpx2.DecodingError():
                return ModelInterrupted(model, "the reply broke off or is no HTTP", may_be_billed=True)
            case httpx2.HTTPError() | OSError():
                return ModelInterrupted(model, "the connection broke", may_be_billed=True)
            case UnicodeEncodeError():
                return ModelBadRequest(model, "the prompt holds characters that are no text; nothing was sent")
            case json.JSONDecodeError() | RecursionError() | UnicodeDecodeError():
                return ModelBadReply(model, "the reply is no JSON", may_be_billed=True)
            case _:
                continue
    return ModelBadReply(model, f"the reply cannot be read ({type(error).__name__})", may_be_billed=True)


def retry_after_s(headers: httpx2.Headers, now_s: float | None = None) -> float | None:
    """Seconds that the server asks to wait, from 0 to `RETRY_AFTER_MAX_S`; None where it says nothing readable.

    A date counts from the server's own `Date`, where it sends one: clocks differ.
    """
    for name, unit_s in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        text = headers.get(name, "").strip()
        try:
            return _bounded(float(text) * unit_s)
        except ValueError:
            pass
        until_s = _date_s(text)
        if until_s is not None:
            sent_s = _date_s(headers.get("date", ""))
            return _bounded(until_s - (sent_s if sent_s is not None else time.time() if now_s is None else now_s))
    return None


def _bounded(seconds: float) -> float | None:
    if seconds != seconds:  # noqa: PLR0124  # NaN, and nothing else, differs from itself
        return None
    return min(max(seconds, 0.0), RETRY_AFTER_MAX_S)


def _date_s(text: str) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None


def _causes(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    one: BaseException | None = error
    while one is not None and one not in found:
        found.append(one)
        one = one.__cause__ or one.__context__
    return found


def _code(error: openai.APIError) -> str:
    """The server's error code in brackets, where it is a plain word: what it writes else may quote the prompt."""
    code = error.code or error.type
    return f" ({code})" if isinstance(code, str) and _CODE.fullmatch(code) else ""


def _by_status(error: openai.APIStatusError, model: str) -> ModelError:
    status, told = error.status_code, f"HTTP {error.status_code}{_code(error)}"
    wait_s = retry_after_s(error.response.headers)
    code = error.code or ""
    match status:
        case 401 | 402 | 403:
            return ModelUnauthorised(model, told)
        case 404 | 410:
            return ModelNotFound(model, told)
        case 413:
            return ModelContextTooLong(model, told)
        case 429 if code == "insufficient_quota":
            return ModelUnauthorised(model, f"{told}: the account has no credit left")
        case 429:
            return ModelRateLimited(model, told, wait_s)
        case 408 | 409 | 425:
            return ModelUnavailable(model, told, wait_s)
        case _ if status >= 500:
            return ModelUnavailable(model, told, wait_s, may_be_billed=status in _FROM_A_PROXY)
        case _:
            return _by_code(error, model, told)


def _by_code(error: openai.APIStatusError, model: str, told: str) -> ModelError:
    code = error.code or ""
    if code == "content_filter":
        return ModelFiltered(model, told)
    if code == "context_length_exceeded" or _TOO_LONG.search(error.message):
        return ModelContextTooLong(model, told)
    if error.status_code < 400:
        return ModelBadReply(model, f"{told}: redirects are not followed")
    return ModelBadRequest(model, told)
