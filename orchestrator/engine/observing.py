"""Keeps an observer from harming what it observes: one that raises is told nothing more."""

from collections.abc import Sequence

import structlog

from orchestrator.core.facts import Fact, RunAccepted
from orchestrator.ids import RunId
from orchestrator.ports.observer import Observer
from orchestrator.ports.tasks import TaskKey

log = structlog.get_logger(__name__)


class Guarded:
    """An `Observer` in front of another."""

    def __init__(self, observer: Observer) -> None:
        self._observer: Observer | None = observer

    def journaled(self, accepted: RunAccepted, first_seq: int, facts: tuple[Fact, ...]) -> None:
        """See `Observer`."""
        try:
            if self._observer is not None:
                self._observer.journaled(accepted, first_seq, facts)
        except Exception as error:  # noqa: BLE001  # as the class says
            self._drop(error)

    def resumed(self, accepted: RunAccepted, facts: Sequence[Fact]) -> None:
        """See `Observer`."""
        try:
            if self._observer is not None:
                self._observer.resumed(accepted, facts)
        except Exception as error:  # noqa: BLE001  # as the class says
            self._drop(error)

    def trace_of(self, accepted: RunAccepted, key: TaskKey) -> str:
        """See `Observer`."""
        try:
            return self._observer.trace_of(accepted, key) if self._observer is not None else ""
        except Exception as error:  # noqa: BLE001  # as the class says
            self._drop(error)
            return ""

    def here(self) -> str:
        """See `Observer`."""
        try:
            return self._observer.here() if self._observer is not None else ""
        except Exception as error:  # noqa: BLE001  # as the class says
            self._drop(error)
            return ""

    def let_go(self, run_id: RunId) -> None:
        """See `Observer`."""
        try:
            if self._observer is not None:
                self._observer.let_go(run_id)
        except Exception as error:  # noqa: BLE001  # as the class says
            self._drop(error)

    def _drop(self, error: Exception) -> None:
        log.error("an observer failed and is told nothing more", error=f"{type(error).__name__}: {error}")
        self._observer = None


def guarded(observer: Observer | None) -> Guarded | None:
    """The observer with a guard in front; None where there is none."""
    return Guarded(observer) if observer is not None else None
