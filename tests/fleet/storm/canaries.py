"""Where a secret must not be found after a storm: logs, every table, Redis' file, events, webhooks (I30)."""

import json
from collections.abc import Iterable, Mapping, Sequence

import anyio
import asyncpg

from orchestrator.core.event import canonical_event
from orchestrator.ports.journal import Recorded
from tests.fleet.storm.door import Door
from tests.fleet.storm.fleet import MODEL_KEY, StormFleet
from tests.fleet.storm.storm_pool import CANARY

HOOKS = "webhook"  #: tables that hold the secrets with which messages are signed


async def leaks(fleet: StormFleet, door: Door, records_of: Mapping[str, Sequence[Recorded]]) -> tuple[int, list[str]]:
    """How many bytes were looked through, and where a secret was found."""
    everywhere = [CANARY, MODEL_KEY, fleet.postgres.password, *(tenant.key for tenant in door.tenants)]
    signing = [tenant.secret for tenant in door.tenants]
    volume, found = 0, set[str]()

    def look(place: str, data: bytes, secrets: Iterable[str]) -> None:
        nonlocal volume
        volume += len(data)
        found.update(f"{secret[:12]}… in {place}" for secret in secrets if secret.encode() in data)

    for log in sorted(fleet.folder.glob("*.log")):
        look(log.name, await anyio.Path(log).read_bytes(), [*everywhere, *signing])
    for path in sorted(fleet.redis.folder.rglob("*.aof")):
        look(f"Redis' {path.name}", await anyio.Path(path).read_bytes(), [*everywhere, *signing])
    connection = await asyncpg.connect(fleet.store)
    try:
        rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        for (table,) in rows:
            held = bytearray()

            async def take(piece: bytes, held: bytearray = held) -> None:
                held.extend(piece)

            await connection.copy_from_table(table, output=take)
            look(f"table {table}", bytes(held), everywhere if HOOKS in table else [*everywhere, *signing])
    finally:
        await connection.close()
    for run, records in records_of.items():
        events = "\n".join(json.dumps(canonical_event(record)) for record in records)
        look(f"events of {run}", events.encode(), [*everywhere, *signing])
    for tenant in door.tenants:
        for one in tenant.receiver.got:
            look("a webhook", json.dumps(one.headers).encode() + one.body, [*everywhere, *signing])
        for job in tenant.jobs:
            look("a stream", "".join(data for _, data in job.pieces).encode(), [*everywhere, *signing])
    return volume, sorted(found)
