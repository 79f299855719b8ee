"""A chat endpoint on loopback that knows the truth: two models, of which the cheap one is often wrong on what is hard.

`python -m benchmarks.cost.replay.endpoint REQUESTS SEED` serves until its input ends; the first line it prints is its
port, the last its own ledger. It counts a token for four characters, and gives the usual discount for prefixes it has
read before (1,024 tokens and more, in steps of 128). It also serves Files and Batches, at half the price.
"""

import asyncio
import hashlib
import json
import re
import sys
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from benchmarks.cost.replay.workload import PAGES, Request, requests, secret

#: USD per million tokens: in, cached, out.
PRICES: Final = {"cheap": (0.15, 0.075, 0.60), "strong": (2.50, 1.25, 10.00)}
LATENCY_S: Final = {"cheap": 0.02, "strong": 0.06}  #: a fiftieth or so of what such models take
UNSURE: Final = "I am not sure."
ADMITS: Final = 0.85  #: of the hard tasks that the cheap model cannot do: it says so; else its answer is wrong
STRONG_WRONG: Final = 0.02  #: of the tasks, whoever asks
BLOCK_CHARS: Final = 512
CACHED_CHARS_MIN: Final = 4_096
PREFIXES_MAX: Final = 200_000
_TASK: Final = re.compile(r"^TASK\n(.+)$", re.MULTILINE)


@dataclass(slots=True)
class Ledger:
    """What the provider would write on the bill."""

    calls: int = 0
    usd: float = 0.0
    tokens: int = 0
    batches: int = 0


@dataclass(slots=True)
class Server:
    """The two models."""

    truths: dict[str, Request]
    ledger: Ledger = field(default_factory=Ledger)
    prefixes: dict[bytes, None] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)

    def answer(self, body: dict[str, Any], discount: float = 1.0) -> dict[str, Any]:
        """The reply to one chat request, with its usage; booked."""
        model, messages = body["model"], body["messages"]
        said = self._said(model, messages)
        text = json.dumps(body.get("tools")) + "".join(f"\n{m['role']}: {m.get('content')}" for m in messages)
        tokens_in, cached = len(text) // 4, self._cached(text) // 4
        tokens_out = max(len(json.dumps(said)) // 4, 1)
        fresh, kept, out = PRICES[model]
        self.ledger.calls += 1
        self.ledger.tokens += tokens_in + tokens_out
        self.ledger.usd += discount * (fresh * (tokens_in - cached) + kept * cached + out * tokens_out) / 1_000_000
        message: dict[str, Any] = {"role": "assistant", "content": said if isinstance(said, str) else None}
        if not isinstance(said, str):
            message["tool_calls"] = [said]
        usage = {
            "prompt_tokens": tokens_in,
            "completion_tokens": tokens_out,
            "total_tokens": tokens_in + tokens_out,
            "prompt_tokens_details": {"cached_tokens": cached},
        }
        finish = "stop" if isinstance(said, str) else "tool_calls"
        choice = {"index": 0, "message": message, "finish_reason": finish}
        name = f"c{self.ledger.calls}"
        told = {"id": name, "object": "chat.completion", "created": 0, "model": model}
        return {**told, "choices": [choice], "usage": usage}

    def _said(self, model: str, messages: list[dict[str, Any]]) -> str | dict[str, Any]:
        found = _TASK.search(next(m["content"] for m in messages if m["role"] == "user"))
        asked = self.truths.get(found[1].strip() if found else "")
        if asked is None:
            return UNSURE
        if asked.kind == "research":
            return self._research(asked, messages)
        if asked.kind == "task" and not _right(model, asked.text):
            admits = _draw(f"{asked.text}/admits") < ADMITS
            return UNSURE if model == "cheap" and admits else f"Round {_draw(asked.text):.6f} is planned."
        return asked.truth

    def _research(self, asked: Request, messages: list[dict[str, Any]]) -> str | dict[str, Any]:
        """Read all pages; then tell the code, if it still stands anywhere in what was sent."""
        read = sum(len(m.get("tool_calls") or ()) for m in messages if m["role"] == "assistant")
        read = max(read, *(int(n) for m in messages for n in re.findall(r"\(page (\d)\)", str(m.get("content")))), 0)
        if read < PAGES:
            arguments = json.dumps({"question": asked.text, "number": read + 1})
            return {"id": f"t{read + 1}", "type": "function", "function": {"name": "page", "arguments": arguments}}
        code = secret(asked.text)
        seen = any(code in str(m.get("content")) for m in messages)
        return f"It is {code}." if seen else UNSURE

    def _cached(self, text: str) -> int:
        """Characters of the longest beginning that was read before."""
        longest, running = 0, hashlib.sha256()
        for end in range(BLOCK_CHARS, len(text) + 1, BLOCK_CHARS):
            running.update(text[end - BLOCK_CHARS : end].encode())
            name = running.digest()
            if name in self.prefixes:
                longest = end
            self.prefixes[name] = None
        while len(self.prefixes) > PREFIXES_MAX:
            del self.prefixes[next(iter(self.prefixes))]
        return longest if longest >= CACHED_CHARS_MIN else 0

    # ---- HTTP

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        try:
            while request := await reader.readline():
                method, target, _ = request.decode().split(" ", 2)
                headers: dict[str, str] = {}
                while line := (await reader.readline()).decode().strip():
                    name, _, value = line.partition(":")
                    headers[name.lower()] = value.strip()
                data = await reader.readexactly(int(headers.get("content-length", 0)))
                status, reply, kind = await self._route(method, urlsplit(target).path, data)
                head = f"HTTP/1.1 {status} OK\r\nContent-Type: {kind}\r\nContent-Length: {len(reply)}\r\n\r\n"
                writer.write(head.encode() + reply)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _route(self, method: str, path: str, data: bytes) -> tuple[int, bytes, str]:
        plain = "application/json"
        parts = path.strip("/").split("/")[1:]
        if parts == ["chat", "completions"]:
            body = json.loads(data)
            reply = self.answer(body)
            await asyncio.sleep(LATENCY_S[body["model"]])
            return 200, json.dumps(reply).encode(), plain
        if parts == ["files"] and method == "POST":
            name = f"file-{len(self.files) + 1}"
            self.files[name] = _content_of(data)
            told = {"id": name, "object": "file", "bytes": len(data), "created_at": 0, "filename": "f"}
            told |= {"purpose": "batch", "status": "processed"}
            return 200, json.dumps(told).encode(), plain
        if len(parts) == 3 and parts[0] == "files" and parts[2] == "content":
            return 200, self.files[parts[1]], "application/octet-stream"
        if parts == ["batches"]:
            if method == "GET":
                rows = list(self.batches.values())
                return 200, json.dumps({"object": "list", "data": rows, "has_more": False}).encode(), plain
            return 200, json.dumps(self._batch(json.loads(data))).encode(), plain
        if len(parts) == 2 and parts[0] == "batches":
            return 200, json.dumps(self.batches[parts[1]]).encode(), plain
        return 404, b'{"error":{"message":"no such route"}}', plain

    def _batch(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Done at once: only the price is of interest here."""
        self.ledger.batches += 1
        lines = []
        for line in self.files[asked["input_file_id"]].decode().splitlines():
            item = json.loads(line)
            reply = {"status_code": 200, "request_id": "r", "body": self.answer(item["body"], discount=0.5)}
            lines.append(json.dumps({"id": "i", "custom_id": item["custom_id"], "response": reply, "error": None}))
        output, name = f"file-{len(self.files) + 1}", f"batch-{len(self.batches) + 1}"
        self.files[output] = "\n".join(lines).encode()
        counts = {"total": len(lines), "completed": len(lines), "failed": 0}
        self.batches[name] = {
            "id": name,
            "object": "batch",
            "endpoint": asked["endpoint"],
            "input_file_id": asked["input_file_id"],
            "completion_window": asked["completion_window"],
            "status": "completed",
            "output_file_id": output,
            "error_file_id": None,
            "created_at": 0,
            "completed_at": 1,
            "request_counts": counts,
            "metadata": asked.get("metadata"),
        }
        return self.batches[name]


def _right(model: str, text: str) -> bool:
    if model == "cheap":
        return "(easy)" in text
    return _draw(f"{text}/strong") >= STRONG_WRONG


def _draw(text: str) -> float:
    """A number from 0 to 1 that a text always gives."""
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) / 0xFFFFFFFF


def _content_of(data: bytes) -> bytes:
    """The file in a multipart body: its part with a file name."""
    border = data.partition(b"\r\n")[0]
    for part in data.split(border):
        head, _, body = part.partition(b"\r\n\r\n")
        if b"filename=" in head:
            return body.removesuffix(b"\r\n")
    raise ValueError("no file in the body")


async def main(count: int, seed: int) -> None:
    """Serve until the input ends."""
    served = Server({one.text: one for one in requests(count, seed)})
    server = await asyncio.start_server(served.serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    told = served.ledger
    print(
        json.dumps({"calls": told.calls, "usd": told.usd, "tokens": told.tokens, "batches": told.batches}), flush=True
    )


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
