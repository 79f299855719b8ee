"""Both kinds of servers, one of each for the session; every test has a namespace of its own."""

import itertools
import os
from collections.abc import Iterator

import pytest

from tests.servers.redis import KINDS, Kind, RedisServer, redis_server

_NUMBERS = itertools.count()


@pytest.fixture
def anyio_backend() -> str:
    """The vendor's client knows asyncio alone."""
    return "asyncio"


@pytest.fixture(scope="session", params=KINDS)
def server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """A server that no test may harm."""
    kind: Kind = request.param
    with redis_server(kind) as started:
        yield started


@pytest.fixture
def namespace() -> str:
    """Keys that no other test has."""
    return f"{{test-{os.getpid()}-{next(_NUMBERS)}}}"
