"""Dead letters in Redis: one stream per pool."""

import re
from collections.abc import Sequence
from typing import Final, cast

from orchestrator.adapters.redis import codec, scripts
from orchestrator.adapters.redis.limits import INLINE_BYTES_MAX, NAMESPACE
from orchestrator.adapters.redis.wire import Wire, mapping_of
from orchestrator.errors import WrongState
from orchestrator.ids import PoolName
from orchestrator.ports.dead_letters import DeadLetter
from orchestrator.ports.tasks import LANES

_NUMBER: Final = re.compile(r"[0-9]{1,15}")  #: as we write one; what is longer or in other digits is a stranger's


class RedisDeadLetters:
    """`DeadLetters` on a connection of its own. Close it with `close`."""

    def __init__(self, url: str, *, namespace: str = NAMESPACE) -> None:
        self._wire = Wire(url, name="orchestrator-dead-letters")
        self._ns = namespace

    async def close(self) -> None:
        """Let go of the connection."""
        await self._wire.close()

    async def list(self, pool: PoolName | None = None, limit: int = 1000) -> Sequence[DeadLetter]:
        names = [pool] if pool is not None else await self._pools()
        found: list[DeadLetter] = []
        for name in names:
            rows = await self._wire.call("XREVRANGE", self._stream(name), "+", "-", "COUNT", limit)
            found += [_letter(name, *row) for row in _rows(rows)]
        return sorted(found, key=lambda letter: letter.at_s, reverse=True)[:limit]

    async def show(self, letter: str) -> DeadLetter:
        pool, entry = _parts(letter)
        rows = _rows(await self._wire.call("XRANGE", self._stream(pool), entry, entry))
        if not rows:
            raise _absent(letter)
        return _letter(pool, *rows[0], whole=True)

    async def requeue(self, letter: str) -> None:
        pool, entry = _parts(letter)
        done = await self._wire.run(scripts.REQUEUE, self._ns, pool, entry, INLINE_BYTES_MAX)
        if done == 0:
            raise _absent(letter)
        if done == -1:
            raise WrongState(f"dead letter {letter}", "its task is queued or running already", "drop it")
        if done == -2:
            raise WrongState(f"dead letter {letter}", "not a task that could be done", "look with show, then drop it")

    async def drop(self, letter: str) -> None:
        pool, entry = _parts(letter)
        if not await self._wire.call("XDEL", self._stream(pool), entry):
            raise _absent(letter)

    async def _pools(self) -> Sequence[PoolName]:
        names = cast(set[bytes] | list[bytes], await self._wire.call("SMEMBERS", f"{self._ns}:pools"))
        return sorted(PoolName(name.decode()) for name in names)

    def _stream(self, pool: PoolName) -> str:
        return f"{self._ns}:dead:{pool}"


def _parts(letter: str) -> tuple[PoolName, str]:
    pool, _, entry = letter.rpartition("/")
    high, _, low = entry.partition("-")
    if not pool or not high.isdigit() or not low.isdigit():
        raise _absent(letter)
    return PoolName(pool), entry


def _absent(letter: str) -> WrongState:
    return WrongState(f"dead letter {letter}", "not there", "list them: orchestrator dlq list")


def _rows(reply: object) -> list[tuple[str, dict[bytes, bytes]]]:
    rows = cast(list[tuple[bytes, object]], reply or [])
    return [(entry.decode(), mapping_of(fields)) for entry, fields in rows]


def _letter(pool: PoolName, entry: str, fields: dict[bytes, bytes], *, whole: bool = False) -> DeadLetter:
    """A letter from its entry. What a stranger wrote there may be anything."""

    def text(name: bytes) -> str:
        return fields.get(name, b"").decode(errors="replace")

    def number(name: bytes) -> int:
        value = text(name)
        return int(value) if _NUMBER.fullmatch(value) else 0

    try:
        key = codec.key_of(fields.get(b"k", b""))
    except codec.Undecodable:
        key = None
    lane = number(b"l")
    return DeadLetter(
        id=f"{pool}/{entry}",
        pool=pool,
        task=str(key) if key is not None else "",
        run=key.run_id if key is not None else "",
        step=key.step_id if key is not None else "",
        lane=LANES[lane - 1] if 1 <= lane <= len(LANES) else "",
        reason=text(b"y"),
        worker=text(b"w"),
        at_s=number(b"a") / 1000,
        deliveries=number(b"n"),
        bytes=len(fields.get(b"b", b"")),
        body=text(b"b") if whole else "",
    )


__all__ = ["RedisDeadLetters"]
