"""What a tool is handed beside its arguments."""

from pathlib import Path

from orchestrator.ids import JsonValue
from workers.context import WorkContext
from workers.tools.access import Access
from workers.tools.secrets import Secret, Seen


class ToolContext:
    """One call of a tool, inside one attempt of a step. The same object in asynchronous code and in threads."""

    __slots__ = ("_access", "_over", "_seen", "_spoken", "_work", "key")

    def __init__(
        self, work: WorkContext, spoken: WorkContext, access: Access, seen: Seen, key: str | None = None
    ) -> None:
        self._work, self._spoken, self._access, self._seen = work, spoken, access, seen
        self._over = False
        #: of a tool with `effect=True`: equal whenever this step calls it with these arguments, in every attempt
        self.key = key

    @property
    def run_id(self) -> str:
        """The run this is part of."""
        return self._work.run_id

    @property
    def step_id(self) -> str:
        """The step's key in its plan."""
        return self._work.step_id

    @property
    def attempt(self) -> int:
        """1 for the first."""
        return self._work.attempt

    @property
    def tenant(self) -> str:
        """Whose data this is."""
        return self._work.tenant

    @property
    def args(self) -> dict[str, JsonValue]:
        """The values of the step, by name: data that the model need not repeat. Do not change them."""
        return self._work.args

    @property
    def cancelled(self) -> bool:
        """Nobody wants the result any more, or its time is up. Long loops in threads ask and stop."""
        return self._over or self._work.cancelled

    def url(self, url: str) -> str:
        """The URL, if the pool may reach its host.

        Raises:
            NotAllowed: it may not; the model is told.
        """
        return self._access.url(url)

    def path(self, path: str | Path) -> Path:
        """The path without links, if the pool may read there.

        Raises:
            NotAllowed: it may not; the model is told.
        """
        return self._access.path(path)

    def secret(self, name: str) -> str:
        """The value of a secret, now; it is struck out of what the tool gives back.

        Raises:
            PromiseError: nobody knows it.
        """
        return Secret(name).reveal()

    def log(self, message: str) -> None:
        """Say something to whoever watches the run. Not journaled."""
        if not self.cancelled:
            self._spoken.log(self._seen.struck(message))

    def progress(self, fraction: float | None, message: str = "") -> None:
        """Say how far the work is, from 0 to 1. Journaled."""
        if not self.cancelled:
            self._spoken.progress(fraction, self._seen.struck(message))

    def _end(self) -> None:
        """The time of the call is up: a thread that is still at it learns so by asking."""
        self._over = True
