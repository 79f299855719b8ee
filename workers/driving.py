"""Drives one coroutine inside the task it is awaited from, in a context of its own, and tells when it first waits."""

from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from types import coroutine
from typing import Any


@coroutine
def drive(
    work: Coroutine[Any, Any, object], context: Context, on_suspend: Callable[[], None]
) -> Generator[Any, Any, object]:
    """Await `work` with its context variables in `context`; call `on_suspend` once if it does not finish at once.

    The event loop sees the same task as if `work` were awaited plainly, so cancel scopes and task groups inside behave.
    """
    try:
        waits_for = context.run(work.send, None)
    except StopIteration as end:
        return end.value
    on_suspend()
    step: Callable[[Any], Any]
    while True:
        try:
            value = yield waits_for
        except BaseException as error:  # noqa: BLE001  # handed on to the coroutine, as `await` would
            step, value = work.throw, error
        else:
            step = work.send
        try:
            waits_for = context.run(step, value)
        except StopIteration as end:
            return end.value
