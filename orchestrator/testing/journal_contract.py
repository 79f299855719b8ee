"""What any journal must do, as a suite: subclass `JournalContract` and supply the fixture `journal`. Needs pytest.

The suite runs on every event loop that the fixture `anyio_backend` names, and asks nothing of a journal but its port.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import count, pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.core.codec import without_payload
from orchestrator.core.facts import FACTS, CancelRequested, Fact, StepDispatched, StepProgress
from orchestrator.errors import JournalError, RunNotFound, ValueRefused, WrongState
from orchestrator.ids import JsonValue, RunId, StepId, TenantId
from orchestrator.ports.journal import Append, Journal, Recorded, RunQuery, RunRow
from orchestrator.testing.facts import DIGEST, accepted, any_fact, ended, facts_of, passed, produced

RUN = RunId("run-1")
OTHER = RunId("run-2")
_names = count(1)


def deep(levels: int) -> JsonValue:
    """A list in a list in a list."""
    value: JsonValue = []
    for _ in range(levels):
        value = [value]
    return value


#: Values that some store, some reader of JSON, or both would change or choke on.
REFUSED: dict[str, object] = {
    "not a number": float("nan"),
    "infinity": float("inf"),
    "negative infinity": float("-inf"),
    "lone surrogate": "\ud800",
    "NUL": "a\0b",
    "ten to the four hundredth": 10**400,
    "key that is no text": {1: 2},
    "key with a lone surrogate": {"\udfff": 1},
    "bytes": b"a",
    "set": {1},
    "object": object(),
    "bottomless": deep(100_000),
}


def entry(first_seq: int, *facts: Fact, run_id: RunId = RUN, epoch: int = 1, sync: bool = False) -> Append:
    """Facts of one run, to be appended."""
    return Append(run_id=run_id, first_seq=first_seq, epoch=epoch, facts=facts, sync=sync)


async def append(journal: Journal, *entries: Append) -> tuple[RunId, ...]:
    """Append in one call."""
    return await journal.append(entries)


async def new_run(journal: Journal, run_id: RunId = RUN, *facts: Fact) -> None:
    """Accept a run, and append what follows."""
    assert await append(journal, entry(1, accepted(run_id), *facts, run_id=run_id)) == ()


def facts_in(records: Sequence[Recorded]) -> list[Fact]:
    """Only the facts."""
    return [record.fact for record in records]


class JournalContract:
    """What any journal must do. Subclasses supply the fixture `journal`: open, empty, closed afterwards."""

    async def test_what_was_appended_is_read_in_order(self, journal: Journal) -> None:
        facts = [accepted(), produced({"a": 1}), passed(), ended()]
        assert await append(journal, entry(1, *facts[:1])) == ()
        assert await append(journal, entry(2, *facts[1:], sync=True)) == ()

        found = await journal.read(RUN)

        assert facts_in(found) == facts
        assert [(r.run_id, r.seq, r.epoch, r.forgotten) for r in found] == [(RUN, n, 1, False) for n in (1, 2, 3, 4)]

    async def test_a_run_nobody_accepted_has_no_facts(self, journal: Journal) -> None:
        assert await journal.read(RUN) == []
        assert await append(journal, entry(1, passed())) == (RUN,)
        assert await append(journal, entry(2, accepted())) == (RUN,)
        assert await append(journal, entry(1)) == (RUN,)
        assert await journal.read(RUN) == []

    async def test_a_taken_number_and_a_gap_are_refused_and_write_nothing(self, journal: Journal) -> None:
        await new_run(journal, RUN, produced(1))

        assert await append(journal, entry(1, accepted())) == (RUN,)
        assert await append(journal, entry(2, passed(), ended())) == (RUN,)
        assert await append(journal, entry(4, passed())) == (RUN,)

        assert facts_in(await journal.read(RUN)) == [accepted(), produced(1)]
        assert (await journal.runs(RunQuery()))[0].status == "open"

    async def test_refused_entries_leave_the_others_of_the_call_alone(self, journal: Journal) -> None:
        await new_run(journal)
        await new_run(journal, OTHER)
        third = RunId("run-3")

        refused = await append(
            journal,
            entry(2, produced(1)),
            entry(3, passed(), run_id=OTHER),
            entry(1, accepted(third), run_id=third),
            entry(3, passed()),
        )

        assert refused == (OTHER,)
        assert facts_in(await journal.read(RUN)) == [accepted(), produced(1), passed()]
        assert facts_in(await journal.read(OTHER)) == [accepted(OTHER)]
        assert facts_in(await journal.read(third)) == [accepted(third)]

    async def test_an_owner_of_a_lower_epoch_is_refused(self, journal: Journal) -> None:
        await new_run(journal)
        epoch = await journal.claim(RUN, "second owner")

        assert epoch > 1
        assert await append(journal, entry(2, produced("late"))) == (RUN,)
        assert await append(journal, entry(2, produced("in time"), epoch=epoch)) == ()
        assert await append(journal, entry(3, produced("late"))) == (RUN,)
        assert facts_in(await journal.read(RUN)) == [accepted(), produced("in time")]
        assert [record.epoch for record in await journal.read(RUN)] == [1, epoch]

    async def test_epochs_only_rise(self, journal: Journal) -> None:
        await new_run(journal)
        await new_run(journal, OTHER)
        epochs = [1, *[await journal.claim(RUN, f"owner {n}") for n in range(5)]]
        assert await append(journal, entry(2, passed(), epoch=epochs[-1] + 10)) == ()
        epochs += [epochs[-1] + 10, await journal.claim(RUN, "last")]

        assert all(before < after for before, after in pairwise(epochs))
        rows = {row.run_id: (row.epoch, row.owner) for row in await journal.runs(RunQuery())}
        assert rows == {RUN: (epochs[-1], "last"), OTHER: (1, "")}

    async def test_a_run_that_does_not_exist_cannot_be_claimed(self, journal: Journal) -> None:
        with pytest.raises(RunNotFound, match="run-1"):
            await journal.claim(RUN, "owner")

    async def test_an_idempotency_key_names_one_run_of_a_tenant(self, journal: Journal) -> None:
        def asking(run_id: str, tenant: str, key: str | None) -> Append:
            return entry(1, accepted(run_id, tenant=tenant, key=key), run_id=RunId(run_id))

        refused = await append(journal, asking("a", "x", "k"), asking("b", "x", "k"), asking("c", "y", "k"))
        assert refused == (RunId("b"),)
        assert await append(journal, asking("d", "x", "k"), asking("e", "x", None), asking("f", "x", None)) == ("d",)

        found = await journal.runs(RunQuery(tenant=TenantId("x"), idempotency_key="k"))
        assert [row.run_id for row in found] == ["a"]
        assert {row.run_id for row in await journal.runs(RunQuery(idempotency_key="k"))} == {"a", "c"}
        assert await journal.read(RunId("b")) == []

    async def test_long_runs_are_read_in_pages(self, journal: Journal) -> None:
        await new_run(journal, RUN, *[produced(n) for n in range(2, 26)])
        whole = await journal.read(RUN)

        paged: list[Recorded] = []
        while page := await journal.read(RUN, after=len(paged), limit=7):
            assert len(page) <= 7
            paged += page

        assert paged == whole
        assert [record.seq for record in whole] == list(range(1, 26))
        assert await journal.read(RUN, after=25) == []
        assert await journal.read(RUN, after=26) == []
        assert await journal.read(RUN, limit=0) == []

    async def test_a_large_payload_comes_back(self, journal: Journal) -> None:
        large: JsonValue = {"text": "näive \u2028 \\u0000 " * 20_000, "rows": [[n, n / 7] for n in range(5_000)]}
        await new_run(journal, RUN, produced(large), produced(large), passed())

        assert facts_in(await journal.read(RUN)) == [accepted(), produced(large), produced(large), passed()]

    async def test_a_large_number_of_facts_is_one_commit(self, journal: Journal) -> None:
        many = [produced(n) for n in range(5_000)]
        await new_run(journal)

        assert await append(journal, entry(2, *many)) == ()
        assert facts_in(await journal.read(RUN)) == [accepted(), *many]

    @pytest.mark.parametrize("cls", FACTS, ids=lambda cls: cls.KIND)
    @settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
    @given(data=st.data())
    async def test_every_kind_of_fact_comes_back(self, journal: Journal, cls: type[Fact], data: st.DataObject) -> None:
        run_id = RunId(f"{cls.KIND}-{next(_names)}")
        facts = [data.draw(facts_of(cls)), data.draw(facts_of(cls))]
        await new_run(journal, run_id, *facts)

        found = facts_in(await journal.read(run_id))

        assert found == [accepted(run_id), *facts]
        assert [type(fact) for fact in found] == [type(accepted()), cls, cls]

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
    @given(batches=st.lists(st.lists(any_fact(), max_size=4), max_size=4))
    async def test_any_story_comes_back_as_a_whole_chain(self, journal: Journal, batches: list[list[Fact]]) -> None:
        run_id = RunId(f"story-{next(_names)}")
        await new_run(journal, run_id)
        told: list[Fact] = [accepted(run_id)]
        for batch in batches:
            assert await append(journal, entry(len(told) + 1, *batch, run_id=run_id)) == ()
            told += batch

        found = await journal.read(run_id)

        assert facts_in(found) == told
        assert found[0].prev_hash == "0" * 64
        assert all(before.hash == after.prev_hash for before, after in pairwise(found))
        assert len({record.hash for record in found}) == len(found)
        assert {len(record.hash) for record in found} == {64}
        assert await journal.read(run_id) == found

    @pytest.mark.parametrize("value", REFUSED.values(), ids=REFUSED)
    async def test_a_value_no_store_could_keep_is_refused(self, journal: Journal, value: object) -> None:
        await new_run(journal)
        odd = [
            replace(produced(None), output=value),  # type: ignore[arg-type] # that is the point
            replace(produced(None), output={"list": [1, {"deep": value}]}),  # type: ignore[dict-item] # likewise
            StepProgress(at_s=1.0, step=StepId("draft"), actor=value),  # type: ignore[arg-type] # likewise
            StepProgress(at_s=1.0, step=StepId("draft"), message=value),  # type: ignore[arg-type] # likewise
        ]
        # A dict or list of sound values is no odd one in a field that declares something else: types are for mypy.
        for fact in odd if not isinstance(value, list) else odd[:2]:
            with pytest.raises(ValueRefused, match=rf"^{fact.KIND}: "):
                await append(journal, entry(1, accepted(OTHER), run_id=OTHER), entry(2, passed(), fact))

        assert facts_in(await journal.read(RUN)) == [accepted()]
        assert await journal.read(OTHER) == []
        assert await append(journal, entry(2, passed())) == ()

    async def test_a_count_beyond_64_bits_is_refused(self, journal: Journal) -> None:
        await new_run(journal)
        with pytest.raises(ValueRefused, match="more than 63 bits"):
            await append(journal, entry(2, replace(ended(), tokens=2**63)))
        assert await append(journal, entry(2, replace(ended(), tokens=2**63 - 1))) == ()
        assert (await journal.runs(RunQuery()))[0].tokens == 2**63 - 1

    async def test_the_row_of_a_run_tells_its_life(self, journal: Journal) -> None:
        first = accepted("a", at_s=5.0, tenant="t", plan="p", key="k", origin="o", parent="m")
        await append(journal, entry(1, first, run_id=RunId("a"), epoch=3))
        row = RunRow(
            run_id=RunId("a"),
            tenant=TenantId("t"),
            plan="p",
            lane="normal",
            status="open",
            accepted_at_s=5.0,
            ended_at_s=None,
            last_seq=1,
            epoch=3,
            owner="",
            origin=RunId("o"),
            parent=RunId("m"),
            idempotency_key="k",
            request_digest=DIGEST,
            usd=0.0,
            tokens=0,
        )
        assert await journal.runs(RunQuery()) == [row]

        await append(journal, entry(2, passed(), ended(status="failed"), run_id=RunId("a"), epoch=3))
        closed = replace(row, status="failed", ended_at_s=9.0, last_seq=3, usd=0.5, tokens=70)
        assert await journal.runs(RunQuery()) == [closed]

        late = CancelRequested(at_s=11.0, actor="auditor", reason="too late")
        assert await append(journal, entry(4, late, run_id=RunId("a"), epoch=3)) == ()
        assert await journal.runs(RunQuery()) == [replace(closed, last_seq=4)]

    async def test_runs_are_listed_newest_first_and_by_every_filter(self, journal: Journal) -> None:
        for run_id, at_s, tenant, plan, key, origin, parent in [
            ("a", 1.0, "x", "p", "k", None, None),
            ("b", 3.0, "x", "q", None, "a", None),
            ("c", 2.0, "y", "p", "k", None, "b"),
            ("d", 3.0, "x", "p", None, "a", "b"),
        ]:
            fact = accepted(run_id, at_s=at_s, tenant=tenant, plan=plan, key=key, origin=origin, parent=parent)
            await append(journal, entry(1, fact, run_id=RunId(run_id)))
        await append(journal, entry(2, ended(at_s=10.0), run_id=RunId("a")))
        await append(journal, entry(2, ended(at_s=20.0, status="failed"), run_id=RunId("d")))

        async def listed(query: RunQuery) -> str:
            return "".join([row.run_id for row in await journal.runs(query)])

        a, b = RunId("a"), RunId("b")
        queries = {
            RunQuery(): "dbca",
            RunQuery(limit=2): "db",
            RunQuery(limit=0): "",
            RunQuery(tenant=TenantId("x")): "dba",
            RunQuery(run_id=b): "b",
            RunQuery(run_id=RunId("none")): "",
            RunQuery(run_id=b, tenant=TenantId("y")): "",
            RunQuery(status=("open",)): "bc",
            RunQuery(status=("succeeded", "failed")): "da",
            RunQuery(status=()): "",
            RunQuery(plan="p"): "dca",
            RunQuery(lane="normal"): "dbca",
            RunQuery(lane="batch"): "",
            RunQuery(idempotency_key="k"): "ca",
            RunQuery(idempotency_key="k", tenant=TenantId("y")): "c",
            RunQuery(origin=a): "dba",
            RunQuery(parent=b): "dc",
            RunQuery(top_level=True): "ba",
            RunQuery(before=b): "ca",
            RunQuery(before=b, limit=1): "c",
            RunQuery(before=b, plan="q"): "",
            RunQuery(before=a): "",
            RunQuery(before=RunId("none")): "",
            RunQuery(ended_before_s=20.0): "a",
            RunQuery(ended_before_s=20.1): "da",
            RunQuery(status=("open",), plan="p", tenant=TenantId("y")): "c",
        }
        assert {query: await listed(query) for query in queries} == queries

    async def test_forgetting_what_was_said_leaves_the_chain_whole(self, journal: Journal) -> None:
        await new_run(journal, RUN, produced({"secret": "x" * 500}), passed(), ended())
        await new_run(journal, OTHER, produced("kept"))
        before = await journal.read(RUN)

        assert await journal.forget([RUN], payloads_only=True) > 500

        after = await journal.read(RUN)
        assert [(r.seq, r.epoch, r.hash, r.prev_hash) for r in after] == [
            (r.seq, r.epoch, r.hash, r.prev_hash) for r in before
        ]
        assert facts_in(after) == [without_payload(fact) for fact in facts_in(before)]
        assert [record.forgotten for record in after] == [True, True, False, True]
        assert facts_in(await journal.read(OTHER)) == [accepted(OTHER), produced("kept")]
        assert await journal.forget([RUN], payloads_only=True) == 0
        late = CancelRequested(at_s=11.0, actor="auditor", reason="an afterthought")
        assert await append(journal, entry(5, late)) == ()
        assert facts_in(await journal.read(RUN, after=4)) == [late]

    async def test_forgotten_runs_are_gone_and_their_names_free(self, journal: Journal) -> None:
        large: JsonValue = "large " * 10_000
        for run_id in (RUN, OTHER):
            first = accepted(run_id, key=f"key of {run_id}")
            assert await append(journal, entry(1, first, produced(large), ended(), run_id=run_id)) == ()

        assert await journal.forget([RUN, RUN, RunId("unknown")], payloads_only=False) > 0

        assert await journal.read(RUN) == []
        assert [row.run_id for row in await journal.runs(RunQuery())] == [OTHER]
        assert facts_in(await journal.read(OTHER))[1] == produced(large)
        assert await append(journal, entry(1, accepted(RUN, key=f"key of {RUN}"))) == ()
        assert facts_in(await journal.read(RUN)) == [accepted(RUN, key=f"key of {RUN}")]

    @pytest.mark.parametrize("payloads_only", [True, False])
    async def test_an_open_run_is_never_forgotten(self, journal: Journal, payloads_only: bool) -> None:
        await new_run(journal, RUN, ended())
        await new_run(journal, OTHER, produced(1))

        with pytest.raises(WrongState, match="run-2: open"):
            await journal.forget([RUN, OTHER], payloads_only=payloads_only)

        assert facts_in(await journal.read(RUN)) == [accepted(), ended()]
        assert facts_in(await journal.read(OTHER)) == [accepted(OTHER), produced(1)]

    async def test_a_closed_journal_says_so(self, journal: Journal) -> None:
        await new_run(journal)
        await journal.close()
        await journal.close()

        with pytest.raises(JournalError, match="closed"):
            await append(journal, entry(2, passed()))
        with pytest.raises(JournalError, match="closed"):
            await journal.read(RUN)

    async def test_whole_numbers_in_fields_of_fractions_are_equal_to_them(self, journal: Journal) -> None:
        await new_run(journal, RUN, StepDispatched(at_s=2, step=StepId("a"), attempt=1, pool="p", digest=DIGEST))
        assert (await journal.read(RUN))[1].fact.at_s == 2.0
