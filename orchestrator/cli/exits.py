"""Exit codes: which number a result or an error ends the command with."""

from enum import IntEnum
from typing import Final

from orchestrator import errors as e


class Exit(IntEnum):
    """The command's word to the shell."""

    OK = 0  #: succeeded
    FAILED = 1
    USAGE = 2  #: usage, invalid plan or inputs, a promise that cannot be kept
    BUDGET = 3  #: stopped by a budget
    WAITING = 4  #: for an approval
    CANCELLED = 5
    UNREACHABLE = 6  #: the store, or the process that holds it, does not answer
    DEGRADED = 7
    INTERRUPTED = 130
    TERMINATED = 143


OF_STATUS: Final[dict[str, Exit]] = {
    "succeeded": Exit.OK,
    "failed": Exit.FAILED,
    "stopped": Exit.BUDGET,
    "waiting": Exit.WAITING,
    "cancelled": Exit.CANCELLED,
    "degraded": Exit.DEGRADED,
}
_USAGE: Final = (
    e.PlanError,
    e.ExpressionError,
    e.InputError,
    e.PromiseError,
    e.RunNotFound,
    e.WrongState,
    e.IdempotencyConflict,
)
_UNREACHABLE: Final = (e.JournalOwned, e.JournalUnreachable, e.OwnerUnreachable, e.TransportUnreachable)


def of_error(error: e.OrchestratorError) -> Exit:
    """The exit code an error stands for."""
    if isinstance(error, _USAGE):
        return Exit.USAGE
    return Exit.UNREACHABLE if isinstance(error, _UNREACHABLE) else Exit.FAILED
