"""Counters and histograms by label, as plain data: bounded, and kept as JSON between two lives of a process."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, cast

from orchestrator.ids import JsonValue
from orchestrator.ports.observer import MetricSeen, Series
from orchestrator.service.metrics.table import BY_NAME, METRICS, Metric

VALUES_MAX: Final = 200  #: of one label of one metric; later ones are counted under `OTHER`
SERIES_MAX: Final = 5_000  #: of one metric; later ones have `OTHER` in every label
CHARS_MAX: Final = 100  #: of a label's value
OTHER: Final = "other"
Labels = tuple[str, ...]


@dataclass(slots=True)
class Spread:
    """A histogram of one series."""

    counts: list[int]  #: per bucket, the last one above every bound; not cumulative
    total: float = 0.0

    @property
    def count(self) -> int:
        """How many were observed."""
        return sum(self.counts)


@dataclass(slots=True)
class Values:
    """The values of all metrics."""

    numbers: dict[str, dict[Labels, float]] = field(default_factory=dict)
    spreads: dict[str, dict[Labels, Spread]] = field(default_factory=dict)
    _seen: dict[tuple[str, int], set[str]] = field(default_factory=dict)  #: values by metric and position of the label

    def add(self, name: str, *labels: str, by: float = 1.0) -> None:
        """Count up."""
        series = self.numbers.setdefault(name, {})
        key = self._key(BY_NAME[name], labels, series)
        series[key] = series.get(key, 0.0) + by

    def set(self, name: str, *labels: str, to: float) -> None:
        """What a gauge shows."""
        series = self.numbers.setdefault(name, {})
        series[self._key(BY_NAME[name], labels, series)] = to

    def observe(self, name: str, *labels: str, value: float) -> None:
        """One more value of a histogram."""
        metric = BY_NAME[name]
        series = self.spreads.setdefault(name, {})
        key = self._key(metric, labels, series)
        spread = series.get(key)
        if spread is None:
            spread = series[key] = Spread([0] * (len(metric.buckets) + 1))
        spread.counts[bisect_left(metric.buckets, value)] += 1
        spread.total += value

    def clear(self, *names: str) -> None:
        """Forget gauges, before they are set anew."""
        for name in names:
            self.numbers.pop(name, None)

    def of(self, name: str) -> Mapping[Labels, float]:
        """The series of a counter or gauge."""
        return self.numbers.get(name, {})

    def seen(self) -> list[MetricSeen]:
        """Every metric with its series, as they are sent."""
        return [self._seen_of(metric) for metric in METRICS]

    def _seen_of(self, metric: Metric) -> MetricSeen:
        def named(labels: Labels) -> dict[str, str]:
            return dict(zip(metric.labels, labels, strict=True))

        series = [Series(labels=named(key), value=value) for key, value in self.of(metric.name).items()]
        if metric.kind == "histogram":
            spreads = self.spreads.get(metric.name, {})
            series = [Series(labels=named(k), value=s.total, counts=tuple(s.counts)) for k, s in spreads.items()]
        return MetricSeen(
            name=metric.full, kind=metric.kind, help=metric.help, bounds=metric.buckets, series=tuple(series)
        )

    def _key(self, metric: Metric, labels: Labels, series: Mapping[Labels, object]) -> Labels:
        assert len(labels) == len(metric.labels), f"{metric.name} has the labels {metric.labels}"
        if labels in series:
            return labels
        bounded: list[str] = []
        for position, value in enumerate(labels):
            text = value[:CHARS_MAX]
            seen = self._seen.setdefault((metric.name, position), set())
            if text not in seen and len(seen) >= VALUES_MAX:
                text = OTHER
            seen.add(text)
            bounded.append(text)
        key = tuple(bounded)
        return key if key in series or len(series) < SERIES_MAX else (OTHER,) * len(labels)

    # ---- between two lives

    def document(self) -> dict[str, JsonValue]:
        """Everything that is counted, as JSON."""
        return {
            "numbers": {
                name: [[*key, value] for key, value in series.items()] for name, series in self.numbers.items()
            },
            "spreads": {
                name: [[*key, spread.total, cast(list[JsonValue], [*spread.counts])] for key, spread in series.items()]
                for name, series in self.spreads.items()
            },
        }

    @classmethod
    def read(cls, document: Mapping[str, JsonValue]) -> "Values":
        """What `document` gave.

        Raises:
            ValueError, KeyError, TypeError: it is none, or one of another release.
        """
        made = cls()
        for name, key, rest in _rows(document["numbers"], 1):
            (value,) = rest
            made.numbers.setdefault(name, {})[made._key(BY_NAME[name], key, {})] = float(cast(float, value))
        for name, key, rest in _rows(document["spreads"], 2):
            total, counts = rest
            if not isinstance(counts, list) or len(counts) != len(BY_NAME[name].buckets) + 1:
                raise ValueError(f"{name} has other buckets")
            spread = Spread([int(cast(int, count)) for count in counts], float(cast(float, total)))
            made.spreads.setdefault(name, {})[made._key(BY_NAME[name], key, {})] = spread
        return made


def _rows(part: JsonValue, tail: int) -> Iterator[tuple[str, Labels, list[JsonValue]]]:
    for name, rows in cast(dict[str, list[list[JsonValue]]], part).items():
        if len(BY_NAME[name].labels) + tail != len(rows[0] if rows else []) and rows:
            raise ValueError(f"{name} has other labels")
        for row in rows:
            yield name, tuple(str(value) for value in row[:-tail]), row[-tail:]
