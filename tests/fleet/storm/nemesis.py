"""What goes wrong in a storm: drawn from a seed, one fault after another, each undone by a time of its own."""

import random
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import pairwise

from tests.fleet.storm.fleet import HANDS, NAMESPACE, POOL_NAMES, Member, StormFleet

TAIL_SHARE = 0.7  #: of what Redis wrote last
#: (name, weight): how often each comes.
FAULTS = (
    ("kill a worker", 6),
    ("freeze a worker", 4),
    ("kill a supervisor", 3),
    ("freeze a supervisor", 2),
    ("kill the service", 2),
    ("freeze the service", 1),
    ("restart Redis", 2),
    ("cut the tail of Redis", 1),
    ("empty Redis", 2),
    ("delete a stream", 2),
    ("cut Redis' connections", 3),
    ("black hole before Redis", 1),
    ("cut PostgreSQL's connections", 3),
    ("restart PostgreSQL", 1),
)
#: Those that take a while, and what must not strike meanwhile: a server is restarted by one hand.
REDIS_AWAY = frozenset({"restart Redis", "cut the tail of Redis", "empty Redis", "delete a stream"})
POSTGRES_AWAY = frozenset({"restart PostgreSQL"})
LONG = {"restart Redis": REDIS_AWAY, "cut the tail of Redis": REDIS_AWAY, "restart PostgreSQL": POSTGRES_AWAY}
FORGETS = frozenset({"empty Redis", "cut the tail of Redis", "restart Redis"})  #: what Redis knew may be gone after it


@dataclass
class Nemesis:
    """One source of faults."""

    fleet: StormFleet
    seed: int
    freeze_s: tuple[float, float]  #: shortest and longest
    counts: Counter[str] = field(default_factory=Counter)
    said: list[str] = field(default_factory=list)
    struck_s: list[float] = field(default_factory=list)  #: when each fault began, by this machine's own clock
    struck: list[tuple[float, str]] = field(default_factory=list)  #: the same by the time of day, and which

    def __post_init__(self) -> None:
        self._draw = random.Random(self.seed)
        self._later: list[tuple[float, Callable[[], None]]] = []
        self._under_way: dict[Future[None], frozenset[str]] = {}

    def strike(self) -> None:
        """One fault; one that takes a while goes on beside those after it."""
        not_now = frozenset(name for name, _ in FAULTS if "freeze" in name and not self._members(name))
        not_now = not_now.union(*self._under_way.values())
        names, weights = zip(*((name, weight) for name, weight in FAULTS if name not in not_now), strict=True)
        (name,) = self._draw.choices(names, weights)
        self.counts[name] += 1
        self.struck_s.append(time.monotonic())
        self.struck.append((time.time(), name))
        if name in LONG:
            self._under_way[HANDS.submit(self._strike, name)] = LONG[name]
        else:
            self._strike(name)

    def _strike(self, name: str) -> None:
        began_s = time.time()
        told = self._do(name)
        self.said.append(f"{began_s:.3f} {name} {told}".rstrip())

    def _done(self, *, wait: bool = False) -> None:
        """Let go of what has been done; what went wrong in it is raised here."""
        for future in [one for one in self._under_way if wait or one.done()]:
            future.result()
            del self._under_way[future]

    def look(self) -> None:
        """Undo what is due, and start again what was killed."""
        self._done()
        now_s = time.monotonic()
        due = [entry for entry in self._later if entry[0] <= now_s]
        self._later = [entry for entry in self._later if entry[0] > now_s]
        for _, undo in due:
            undo()
        self.fleet.keep_alive()
        if REDIS_AWAY not in self._under_way.values():
            self.fleet.watch_tail()

    def forgot_s(self) -> list[float]:
        """When Redis lost what it knew, or some of it."""
        return [at_s for at_s, name in self.struck if name in FORGETS]

    def end(self) -> None:
        """Undo everything."""
        self._done(wait=True)
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

    def _members(self, name: str) -> list[Member]:
        fleet = self.fleet
        of = {"worker": fleet.workers, "supervisor": fleet.supervisors, "service": fleet.services}
        members = of[name.rpartition(" ")[2]]
        return [member for member in members if not (member.frozen and "freeze" in name)]

    def _do(self, name: str) -> str:
        fleet, draw = self.fleet, self._draw
        match name:
            case "kill a worker" | "kill a supervisor" | "kill the service":
                member = self._some(self._members(name))
                member.kill()
                return member.name
            case "freeze a worker" | "freeze a supervisor" | "freeze the service":
                member = self._some(self._members(name))
                member.freeze()
                frozen_s = draw.uniform(*self.freeze_s)
                self._after(frozen_s, member.thaw)
                return f"{member.name} for {frozen_s:.1f} s"
            case "restart Redis":
                fleet.redis.kill()
                time.sleep(0.25)
                fleet.start_redis()
            case "cut the tail of Redis":
                return f"{fleet.cut_tail(TAIL_SHARE)} bytes"
            case "empty Redis":
                fleet.redis.command("FLUSHALL")
            case "delete a stream":
                key = f"{NAMESPACE}:q:{draw.choice(POOL_NAMES)}:2"
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
            case _:
                raise ValueError(f"no such fault: {name}")
        return ""
