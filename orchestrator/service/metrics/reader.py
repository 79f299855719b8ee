"""Reads the journal on from where it was read before, and has every fact counted once, over restarts too."""

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, cast

from orchestrator.core import facts as f
from orchestrator.errors import JournalCorrupt
from orchestrator.ids import JsonValue, RunId
from orchestrator.ports.journal import Journal, Recorded, RunQuery, RunRow
from orchestrator.service.metrics.tally import Seen, Tally
from orchestrator.service.metrics.values import Values

PAGE: Final = 1_000  #: rows, or records, asked for at a time
FACTS_MAX: Final = 100_000  #: read in one go; the rest is read the next time
FULL_S: Final = 900.0  #: between two looks at every row, for what is written to runs that ended long ago
KNOWN_MAX: Final = 200_000  #: ended runs whose last fact is known; of older ones nothing is counted any more
DOCUMENT: Final = 1  #: version of what `document` gives


@dataclass(slots=True)
class _Known:
    """How far a run was counted."""

    seq: int
    accepted_at_s: float
    ended: bool
    seen: Seen | None = None  #: of an open run, once a fact of it came in this life


class JournalReader:
    """Keeps a tally up with a journal. Not for two tasks at once."""

    def __init__(self, journal: Journal, clock: Callable[[], float] = time.monotonic) -> None:
        self._journal, self._clock = journal, clock
        self.tally = Tally()
        self._known: OrderedDict[RunId, _Known] = OrderedDict()
        self._horizon_s = 0.0  #: runs accepted before, and not known, were counted and forgotten
        self._looked_s: float | None = None  #: when every row was looked at
        self.behind = 0  #: runs with facts that are not counted yet

    async def catch_up(self) -> None:
        """Count what is new. Reads at most `FACTS_MAX` facts; `behind` says what is left.

        Raises:
            JournalError: the journal cannot be read; what was counted stays.
        """
        room, left = FACTS_MAX, 0
        for row in reversed(await self._news()):
            if room <= 0:
                left += 1
                continue
            room -= await self._read(row)
        self.behind = left
        self._forget()

    @property
    def open_runs(self) -> list[Seen]:
        """Open runs, as far as they were read in this life or could be told apart by then."""
        return [known.seen for known in self._known.values() if known.seen is not None and not known.seen.ended]

    # ---- between two lives

    def document(self) -> dict[str, JsonValue]:
        """What is counted, and how far, as JSON."""
        runs: list[JsonValue] = [
            [run_id, known.seq, known.accepted_at_s, known.ended] for run_id, known in self._known.items()
        ]
        return {
            "version": DOCUMENT,
            "horizon_s": self._horizon_s,
            "runs": runs,
            "cases": cast(JsonValue, dict(self.tally.cases)),
            "values": self.tally.values.document(),
        }

    def resume(self, document: Mapping[str, JsonValue]) -> None:
        """Go on from a `document`.

        Raises:
            ValueError, KeyError, TypeError: it is none, or one of another release; nothing has changed.
        """
        if document["version"] != DOCUMENT:
            raise ValueError("it was written by another release")
        values = Values.read(cast(dict[str, JsonValue], document["values"]))
        known = OrderedDict(
            (RunId(str(run_id)), _Known(int(seq), float(at_s), bool(ended)))
            for run_id, seq, at_s, ended in cast(list[tuple[str, int, float, bool]], document["runs"])
        )
        horizon_s = float(cast(float, document["horizon_s"]))
        self.tally = Tally(values, cast(dict[str, float], document["cases"]))
        self._known, self._horizon_s, self._looked_s = known, horizon_s, None

    # ---- reading

    async def _news(self) -> list[RunRow]:
        """Rows with facts that are not counted, newest first."""
        now_s = self._clock()
        full = self._looked_s is None or now_s - self._looked_s >= FULL_S
        found: OrderedDict[RunId, RunRow] = OrderedDict()
        before: RunId | None = None
        while True:
            rows = await self._journal.runs(RunQuery(before=before, limit=PAGE))
            found.update((row.run_id, row) for row in rows)
            known = bool(rows) and all(row.run_id in self._known for row in rows)
            if len(rows) < PAGE or (known and not full):
                break
            before = rows[-1].run_id
        if full:
            self._looked_s = now_s
        found.update((row.run_id, row) for row in await self._open_rows())
        for run_id, one in self._known.items():
            if not one.ended and run_id not in found:  # it has ended meanwhile
                found.update((row.run_id, row) for row in await self._journal.runs(RunQuery(run_id=run_id, limit=1)))
        return [row for row in found.values() if self._is_news(row)]

    async def _open_rows(self) -> list[RunRow]:
        found: list[RunRow] = []
        while True:
            before = found[-1].run_id if found else None
            rows = await self._journal.runs(RunQuery(status=("open",), before=before, limit=PAGE))
            found += rows
            if len(rows) < PAGE:
                return found

    def _is_news(self, row: RunRow) -> bool:
        known = self._known.get(row.run_id)
        if known is None:
            return row.accepted_at_s > self._horizon_s
        if known.seq > row.last_seq:
            raise JournalCorrupt(row.run_id, row.last_seq, "the metrics were counted from another journal")
        return row.last_seq > known.seq or (not known.ended and known.seen is None)

    async def _read(self, row: RunRow) -> int:
        known = self._known.get(row.run_id)
        if known is None:
            known = self._known[row.run_id] = _Known(0, row.accepted_at_s, ended=False)
        counted, read = known.seq, 0
        after = 0 if known.seen is None else known.seq  # what was counted in an earlier life is read, and not counted
        while True:
            page: list[Recorded] = await self._journal.read(row.run_id, after=after, limit=PAGE)
            for record in page:
                if known.seen is None:
                    if not isinstance(record.fact, f.RunAccepted):
                        return read  # it was deleted while it was read
                    known.seen = self.tally.begin(record.fact)
                self.tally.add(known.seen, record.seq, record.fact, count=record.seq > counted)
                known.seq = max(known.seq, record.seq)
            read += len(page)
            if len(page) < PAGE:
                break
            after = page[-1].seq
        if known.seen is not None and known.seen.ended:
            known.ended, known.seen = True, None
        return read

    def _forget(self) -> None:
        if len(self._known) <= KNOWN_MAX:
            return
        ended = sorted((one.accepted_at_s, run_id) for run_id, one in self._known.items() if one.ended)
        for at_s, run_id in ended[: len(self._known) - KNOWN_MAX]:
            del self._known[run_id]
            self._horizon_s = max(self._horizon_s, at_s)


__all__ = ["JournalReader"]
