"""Runs a module and notes what its calls into telemetry take of the processor.

Usage: python -m benchmarks.performance.queues.inside FILE MODULE [ARGUMENT …]. FILE-PID gets the seconds as JSON when
the module ends. They are counted by the system for the calling thread, and do not depend on what else the machine does
as two runs of a fleet do; what telemetry costs beside, by memory that others need, is not in them. SIGUSR1 begins anew:
what is imported and looked up for the first time is not what a job costs.
"""

import atexit
import json
import os
import runpy
import signal
import sys
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Final

CALLS: Final = ("journaled", "resumed", "trace_of", "here", "let_go", "begin", "end")


def main() -> None:
    """Count until the module ends."""
    from orchestrator.adapters.otel.pump import Pump
    from orchestrator.adapters.otel.telemetry import Telemetry

    file, module = Path(sys.argv[1]), sys.argv[2]
    spent = dict.fromkeys(CALLS, 0.0) | {"export": 0.0}
    now_s = time.thread_time
    asked = [now_s() for _ in range(1_001)]
    clock_s = (asked[-1] - asked[0]) / 1_000  # what asking takes is not theirs

    def counted(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(call)
        def wrapped(*args: object, **named: object) -> object:
            began_s = now_s()
            try:
                return call(*args, **named)
            finally:
                spent[name] += now_s() - began_s - clock_s

        return wrapped

    for name in CALLS:
        setattr(Telemetry, name, counted(name, getattr(Telemetry, name)))
    Pump._export = counted("export", Pump._export)  # type: ignore[method-assign]  # as it is counted

    def tell() -> None:
        Path(f"{file}-{os.getpid()}").write_text(json.dumps(spent))

    def anew(*_: object) -> None:
        spent.update(dict.fromkeys(spent, 0.0))

    atexit.register(tell)
    signal.signal(signal.SIGUSR1, anew)
    sys.argv = [module, *sys.argv[3:]]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
