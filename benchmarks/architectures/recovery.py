"""Recovery: the same tasks with a wrong answer planted in each, and steps whose worker processes are killed."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.architectures.faults import Recovered, killed_workers
from benchmarks.architectures.model import Case
from benchmarks.architectures.record import Episode
from benchmarks.architectures.statistics import Interval, clopper_pearson


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """One architecture on tasks in which the first answer to the first step is wrong."""

    architecture: str
    n: int
    before: int  #: solved without the plant, of the same tasks and seeds
    after: int  #: solved with it
    kept: int  #: solved with it, of those that were solved without it
    delivered: int  #: a wrong answer was delivered with it

    @property
    def recovered(self) -> float | None:
        """Share of what was solved that is still solved; None where nothing was."""
        return self.kept / self.before if self.before else None

    @property
    def interval(self) -> Interval:
        """Of `recovered`, Clopper-Pearson, 95 %."""
        return clopper_pearson(self.kept, self.before)


def planted(plain: Sequence[Episode], with_fault: Sequence[Episode], names: Sequence[str]) -> list[Planted]:
    """What each architecture made of the same tasks without and with the plant; only tasks that both runs hold."""
    found = []
    for name in names:
        before = {one.case: one.success is True for one in plain if one.architecture == name and one.trial == 0}
        mine = [one for one in with_fault if one.architecture == name and one.case in before]
        if mine:
            found.append(
                Planted(
                    architecture=name,
                    n=len(mine),
                    before=sum(before[one.case] for one in mine),
                    after=sum(one.success is True for one in mine),
                    kept=sum(before[one.case] and one.success is True for one in mine),
                    delivered=sum(one.status == "answered" and not one.success for one in mine),
                )
            )
    return found


def plants(cases: Mapping[str, Case], count: int) -> dict[str, tuple[str, ...]]:
    """The first step of the first `count` instances of each family."""
    return {case.id: (case.units[0].id,) for case in cases.values() if int(case.id.rsplit("/", 1)[1]) < count}


async def killed(steps: int, deadly: int) -> Recovered:
    """Steps in real child processes, of which `deadly` are killed with SIGKILL in the middle of their first attempt."""
    with tempfile.TemporaryDirectory() as folder:
        return await killed_workers(steps, deadly, Path(folder))


def planted_rows(found: Sequence[Planted]) -> tuple[list[str], list[list[str]]]:
    """What a planted wrong answer costs."""
    header = ["architecture", "n", "solved without", "solved with", "recovered", "95 % (exact)", "wrong delivered"]
    return header, [
        [
            one.architecture,
            str(one.n),
            str(one.before),
            str(one.after),
            "–" if one.recovered is None else f"{one.recovered:.2f}",
            f"{one.interval[0]:.2f} – {one.interval[1]:.2f}",
            f"{one.delivered / one.n:.2f}",
        ]
        for one in found
    ]


def killed_rows(found: Recovered) -> tuple[list[str], list[list[str]]]:
    """What killed workers cost."""
    return ["steps", "workers killed", "steps right in the end"], [[str(found.of), str(found.killed), str(found.right)]]
