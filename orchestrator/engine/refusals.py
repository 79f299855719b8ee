"""Words of workers that are refused: of a task that never was, or of what no journal keeps. Their runs go on."""

from collections import Counter
from typing import Final

import structlog

from orchestrator.core import facts as f
from orchestrator.errors import IllegalTransition, ValueRefused
from orchestrator.ids import RunId

TOLD_MAX: Final = 1_000  #: refusals of a process that are logged one by one; a flood fills no disk
#: inputs that come from workers alone: what they ask leave for
ASKED: Final = (f.BudgetReserved, f.ToolIntended, f.StepStarted)
log = structlog.get_logger(__name__)


class Refusals:
    """Counts them, and logs the first ones."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()  #: `never was`, `value`: so many words of workers were refused

    def note(self, run_id: RunId, worker: str, about: object, error: IllegalTransition | ValueRefused) -> None:
        """One more. `about` names the task, or what was asked for one."""
        self.counts["never was" if isinstance(error, IllegalTransition) else "value"] += 1
        if self.counts.total() <= TOLD_MAX:
            log.warning("a worker's word was refused", run=run_id, worker=worker, about=str(about), error=str(error))
