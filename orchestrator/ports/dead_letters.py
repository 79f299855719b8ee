"""The dead letter port: tasks that no worker could do, kept for a person to look at."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from orchestrator.ids import PoolName


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """One task that was given up by the transport, and why."""

    id: str  #: `pool/entry`
    pool: PoolName
    task: str  #: the task's key, `run/step[branch]#attempt`; empty where it cannot be read
    run: str  #: empty where it cannot be read
    step: str
    lane: str
    reason: str
    worker: str  #: who had it last
    at_s: float  #: when it was given up, seconds since the epoch
    deliveries: int  #: how often it was handed to a worker
    bytes: int  #: of the task
    body: str = ""  #: the task as it was sent; only from `show`


class DeadLetters(Protocol):
    """What may be done with them."""

    async def list(self, pool: PoolName | None = None, limit: int = 1000) -> Sequence[DeadLetter]:
        """The newest first, of one pool or all."""
        ...

    async def show(self, letter: str) -> DeadLetter:
        """One with its body. Raises WrongState: there is none of this id."""
        ...

    async def requeue(self, letter: str) -> None:
        """Put it back at the end of its queue. Its answer counts if the run still waits for that attempt.

        Raises:
            WrongState: there is none of this id, it names no task, or the task is queued or running already.
        """
        ...

    async def drop(self, letter: str) -> None:
        """Delete it. Raises WrongState: there is none of this id."""
        ...
