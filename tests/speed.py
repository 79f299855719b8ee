"""How fast this machine is at this moment, so that a test can hold work against other work and not against a clock."""

import time

__all__ = ["unit_s"]


def unit_s() -> float:
    """Processor seconds of one fixed piece of work, a million additions: 0.1 s or so where nothing else is done.

    Ask after what is measured, too: other tenants of a machine may halve its speed from one minute to the next.
    """
    began_s, total = time.process_time(), 0
    for number in range(1_000_000):
        total += number
    assert total == 499_999_500_000
    return time.process_time() - began_s
