"""Looking at runs: whose they are, how far they have come, what they ask. Every look is within one tenant."""

from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Iterable
from typing import Final, cast

from orchestrator.core.facts import ApprovalAsked, PlanFrozen, RunRated
from orchestrator.core.state import RunState
from orchestrator.core.summary import RunTally
from orchestrator.engine.approvals import BUDGET_STEP
from orchestrator.engine.recovery import PAGE
from orchestrator.ids import JsonValue, RunId, TenantId
from orchestrator.ports.journal import Recorded, RunQuery, RunRow
from orchestrator.service.http.access import Caller
from orchestrator.service.http.parts import Service
from orchestrator.service.http.problems import Problem
from orchestrator.service.http.under_way import UnderWay

TALLIES_MAX: Final = 4_000  #: runs whose counts are kept between requests: all that may ask, and those looked at
CHILDREN_MAX: Final = 10_000  #: sub-plans that one answer names
OPEN_MAX: Final = 2_000  #: open runs that are looked through for questions and for work, newest first
Document = dict[str, JsonValue]


class Told(RunTally):
    """Counts of a run, and what else answers need of its facts."""

    __slots__ = ("plan", "seq", "thumbs", "under_way")

    def __init__(self) -> None:
        super().__init__()
        self.seq = 0  #: of the last record that was counted
        self.plan: Document | None = None  #: as it was frozen
        self.under_way = UnderWay()
        self.thumbs: dict[str, RunRated] = {}  #: the last one of each person

    def take(self, record: Recorded) -> None:
        """Count one more record."""
        self.add(record)
        self.under_way.take(record.fact)
        self.seq = record.seq
        if isinstance(record.fact, PlanFrozen) and not record.forgotten:
            self.plan = record.fact.plan
        elif isinstance(record.fact, RunRated) and record.fact.source == "thumb":
            self.thumbs[record.fact.actor] = record.fact


class Tallies:
    """Counts of runs, brought up to date with what is new in the journal since they were last asked for."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._kept: OrderedDict[RunId, Told] = OrderedDict()

    async def of(self, row: RunRow) -> Told:
        """The counts of a run as of now."""
        kept = self._kept.get(row.run_id)
        if kept is None or kept.seq > row.last_seq:  # the journal was restored
            kept = self._kept[row.run_id] = Told()
        self._kept.move_to_end(row.run_id)
        while len(self._kept) > TALLIES_MAX:
            self._kept.popitem(last=False)
        while True:
            page = await self._service.journal.read(row.run_id, after=kept.seq, limit=PAGE)
            for record in page:
                if record.seq == kept.seq + 1:  # two requests may read the same at once
                    kept.take(record)
            if len(page) < PAGE:
                return kept


async def find(service: Service, who: Caller, run_id: str) -> RunRow:
    """A run of the caller's tenant.

    Raises:
        Problem: there is none; whether another tenant has one is not told.
    """
    rows = await service.journal.runs(RunQuery(run_id=RunId(run_id), tenant=who.tenant, limit=1))
    if not rows:
        raise no_such_run(run_id)
    return rows[0]


def no_such_run(run_id: str) -> Problem:
    """The answer where there is no run, or none for this caller."""
    return Problem(404, "not-found", f"there is no run {run_id!r:.200}", remedy="GET /v1/runs lists your runs")


async def records_of(service: Service, row: RunRow) -> AsyncIterator[Recorded]:
    """Every record of a run, in order."""
    after = 0
    while True:
        page = await service.journal.read(row.run_id, after=after, limit=PAGE)
        for record in page:
            after = record.seq
            yield record
        if len(page) < PAGE:
            return


def word_of(row: RunRow, told: Told, *, driven: bool) -> str:
    """The status of a run as people know it."""
    if row.status != "open":
        return row.status
    if told.ended is not None:
        return told.ended.status
    if not driven:
        return "waiting" if told.status == "waiting" else "open"
    return told.status


async def is_driven(service: Service, row: RunRow) -> bool:
    """Whether some process drives an open run."""
    if row.status != "open":
        return False
    engine = service.desk.engine
    driver = engine.driver(row.run_id) if engine is not None else None
    if driver is not None and not driver.over:
        return True
    return await service.desk.elsewhere(row) is not None


async def row_document(service: Service, row: RunRow, tallies: Tallies) -> Document:
    """A run in a list."""
    if row.status != "open":
        return _row(row, row.status, row.usd, row.tokens, None)
    told = await tallies.of(row)
    settled = sum(step.ended_at_s is not None for step in told.steps.values())
    word = word_of(row, told, driven=await is_driven(service, row))
    return _row(row, word, told.usd, told.tokens, {"settled": settled, "total": len(told.steps)})


def _row(row: RunRow, status: str, usd: float, tokens: int, progress: JsonValue) -> Document:
    return {
        "id": row.run_id,
        "plan": row.plan,
        "lane": row.lane,
        "status": status,
        "accepted_at": row.accepted_at_s,
        "ended_at": row.ended_at_s,
        "origin": row.origin,
        "parent": row.parent,
        "idempotency_key": row.idempotency_key,
        "usd": usd,
        "tokens": tokens,
        "progress": progress,
        "parked": row.parked if row.status == "open" else "",
    }


async def run_document(service: Service, row: RunRow, tallies: Tallies) -> Document:
    """A run with its steps, its result and what it asks."""
    told = await tallies.of(row)
    summary = told.document()
    children = await service.journal.runs(RunQuery(parent=row.run_id, tenant=row.tenant, limit=CHILDREN_MAX))
    driven = await is_driven(service, row)
    settled = sum(step.ended_at_s is not None for step in told.steps.values())
    progress: JsonValue = {"settled": settled, "total": len(told.steps)} if row.status == "open" else None
    accepted, ended = told.accepted, told.ended
    forgotten_inputs = accepted is None or cast(object, accepted.inputs) is None
    return {
        **_row(row, word_of(row, told, driven=driven), told.usd, told.tokens, progress),
        "plan_digest": accepted.plan_digest if accepted is not None else "",
        "output": summary["output"],
        "gaps": summary["gaps"],
        "usage": summary["usage"],
        "steps": summary["steps"],
        "inputs": None if forgotten_inputs or accepted is None else accepted.inputs,
        "reason": (ended.reason or "") if ended is not None else "",
        "driven": driven,
        "quarantined": [name for name, step in told.steps.items() if step.quarantined],
        "children": [child.run_id for child in reversed(children)],
        "questions": [*await questions_of(service, tallies, row.tenant, under=row.run_id)],
        "forgotten": told.forgotten,
    }


async def questions_of(
    service: Service, tallies: Tallies, tenant: TenantId, under: RunId | None = None
) -> list[Document]:
    """The open questions of a tenant, or of one run and its sub-plans, the nearest deadline first."""
    found: list[Document] = []
    for row in await _may_ask(service, tenant, under):
        found += asked_in(row, await tallies.of(row))
    return sorted(found, key=lambda one: (cast(float, one["expires_at"]), str(one["run"]), str(one["step"])))


async def work_of(service: Service, tallies: Tallies, tenant: TenantId) -> Counter[str]:
    """How many tasks of a tenant's open runs each pool has, of the newest `OPEN_MAX` runs."""
    found: Counter[str] = Counter()
    for row in await service.journal.runs(RunQuery(tenant=tenant, status=("open",), limit=OPEN_MAX)):
        found.update((await tallies.of(row)).under_way.by_pool())
    return found


async def _may_ask(service: Service, tenant: TenantId, under: RunId | None) -> list[RunRow]:
    rows = await service.journal.runs(RunQuery(tenant=tenant, status=("open",), limit=OPEN_MAX))
    if under is not None:
        return [row for row in rows if row.run_id == under or row.run_id.startswith(f"{under}.")]
    engine = service.desk.engine
    if engine is None or engine.owning is not None:
        return rows
    return [row for row in rows if (driver := engine.driver(row.run_id)) is None or _asks(driver.machine.state)]


def _asks(state: RunState) -> bool:
    return bool(state.waiting) or state.budget_approval is not None


def asked_in(row: RunRow, told: Told) -> list[Document]:
    """The questions that are open in a run."""
    asked: list[tuple[str, ApprovalAsked]] = [
        (step.id if branch < 0 else f"{step.id}[{branch}]", unit.asked)
        for step, branch, unit in told.units
        if unit.asked is not None
    ]
    if told.budget_asked is not None:
        asked.append((BUDGET_STEP, told.budget_asked))
    if row.status != "open" or told.ended is not None:
        return []
    return [
        {
            "run": row.run_id,
            "plan": row.plan,
            "step": name,
            "subject": question.subject,
            "ask": question.ask or "",
            "show": question.show,
            "choices": [*question.choices],
            "then": question.then,
            "asked_at": question.at_s,
            "expires_at": question.expires_at_s,
            "usd": told.usd,
            "next": [*what_waits(told.plan, name.partition("[")[0], question.subject)],
        }
        for name, question in asked
    ]


def what_waits(plan: Document | None, asking: str, subject: str) -> Iterable[Document]:
    """The steps of a plan that go on, or not, with an answer: those that refer to the step, or come after it.

    For a question about a step's own output, that is the step itself.
    """
    steps = plan.get("steps") if plan is not None else None
    if not isinstance(steps, dict) or subject == "budget":
        return
    if subject != "step":
        step = steps.get(asking)
        if isinstance(step, dict):
            yield {"step": asking, "does": does(step), "when": ""}
        return
    for name, step in steps.items():
        if isinstance(step, dict) and name != asking and _refers(step, asking):
            when = step.get("if")
            yield {"step": name, "does": does(step), "when": "" if when is None else str(when)}


def _refers(step: Document, name: str) -> bool:
    needs = step.get("needs")
    if isinstance(needs, list) and name in needs:
        return True
    mark = f"steps.{name}"
    return any(mark in text and _ends_there(text, mark) for text in _texts(step))


def _ends_there(text: str, mark: str) -> bool:
    """The mark stands in the text as a whole path part: `steps.a` is not in `steps.ab`."""
    at = text.find(mark)
    while at >= 0:
        after = text[at + len(mark) : at + len(mark) + 1]
        if not (after.isalnum() or (after in {"_", "-"} and after)):
            return True
        at = text.find(mark, at + 1)
    return False


def _texts(value: JsonValue) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
    elif isinstance(value, dict):
        for one in value.values():
            yield from _texts(one)


def does(step: Document) -> str:
    """What a step does, in a few words."""
    pool = f" in {step['pool']}" if "pool" in step else ""
    if "call" in step:
        return f"call {step['call']}{pool}"
    return next((f"{kind}{pool}" for kind in ("task", "human", "plan", "goal") if kind in step), "")
