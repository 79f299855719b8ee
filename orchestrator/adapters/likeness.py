"""Which of many vectors are nearest to one, in this process; much faster where numpy is installed."""

from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from operator import mul
from typing import Final

from orchestrator.ports.embeddings import Vector, packed

SCOPE_MAX: Final = 5_000  #: entries of one scope that are compared; the newest
_FAST: Final = find_spec("numpy") is not None


def nearest(rows: Iterable[tuple[str, bytes]], wanted: Vector, most: int) -> list[tuple[str, float]]:
    """Names and cosines of the `most` nearest vectors of length one, the nearest first. Rows are packed vectors; those
    of another length than `wanted` are left out."""
    size = 4 * len(wanted)
    kept = [(name, data) for name, data in rows if len(data) == size]
    if not kept:
        return []
    found = _cosines([data for _, data in kept], wanted)
    order = sorted(range(len(kept)), key=lambda at: -found[at])[:most]
    return [(kept[at][0], found[at]) for at in order]


def _cosines(rows: Sequence[bytes], wanted: Vector) -> list[float]:
    if _FAST:
        import numpy as np

        table = np.frombuffer(b"".join(rows), dtype="<f4").reshape(len(rows), len(wanted))
        return [float(one) for one in table @ np.frombuffer(packed(wanted), dtype="<f4")]
    return [sum(map(mul, memoryview(row).cast("f"), wanted)) for row in rows]
