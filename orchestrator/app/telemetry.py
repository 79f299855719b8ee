"""Telemetry as the environment asks for it: OTEL_* is honoured as it is, and without it nothing is loaded."""

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from orchestrator.errors import PromiseError
from orchestrator.ports.observer import MetricsSink, Tracing
from orchestrator.ports.redaction import CLEAR, Redactor

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

    from orchestrator.adapters.otel.sink import Sink

_open: list[Tracing] = []  #: the one of this process, once it has one
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


def open_telemetry(
    redactor: Redactor = CLEAR, environment: Mapping[str, str] | None = None, *, branches_max: int | None = None
) -> Tracing | None:
    """What traces this process, or None: no exporter is configured, or OTEL_SDK_DISABLED is true.

    OTEL_TRACES_EXPORTER may be otlp, console or none; without it an OTLP endpoint in the environment is enough. Of the
    branches of a step beyond `branches_max` those that pass at once are counted and not told.

    Raises:
        PromiseError: an exporter is asked for that is not installed, or that there is not.
    """
    told = os.environ if environment is None else environment
    if told.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    exporter = told.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if not exporter:
        exporter = "otlp" if any(told.get(name) for name in _ENDPOINTS) else "none"
    if exporter == "none":
        return None
    if exporter not in {"otlp", "console"}:
        raise PromiseError(f"OTEL_TRACES_EXPORTER={exporter} is not known", "use otlp, console or none")
    from orchestrator.adapters.otel.runs import BRANCHES_MAX  # a fifth of a second, for those who trace
    from orchestrator.adapters.otel.telemetry import Telemetry

    sink, most = (
        _otlp(told) if exporter == "otlp" else _console(),
        BRANCHES_MAX if branches_max is None else branches_max,
    )
    made = Telemetry(sink, redactor=redactor, branches_max=most)
    _open[:] = [made]
    return made


def open_metrics(environment: Mapping[str, str] | None = None) -> MetricsSink | None:
    """Where metrics are pushed to, or None: nobody asks for that, or OTEL_SDK_DISABLED is true.

    OTEL_METRICS_EXPORTER may be otlp or none; without it an OTLP endpoint in the environment is enough.

    Raises:
        PromiseError: an exporter is asked for that is not installed, or that there is not.
    """
    told = os.environ if environment is None else environment
    if told.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    exporter = told.get("OTEL_METRICS_EXPORTER", "").strip().lower()
    if not exporter:
        asked = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
        exporter = "otlp" if any(told.get(name) for name in asked) else "none"
    if exporter == "none":
        return None
    if exporter != "otlp":
        raise PromiseError(
            f"OTEL_METRICS_EXPORTER={exporter} is not known", "use otlp or none; /metrics is there for Prometheus"
        )
    _must_be_http(told, "METRICS")
    try:
        from orchestrator.adapters.otel.metrics import otlp_metrics
    except ImportError as error:
        raise PromiseError(
            f"the OTLP exporter is missing ({error})", "install hierarchical-orchestrator[otlp]"
        ) from error
    return otlp_metrics()


def _must_be_http(told: Mapping[str, str], signal: str) -> None:
    names = (f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
    protocol = next((told[name] for name in names if told.get(name)), "http/protobuf")
    if protocol != "http/protobuf":
        raise PromiseError(f"the OTLP protocol {protocol!r} is not spoken here", "use http/protobuf, at port 4318")


def trace_of_run(run_id: str) -> str:
    """The trace id of a run, as 32 hex digits, for log lines; empty where this process does not trace."""
    return _open[0].trace_of_run(run_id) if _open else ""


def said_here() -> Mapping[str, object]:
    """What log lines of the calling code say of the task it works on; empty where this process does not trace."""
    return _open[0].said_here() if _open else {}


def _otlp(told: Mapping[str, str]) -> "Sink":
    _must_be_http(told, "TRACES")
    try:
        from orchestrator.adapters.otel.exporters import otlp_exporter
    except ImportError as error:
        raise PromiseError(
            f"the OTLP exporter is missing ({error})", "install hierarchical-orchestrator[otlp]"
        ) from error
    return otlp_exporter()


def _console() -> "SpanExporter":
    from orchestrator.adapters.otel.console import console_exporter

    return console_exporter(sys.stderr)


__all__ = ["open_metrics", "open_telemetry", "said_here", "trace_of_run"]
