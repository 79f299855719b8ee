"""Asks one guard: in the event loop where it is asynchronous, else in a thread, where it may block nobody else."""

import inspect
import threading
from typing import Final

import anyio.to_thread

from orchestrator.ports.guard import Guard, Passing

STUCK_MAX: Final = 16  #: threads of guards that nobody waits for any more; with so many, no further one is begun


class AllStuck(Exception):
    """So many looks of guards have never come back that no further thread is risked."""


class Stuck:
    """Counts the threads that guards have not come back from in time. A thread cannot be ended from outside."""

    def __init__(self) -> None:
        self.count = 0
        self._lock = threading.Lock()

    async def looked(self, guard: Guard, passing: Passing) -> object:
        """What a guard says, whatever that is.

        Raises:
            AllStuck: it was not asked.
        """
        if inspect.iscoroutinefunction(guard.look):
            return await guard.look(passing)
        if self.count >= STUCK_MAX:
            raise AllStuck
        over: list[object] = []
        begun = left = False

        def look() -> None:
            nonlocal begun
            with self._lock:
                if left:
                    return  # the thread came to it when nobody waited any more
                begun = True
            try:
                said: object = guard.look(passing)
            except BaseException as error:  # noqa: BLE001 # it is raised again where the guard was asked
                said = error
            with self._lock:
                over.append(said)
                self.count -= left

        try:
            await anyio.to_thread.run_sync(look, abandon_on_cancel=True)
        except BaseException:
            with self._lock:
                left = not over
                self.count += left and begun
            raise
        (said,) = over
        if isinstance(said, BaseException):
            raise said
        return await said if inspect.isawaitable(said) else said


STUCK: Final = Stuck()  #: of this process

__all__ = ["STUCK", "STUCK_MAX", "AllStuck", "Stuck"]
