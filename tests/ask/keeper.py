"""A process that opens the local model, says its pid, and waits to be killed: run as a script by the tests."""

import sys
from pathlib import Path

import anyio

from orchestrator.adapters.local_model.server import local_model


async def main() -> None:
    async with local_model(Path(sys.argv[1])) as model:
        print(model.pid, flush=True)
        await anyio.sleep_forever()


anyio.run(main)
