"""The servers that sessions are kept on."""

from collections.abc import Iterator

import pytest

from tests.servers.postgres import empty_postgres_url, postgres_server, postgres_url
from tests.servers.redis import KINDS, Kind, RedisServer, redis_server

__all__ = ["empty_postgres_url", "postgres_server", "postgres_url"]


@pytest.fixture(scope="session", params=KINDS)
def server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """A server that no test may harm."""
    kind: Kind = request.param
    with redis_server(kind) as started:
        yield started
