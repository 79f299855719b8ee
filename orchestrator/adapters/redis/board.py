"""The fleet's board in Redis: needs of owners, offers of workers, backlog and dead letters of pools."""

import time
from collections.abc import Sequence
from typing import Final, cast

from pydantic import TypeAdapter, ValidationError

from orchestrator.adapters.redis import scripts
from orchestrator.adapters.redis.backlog import backlog_of
from orchestrator.adapters.redis.limits import GROUP, NAMESPACE, OWNER_DEAD_S
from orchestrator.adapters.redis.wire import Wire
from orchestrator.ports.fleet import Contracts, Offer, WorkerSeen
from orchestrator.ports.tasks import Backlog

WORKER_DEAD_S: Final = 15.0  #: a worker that was not heard of for so long is not shown; beats come every few seconds
FORGET_S: Final = 3600.0  #: what dead processes wrote is deleted after so long
_OFFER: Final = TypeAdapter(Offer)
_CONTRACTS: Final = TypeAdapter(Contracts)


class RedisFleet:
    """A `Fleet` on a connection of its own. Close it with `close`."""

    def __init__(self, url: str, *, namespace: str = NAMESPACE) -> None:
        self._ns = namespace
        self._wire = Wire(url, name="orchestrator-fleet")
        self.where = self._wire.where  #: without passwords

    async def close(self) -> None:
        """Let go of the connection."""
        await self._wire.close()

    async def need(self, owner: str, contracts: Contracts) -> None:
        await self._wire.call("HSET", f"{self._ns}:needs", owner, _CONTRACTS.dump_json(contracts))

    async def needed(self) -> dict[str, Contracts]:
        since_ms = int((time.time() - OWNER_DEAD_S) * 1000)
        living = set(cast(list[bytes], await self._wire.call("ZRANGEBYSCORE", f"{self._ns}:owners", since_ms, "+inf")))
        found: dict[str, Contracts] = {}
        for owner, text in (await self._hash("needs")).items():
            if owner in living:
                try:
                    found[owner.decode()] = _CONTRACTS.validate_json(text)
                except ValidationError:
                    continue  # of a release with another form: it is no need that can be compared
        return found

    async def offer(self, worker: str, offer: Offer) -> None:
        await self._wire.call("HSET", f"{self._ns}:offers", worker, _OFFER.dump_json(offer))

    async def workers(self) -> Sequence[WorkerSeen]:
        now_s = float(cast(list[bytes], await self._wire.call("TIME"))[0])
        beats, offers = await self._hash("workers"), await self._hash("offers")
        found, gone = [], []
        for name, text in beats.items():
            beat, running, *_ = text.split(b" ", 2)
            age_s = now_s - float(beat)
            if age_s > WORKER_DEAD_S:
                if age_s > FORGET_S:
                    gone.append(name)
                continue
            try:
                offer = _OFFER.validate_json(offers.get(name, b"{}"))
            except ValidationError:
                offer = Offer()
            found.append(WorkerSeen(name=name.decode(), beat_age_s=max(age_s, 0.0), running=int(running), offer=offer))
        gone += [name for name in offers if name not in beats]
        if gone:
            await self._wire.call("HDEL", f"{self._ns}:workers", *gone)
            await self._wire.call("HDEL", f"{self._ns}:offers", *gone)
        return sorted(found, key=lambda worker: worker.name)

    async def backlog(self) -> Sequence[Backlog]:
        rows = cast(list[list[object]], await self._wire.run(scripts.BACKLOG, self._ns, GROUP))
        return [backlog_of(row, time.time()) for row in rows]

    async def dead(self) -> dict[str, int]:
        pools = cast(list[bytes] | set[bytes], await self._wire.call("SMEMBERS", f"{self._ns}:pools"))
        counts = {}
        for pool in sorted(pools):
            counts[pool.decode()] = int(cast(int, await self._wire.call("XLEN", f"{self._ns}:dead:{pool.decode()}")))
        return {pool: count for pool, count in counts.items() if count}

    async def leave(self, name: str) -> None:
        await self._wire.call("HDEL", f"{self._ns}:needs", name)
        await self._wire.call("HDEL", f"{self._ns}:offers", name)

    async def _hash(self, name: str) -> dict[bytes, bytes]:
        answer = await self._wire.call("HGETALL", f"{self._ns}:{name}")
        if isinstance(answer, dict):
            return cast(dict[bytes, bytes], answer)
        flat = cast(list[bytes], answer)
        return dict(zip(flat[::2], flat[1::2], strict=True))


__all__ = ["RedisFleet"]
