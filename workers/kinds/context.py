"""What the workers of this folder use of the context they are handed, as a Protocol that tests can satisfy."""

from typing import Protocol


class Context(Protocol):
    """The part of a worker's context that audits and document workers need."""

    @property
    def cancelled(self) -> bool:
        """Whether the step was cancelled; long loops ask between files and stop."""

    @property
    def run_id(self) -> str:
        """The run this is part of."""

    @property
    def idempotency_key(self) -> str | None:
        """The key of an `effect` step, equal over every retry; None in other steps."""

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the previous attempt was refused; empty on the first."""

    def log(self, message: str) -> None:
        """Say something to whoever watches the run."""

    def progress(self, fraction: float | None, message: str = "") -> None:
        """Say how far the work is, from 0 to 1."""

    def evidence(self, tool: str, result: object) -> None:
        """Record what was read, so that a `grounded` check can look a quote up in it."""
