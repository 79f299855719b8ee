"""Children are kept alive with back-off, asked to go first, and killed only after their grace."""

import signal
import subprocess
import sys
from dataclasses import dataclass, field

from orchestrator.service.processes import Children


@dataclass
class Fake:
    """A process that does what the test says."""

    command: list[str]
    pid: int
    code: int | None = None
    signals: list[int] = field(default_factory=list)

    def poll(self) -> int | None:
        return self.code

    def send_signal(self, number: int) -> None:
        self.signals.append(number)

    def wait(self) -> int:
        self.code = self.code if self.code is not None else -9
        return self.code


class World:
    def __init__(self) -> None:
        self.now_s, self.started, self.said = 0.0, list[Fake](), list[str]()
        self.children = Children({}, self.said.append, clock=lambda: self.now_s, spawn=self.spawn)  # type: ignore[arg-type]  # enough of a process

    def spawn(self, command: list[str], **_: object) -> Fake:
        self.started.append(Fake(command, pid=100 + len(self.started)))
        return self.started[-1]

    def look_at(self, now_s: float) -> None:
        self.now_s = now_s
        self.children.look()


def test_a_child_that_dies_is_started_again_with_growing_pauses() -> None:
    world = World()
    world.children.add("w-1", ["w"])
    starts = []
    for _ in range(9):
        world.started[-1].code = -signal.SIGKILL
        died_s, before = world.now_s, len(world.started)
        while len(world.started) == before:
            world.look_at(world.now_s + 0.25)
        starts.append(world.now_s - died_s)

    assert starts == [0.75, 1.25, 2.25, 4.25, 8.25, 16.25, 30.25, 30.25, 30.25]
    assert world.said[0] == "w-1 ended by signal SIGKILL; it is started again in 0.5 s"


def test_a_child_that_lived_for_a_while_begins_with_the_first_pause_again() -> None:
    world = World()
    world.children.add("w-1", ["w"])
    for _ in range(3):
        world.started[-1].code = 1
        world.look_at(world.now_s)
        world.look_at(world.now_s + 40.0)
        world.look_at(world.now_s + 40.0)
    world.started[-1].code = 1
    world.look_at(world.now_s)
    assert world.said[-1] == "w-1 ended with exit code 1; it is started again in 0.5 s"


def test_a_child_that_was_asked_to_go_is_killed_only_after_its_grace_and_not_replaced() -> None:
    world = World()
    world.children.add("w-1", ["w"])
    world.children.ask_to_go("w-1", grace_s=60.0)
    world.children.ask_to_go("w-1", grace_s=60.0)
    (child,) = world.started
    world.look_at(59.0)
    assert child.signals == [signal.SIGTERM]
    world.look_at(60.0)
    assert child.signals == [signal.SIGTERM, signal.SIGKILL]
    child.code = -9
    world.look_at(61.0)
    assert world.children.children == {}
    assert len(world.started) == 1


def test_real_children_are_gone_after_kill_all() -> None:
    said: list[str] = []
    children = Children({"PATH": "/usr/bin"}, said.append)
    made = [children.add(f"w-{n}", [sys.executable, "-c", "import time; time.sleep(60)"]) for n in range(3)]
    processes = [child.process for child in made if child.process is not None]
    assert [isinstance(process, subprocess.Popen) for process in processes] == [True] * 3

    children.kill_all()

    assert [process.returncode for process in processes] == [-signal.SIGKILL] * 3
    assert children.children == {}
