"""Child processes that are kept alive: started again with back-off when they die, asked to go, ended at last."""

import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

BACKOFF_S: Final = (0.5, 30.0)  #: before a child is started again: after its first death, and at most
STEADY_S: Final = 30.0  #: a child that lived so long begins with the first pause again
PARENT: Final = "ORCHESTRATOR_PARENT"  #: tells a child whose child it is: it goes when that process goes


@dataclass(slots=True, kw_only=True)
class Child:
    """One process that should run."""

    name: str  #: for people, such as `research-3`
    command: Sequence[str]
    process: "subprocess.Popen[bytes] | None" = None
    started_at_s: float = 0.0  #: monotonic
    deaths: int = 0  #: since it last lived for a while
    start_at_s: float = 0.0  #: monotonic; not before
    leaving: bool = False  #: it was asked to go, and is not started again
    kill_at_s: float = field(default=float("inf"))  #: monotonic; when its grace is over

    @property
    def pid(self) -> int | None:
        """Its process id, while it lives."""
        return self.process.pid if self.process is not None and self.process.poll() is None else None


class Children:
    """All children of a process. `look` is called every moment and does what is due; nothing here waits."""

    def __init__(
        self,
        environment: Mapping[str, str],
        say: Callable[[str], None],
        *,
        clock: Callable[[], float] = time.monotonic,
        spawn: "Callable[..., subprocess.Popen[bytes]]" = subprocess.Popen,
    ) -> None:
        self._environment, self._say, self._clock, self._spawn = dict(environment), say, clock, spawn
        self.children: dict[str, Child] = {}

    def add(self, name: str, command: Sequence[str]) -> Child:
        """Keep one more child running from now on."""
        child = self.children[name] = Child(name=name, command=command)
        self._start(child)
        return child

    def ask_to_go(self, name: str, grace_s: float) -> None:
        """SIGTERM: the child finishes what it does within its grace; it is killed only long after that."""
        child = self.children[name]
        if not child.leaving:
            child.leaving = True
            child.kill_at_s = self._clock() + grace_s
            self._signal(child, signal.SIGTERM)

    def look(self) -> None:
        """Notice deaths, start again what is due, end what outlived its grace."""
        now_s = self._clock()
        for child in list(self.children.values()):
            if child.process is not None and (code := child.process.poll()) is not None:
                self._died(child, code, now_s)
            if child.process is None:
                if child.leaving:
                    del self.children[child.name]
                elif now_s >= child.start_at_s:
                    self._start(child)
            elif now_s >= child.kill_at_s:
                self._say(f"{child.name} (process {child.process.pid}) did not go within its grace: killed")
                self._signal(child, signal.SIGKILL)
                child.kill_at_s = float("inf")

    def kill_all(self) -> None:
        """End every child at once, and wait until it is gone."""
        for child in self.children.values():
            self._signal(child, signal.SIGKILL)
        for child in self.children.values():
            if child.process is not None:
                child.process.wait()
        self.children.clear()

    def _start(self, child: Child) -> None:
        child.started_at_s = self._clock()
        try:
            child.process = self._spawn(child.command, env=self._environment, stdin=subprocess.DEVNULL)
        except OSError as error:  # no memory, or no room for one process more: the others go on
            self._again(child, f"could not be started: {error}", child.started_at_s)

    def _died(self, child: Child, code: int, now_s: float) -> None:
        child.process = None
        if not child.leaving:
            how = f"by signal {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
            self._again(child, f"ended {how}", now_s)

    def _again(self, child: Child, what: str, now_s: float) -> None:
        child.deaths = 1 if now_s - child.started_at_s >= STEADY_S else child.deaths + 1
        pause_s = min(BACKOFF_S[0] * 2 ** (child.deaths - 1), BACKOFF_S[1])
        child.start_at_s = now_s + pause_s
        self._say(f"{child.name} {what}; it is started again in {pause_s:g} s")

    @staticmethod
    def _signal(child: Child, number: signal.Signals) -> None:
        if child.process is not None and child.process.poll() is None:
            child.process.send_signal(number)


__all__ = ["PARENT", "Child", "Children"]
