"""What the tests of the HTTP service stand on."""

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """uvicorn knows asyncio alone."""
    return "asyncio"
