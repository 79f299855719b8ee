"""What goes wrong in a storm: drawn from a seed, one fault after another, each undone by a time of its own."""

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

from tests.fleet.storm.fleet import NAMESPACE, Member, StormFleet

#: (name, weight): how often each comes.
FAULTS = (
    ("kill a worker", 6),
    ("freeze a worker", 4),
    ("kill a supervisor", 3),
    ("freeze a supervisor", 2),
    ("restart Redis", 2),
    ("cut the tail of Redis", 1),
    ("empty Redis", 2),
    ("delete a stream", 2),
    ("cut Redis' connections", 3),
    ("black hole before Redis", 1),
    ("cut PostgreSQL's connections", 3),
    ("restart PostgreSQL", 1),
)


@dataclass
class Nemesis:
    """One source of faults."""

    fleet: StormFleet
    seed: int
    freeze_s: tuple[float, float]  #: shortest and longest
    counts: Counter[str] = field(default_factory=Counter)
    said: list[str] = field(default_factory=list)
    struck_s: list[float] = field(default_factory=list)  #: when each fault began, by this machine's own clock

    def __post_init__(self) -> None:
        self._draw = random.Random(self.seed)
        self._later: list[tuple[float, Callable[[], None]]] = []

    def strike(self) -> None:
        """One fault."""
        names, weights = zip(*FAULTS, strict=True)
        (name,) = self._draw.choices(names, weights)
        self.counts[name] += 1
        self.struck_s.append(time.monotonic())
        self.said.append(f"{time.time():.3f} {name} {self._do(name)}")

    def look(self) -> None:
        """Undo what is due, and start again what was killed."""
        now_s = time.monotonic()
        due = [entry for entry in self._later if entry[0] <= now_s]
        self._later = [entry for entry in self._later if entry[0] > now_s]
        for _, undo in due:
            undo()
        self.fleet.keep_alive()
        self.fleet.watch_tail()

    def end(self) -> None:
        """Undo everything."""
        for _, undo in self._later:
            undo()
        self._later.clear()
        self.fleet.heal()

    def lasted_s(self) -> float:
        """Seconds from the first fault to the last one."""
        return self.struck_s[-1] - self.struck_s[0] if self.struck_s else 0.0

    def gaps_s(self) -> list[float]:
        """Seconds between the beginnings of two faults that followed each other."""
        return [later - earlier for earlier, later in pairwise(self.struck_s)]

    def _after(self, pause_s: float, undo: Callable[[], None]) -> None:
        self._later.append((time.monotonic() + pause_s, undo))

    def _some(self, members: list[Member]) -> Member:
        return self._draw.choice(members)

    def _do(self, name: str) -> str:
        fleet, draw = self.fleet, self._draw
        match name:
            case "kill a worker" | "kill a supervisor":
                member = self._some(fleet.workers if "worker" in name else fleet.supervisors)
                member.kill()
                return member.name
            case "freeze a worker" | "freeze a supervisor":
                member = self._some(fleet.workers if "worker" in name else fleet.supervisors)
                if member.frozen:
                    return "one that is frozen already"
                member.freeze()
                frozen_s = draw.uniform(*self.freeze_s)
                self._after(frozen_s, member.thaw)
                return f"{member.name} for {frozen_s:.1f} s"
            case "restart Redis":
                fleet.redis.kill()
                time.sleep(draw.uniform(0.0, 0.5))
                fleet.start_redis()
            case "cut the tail of Redis":
                return f"{fleet.cut_tail(draw.uniform(0.2, 1.0))} bytes"
            case "empty Redis":
                fleet.redis.command("FLUSHALL")
            case "delete a stream":
                key = f"{NAMESPACE}:q:{draw.choice(('calculating', 'publishing'))}:2"
                fleet.redis.command("DEL", key)
                return key
            case "cut Redis' connections":
                fleet.redis_proxy.cut()
            case "black hole before Redis":
                fleet.redis_proxy.black_hole()
                self._after(draw.uniform(0.5, 2.0), fleet.redis_proxy.heal)
            case "cut PostgreSQL's connections":
                fleet.postgres_proxy.cut()
            case "restart PostgreSQL":
                fleet.postgres.kill()
                fleet.postgres.start()
        return ""
