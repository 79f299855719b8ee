"""Who owns which run: leases by the server's clock, claims that one wins, orphans taken over oldest first."""

import asyncio
from collections.abc import Iterable

import asyncpg
import pytest

from orchestrator.adapters.postgres.journal import PostgresJournal
from orchestrator.adapters.postgres.leases import CRASHES, SUSPECTS
from orchestrator.errors import JournalConflict
from orchestrator.ids import RunId
from orchestrator.ports.journal import Append, RunQuery
from orchestrator.ports.ownership import LOADS_MAX, Adopted, Petition
from orchestrator.testing.facts import accepted, ended, produced

pytestmark = pytest.mark.anyio
RACES = 200
LONG_S = 600.0


async def begin(journal: PostgresJournal, names: Iterable[str], owner: str = "") -> None:
    entries = []
    for n, name in enumerate(names):
        parent = name.rpartition(".")[0] or None
        fact = accepted(name, at_s=float(n + 1), parent=parent)
        entries.append(Append(run_id=RunId(name), first_seq=1, epoch=1, facts=(fact,), owner=owner))
    assert await journal.append(entries) == ()


async def lapse(url: str, *owners: str) -> None:
    """These owners were silent for too long."""
    connection = await asyncpg.connect(url)
    await connection.execute(
        "UPDATE owners SET lease_until = clock_timestamp() - interval '1 ms' WHERE owner = ANY($1::text[])", [*owners]
    )
    await connection.close()


def names(adopted: list[Adopted]) -> list[str]:
    return [one.row.run_id for one in adopted]


async def test_of_two_that_resume_the_same_run_one_wins_each_of_200_races(
    journal: PostgresJournal, second: PostgresJournal
) -> None:
    await begin(journal, (f"r{n}" for n in range(RACES)))
    assert await journal.ownership.renew("a", LONG_S)
    assert await second.ownership.renew("b", LONG_S)

    async def resume(one: PostgresJournal, owner: str, run_id: RunId) -> str | None:
        try:
            epoch = await one.claim(run_id, owner)
        except JournalConflict as error:
            assert "owns it, and its lease has not ended" in str(error)  # noqa: PT017 # one of the two meets it
            return None
        entry = Append(run_id=run_id, first_seq=2, epoch=epoch, facts=(produced(owner),))
        return owner if await one.append([entry]) == () else None

    wins: dict[str, int] = {"a": 0, "b": 0}
    for n in range(RACES):
        run_id = RunId(f"r{n}")
        said = await asyncio.gather(resume(journal, "a", run_id), resume(second, "b", run_id))
        (winner,) = [owner for owner in said if owner is not None]
        wins[winner] += 1
        (row,) = await journal.runs(RunQuery(run_id=run_id))
        assert (row.owner, row.last_seq) == (winner, 2)
    assert sum(wins.values()) == RACES


async def test_of_two_that_look_for_orphans_each_takes_others(
    journal: PostgresJournal, second: PostgresJournal
) -> None:
    await begin(journal, (f"r{n:03}" for n in range(200)))
    await journal.ownership.renew("a", LONG_S)
    await second.ownership.renew("b", LONG_S)
    found: dict[str, list[str]] = {"a": [], "b": []}

    async def take(one: PostgresJournal, owner: str) -> None:
        while some := await one.ownership.adopt(owner, 7):
            found[owner] += names(some)

    await asyncio.gather(take(journal, "a"), take(second, "b"))
    assert sorted([*found["a"], *found["b"]]) == [f"r{n:03}" for n in range(200)]
    assert {owner: dict(await journal.ownership.held(owner)).keys() for owner in found} == {
        owner: set(mine) for owner, mine in found.items()
    }


async def test_orphans_are_taken_oldest_first_with_their_sub_plans(journal: PostgresJournal, postgres_url: str) -> None:
    await begin(journal, ["a", "b", "a.s#1", "c", "a.s#1.t#1"], owner="dead")
    await begin(journal, ["theirs"], owner="alive")
    await begin(journal, ["nobodys"])
    await journal.ownership.renew("dead", LONG_S)
    await journal.ownership.renew("alive", LONG_S)
    assert names(await journal.ownership.adopt("me", 10)) == ["nobodys"]
    await lapse(postgres_url, "dead")

    assert names(await journal.ownership.adopt("me", 1)) == ["a", "a.s#1", "a.s#1.t#1"]
    assert names(await journal.ownership.adopt("me", 10, but_not=(RunId("b"),))) == ["c"]
    assert names(await journal.ownership.adopt("me", 10)) == ["b"]
    assert await journal.ownership.adopt("me", 10) == []
    held = await journal.ownership.held("me")
    assert set(held) == {"a", "a.s#1", "a.s#1.t#1", "b", "c", "nobodys"}
    rows = {row.run_id: row.epoch for row in await journal.runs(RunQuery())}
    assert held == {name: rows[name] for name in held}
    assert await journal.ownership.owner_of(RunId("theirs")) == "alive"


async def test_an_owner_whose_lease_ended_learns_it_and_its_first_append_is_refused(
    journal: PostgresJournal, second: PostgresJournal, postgres_url: str
) -> None:
    assert await journal.ownership.renew("first", LONG_S) is True
    await begin(journal, ["r"], owner="first")
    assert await second.ownership.adopt("heir", 10) == []
    await lapse(postgres_url, "first")
    (taken,) = await second.ownership.adopt("heir", 10)

    assert await journal.ownership.renew("first", LONG_S) is False
    assert await journal.ownership.held("first") == {}
    late = Append(run_id=RunId("r"), first_seq=2, epoch=1, facts=(produced("late"),))
    assert await journal.append([late]) == ("r",)
    mine = Append(run_id=RunId("r"), first_seq=2, epoch=taken.row.epoch, facts=(produced("mine"),))
    assert await second.append([mine]) == ()


async def test_what_is_released_is_taken_at_once_and_what_is_parked_only_by_name(journal: PostgresJournal) -> None:
    await journal.ownership.renew("me", LONG_S)
    await begin(journal, ["a", "b", "b.s#1", "c"], owner="me")

    await journal.ownership.release("me", [RunId("b.s#1")], parked="its plan cannot be read")
    assert await journal.ownership.adopt("other", 10) == []
    await journal.ownership.release("me", None)
    assert names(await journal.ownership.adopt("other", 10)) == ["a", "c"]
    assert await journal.ownership.owner_of(RunId("b")) is None
    assert await journal.claim(RunId("b"), "by name") > 1
    assert names(await journal.ownership.adopt("other", 10)) == ["b", "b.s#1"]  # no lease was ever taken "by name"


async def test_a_run_that_ends_every_owner_that_loads_it_is_parked_and_the_others_go_on(
    journal: PostgresJournal, postgres_url: str
) -> None:
    healthy = [f"r{n:03}" for n in range(100)]
    await begin(journal, [*healthy[:50], "bad", *healthy[50:]])
    loaded: list[str] = []
    crashes = 0
    for life in range(50):
        owner = f"owner {life}"
        await journal.ownership.renew(owner, LONG_S)
        crashed = False
        while not crashed and (some := await journal.ownership.adopt(owner, 40)):
            crashed = "bad" in names(some)  # the process ends before it can say how it went
            if not crashed:
                await journal.ownership.steady(owner, [one.row.run_id for one in some])
                loaded += names(some)
        crashes += crashed
        if not crashed:
            break
        await lapse(postgres_url, owner)
        # What was loaded without harm is taken over as well, and is no suspect.
    assert crashes == LOADS_MAX
    assert set(loaded) == set(healthy)
    connection = await asyncpg.connect(postgres_url)
    assert await connection.fetch("SELECT run_id, parked FROM runs WHERE parked IS NOT NULL") == [("bad", CRASHES)]
    await connection.close()
    assert SUSPECTS < 40


async def test_a_petition_is_taken_by_the_owner_answered_once_and_found_by_its_id(
    journal: PostgresJournal, second: PostgresJournal, postgres_url: str
) -> None:
    heard: list[tuple[str, str]] = []
    ready = asyncio.Event()

    def hear(topic: str, subject: str) -> None:
        heard.append((topic, subject))
        ready.set()

    stop = journal.notices.listen(hear)
    await asyncio.wait_for(ready.wait(), 30)
    await journal.ownership.renew("owner", LONG_S)
    await begin(journal, ["r", "r.s#1"], owner="owner")
    asked = Petition(id="p1", run_id=RunId("r.s#1"), verb="cancel", args='{"by": "anna"}')
    await second.petitions.ask(asked)
    await second.petitions.ask(asked)

    assert await journal.petitions.take("somebody else", 10) == []
    (taken,) = await journal.petitions.take("owner", 10)
    assert (taken.id, taken.run_id, taken.args, taken.as_of_seq, taken.retaken) == ("p1", "r.s#1", asked.args, 1, False)
    assert await journal.petitions.take("owner", 10) == []
    assert await second.petitions.answered("p1") is None
    assert await second.petitions.withdraw("p1") is False

    await lapse(postgres_url, "owner")
    await second.ownership.renew("heir", LONG_S)
    await second.ownership.adopt("heir", 10)
    (again,) = await second.petitions.take("heir", 10)
    assert (again.id, again.retaken) == ("p1", True)
    await journal.petitions.answer("p1", "owner", '{"value": "late"}')
    await second.petitions.answer("p1", "heir", '{"value": {}}')
    await second.petitions.answer("p1", "heir", '{"value": "twice"}')
    assert await journal.petitions.answered("p1") == '{"value": {}}'

    await second.petitions.ask(Petition(id="p2", run_id=RunId("r"), verb="cancel", args="{}"))
    assert await second.petitions.withdraw("p2") is True
    assert await second.petitions.take("heir", 10) == []
    while ("answer", "p1") not in heard:
        ready.clear()
        await asyncio.wait_for(ready.wait(), 30)
    assert [said for said in heard if said[0] in {"ask", "answer"}][:2] == [("ask", "r.s#1"), ("answer", "p1")]
    stop()


async def test_others_hear_of_new_runs_nobody_drives_and_of_ends(
    journal: PostgresJournal, second: PostgresJournal
) -> None:
    heard: list[tuple[str, str]] = []
    changed = asyncio.Event()

    def hear(topic: str, subject: str) -> None:
        heard.append((topic, subject))
        changed.set()

    second.notices.listen(hear)
    await asyncio.wait_for(changed.wait(), 30)
    await begin(journal, ["mine"], owner="me")
    await begin(journal, ["orphan"])
    assert await journal.append([Append(run_id=RunId("mine"), first_seq=2, epoch=1, facts=(ended(),))]) == ()
    while ("end", "mine") not in heard:
        changed.clear()
        await asyncio.wait_for(changed.wait(), 30)
    assert heard == [("gap", ""), ("new", "orphan"), ("end", "mine")]
