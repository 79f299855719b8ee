"""What the tests of webhooks over HTTP stand on."""

from collections.abc import AsyncIterator

import pytest

from tests.service.webhooks.receiver import Receiver, receiving


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver that takes everything."""
    async with receiving() as made:
        yield made
