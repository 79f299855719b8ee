"""The observer ports: who is told what happens to runs and tasks, beside the journal. Telemetry stands behind them.

Nothing here may block, wait or raise: an observer that cannot keep up loses what it is told and counts that. No rule of
a run depends on an observer, and without one nothing is called.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

from orchestrator.core.facts import Fact, RunAccepted
from orchestrator.ids import RunId
from orchestrator.ports.tasks import StepTask, TaskKey


class Observer(Protocol):
    """On the side of a run's owner."""

    def journaled(self, accepted: RunAccepted, first_seq: int, facts: tuple[Fact, ...]) -> None:
        """Facts of a run are in the journal, in order; `first_seq` is the number of the first."""
        ...

    def resumed(self, accepted: RunAccepted, facts: Sequence[Fact]) -> None:
        """A run was taken over; `facts` are all that the journal held of it, from the first on."""
        ...

    def trace_of(self, accepted: RunAccepted, key: TaskKey) -> str:
        """The W3C `traceparent` of an attempt, for its task to carry; empty where the run is not traced."""
        ...

    def here(self) -> str:
        """The `traceparent` of the caller's own span, where its code is traced; else empty."""
        ...

    def let_go(self, run_id: RunId) -> None:
        """Another owner drives the run from here on: what is open of it is not ours to end."""
        ...


class WorkObserver(Protocol):
    """On the side of the workers."""

    def begin(self, task: StepTask, worker: str) -> None:
        """A task is about to run. Called inside the context that its code will see."""
        ...

    def end(self, task: StepTask, worker: str, began_s: float, ended_s: float, error: str | None) -> None:
        """It has ended, at these seconds since the epoch; `error`: empty when it returned, None when it was dropped."""
        ...


class RequestSpan(Protocol):
    """The span of a request while it is answered."""

    def answered(self, status: int, route: str, method: str, now_s: float) -> None:
        """How it was answered: the HTTP status, and the form of the address, never what was written there."""
        ...


class RequestObserver(Protocol):
    """On the side of a service."""

    def request(self, name: str, traceparent: str, now_s: float) -> AbstractContextManager[RequestSpan]:
        """A request that is answered here: the caller's `traceparent` is gone on with, and runs it starts are below."""
        ...


class Tracing(Observer, WorkObserver, RequestObserver, Protocol):
    """All of them, as one process has them."""

    @property
    def counts(self) -> dict[str, int]:
        """Spans `exported` and `failed`; things told that were `dropped`, or of which none could be made (`broken`)."""
        ...

    def inside(self) -> WorkObserver:
        """For workers in the process of the runs' owner, whose spans of attempts tell of the work already."""
        ...

    def trace_of_run(self, run_id: str) -> str:
        """The trace id of a run, as 32 hex digits."""
        ...

    def said_here(self) -> Mapping[str, object]:
        """What log lines of the calling code say of its task: run, step, attempt, branch, trace and span."""
        ...

    def close(self) -> None:
        """Export what is queued, for a few seconds at most."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One series of a metric at one moment."""

    labels: Mapping[str, str]
    value: float  #: of a histogram the sum
    counts: tuple[int, ...] = ()  #: of a histogram: per bucket, the last one above every bound


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSeen:
    """A metric at one moment, with all its series."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    bounds: tuple[float, ...]  #: of a histogram
    series: Sequence[Series]


class MetricsSink(Protocol):
    """Where metrics are sent to, beside being asked for."""

    interval_s: float  #: between two times

    def send(self, metrics: Sequence[MetricSeen], at_s: float) -> bool:
        """Send all metrics; False: nobody took them. Blocks: call it from a thread."""
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...
