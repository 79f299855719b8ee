"""Metrics over OTLP: what is counted elsewhere, as the data that the exporter of the extra `otlp` sends."""

import os
from collections.abc import Sequence
from typing import Final

import structlog
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import export as sdk
from opentelemetry.sdk.resources import Resource

from orchestrator.adapters.otel.sink import SCOPE
from orchestrator.ports.observer import MetricSeen

INTERVAL_S: Final = 60.0  #: where OTEL_METRIC_EXPORT_INTERVAL, in milliseconds, says nothing
UNKNOWN_START: Final = 0  #: counters are as old as the journal
_NS: Final = 1_000_000_000
_CUMULATIVE: Final = sdk.AggregationTemporality.CUMULATIVE
log = structlog.get_logger(__name__)


class MetricsPusher:
    """Sends metrics through an exporter of the SDK."""

    def __init__(self, exporter: sdk.MetricExporter) -> None:
        self._exporter = exporter
        resource = Resource.create()
        if str(resource.attributes.get("service.name", "unknown_service")).startswith("unknown_service"):
            resource = resource.merge(Resource({"service.name": "hierarchical-orchestrator"}))
        self._resource = resource
        told = os.environ.get("OTEL_METRIC_EXPORT_INTERVAL", "")
        self.interval_s = int(told) / 1000 if told.isdigit() and int(told) else INTERVAL_S
        self._said = False  #: that nobody takes them; once, until somebody does

    def send(self, metrics: Sequence[MetricSeen], at_s: float) -> bool:
        """See `MetricsSink`."""
        at_ns = int(at_s * _NS)
        made = [_metric(metric, at_ns) for metric in metrics if metric.series]
        scope = sdk.ScopeMetrics(scope=SCOPE, metrics=made, schema_url="")
        held = sdk.ResourceMetrics(resource=self._resource, scope_metrics=[scope], schema_url="")
        try:
            well = self._exporter.export(sdk.MetricsData([held])) is sdk.MetricExportResult.SUCCESS
        except Exception as error:  # noqa: BLE001  # whatever an exporter raises, the next time may go well
            log.error("metrics could not be sent", error=f"{type(error).__name__}: {error}")
            well = False
        if not well and not self._said:
            log.warning("nobody takes the metrics; trying again each time")
        self._said = not well
        return well

    def close(self) -> None:
        """See `MetricsSink`."""
        self._exporter.shutdown()


def otlp_metrics() -> MetricsPusher:
    """Metrics over HTTP to the endpoint that the environment names."""
    return MetricsPusher(OTLPMetricExporter())


def _metric(metric: MetricSeen, at_ns: int) -> sdk.Metric:
    """Counters go without their `_total`: whoever makes Prometheus' names of these adds it again."""
    if metric.kind == "histogram":
        points = [
            sdk.HistogramDataPoint(
                attributes=dict(one.labels),
                start_time_unix_nano=UNKNOWN_START,
                time_unix_nano=at_ns,
                count=sum(one.counts),
                sum=one.value,
                bucket_counts=one.counts,
                explicit_bounds=metric.bounds,
                min=None,  # type: ignore[arg-type]  # optional on the wire
                max=None,  # type: ignore[arg-type]  # likewise
            )
            for one in metric.series
        ]
        spread = sdk.Histogram(data_points=points, aggregation_temporality=_CUMULATIVE)
        return sdk.Metric(name=metric.name, description=metric.help, unit="", data=spread)
    numbers = [
        sdk.NumberDataPoint(
            attributes=dict(one.labels), start_time_unix_nano=UNKNOWN_START, time_unix_nano=at_ns, value=one.value
        )
        for one in metric.series
    ]
    if metric.kind == "gauge":
        return sdk.Metric(name=metric.name, description=metric.help, unit="", data=sdk.Gauge(data_points=numbers))
    data = sdk.Sum(data_points=numbers, aggregation_temporality=_CUMULATIVE, is_monotonic=True)
    name = metric.name.removesuffix("_total")
    return sdk.Metric(name=name, description=metric.help, unit="", data=data)


__all__ = ["MetricsPusher", "otlp_metrics"]
