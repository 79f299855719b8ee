"""What must hold of the tenants of a service after a storm: what they were told, shown and billed, who saw whose."""

import json
import time
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import anyio

from orchestrator.core import facts as f
from orchestrator.core.event import canonical_event
from orchestrator.ports.journal import Recorded
from tests.fleet.storm.door import Door, Job, Tenant
from tests.fleet.storm.model import Asked
from tests.fleet.storm.witness import Seen

TOLD_S = 180.0  #: after the last end, for webhooks that are still due
#: Tasks of a pool that may begin while one in the low lane waits: every eighth take looks at the lower lanes first and
#: brings at most two, and 16 such tasks wait at most. That holds for nine in ten; a fault may have hit the others.
#: Where there are few, one job that was hit is more than one in ten of them, and half is what can be asked.
BYPASS_MAX, OF_TEN, OF_TEN_OF_FEW, FEW = 300, 9, 5, 100
#: Between two deliveries of a message that its receiver has, the service or its journal was hit: it could not know.
HID_IT = frozenset({"kill the service", "freeze the service", "cut PostgreSQL's connections", "restart PostgreSQL"})
CENT = Decimal("1e-9")


async def shown(door: Door) -> list[str]:
    """What the service itself says once all is over: lists, conversations, messages (I1, I20, I22, I24, I25)."""
    wrong: list[str] = []
    for tenant in door.tenants:
        wrong += tenant.wrong
        listed = {row["id"] for row in await _pages(tenant, "/v1/runs", "runs")}
        if listed != tenant.runs:
            wrong.append(f"{tenant.name}: {len(listed - tenant.runs)} runs too many, {len(tenant.runs - listed)} gone")
        wrong += await _conversations(tenant)
        wrong += await _messages(tenant)
        for job in tenant.jobs:
            wrong += _job(tenant, job)
    return wrong


async def _pages(tenant: Tenant, path: str, name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = (await tenant.taken("GET", f"{path}?limit=100{cursor}")).json()
        rows += page[name]
        if not page["next"]:
            return rows
        cursor = f"&cursor={page['next']}"


def _job(tenant: Tenant, job: Job) -> list[str]:
    wrong = []
    ids = {reply["id"] for reply in job.replies}
    first, *again = job.replies
    if ids != {job.run} or any(reply != first for reply in again):
        wrong.append(f"{job.key}: the request, sent again, was answered otherwise: {job.replies}")
    status, output = job.told["status"], job.told["output"]
    wanted = job.over or ("cancelled" if job.cancelled_s else "succeeded")
    if status != wanted:
        wrong.append(f"{job.run}: {status}, {job.told.get('reason')}, not {wanted}")
    if status == "succeeded":
        marks = [output["tag"], *(text.partition(":")[0] for text in [*output["stamps"], output["said"]])]
        if set(marks) != {tenant.tag}:
            wrong.append(f"{job.run}: of {tenant.name}, and bears {sorted(set(marks))}")
    if [number for number, _ in job.pieces] != [*range(1, len(job.pieces) + 1)]:
        wrong.append(f"{job.run}: its stream gave {[number for number, _ in job.pieces][:50]}")
    return wrong


async def _conversations(tenant: Tenant) -> list[str]:
    wrong = []
    for session in {session for session, _ in tenant.turns}:
        count = sum(name == session for name, _ in tenant.turns)
        told: list[dict[str, Any]] = []
        while page := (
            await tenant.taken(
                "GET", f"/v1/sessions/{session}/turns?limit=200&after={told[-1]['number'] if told else 0}"
            )
        ).json()["turns"]:
            told += page
        said = [f"{tenant.tag} {session} says {number}" for number in range(count)]
        if [(one["number"], one["role"], one["content"]) for one in told] != [
            (2 * at + 1 + half, role, text)
            for at, text in enumerate(said)
            for half, role in enumerate(("user", "assistant"))
        ]:
            wrong.append(f"{tenant.name}/{session}: {count} turns, and its order is {[one['content'] for one in told]}")
        if {one["run"] for one in told} != {tenant.turns[session, number] for number in range(count)}:
            wrong.append(f"{tenant.name}/{session}: its turns are of other runs")
    return wrong


async def _messages(tenant: Tenant) -> list[str]:
    tenant.calm = True
    until_s = time.monotonic() + TOLD_S
    while True:
        due = (await tenant.taken("GET", "/v1/webhooks/deliveries?state=pending")).json()["deliveries"]
        told = {json.loads(one.body)["data"]["run"] for one in [*tenant.receiver.got]}
        came = {one.headers["webhook-id"] for one in [*tenant.receiver.got]}
        # One that came twice and was not acknowledged is sent again in some minutes: that is not waited for.
        if all(one["id"] in came for one in due) and tenant.runs <= told:
            break
        if time.monotonic() > until_s:
            return [f"{tenant.name}: {len(due)} messages are due, and nothing of {len(tenant.runs - told)} runs came"]
        await anyio.sleep(0.5)
    wrong = []
    if dead := (await tenant.taken("GET", "/v1/webhooks/deliveries?state=dead")).json()["deliveries"]:
        wrong.append(f"{tenant.name}: {len(dead)} messages were given up")
    if strangers := told - tenant.runs:
        wrong.append(f"{tenant.name}: told of runs that are not its own: {sorted(strangers)[:5]}")
    names: defaultdict[str, set[str]] = defaultdict(set)
    for one, body in zip(tenant.receiver.got, tenant.receiver.verified(tenant.secret), strict=True):
        names[body["data"]["run"]].add(one.headers["webhook-id"])  # type: ignore[index]  # JSON of the library
    wrong += [f"{run}: its end was told under {len(ids)} names" for run, ids in names.items() if len(ids) > 1]
    return wrong


def told_again(tenant: Tenant, struck: Sequence[tuple[float, str]], wrong: list[str]) -> int:
    """How many messages came again although their receiver had them: only where its word was lost (I22)."""
    had: dict[str, float] = {}
    again = 0
    for one, (at_s, said) in zip(tenant.receiver.got, tenant.answered, strict=True):
        name = one.headers["webhook-id"]
        if name in had:
            again += 1
            if not any(had[name] - 1.0 <= hit_s <= at_s and what in HID_IT for hit_s, what in struck):
                wrong.append(f"{tenant.name}: {name} came {at_s - had[name]:.2f} s after it was taken")
        elif said:
            had[name] = at_s
    return again


def journaled(job: Job, records: Sequence[Recorded]) -> list[str]:
    """What was told of one job against its journal (I21, I23)."""
    wrong = []
    if job.pieces:
        truth = [json.loads(json.dumps(canonical_event(record))) for record in records]
        if [json.loads(data) for _, data in job.pieces] != truth[: len(job.pieces)]:
            wrong.append(f"{job.run}: its stream is not its journal")
        ended = next((at for at, record in enumerate(records) if isinstance(record.fact, f.RunEnded)), len(records))
        if len(job.pieces) <= ended:
            wrong.append(f"{job.run}: its stream ended after {len(job.pieces)} of {len(records)} records")
    if job.cancelled_s:
        late = [r.seq for r in records if isinstance(r.fact, f.StepDispatched) and r.fact.at_s > job.cancelled_s]
        if late:
            wrong.append(f"{job.run}: something was sent after its cancel was acknowledged: {late}")
        if not job.over and not any(isinstance(record.fact, f.CancelRequested) for record in records):
            wrong.append(f"{job.run}: a cancel was acknowledged, and is not in the journal")
    return wrong


def billed(asked: Sequence[Asked], records_of: Mapping[str, Sequence[Recorded]], wrong: list[str]) -> Counter[str]:
    """Hold the model's bills against the journal (I17, I18): the same, or what is unknown was set aside."""
    counted: Counter[str] = Counter()
    bills: defaultdict[str, list[Asked]] = defaultdict(list)
    for one in asked:
        bills[one.run].append(one)
    counted["summaries"] = len(bills.pop("", []))
    for run, records in records_of.items():
        facts = [record.fact for record in records]
        calls = [fact for fact in facts if isinstance(fact, f.ModelCalled)]
        aside = {fact.charge: fact.usd for fact in facts if isinstance(fact, f.BudgetReserved)}
        settled = {fact.charge for fact in facts if isinstance(fact, f.ModelCalled | f.BudgetSettled)}
        held = sum(usd for charge, usd in aside.items() if charge not in settled)
        known = sum((Decimal(call.usd) for call in calls if not call.unknown), Decimal(0))
        unknown = sum(call.usd for call in calls if call.unknown) + held
        bill = sum((one.usd for one in bills[run]), Decimal(0))
        counted["calls"] += len(bills[run])
        counted["unknown"] += len([call for call in calls if call.unknown]) + len(aside.keys() - settled)
        if len(bills[run]) > len(aside):
            wrong.append(f"{run}: {len(bills[run])} calls, and money was set aside for {len(aside)}")
        if known > bill + CENT or (not unknown and abs(known - bill) > CENT) or float(bill - known) > unknown + 1e-9:
            wrong.append(f"{run}: billed {bill}, booked {known}, not known {unknown}")
    if strangers := set(bills) - set(records_of):
        wrong.append(f"the model was asked for runs that nobody knows: {sorted(strangers)[:5]}")
    return counted


def bypassed(
    jobs: Sequence[Job], seen: Sequence[Seen], records_of: Mapping[str, Sequence[Recorded]], wrong: list[str]
) -> tuple[int, int]:
    """How many tasks began while one in the low lane waited: at most, for nine in ten of them and for all (I26)."""
    times = [line.at_s for line in seen if line.word == "began" and line.step.startswith(("squares", "stamps"))]
    began: dict[tuple[str, str], float] = {}
    for line in seen:
        if line.word == "began":
            began.setdefault((line.run, line.step), line.at_s)
    others = sorted(
        bisect_left(times, began[job.run, f"stamps[{fact.branch}]"]) - bisect_left(times, fact.at_s)
        for job in jobs
        if job.lane == "low"
        for fact in (record.fact for record in records_of[job.run])
        if isinstance(fact, f.StepDispatched) and fact.step == "stamps" and fact.cause == "first" and fact.attempt == 1
        if (job.run, f"stamps[{fact.branch}]") in began
    )
    return judged(others, wrong) if others else (0, 0)


def judged(others: Sequence[int], wrong: list[str]) -> tuple[int, int]:
    """What nine in ten and all of these sorted counts are at most, after a word in `wrong` if they are too many."""
    of_ten = OF_TEN if len(others) >= FEW else OF_TEN_OF_FEW
    most = others[len(others) * of_ten // 10]
    if most > BYPASS_MAX:
        wrong.append(f"{most} tasks went before one of the low lane, of {of_ten} in ten at most; {BYPASS_MAX} may")
    return others[len(others) * OF_TEN // 10], others[-1]


def strangers_work(door: Door, seen: Sequence[Seen]) -> list[str]:
    """Work of a tenant that bears the mark or the name of another (I25), and effects under more than one key (I13)."""
    of = {job.run: tenant for tenant in door.tenants for job in tenant.jobs}
    keys: defaultdict[str, set[str]] = defaultdict(set)
    wrong = []
    for line in seen:
        if (tenant := of.get(line.run)) is None:
            continue
        if line.word == "effect":
            keys[line.run].add(line.rest[1])
        marks = set(line.rest[1:3]) if line.word == "began" else set(line.rest[2:3])
        if not marks <= {tenant.name, tenant.tag}:
            wrong.append(f"{line.run}: of {tenant.name}, and a worker was told {sorted(marks)}")
    wrong += [f"{run}: effects under {sorted(found)}" for run, found in keys.items() if len(found) > 1]
    return wrong
