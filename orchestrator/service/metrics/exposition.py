"""Metrics in Prometheus' text format, written by `prometheus-client` from the extra `prometheus`."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from orchestrator.errors import PromiseError
from orchestrator.service.metrics.table import METRICS, Metric
from orchestrator.service.metrics.values import Spread, Values

if TYPE_CHECKING:
    from prometheus_client import Metric as Family


def text_of(values: Values) -> tuple[bytes, str]:
    """All metrics as text, and its content type.

    Raises:
        PromiseError: `prometheus-client` is not installed.
    """
    try:
        from prometheus_client import CollectorRegistry, generate_latest
        from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
    except ImportError as error:
        raise PromiseError(
            f"prometheus-client is missing ({error})", "install hierarchical-orchestrator[prometheus]"
        ) from error
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(values))
    return generate_latest(registry), CONTENT_TYPE_PLAIN_0_0_4


class _Collector:
    def __init__(self, values: Values) -> None:
        self._values = values

    def collect(self) -> Iterator["Family"]:
        return map(self._family, METRICS)

    def _family(self, metric: Metric) -> "Family":
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        if metric.kind == "histogram":
            spreads = HistogramMetricFamily(metric.full, metric.help, labels=metric.labels)
            for labels, spread in sorted(self._values.spreads.get(metric.name, {}).items()):
                spreads.add_metric(labels, _cumulative(metric, spread), spread.total)
            return spreads
        kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
        numbers = kind(metric.full, metric.help, labels=metric.labels)
        for labels, value in sorted(self._values.of(metric.name).items()):
            numbers.add_metric(labels, value)
        return numbers


def _cumulative(metric: Metric, spread: Spread) -> list[tuple[str, float]]:
    total, found = 0, []
    for bound, count in zip((*map(str, metric.buckets), "+Inf"), spread.counts, strict=True):
        total += count
        found.append((bound, float(total)))
    return found


__all__ = ["text_of"]
