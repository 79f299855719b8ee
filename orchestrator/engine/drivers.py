"""The runs that an engine drives, by id, with what is above and below each."""

from orchestrator.engine.driver import RunDriver
from orchestrator.ids import RunId


class Drivers:
    """All drivers of an engine, oldest first. A sub-plan is tied to its parent for as long as both are here."""

    def __init__(self) -> None:
        self._by_id: dict[RunId, RunDriver] = {}
        self.top = 0  #: open runs without a parent

    def get(self, run_id: RunId) -> RunDriver | None:
        """The driver of a run that is open here."""
        return self._by_id.get(run_id)

    def all(self) -> list[RunDriver]:
        """Every one of them."""
        return list(self._by_id.values())

    def add(self, driver: RunDriver) -> None:
        """Take one in, below that of its parent where that is here."""
        self._by_id[driver.run_id] = driver
        parent = driver.accepted.parent
        self.top += parent is None
        above = self._by_id.get(parent) if parent is not None else None
        if above is not None:
            driver.above, above.below[driver.run_id] = above, driver

    def drop(self, driver: RunDriver) -> None:
        """Let go of one, unless another has taken its place."""
        if self._by_id.get(driver.run_id) is not driver:
            return
        del self._by_id[driver.run_id]
        self.top -= driver.accepted.parent is None
        if driver.above is not None:
            driver.above.below.pop(driver.run_id, None)
            driver.above = None
