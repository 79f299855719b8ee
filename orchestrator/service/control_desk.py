"""What can be asked of whoever holds the journal: the verbs of the control socket, and of a command on its own.

Arguments and answers are plain JSON, so that one text serves both ways.
"""

import re
import time
from collections.abc import AsyncGenerator, Collection, Iterable, Mapping
from contextlib import aclosing
from typing import Final

import anyio

from orchestrator.core.event import canonical_event
from orchestrator.core.facts import ApprovalAsked
from orchestrator.core.story import story
from orchestrator.core.summary import RunTally, tally
from orchestrator.engine.engine import RunEngine
from orchestrator.engine.operations import Operations
from orchestrator.engine.recovery import machine_of, read_all
from orchestrator.errors import PromiseError, RunNotFound, WrongState
from orchestrator.ids import JsonValue, RunId
from orchestrator.plan.catalogue import FunctionContract, PoolCatalogue
from orchestrator.plan.models import Plan
from orchestrator.plan.patch import Patch
from orchestrator.ports.journal import Journal, RunQuery, RunRow
from orchestrator.ports.ownership import Ownership
from orchestrator.ports.tasks import Backlog
from orchestrator.service.control_args import (
    ROWS_MAX,
    STREAMING,
    ApproveArgs,
    CancelArgs,
    CostsArgs,
    EventsArgs,
    ForecastArgs,
    MaybeRunArgs,
    NoArgs,
    PatchArgs,
    PsArgs,
    QuarantineArgs,
    RunArgs,
    WhyArgs,
    read_args,
)
from orchestrator.service.control_keeper import Keeper
from orchestrator.service.costing import costs_of, document_of, forecast_of

PAGE: Final = 500  #: events read at a time
FOLLOW_PAUSE_S: Final = 0.2  #: between two looks at a run that nobody drives here
MATCH_CHARS_MIN: Final = 4  #: of a part of a run's id
_STEP: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_-]*)(?:\[\d{1,9}\])?")


class NoPools:
    """The pools of a process that only looks."""

    def pools(self) -> Collection[str]:
        """None."""
        return ()

    def functions(self, pool: str) -> Mapping[str, FunctionContract]:
        """None."""
        return {}

    def has_agent(self, pool: str) -> bool:
        """No."""
        return False


class Desk(Keeper):
    """Answers what people ask about runs, and does what they tell. Without an engine it only looks."""

    def __init__(self, journal: Journal, pools: PoolCatalogue, engine: RunEngine | None = None) -> None:
        self.journal, self.engine = journal, engine
        self.pools_known = pools

    # ---- looking

    async def ps(self, args: PsArgs) -> JsonValue:
        """Rows of runs, newest first, without sub-plans."""
        query = RunQuery(status=args.status, top_level=True, limit=args.limit)
        return [await self._row(row) for row in await self.journal.runs(query)]

    async def show(self, args: RunArgs) -> JsonValue:
        """{summary, detail} of one run."""
        row = await self.row(args.run)
        counted = tally(await read_all(self.journal, row.run_id))
        children = await self.journal.runs(RunQuery(parent=row.run_id, limit=ROWS_MAX))
        return {
            "summary": counted.document(),
            "detail": {
                **_row(row),
                "driven": await self._driven(row),
                "reason": counted.ended.reason if counted.ended is not None else "",
                "inputs": counted.accepted.inputs if counted.accepted is not None else None,
                "forgotten": counted.forgotten,
                "quarantined": [name for name, step in counted.steps.items() if step.quarantined],
                "children": [child.run_id for child in reversed(children)],
                "questions": await self.questions(row.run_id),
            },
        }

    async def events(self, args: EventsArgs) -> AsyncGenerator[JsonValue, None]:
        """Canonical events; with `follow`, those to come too, until the run is over."""
        row = await self.row(args.run)
        after = args.after
        while True:
            driver = self.engine.driver(row.run_id) if self.engine is not None else None
            over = driver is None or driver.over
            records = await self.journal.read(row.run_id, after=after, limit=PAGE)
            for record in records:
                after = record.seq
                yield canonical_event(record)
            if len(records) == PAGE:
                continue
            if not args.follow or (over and await self._ended(row.run_id)):
                return
            if driver is None or over:
                await anyio.sleep(FOLLOW_PAUSE_S)
            elif driver.next_seq <= after + 1:
                await driver.change()

    async def why(self, args: WhyArgs) -> JsonValue:
        """The story of a run or of one of its steps: [{seq, at, text}]; seq 0 is how it stands now."""
        row = await self.row(args.run)
        records = await read_all(self.journal, row.run_id)
        if args.step is not None:
            known = tally(records).steps
            match = _STEP.fullmatch(args.step)
            if match is None or match[1] not in known:
                raise WrongState(f"step {args.step!r}", "not in this run", f"steps: {', '.join(list(known)[:40])}")
        told: list[JsonValue] = [
            {"seq": one.seq, "at": one.at_s, "text": one.text} for one in story(records, args.step)
        ]
        if row.parked and row.status == "open":
            text = f"the run is parked: {row.parked}; orchestrator resume {row.run_id}"
            told.append({"seq": 0, "at": records[-1].fact.at_s, "text": text})
        return told

    async def cost(self, args: MaybeRunArgs) -> JsonValue:
        """What runs cost: newest first, or one run by step."""
        if args.run is not None:
            row = await self.row(args.run)
            document = tally(await read_all(self.journal, row.run_id)).document()
            return {"run": row.run_id, "plan": row.plan, "usage": document["usage"], "steps": document["steps"]}
        rows = await self.journal.runs(RunQuery(top_level=True, limit=ROWS_MAX))
        told: list[JsonValue] = []
        for row in rows:
            usd, tokens = row.usd, row.tokens
            if row.status == "open":
                counted = tally(await read_all(self.journal, row.run_id))
                usd, tokens = counted.usd, counted.tokens
            told.append({**_row(row), "usd": usd, "tokens": tokens})
        return told

    async def costs(self, args: CostsArgs) -> JsonValue:
        """What runs cost and what was spared, by one side; see `document_of`."""
        found = await costs_of(self.journal, since_s=args.since, tenant=args.tenant)
        return document_of(found, args.by, time.time())

    async def forecast(self, args: ForecastArgs) -> JsonValue:
        """What a run of a plan is likely to cost, by earlier runs."""
        return (await forecast_of(self.journal, Plan.model_validate(args.plan))).document()

    async def pools(self, _: NoArgs) -> JsonValue:
        """Pools with their functions, and what they have to do."""
        return pools_of(self.pools_known, await self.engine.transport.backlog() if self.engine is not None else ())

    async def questions(self, run_id: RunId) -> list[JsonValue]:
        """Open questions of a run and its sub-plans, from the journal."""
        found: list[JsonValue] = []
        below = await self.journal.runs(RunQuery(status=("open",), limit=ROWS_MAX))
        for row in below:
            if row.run_id == run_id or row.run_id.startswith(f"{run_id}."):
                found += questions_of(row.run_id, tally(await read_all(self.journal, row.run_id)))
        return found

    # ---- doing

    async def cancel(self, args: CancelArgs) -> JsonValue:
        """Cancel a run; once this returns nothing new is started. `over`: it had ended before."""
        row = await self.row(args.run)
        if row.status != "open":
            return {"run": row.run_id, "status": row.status, "over": True}
        operations = await self._operations(row)
        await operations.cancel(row.run_id, reason=args.reason, by=args.by)
        now = await self.row(row.run_id)
        if now.status not in ("open", "cancelled"):  # its end was faster
            return {"run": row.run_id, "status": now.status, "over": True}
        return {"run": row.run_id, "status": "cancelling", "over": False}

    async def approve(self, args: ApproveArgs) -> JsonValue:
        """Answer an open question of a run."""
        row = await self.row(args.run)
        operations = await self._operations(row)
        await operations.approve(row.run_id, args.step, args.choice, reason=args.reason, by=args.by)
        return {"run": row.run_id, "step": args.step, "choice": args.choice}

    async def quarantine(self, args: QuarantineArgs) -> JsonValue:
        """Mark a passed result as wrong, with everything built on it."""
        row = await self.row(args.run)
        operations = await self._operations(row)
        affected = await operations.quarantine(row.run_id, args.step, reason=args.reason, by=args.by)
        return {"run": row.run_id, "step": args.step, "affected": [*affected]}

    async def patch(self, args: PatchArgs) -> JsonValue:
        """Change the plan under an open run."""
        row = await self.row(args.run)
        operations = await self._operations(row)
        digest = await operations.patch(row.run_id, Patch.model_validate(args.patch), by=args.by)
        return {"run": row.run_id, "digest": digest}

    # ---- the rest

    async def row(self, name: str) -> RunRow:
        """The run of this id, of a part of it that only one has, or `last`.

        Raises:
            RunNotFound: there is none, or more than one.
        """
        found = await self.journal.runs(RunQuery(run_id=RunId(name), limit=1))
        if found:
            return found[0]
        if name == "last":
            newest = await self.journal.runs(RunQuery(top_level=True, limit=1))
            if newest:
                return newest[0]
        elif len(name) >= MATCH_CHARS_MIN:
            rows = await self.journal.runs(RunQuery(top_level=True, limit=ROWS_MAX))
            fitting = [row for row in rows if row.run_id.startswith(name) or row.run_id.endswith(name)]
            if len(fitting) == 1:
                return fitting[0]
        raise RunNotFound(name)

    async def take(self, row: RunRow) -> None:
        """Drive an open run here, if nobody does yet.

        Raises:
            PromiseError: a pool of its plan is not known here.
        """
        assert self.engine is not None, "who drives has an engine"
        if self.engine.driver(row.run_id) is not None:
            return
        away = await self.elsewhere(row)
        if away is not None:
            raise WrongState(f"run {row.run_id}", f"{away} drives it", f"follow it: orchestrator watch {row.run_id}")
        must_know(machine_of(await read_all(self.journal, row.run_id)).state.plan.plan, row.run_id, self.pools_known)
        await self.engine.recover(row.run_id)

    async def _operations(self, row: RunRow) -> Operations:
        if self.engine is None:
            raise WrongState(f"run {row.run_id}", "nobody drives it here", "ask the owner of the store")
        owning = self.engine.owning
        leaves = owning is not None and owning.leaves(row)
        if row.status == "open" and not leaves and await self.elsewhere(row) is None:
            top = await self.row(row.run_id.split(".")[0]) if row.parent is not None else row
            await self.take(top)
        return Operations(self.engine)

    async def elsewhere(self, row: RunRow) -> str | None:
        """The other process that drives an open run, in a store that processes share; None: nobody, or this one."""
        if row.status != "open" or self._here(row):
            return None
        ownership: Ownership | None = getattr(self.journal, "ownership", None)
        owner = await ownership.owner_of(row.run_id) if ownership is not None else None
        return owner if self.engine is None or owner != self.engine.owner else None

    def _here(self, row: RunRow) -> bool:
        driver = self.engine.driver(row.run_id) if self.engine is not None else None
        return driver is not None and not driver.over

    async def _driven(self, row: RunRow) -> bool:
        return self._here(row) or await self.elsewhere(row) is not None

    async def _ended(self, run_id: RunId) -> bool:
        rows = await self.journal.runs(RunQuery(run_id=run_id, limit=1))
        return not rows or rows[0].status != "open"

    async def _row(self, row: RunRow) -> JsonValue:
        told = _row(row)
        if row.status == "open":
            counted = tally(await read_all(self.journal, row.run_id))
            asked = bool(await self.questions(row.run_id)) if not counted.asking else True
            waiting = counted.status == "waiting" or (asked and _only_children(counted))
            told["status"] = "waiting" if waiting else counted.status if await self._driven(row) else "open"
            told |= {"usd": counted.usd, "tokens": counted.tokens}
            settled = sum(step.ended_at_s is not None for step in counted.steps.values())
            told["progress"] = f"{settled}/{len(counted.steps)}"
        return told


def pools_of(known: PoolCatalogue, backlogs: Iterable[Backlog] = ()) -> JsonValue:
    """[{pool, functions, agent, waiting, delayed, running}], by name."""
    busy = {str(backlog.pool): backlog for backlog in backlogs}
    found: list[JsonValue] = []
    for name in sorted(known.pools()):
        backlog = busy.get(name)
        functions: list[JsonValue] = [*known.functions(name)]
        found.append(
            {
                "pool": name,
                "functions": functions,
                "agent": known.has_agent(name),
                "waiting": backlog.waiting if backlog is not None else 0,
                "delayed": backlog.delayed if backlog is not None else 0,
                "running": backlog.running if backlog is not None else 0,
            }
        )
    return found


def _only_children(counted: RunTally) -> bool:
    return all(unit.child is not None for _, _, unit in counted.units if unit.status.value == "running")


def must_know(plan: Plan, run_id: str, pools: PoolCatalogue) -> None:
    """Refuse a plan whose pools are not all known here.

    Raises:
        PromiseError: names the pool that is missing.
    """
    known = pools.pools()
    for name, step in plan.steps.items():
        if step.pool is not None and step.pool not in known:
            raise PromiseError(
                f"run {run_id} needs the pool {step.pool!r} (step {name}), which is not known here",
                "name the module that holds it: --pools MODULE, ORCHESTRATOR_POOLS, or pools under [tool.orchestrator]",
            )
        if step.plan is not None:
            must_know(step.plan, run_id, pools)


def questions_of(run_id: str, counted: RunTally) -> list[JsonValue]:
    """The questions that are open in a run: {run, step, ask, show, choices, then, expires_at}."""
    asked: list[tuple[str, ApprovalAsked]] = [
        (step.id if branch < 0 else f"{step.id}[{branch}]", unit.asked)
        for step, branch, unit in counted.units
        if unit.asked is not None
    ]
    if counted.budget_asked is not None:
        asked.append(("budget", counted.budget_asked))
    return [
        {
            "run": run_id,
            "step": name,
            "ask": question.ask,
            "show": question.show,
            "choices": [*question.choices],
            "then": question.then,
            "expires_at": question.expires_at_s,
        }
        for name, question in asked
    ]


def _row(row: RunRow) -> dict[str, JsonValue]:
    return {
        "run": row.run_id,
        "plan": row.plan,
        "status": row.status,
        "lane": row.lane,
        "accepted_at": row.accepted_at_s,
        "ended_at": row.ended_at_s,
        "origin": row.origin,
        "parent": row.parent,
        "idempotency_key": row.idempotency_key,
        "owner": row.owner,
        "usd": row.usd,
        "tokens": row.tokens,
        "progress": None,
        "parked": row.parked,
    }


async def ask(desk: Desk, verb: str, args: JsonValue) -> AsyncGenerator[JsonValue, None]:
    """The answers of a verb: one, or for a streaming verb any number."""
    read = read_args(verb, args)
    answer = getattr(desk, verb)(read)
    if verb not in STREAMING:
        yield await answer
        return
    async with aclosing(answer) as items:
        async for item in items:
            yield item


__all__ = ["Desk", "NoPools", "ask", "must_know", "pools_of", "questions_of"]
