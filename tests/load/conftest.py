"""The servers that the upper rungs need."""

import pytest

from tests.servers.postgres import empty_postgres_url, postgres_server, postgres_url
from tests.servers.redis import RedisServer, redis_server

__all__ = ["empty_postgres_url", "postgres_server", "postgres_url", "redis"]


@pytest.fixture(scope="module")
def redis():
    """One server for the module; every rung begins with it empty."""
    with redis_server() as server:
        yield server


@pytest.fixture
def servers(redis: RedisServer, empty_postgres_url: str) -> list[str]:
    """As the command takes them: an empty database, an empty Redis."""
    assert redis.command("FLUSHALL") == b"+OK"
    return ["--store", empty_postgres_url, "--transport", redis.url]
