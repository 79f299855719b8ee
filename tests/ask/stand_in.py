"""An OpenAI-compatible server in this process, for machines without node: it answers from fixtures in aimock's format.

Read are `userMessage` (part of the last user message), `systemMessage` (part of all system messages) and
`hasToolResult` (a tool answered since the last user message); the first fixture that fits answers. What fits none is a
404, as aimock's is. An answer can be held back until the test lets it go.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

CHUNK_CHARS = 20


class StandIn:
    """The server's fixtures, and what it was asked. `held` texts in a last user message wait for `let_go`."""

    def __init__(self, file: Path) -> None:
        self.fixtures: list[dict[str, Any]] = json.loads(file.read_text())["fixtures"]
        self.asked: list[dict[str, Any]] = []  #: whole requests, in order
        self.held: set[str] = set()
        self.waiting = threading.Event()
        self.go = threading.Event()
        self.url = ""

    def let_go(self) -> None:
        """Answer what was held."""
        self.held.clear()
        self.go.set()

    def answer(self, body: dict[str, Any]) -> dict[str, Any] | None:
        """The response of the first fixture that fits."""
        self.asked.append(body)
        messages = body["messages"]
        last = max((at for at, one in enumerate(messages) if one["role"] == "user"), default=-1)
        user = messages[last]["content"] if last >= 0 else ""
        if any(text in user for text in self.held):
            self.waiting.set()
            self.go.wait()
        system = "\n".join(one["content"] for one in messages if one["role"] == "system")
        has_result = any(one["role"] == "tool" for one in messages[last + 1 :])
        for fixture in self.fixtures:
            match = fixture["match"]
            if (
                match.get("userMessage", "") in user
                and match.get("systemMessage", "") in system
                and match.get("hasToolResult", has_result) == has_result
            ):
                response: dict[str, Any] = fixture["response"]
                return response
        return None


class _Handler(BaseHTTPRequestHandler):
    stand_in: StandIn
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        response = self.stand_in.answer(body)
        try:
            if response is None:
                self._whole(404, {"error": {"message": "no fixture matches", "code": "no_fixture_match"}})
            elif body.get("stream"):
                self._stream(response)
            else:
                raise AssertionError("the gateway streams unless it is told not to")
        except (BrokenPipeError, ConnectionResetError):
            pass  # who asked was killed

    def _whole(self, status: int, document: object) -> None:
        data = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _stream(self, response: dict[str, Any]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        text = response.get("content") or ""
        calls = [
            {
                "index": at,
                "id": f"call_{at}",
                "type": "function",
                "function": {"name": one["name"], "arguments": json.dumps(one["arguments"])},
            }
            for at, one in enumerate(response.get("toolCalls", []))
        ]
        for at in range(0, len(text), CHUNK_CHARS):
            self._event({"choices": [{"index": 0, "delta": {"content": text[at : at + CHUNK_CHARS]}}]})
        if calls:
            self._event({"choices": [{"index": 0, "delta": {"tool_calls": calls}}]})
        finish = "tool_calls" if calls else "stop"
        self._event({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
        usage = response["usage"]
        total = {**usage, "total_tokens": usage["prompt_tokens"] + usage["completion_tokens"]}
        self._event({"choices": [], "usage": total})
        self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True

    def _event(self, document: dict[str, Any]) -> None:
        whole = {"id": "chat", "object": "chat.completion.chunk", "created": 1, "model": "m", **document}
        self.wfile.write(b"data: " + json.dumps(whole).encode() + b"\n\n")

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: tests look at `asked`."""


@contextmanager
def stand_in(file: Path) -> Iterator[StandIn]:
    """The server on a free port of the loopback, for as long as the block."""
    made = StandIn(file)
    handler = type("Handler", (_Handler,), {"stand_in": made})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    made.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.let_go()
        server.shutdown()
        server.server_close()
        thread.join()
