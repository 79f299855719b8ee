"""What an owner has on its way out, and what it remembers of it until the answer."""

from typing import Final

from orchestrator.adapters.redis import codec
from orchestrator.ids import PoolName
from orchestrator.ports import tasks as t

LANE_NUMBER: Final = {lane: str(index + 1) for index, lane in enumerate(t.LANES)}


class Sent:
    """A task that was sent and is not answered: what is needed to send it again."""

    __slots__ = ("body", "effect", "key", "lane", "pool", "queued", "sent_at_s", "tried", "unwanted")

    def __init__(self, task: t.StepTask, body: bytes) -> None:
        self.pool, self.lane = task.pool, LANE_NUMBER[task.lane]
        self.key = codec.key_text(task.key)
        self.effect = task.idempotency_key is not None
        self.sent_at_s = task.sent_at_s
        self.body = body
        self.queued = True  #: in the outbox, not in the server yet
        self.tried = False  #: the server may have it
        self.unwanted = False  #: revoked before the server was told of it


class Revoked:
    """A task that nobody wants any more."""

    __slots__ = ("key", "pool")

    def __init__(self, pool: PoolName, key: str) -> None:
        self.pool, self.key = pool, key


class Left:
    """A word about a run that is not driven here: kept in the server for whoever drives it next."""

    __slots__ = ("body", "tag")

    def __init__(self, message: t.TaskMessage) -> None:
        self.tag, self.body = codec.tag_of(message), codec.message_bytes(message)
