"""Tells the garbage collector of this process that many objects live long, for as long as engines are open.

An open run is some hundred objects that live for minutes. With Python's own thresholds, made for small programs, ten
thousand runs are walked again and again: half of all processor time, and pauses of a second (measured).
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_USUAL_MAX: Final = 2_000  #: Python's own first threshold is 700 up to 3.12, and 2,000 after
#: Objects before the youngest are walked, then rounds of that before the middle-aged and the old are. Garbage in cycles
#: is found 10,000 objects (some 2 MiB) later, and a full walk comes once in a million.
_PATIENT: Final = (10_000, 10, 10)
_holders: list[tuple[int, int, int]] = []  #: one entry per open engine: the thresholds found by the first


def _is_usual(found: tuple[int, int, int]) -> bool:
    """Whether nobody has set thresholds for this process; 0 stands for a collector that is off."""
    return 0 < found[0] <= _USUAL_MAX


@contextmanager
def patient_collector() -> Iterator[None]:
    """Raise the thresholds inside, and put them back after the last one. A host that has set its own keeps them."""
    found = gc.get_threshold()
    if not _holders and not _is_usual(found):
        yield
        return
    _holders.append(_holders[0] if _holders else found)
    gc.set_threshold(*_PATIENT)
    try:
        yield
    finally:
        before = _holders.pop()
        if not _holders and gc.get_threshold() == _PATIENT:
            gc.set_threshold(*before)
