"""Runs a module and notes, at every tick of its processor time, what its main thread was at.

Usage: python -m benchmarks.performance.queues.sampled FILE MODULE [ARGUMENT …]. FILE gets the counts as JSON when the
module ends. What C code does counts for the Python function that called it, and so does what was made without a file,
such as the `__init__` of a dataclass. What a process imports at its start is left out; what other threads do is told as
one sum.
"""

import atexit
import json
import runpy
import signal
import sys
import sysconfig
import time
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Final

from benchmarks.performance.queues.peers_runner import ROOT

EVERY_S: Final = 0.001  #: of processor time; the system gives no more than its own ticks, of 4 ms here
PARTS: Final = 3  #: of a path below the project that name a layer: orchestrator/adapters/redis
SITE, STANDARD = Path(sysconfig.get_path("purelib")), Path(sysconfig.get_path("stdlib"))


def layer_of(file: str) -> str:
    """The part of the program that a file belongs to."""
    path = Path(file)
    if path.is_relative_to(SITE):
        return path.relative_to(SITE).parts[0].removesuffix(".py")
    if path.is_relative_to(STANDARD):
        return path.relative_to(STANDARD).parts[0].removesuffix(".py")
    if path.is_relative_to(ROOT):
        return "/".join(path.relative_to(ROOT).parent.parts[:PARTS])
    return "elsewhere"


def at(frame: FrameType | None) -> tuple[str, str] | None:
    """File and function of the innermost frame that has a file; None while something is imported."""
    found = None
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith("<frozen importlib"):
            return None
        if found is None and not file.startswith("<"):
            found = file, frame.f_code.co_qualname
        frame = frame.f_back
    return found


def main() -> None:
    """Sample until the module ends."""
    file, module = Path(sys.argv[1]), sys.argv[2]
    seen: Counter[tuple[str, str]] = Counter()
    ticks = 0

    def note(_: int, frame: FrameType | None) -> None:
        nonlocal ticks
        ticks += 1
        found = at(frame)
        if found is not None:
            seen[found] += 1

    def tell() -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)
        functions = Counter({f"{layer_of(name)}: {function}": count for (name, function), count in seen.items()})
        layers: Counter[str] = Counter()
        for (name, _), count in seen.items():
            layers[layer_of(name)] += count
        own_s, all_s = time.thread_time(), time.process_time()
        file.write_text(json.dumps({
            "samples": seen.total(), "layers": dict(layers.most_common()), "functions": dict(functions.most_common(40)),
            "work_s": own_s * seen.total() / max(ticks, 1), "other_threads_s": all_s - own_s,
        }))  # fmt: skip

    atexit.register(tell)
    signal.signal(signal.SIGPROF, note)
    signal.setitimer(signal.ITIMER_PROF, EVERY_S, EVERY_S)
    sys.argv = [module, *sys.argv[3:]]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
