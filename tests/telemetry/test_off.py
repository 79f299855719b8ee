"""Without an exporter nothing of OpenTelemetry is loaded; what is asked for and cannot be had is refused."""

import subprocess
import sys

import pytest

from orchestrator.app.telemetry import open_telemetry
from orchestrator.errors import PromiseError

RUN = """
import sys
import anyio
from orchestrator import Engine, Plan
from workers import Pool
pool = Pool("p")
@pool.worker
async def one() -> int:
    return 1
with Plan("off") as p:
    p.result(p.step(one))
async def main():
    async with Engine(pools=[pool], store="memory:") as engine:
        await (await engine.submit(p.freeze())).result()
    print(sorted(name for name in sys.modules if name.split(".")[0] in {"opentelemetry", "prometheus_client"}))
anyio.run(main)
"""


@pytest.mark.parametrize("environment", [{}, {"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "console"}])
def test_off_loads_nothing(environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RUN], capture_output=True, text=True, check=True, env={"PATH": "", **environment}
    )
    assert done.stdout.strip() == "[]"


def test_on_says_spans_and_the_trace_of_a_run() -> None:
    done = subprocess.run(
        [sys.executable, "-c", RUN], capture_output=True, text=True, check=True,
        env={"PATH": "", "OTEL_TRACES_EXPORTER": "console"},
    )  # fmt: skip
    assert '"name": "invoke_workflow off"' in done.stderr


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER=zipkin is not known"),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "'grpc' is not spoken here"),
    ],
)
def test_what_cannot_be_had_is_refused(environment: dict[str, str], words: str) -> None:
    with pytest.raises(PromiseError, match=words):
        open_telemetry(environment=environment)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    monkeypatch.delitem(sys.modules, "orchestrator.adapters.otel.exporters", raising=False)
    with pytest.raises(PromiseError, match=r"install hierarchical-orchestrator\[otlp\]"):
        open_telemetry(environment={"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"})
