"""Every test on trio in many task orders: `python -m tests.orders [--orders 20] [PATH ...]`.

The suite itself runs each in one order, drawn by the test's name (see `_task_order` in conftest.py). A test that fails
in another one tells of a race, in what it tests or in itself; its id ends with the order's number, and the same command
fails there again. Tests on threads, processes and real clocks have no order that could be drawn.
"""

import argparse
import os
import sys

import pytest

COUNT = "ORCHESTRATOR_TASK_ORDERS"  #: for the processes of xdist, which get no other word
FIRST = "ORCHESTRATOR_TASK_ORDERS_FROM"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """As a plugin: each test that has a loop, in so many orders."""
    if COUNT in os.environ and "anyio_backend" in metafunc.fixturenames:
        first = int(os.environ.get(FIRST, "0"))
        orders = range(first, first + int(os.environ[COUNT]))
        metafunc.parametrize("_task_order", orders, indirect=True, ids=[f"order{number}" for number in orders])


def main() -> None:
    """Run them and say how it went by the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--orders", type=int, default=20)
    parser.add_argument("--from", type=int, default=0, dest="first")
    parser.add_argument("paths", nargs="*", default=["tests"])
    told = parser.parse_args()
    os.environ |= {COUNT: str(told.orders), FIRST: str(told.first)}
    only = ["-k", "trio", "-m", "not browser and not node and not model and not tasks and not live"]
    sys.exit(pytest.main(["-q", "-n", "2", "-p", "tests.orders", "-p", "no:cacheprovider", *only, *told.paths]))


if __name__ == "__main__":
    main()
