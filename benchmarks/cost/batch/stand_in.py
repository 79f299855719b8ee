"""An OpenAI-compatible server with Files, Batches and Chat Completions, in threads of this process.

It says a question back. Questions with FAIL in them fail in a batch and are answered directly. What it would bill is
counted here, by item, so that a ledger can be held against it to the cent.
"""

import json
import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKENS_OUT = 7


@dataclass(slots=True)
class Service:
    """What was sent, and what it did with it."""

    rounds: int = 1  #: looks at a batch before it has ended
    url: str = ""
    files: dict[str, str] = field(default_factory=dict)
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    looks: dict[str, int] = field(default_factory=dict)
    billed: dict[str, tuple[int, int]] = field(
        default_factory=dict
    )  #: custom id -> tokens in and out, of answered items
    direct: list[tuple[int, int]] = field(default_factory=list)  #: tokens of each direct call
    lock: threading.Lock = field(default_factory=threading.Lock)

    def items(self) -> list[str]:
        """The custom ids of all batches, in the order they were handed over."""
        lines = [line for one in self.batches.values() for line in self.files[one["input_file_id"]].splitlines()]
        return [json.loads(line)["custom_id"] for line in lines]

    def status(self) -> list[str]:
        """Of every batch."""
        return [one["status"] for one in self.batches.values()]

    def finish(self, batch: dict[str, Any]) -> None:
        """Work on a batch, in another order than it was given."""
        good, bad = [], []
        for line in reversed(self.files[batch["input_file_id"]].splitlines()):
            row = json.loads(line)
            text = row["body"]["messages"][-1]["content"]
            if "FAIL" in text:
                answer = {"status_code": 500, "body": {"error": {"message": "it failed"}}}
                bad.append(json.dumps({"custom_id": row["custom_id"], "response": answer, "error": None}))
                continue
            body = completion(row["body"])
            self.billed[row["custom_id"]] = (body["usage"]["prompt_tokens"], TOKENS_OUT)
            answer = {"status_code": 200, "body": body}
            good.append(json.dumps({"custom_id": row["custom_id"], "response": answer, "error": None}))
        for name, lines in (("output_file_id", good), ("error_file_id", bad)):
            if lines:
                batch[name] = self._file("\n".join(lines))
        batch["status"] = "completed"

    def _file(self, text: str) -> str:
        name = f"file-{len(self.files) + 1}"
        self.files[name] = text
        return name

    def answer(self, method: str, path: str, data: bytes) -> tuple[int, Any]:
        """One request."""
        path = path.partition("?")[0].removeprefix("/v1")
        with self.lock:
            if (method, path) == ("POST", "/files"):
                found = re.search(rb'filename="[^"]*"\r\n.*?\r\n\r\n(.*?)\r\n--', data, re.DOTALL)
                assert found is not None, "a file was sent as a form"
                name = self._file(found[1].decode())
                return 200, {
                    "id": name,
                    "object": "file",
                    "bytes": 1,
                    "created_at": 1,
                    "filename": "f",
                    "purpose": "batch",
                }
            if (method, path) == ("POST", "/batches"):
                asked = json.loads(data)
                made: dict[str, Any] = {
                    "id": f"batch_{len(self.batches) + 1}",
                    "object": "batch",
                    "status": "validating",
                    "created_at": int(time.time()),
                }
                self.batches[made["id"]] = batch = {**made, **asked}
                return 200, batch
            if (method, path) == ("GET", "/batches"):
                return 200, {"object": "list", "data": list(reversed(self.batches.values())), "has_more": False}
            if method == "GET" and (found_batch := re.fullmatch(r"/batches/(\w+)", path)):
                batch = self.batches[found_batch[1]]
                self.looks[batch["id"]] = self.looks.get(batch["id"], 0) + 1
                if batch["status"] == "validating" and self.looks[batch["id"]] > self.rounds:
                    self.finish(batch)
                return 200, batch
            if method == "POST" and (found_batch := re.fullmatch(r"/batches/(\w+)/cancel", path)):
                batch = self.batches[found_batch[1]]
                batch["status"] = "cancelled"
                return 200, batch
            if method == "GET" and (found_file := re.fullmatch(r"/files/([\w-]+)/content", path)):
                return 200, self.files[found_file[1]]
            if (method, path) == ("POST", "/chat/completions"):
                body = completion(json.loads(data))
                self.direct.append((body["usage"]["prompt_tokens"], TOKENS_OUT))
                return 200, body
        return 404, {"error": {"message": "no such place"}}


def completion(body: dict[str, Any]) -> dict[str, Any]:
    """The task that was asked, said back."""
    text = body["messages"][-1]["content"].split("\n")[1]
    tokens = sum(len(one["content"]) for one in body["messages"]) // 4
    return {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": body["model"],
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": tokens, "completion_tokens": TOKENS_OUT, "total_tokens": tokens + TOKENS_OUT},
    }


@contextmanager
def serving(service: Service) -> Iterator[Service]:
    """The service on a port of its own, while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: object) -> None:
            return None

        def do_GET(self) -> None:
            self.answered("GET")

        def do_POST(self) -> None:
            self.answered("POST")

        def answered(self, method: str) -> None:
            data = self.rfile.read(int(self.headers.get("content-length") or 0))
            status, body = service.answer(method, self.path, data)
            sent = body.encode() if isinstance(body, str) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-type", "text/plain" if isinstance(body, str) else "application/json")
            self.send_header("content-length", str(len(sent)))
            self.end_headers()
            try:
                self.wfile.write(sent)
            except OSError:  # whoever asked was killed
                self.close_connection = True

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            if not isinstance(sys.exc_info()[1], OSError):  # whoever asked was killed
                super().handle_error(request, client_address)  # type: ignore[arg-type]  # handed on as it came

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    service.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
