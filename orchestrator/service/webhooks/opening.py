"""Webhooks of an open engine: the desk where they are looked after, and the pool that sends them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from orchestrator.app import Engine
from orchestrator.app.webhooks import open_webhooks
from orchestrator.service.webhooks.addresses import Allowed
from orchestrator.service.webhooks.dispatcher import Dispatcher
from orchestrator.service.webhooks.receivers import Receivers
from orchestrator.service.webhooks.sending import Sender


@asynccontextmanager
async def sending_webhooks(engine: Engine) -> AsyncIterator[Receivers]:
    """`async with Engine(...) as engine, sending_webhooks(engine) as webhooks: await webhooks.create("default", url)`.

    What is still due when the block ends is sent by whoever opens the store next.

    Raises:
        PromiseError: the journal keeps no webhooks, or the settings allow a receiver that is none of this machine.
    """
    settings = engine.settings.webhooks
    allowed = Allowed.of(settings.loopback, settings.ports)
    store = await open_webhooks(engine.runs.journal)
    clock = engine.runs.clock
    dispatcher = Dispatcher(store, Sender(allowed), clock)
    async with anyio.create_task_group() as group:
        group.start_soon(dispatcher.run, name="webhooks")
        yield Receivers(store, clock, allowed)
        group.cancel_scope.cancel()
