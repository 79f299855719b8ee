"""What workers raise, and what ends their attempts."""

from orchestrator.errors.root import OrchestratorError


class StepError(OrchestratorError):
    """Raised by worker code to say how its failure is to be treated."""


_KIND_CHARS_MAX = 64  #: as long as any name in a plan
KINDS_RESERVED = frozenset({"refused", "lost", "budget", "extended", "terminal"})  #: each has a path of its own


class RetryableError(StepError):
    """The surroundings failed, not the answer: the step's `retry` policy applies.

    `kind` is one of `timeout`, `rate_limit`, `provider`, `resource`, or a word of your own that a
    step's `retry.errors` lists; `retry_after_s` is a lower bound for the wait, in seconds.

    Raises:
        ValueError: `kind` is no name or a word of the engine's own; `retry_after_s` is negative or not finite.
    """

    def __init__(self, message: str, kind: str = "provider", retry_after_s: float | None = None) -> None:
        if not 0 < len(kind) <= _KIND_CHARS_MAX or not kind.replace("-", "_").isidentifier() or not kind.isascii():
            raise ValueError(f"the kind of an error is a name such as rate_limit, not {kind!r}")
        if kind in KINDS_RESERVED:
            raise ValueError(f"{kind!r} is a word of the engine's own: use provider, or a word of yours")
        if retry_after_s is not None and not 0 <= retry_after_s < float("inf"):
            raise ValueError(f"retry_after_s is {retry_after_s}; it is a number of seconds, 0 or more")
        super().__init__(message, kind, retry_after_s)
        self.message, self.kind, self.retry_after_s = message, kind, retry_after_s

    def __str__(self) -> str:
        return self.message


class TerminalError(StepError):
    """Trying again cannot help: the step goes straight past its `retry` rungs."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class BudgetExceeded(StepError):
    """A reservation was refused: the run has not this much left."""

    def __init__(self, limit: str, asked: float, left: float) -> None:
        super().__init__(limit, asked, left)
        self.limit, self.asked, self.left = limit, asked, left

    def __str__(self) -> str:
        return f"budget {self.limit}: asked for {self.asked:g}, {self.left:g} left"
