"""Secrets stay where they are: nothing that a service writes or says holds one."""

import signal
from pathlib import Path

import requests

from tests.service.http.process import shop

CANARY = "sk-canary-5f1c9a7b3e2d4860"


def test_a_secret_is_found_nowhere(tmp_path: Path) -> None:
    with shop(
        tmp_path, OPENAI_API_KEY=CANARY, OTEL_TRACES_EXPORTER="console", ORCHESTRATOR_MODELS__ENDPOINTS__OWN="{}"
    ) as place:
        key = place.key()
        secret = key.split("_", 2)[2]
        service = place.serve()
        heard: list[str] = []

        def ask(method: str, path: str, **more: object) -> None:
            headers = {"Authorization": f"Bearer {key}", **more.pop("headers", {})}  # type: ignore[dict-item]
            answer = requests.request(method, place.url + path, headers=headers, timeout=20, **more)  # type: ignore[arg-type]
            heard.append(f"{answer.headers}\n{answer.text}")

        ask("POST", "/v1/runs", json={"plan": "double"}, headers={"Idempotency-Key": "a"})
        run = requests.get(f"{place.url}/v1/runs", headers={"Authorization": f"Bearer {key}"}, timeout=20).json()
        (row,) = run["runs"]
        for path in ("", "/events", "/history", "/why", "/costs", "/steps/twice", "/artifacts", "/plan"):
            ask("GET", f"/v1/runs/{row['id']}{path}")
        ask("GET", "/v1/me")
        ask("GET", "/v1/openapi.json")
        ask("GET", f"/v1/runs?key={secret}")  # people put keys where they do not belong
        ask("GET", f"/v1/nothing/{secret}")
        ask("POST", "/v1/runs", json={"plan": "double", "nothing": secret})
        ask("POST", "/v1/runs", json={"plan": "double", "inputs": {"n": secret}})
        assert secret in heard.pop()  # whoever sent it is told what is wrong with it, and nobody else
        ask("POST", "/v1/runs", data=f"{{{secret}", headers={"Content-Type": "application/json"})
        ask("GET", "/v1/runs", headers={"Authorization": f"Basic {secret}"})
        ask("GET", "/v1/runs", headers={"Authorization": f"Bearer {key}x"})
        ask("GET", "/v1/runs", headers={"traceparent": secret})
        ask("POST", "/v1/runs", json={"goal": "say hello"})
        service.send_signal(signal.SIGTERM)
        assert service.wait(20) == 0
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert {"journal.db", "journal.db.keys"} <= {path.name for path in files}
        written = {str(path): path.read_bytes() for path in files}
        assert any(b"trace_id" in text or b"traceId" in text for text in written.values())  # it was traced
        for hidden in (secret, CANARY):
            assert [name for name, text in written.items() if hidden.encode() in text] == []
            assert [text for text in heard if hidden in text] == []
        assert key.split("_")[1].encode() in written[str(tmp_path / ".orchestrator" / "journal.db.keys")]
