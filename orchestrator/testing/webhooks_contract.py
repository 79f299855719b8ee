"""What any store of webhooks must do: subclass `WebhooksContract`, supply `stores`. Needs pytest."""

from dataclasses import replace

import pytest

from orchestrator.core.facts import ApprovalAsked, Fact
from orchestrator.ids import RunId, StepId, TenantId
from orchestrator.ports.journal import Append, Journal
from orchestrator.ports.webhooks import (
    KEEP_S,
    Delivery,
    DeliveryQuery,
    Due,
    Endpoint,
    Notice,
    Secret,
    Settled,
    Webhooks,
    delivery_id,
)
from orchestrator.testing.facts import accepted, ended

TENANT, OTHERS = TenantId("default"), TenantId("others")
LEASE_S = 30.0
NOW_S = 100.0
Stores = tuple[Journal, Webhooks]


def endpoint(name: str = "ep-1", **changes: object) -> Endpoint:
    """An endpoint with a secret."""
    made = Endpoint(
        id=name,
        tenant=TENANT,
        url=f"https://hooks.example.org/{name}",
        secrets=(Secret(value="whsec_bmV3ZXN0IHNlY3JldCBvZiBhbGwu"), Secret(value="whsec_b2xkZXI=", until_s=50.0)),
        created_at_s=1.0,
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # a test's own words


def delivery(name: str = "ep-1", run: str = "run-1", **changes: object) -> Delivery:
    """What the end of a run of `accepted` and `ended` owes to an endpoint."""
    told = Notice(
        run_id=RunId(run),
        tenant=TENANT,
        plan="plan",
        status="succeeded",
        accepted_at_s=1.0,
        at_s=9.0,
        usd=0.5,
        tokens=70,
    )
    made = Delivery(
        id=delivery_id(name, RunId(run), "run.succeeded"),
        endpoint_id=name,
        tenant=TENANT,
        run_id=RunId(run),
        event="run.succeeded",
        body=told.body,
        created_at_s=9.0,
        due_at_s=9.0,
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # likewise


async def play(journal: Journal, run: str = "run-1", *facts: Fact, tenant: str = "default") -> None:
    """A run from its beginning to its end; or only the facts given."""
    written = facts or (accepted(run, tenant=tenant), ended())
    refused = await journal.append([Append(run_id=RunId(run), first_seq=1, epoch=1, facts=written)])
    assert refused == ()


async def take(webhooks: Webhooks, now_s: float = NOW_S, limit: int = 100, each: int = 100) -> list[Due]:
    """What is due at a moment."""
    return await webhooks.take(now_s, limit, LEASE_S, each)


def settled(due: Delivery, state: str = "delivered", **changes: object) -> Settled:
    """The end of the attempt that a delivery counts."""
    made = Settled(id=due.id, attempt=due.attempts, state=state, at_s=NOW_S)  # type: ignore[arg-type]  # likewise
    return replace(made, **changes)  # type: ignore[arg-type]  # likewise


class WebhooksContract:
    """What any store of webhooks must do. Subclasses supply `stores`: a journal, and the webhooks beside it; empty."""

    async def test_the_end_of_a_run_is_due_to_every_endpoint_of_its_tenant(self, stores: Stores) -> None:
        journal, webhooks = stores
        mine, second = endpoint("ep-1"), endpoint("ep-2", created_at_s=2.0)
        for one in (mine, second, endpoint("ep-3", tenant=OTHERS), endpoint("ep-4", state="disabled")):
            await webhooks.put(one)
        await play(journal)

        found = await take(webhooks)

        assert sorted(found, key=lambda due: due.endpoint.id) == [
            Due(delivery=delivery("ep-1", attempts=1), endpoint=mine),
            Due(delivery=delivery("ep-2", attempts=1), endpoint=second),
        ]

    async def test_a_body_tells_the_run_and_its_usage_and_nothing_of_its_content(self, stores: Stores) -> None:
        journal, webhooks = stores
        await webhooks.put(endpoint())
        await play(journal)

        [due] = await take(webhooks)

        assert due.delivery.body == (
            '{"type": "run.succeeded", "timestamp": "1970-01-01T00:00:09.000Z", "data": {"run": "run-1", '
            '"plan": "plan", "status": "succeeded", "accepted_at": "1970-01-01T00:00:01.000Z", '
            '"ended_at": "1970-01-01T00:00:09.000Z", "usage": {"usd": 0.5, "tokens": 70}}}'
        )

    async def test_every_question_to_a_person_is_told_without_its_words(self, stores: Stores) -> None:
        journal, webhooks = stores
        await webhooks.put(endpoint(events=("approval.asked",)))
        await webhooks.put(endpoint("ep-2", events=("run.succeeded",), created_at_s=2.0))
        asks = [
            ApprovalAsked(
                at_s=at_s,
                step=StepId("approve"),
                branch=branch,
                attempt=1,
                subject="step",
                choices=("publish", "hölä"),
                expires_at_s=3_600.0,
                ask="a canary",
                show={"draft": "a canary"},
            )
            for at_s, branch in ((2.0, -1), (2.5, 3))
        ]
        await play(journal, "run-1.sub", accepted("run-1.sub", parent="run-1"), *asks)

        first, second = [due.delivery for due in await take(webhooks)]

        assert first.body == (
            '{"type": "approval.asked", "timestamp": "1970-01-01T00:00:02.000Z", "data": {"run": "run-1.sub", '
            '"plan": "plan", "status": "waiting", "step": "approve", "branch": null, "choices": ["publish", "hölä"], '
            '"expires_at": "1970-01-01T01:00:00.000Z"}}'
        )
        assert (second.event, second.created_at_s, '"branch": 3' in second.body) == ("approval.asked", 2.5, True)
        assert first.id != second.id

    async def test_open_runs_and_sub_plans_owe_nothing(self, stores: Stores) -> None:
        journal, webhooks = stores
        await webhooks.put(endpoint())
        await play(journal, "run-1", accepted("run-1"))
        await play(journal, "run-1.step", accepted("run-1.step", parent="run-1"), ended())

        assert await take(webhooks) == []

    async def test_what_ended_before_an_endpoint_was_made_is_not_told(self, stores: Stores) -> None:
        journal, webhooks = stores
        await play(journal)
        await webhooks.put(endpoint())

        assert await take(webhooks) == []

    @pytest.mark.parametrize("before", [True, False])
    async def test_an_address_of_one_run_is_told_whether_that_has_ended_before_or_not(
        self, stores: Stores, before: bool
    ) -> None:
        journal, webhooks = stores
        one = endpoint("cb-1", run_id=RunId("run-1"))
        if before:
            await play(journal)
        await webhooks.put(one)
        await webhooks.put(one)
        if not before:
            await play(journal)
        await play(journal, "run-2")

        assert await take(webhooks) == [Due(delivery=delivery("cb-1", attempts=1), endpoint=one)]

    async def test_an_address_of_a_run_of_another_tenant_is_told_nothing(self, stores: Stores) -> None:
        journal, webhooks = stores
        await play(journal)
        await webhooks.put(endpoint("cb-1", run_id=RunId("run-1"), tenant=OTHERS))

        assert await take(webhooks) == []

    async def test_kinds_of_events_are_chosen(self, stores: Stores) -> None:
        journal, webhooks = stores
        await webhooks.put(endpoint(events=("run.failed", "run.stopped")))
        await play(journal)
        await play(journal, "run-2", accepted("run-2"), ended(status="failed"))

        assert [due.delivery.run_id for due in await take(webhooks)] == ["run-2"]

    async def test_a_delivery_is_taken_once_until_its_lease_ends(self, stores: Stores) -> None:
        journal, webhooks = stores
        await webhooks.put(endpoint())
        await play(journal)

        attempts = [
            [due.delivery.attempts for due in await take(webhooks, now_s)]
            for now_s in (NOW_S, NOW_S + LEASE_S - 1, NOW_S + LEASE_S)
        ]

        assert attempts == [[1], [], [2]]

    async def test_a_late_word_about_an_older_attempt_counts_for_nothing(self, stores: Stores) -> None:
        journal, webhooks = stores
        await webhooks.put(endpoint())
        await play(journal)
        [first] = await take(webhooks)
        [second] = await take(webhooks, NOW_S + LEASE_S)

        assert await webhooks.settle(settled(first.delivery, "dead")) is False
        assert await webhooks.settle(settled(second.delivery)) is True
        assert await webhooks.settle(settled(second.delivery, "dead")) is False

        assert await webhooks.deliveries(DeliveryQuery(tenant=TENANT)) == [
            delivery(attempts=2, state="delivered", due_at_s=0.0, settled_at_s=NOW_S)
        ]

    async def test_a_failed_attempt_comes_again_when_it_is_due(self, stores: Stores) -> None:
        journal, webhooks = stores
        await webhooks.put(endpoint())
        await play(journal)
        [due] = await take(webhooks)

        assert await webhooks.settle(settled(due.delivery, "pending", due_at_s=NOW_S + 5, detail="HTTP 500")) is True
        assert await webhooks.settle(settled(due.delivery)) is False

        assert await take(webhooks, NOW_S + 4) == []
        [again] = await take(webhooks, NOW_S + 5)
        assert again.delivery == delivery(attempts=2, due_at_s=NOW_S + 5, detail="HTTP 500")

    async def test_limits_are_kept_for_all_and_for_each_endpoint(self, stores: Stores) -> None:
        journal, webhooks = stores
        await webhooks.put(endpoint("ep-1"))
        await webhooks.put(endpoint("ep-2", created_at_s=2.0, events=("run.succeeded",)))
        for number in range(5):
            await play(journal, f"run-{number}")

        first = await take(webhooks, each=2)
        assert sorted(due.endpoint.id for due in first) == ["ep-1", "ep-1", "ep-2", "ep-2"]
        assert await take(webhooks, each=2) == []

        await webhooks.settle(settled(first[0].delivery))
        [second] = await take(webhooks, each=2)
        assert second.endpoint == first[0].endpoint
        assert len(await take(webhooks, limit=3)) == 3
        assert len(await take(webhooks)) == 2

    async def test_disabling_gives_up_what_is_due_and_dead_letters_are_queued_again(self, stores: Stores) -> None:
        journal, webhooks = stores
        await webhooks.put(endpoint())
        for run in ("run-1", "run-2"):
            await play(journal, run)
        [first, _] = await take(webhooks)

        await webhooks.settle(settled(first.delivery, "dead", detail="HTTP 410", disable="the receiver is gone"))
        await play(journal, "run-3")

        assert await webhooks.endpoints(TENANT) == [endpoint(state="disabled", reason="the receiver is gone")]
        dead = await webhooks.deliveries(DeliveryQuery(tenant=TENANT, state="dead"))
        assert sorted((one.run_id, one.detail == "the receiver is gone") for one in dead) == sorted(
            [(first.delivery.run_id, False), ({"run-1": "run-2", "run-2": "run-1"}[first.delivery.run_id], True)]
        )
        assert await webhooks.requeue(OTHERS, first.delivery.id, NOW_S + 60) is False
        assert await webhooks.requeue(TENANT, first.delivery.id, NOW_S + 60) is True
        assert await webhooks.requeue(TENANT, first.delivery.id, NOW_S + 60) is False
        assert await take(webhooks, NOW_S + 90) == []
        await webhooks.put(endpoint())
        [again] = await take(webhooks, NOW_S + 90)
        assert (again.delivery.id, again.delivery.attempts) == (first.delivery.id, 1)

    async def test_what_is_removed_leaves_neither_address_nor_secret_nor_anything_due(self, stores: Stores) -> None:
        journal, webhooks = stores
        await webhooks.put(endpoint())
        for run in ("run-1", "run-2"):
            await play(journal, run)
        [first, _] = await take(webhooks)
        await webhooks.settle(settled(first.delivery, "dead"))

        await webhooks.put(endpoint(state="removed"))
        await play(journal, "run-3")

        assert await webhooks.endpoints(TENANT) == []
        assert await webhooks.endpoints(TENANT, "ep-1") == []
        assert await webhooks.requeue(TENANT, first.delivery.id, NOW_S) is False
        assert await take(webhooks, NOW_S + 1_000) == []
        assert [one.state for one in await webhooks.deliveries(DeliveryQuery(tenant=TENANT))] == ["dead"]

    async def test_endpoints_are_their_tenants_own(self, stores: Stores) -> None:
        _, webhooks = stores
        mine, second = endpoint("ep-1"), endpoint("ep-2", created_at_s=2.0)
        theirs, once = endpoint("ep-3", tenant=OTHERS), endpoint("cb-1", run_id=RunId("run-1"))
        for one in (second, mine, theirs, once):
            await webhooks.put(one)

        assert await webhooks.endpoints(TENANT) == [mine, second]
        assert await webhooks.endpoints(TENANT, "ep-3") == []
        assert await webhooks.endpoints(OTHERS, "ep-3") == [theirs]
        assert await webhooks.endpoints(TENANT, "cb-1") == [once]

    async def test_deliveries_are_listed_newest_first_page_by_page(self, stores: Stores) -> None:
        journal, webhooks = stores
        await webhooks.put(endpoint())
        await webhooks.put(endpoint("ep-2", tenant=OTHERS))
        for number in range(5):
            await play(journal, f"run-{number}", accepted(f"run-{number}"), ended(at_s=10.0 + number))
        await play(journal, "theirs", tenant="others")
        await take(webhooks)

        first = await webhooks.deliveries(DeliveryQuery(tenant=TENANT, limit=2))
        second = await webhooks.deliveries(DeliveryQuery(tenant=TENANT, limit=9, before=first[-1].id))

        assert [one.run_id for one in [*first, *second]] == ["run-4", "run-3", "run-2", "run-1", "run-0"]
        assert await webhooks.deliveries(DeliveryQuery(tenant=TENANT, endpoint_id="ep-2")) == []
        [one] = await webhooks.deliveries(DeliveryQuery(tenant=TENANT, run_id=RunId("run-3"), state="pending"))
        assert one.run_id == "run-3"

    async def test_what_is_settled_is_forgotten_after_a_month(self, stores: Stores) -> None:
        journal, webhooks = stores
        await webhooks.put(endpoint())
        await play(journal)
        [due] = await take(webhooks)
        await webhooks.settle(settled(due.delivery))

        await take(webhooks, NOW_S + KEEP_S)
        assert len(await webhooks.deliveries(DeliveryQuery(tenant=TENANT))) == 1
        await take(webhooks, NOW_S + KEEP_S + 1)
        assert await webhooks.deliveries(DeliveryQuery(tenant=TENANT)) == []
