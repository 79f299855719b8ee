"""DBOS on its SQLite system database, as it comes: rollback journal, synchronous FULL, a step function per step."""

import asyncio
from pathlib import Path

from dbos import DBOS, DBOSConfig

from benchmarks.performance.cell import Probe, graph_measure, main
from benchmarks.performance.shapes import CAP, Shape, noop


async def steps(graph: Shape, probe: Probe) -> int:
    """Launch on a fresh database, run one workflow, shut down."""
    database = Path(probe.job["directory"]) / "dbos.sqlite"
    config: DBOSConfig = {
        "name": "bench",
        "system_database_url": f"sqlite:///{database}",
        "log_level": "ERROR",
        "application_version": "bench",
        "enable_otlp": False,
    }
    DBOS(config=config)

    @DBOS.step()
    async def step(node: int, inputs: list[int]) -> int:
        return await noop(node, inputs)

    @DBOS.workflow()
    async def flow() -> int:
        values: list[int] = []
        for wave in graph.layers():
            for first in range(0, len(wave), CAP):
                some = wave[first : first + CAP]
                values += await asyncio.gather(*(step(n, [values[i] for i in graph.inputs[n]]) for n in some))
        return values[graph.sink]

    DBOS.launch()
    try:
        probe.start()
        probe.built()
        answer = await flow()
        probe.stop()
    finally:
        DBOS.destroy(destroy_registry=True)
    return answer


if __name__ == "__main__":
    main({"durable": graph_measure(steps)})
