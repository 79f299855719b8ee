"""What a server must be, asked of itself before anything is entrusted to it."""

from dataclasses import dataclass
from typing import cast

import structlog

from orchestrator.adapters.redis.wire import Wire, mapping_of
from orchestrator.errors import PromiseError, TransportRefused

_NEEDED = ("XAUTOCLAIM", "XREADGROUP", "XCLAIM", "EVALSHA", "COPY", "EXPIRETIME")  #: the last came with 7.0
_NEWER = ("XACKDEL", "XNACK", "WAITAOF")
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerReport:
    """What the server says of itself."""

    product: str
    version: str
    durable: str  #: how much a crash of the server may lose, in words
    newer: tuple[str, ...]  #: commands beyond the floor that it has


async def check_server(wire: Wire) -> ServerReport:
    """Refuse a server that would lose tasks while it works as designed; report the rest.

    Raises:
        TransportUnreachable: nobody answers.
        PromiseError: it evicts keys, is a cluster, is a replica, or lacks commands.
    """
    info = {**await _info(wire, "server"), **await _info(wire, "persistence"), **await _info(wire, "memory")}
    info |= {**await _info(wire, "cluster"), **await _info(wire, "replication")}
    product = "valkey" if info.get("server_name") == "valkey" or "valkey_version" in info else "redis"
    version = info.get("valkey_version") or info.get("redis_version", "?")
    if info.get("cluster_enabled") == "1":
        raise PromiseError(
            f"{wire.where} is a cluster; queues, leases and answers must lie on one node",
            "use one primary with replicas, or one shard's own port",
        )
    if info.get("role") == "slave":
        raise PromiseError(f"{wire.where} is a replica and takes no writes", "give the address of the primary")
    policy = info.get("maxmemory_policy", "")
    if policy != "noeviction":
        raise PromiseError(
            f"{wire.where} may evict keys, and tasks with them (maxmemory-policy {policy or 'unknown'})",
            "CONFIG SET maxmemory-policy noeviction, and the same in its configuration file",
        )
    have = await _commands(wire, (*_NEEDED, *_NEWER))
    lacking = [name for name in _NEEDED if name not in have]
    if lacking:
        raise PromiseError(
            f"{wire.where} ({product} {version}) lacks {', '.join(lacking)}", "use Redis 7.0, Valkey 7.2, or newer"
        )
    report = ServerReport(
        product=product,
        version=version,
        durable=await _durable(wire, info),
        newer=tuple(name for name in _NEWER if name in have),
    )
    log.info("transport", where=wire.where, product=product, version=version, durable=report.durable)
    return report


async def _info(wire: Wire, section: str) -> dict[str, str]:
    text = cast(bytes, await wire.call("INFO", section)).decode()
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line and not line.startswith("#"))


async def _commands(wire: Wire, names: tuple[str, ...]) -> set[str]:
    """Which of `names` the server has: asked, never guessed from a version."""
    answer = cast(list[object], await wire.call("COMMAND", "INFO", *names))
    return {name for name, row in zip(names, answer, strict=True) if row}


async def _durable(wire: Wire, info: dict[str, str]) -> str:
    if info.get("aof_enabled") == "1":
        try:
            every = mapping_of(await wire.call("CONFIG", "GET", "appendfsync")).get(b"appendfsync", b"?").decode()
        except TransportRefused:
            every = "unknown, CONFIG is not allowed"
        return f"append-only file, fsync {every}"
    return "no append-only file: a restart loses what waits, and it is sent again from the journal"
