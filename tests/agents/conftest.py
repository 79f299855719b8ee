"""Pools of agents at work, as for other workers."""

import pytest

from tests.engine.conftest import open_engine
from tests.workers.conftest import start

__all__ = ["open_engine", "start"]


@pytest.fixture
def anyio_backend() -> str:
    """Tools run in threads, which a jumping clock does not see."""
    return "asyncio"
