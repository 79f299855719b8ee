"""Tenants name receivers, change their secrets, and never see each other's."""

import itertools

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from orchestrator.adapters.memory.journal import MemoryJournal
from orchestrator.adapters.memory.webhooks import MemoryWebhooks
from orchestrator.errors import WebhookRefused
from orchestrator.ids import RunId, TenantId
from orchestrator.ports.webhooks import Endpoint, Secret
from orchestrator.service.webhooks.addresses import Allowed
from orchestrator.service.webhooks.receivers import ENDPOINTS_MAX, EVENTS, Receivers
from orchestrator.service.webhooks.retrying import ATTEMPTS_MAX, CEILINGS_S, settle
from orchestrator.service.webhooks.sending import Answer
from orchestrator.service.webhooks.signing import SECRETS_MAX, new_secret, rotated, signed_headers, signer
from orchestrator.testing.webhooks_contract import delivery, endpoint, play

pytestmark = pytest.mark.anyio
MINE, THEIRS = TenantId("mine"), TenantId("theirs")
URL = "https://hooks.example.org/x?token=canary-in-the-address"


class At:
    """A clock that stands."""

    def __init__(self, now_s: float = 1_000.0) -> None:
        self.time_s = now_s

    def now_s(self) -> float:
        return self.time_s


def desk(clock: At | None = None) -> tuple[MemoryJournal, Receivers]:
    journal = MemoryJournal()
    numbers = itertools.count(1)
    receivers = Receivers(MemoryWebhooks(journal), clock or At(), Allowed(), name=lambda: str(next(numbers)))
    return journal, receivers


async def test_a_receiver_is_its_tenants_alone() -> None:
    _, receivers = desk()
    made = await receivers.create(MINE, URL, ["run.failed", "run.failed"])

    assert made == Endpoint(
        id="wh_1", tenant=MINE, url=URL, secrets=made.secrets, events=("run.failed",), created_at_s=1_000.0
    )
    assert await receivers.list(MINE) == [made]
    assert await receivers.list(THEIRS) == []
    assert await receivers.get(THEIRS, "wh_1") is None
    assert await receivers.rotate(THEIRS, "wh_1", 0) is None
    assert await receivers.enable(THEIRS, "wh_1") is None
    assert await receivers.remove(THEIRS, "wh_1") is False
    assert await receivers.list(MINE) == [made]
    assert await receivers.remove(MINE, "wh_1") is True
    assert await receivers.list(MINE) == []


async def test_neither_secret_nor_address_is_in_what_is_printed() -> None:
    _, receivers = desk()
    made = await receivers.create(MINE, URL)

    assert made.secrets[0].value.startswith("whsec_")
    for shown in (repr(made), str(made), repr(made.secrets)):
        assert "whsec_" not in shown
        assert "canary" not in shown


@pytest.mark.parametrize(
    ("url", "events"),
    [("http://hooks.example.org/", []), ("https://127.0.0.1/", []), (URL, ["run.open"]), (URL, ["step.passed"])],
)
async def test_what_cannot_be_told_is_refused_and_nothing_is_kept(url: str, events: list[str]) -> None:
    _, receivers = desk()

    with pytest.raises(WebhookRefused):
        await receivers.create(MINE, url, events)

    assert await receivers.list(MINE) == []


async def test_a_tenant_has_so_many_receivers_and_no_more() -> None:
    _, receivers = desk()
    for _ in range(ENDPOINTS_MAX):
        await receivers.create(MINE, URL)

    with pytest.raises(WebhookRefused, match="the tenant has 100 webhooks; delete one"):
        await receivers.create(MINE, URL)
    await receivers.create(THEIRS, URL)


async def test_a_run_is_called_back_once_and_signed_as_the_tenant_says() -> None:
    journal, receivers = desk()
    await play(journal, "run-1", tenant=MINE)
    with pytest.raises(WebhookRefused, match="no webhook whose secret could sign"):
        await receivers.vet(MINE, URL)
    first = await receivers.create(MINE, "https://other.example.org/")
    assert await signer(receivers.store, MINE) == first
    chosen = await receivers.create(MINE, "https://third.example.org/", ["callback"])
    with pytest.raises(WebhookRefused, match="not on the public internet"):
        await receivers.vet(MINE, "https://127.0.0.1/")

    for _ in range(2):
        await receivers.vet(MINE, URL)
        await receivers.call_back(MINE, RunId("run-1"), URL)

    [due] = await receivers.store.take(1_000.0, 10, 30.0, 10)
    assert (due.endpoint.id, due.endpoint.url, due.endpoint.secrets) == ("cb_run-1", URL, ())
    assert await signer(receivers.store, MINE) == chosen
    assert await receivers.list(MINE) == [first, chosen]
    await play(journal, "run-2", tenant=MINE)
    assert [one.endpoint.id for one in await receivers.store.take(1_000.0, 10, 30.0, 10)] == [first.id]


async def test_after_a_rotation_both_secrets_verify_and_after_the_overlap_the_new_one_alone() -> None:
    clock = At()
    _, receivers = desk(clock)
    made = await receivers.create(MINE, URL)
    changed = await receivers.rotate(MINE, made.id, 60.0)
    assert changed is not None
    old, new = made.secrets[0].value, changed.secrets[0].value
    assert changed.secrets == (Secret(value=new), Secret(value=old, until_s=1_060.0))

    during = signed_headers("msg_1", 1_059.0, "{}", changed.secrets)
    after = signed_headers("msg_1", 1_060.0, "{}", changed.secrets)

    assert [verifies(secret, during) for secret in (old, new)] == [True, True]
    assert [verifies(secret, after) for secret in (old, new)] == [False, True]
    with pytest.raises(WebhookRefused, match="an overlap"):
        await receivers.rotate(MINE, made.id, -1.0)


def verifies(secret: str, headers: dict[str, str]) -> bool:
    """Whether a signature is in order, the clock left aside."""
    at = float(headers["webhook-timestamp"])
    from datetime import UTC, datetime

    expected = Webhook(secret).sign(headers["webhook-id"], datetime.fromtimestamp(at, UTC), "{}")
    return expected in headers["webhook-signature"].split(" ")


async def test_rotating_again_and_again_leaves_two_secrets() -> None:
    held: tuple[Secret, ...] = (new_secret(),)
    for at_s in range(5):
        held = rotated(held, float(at_s), 100.0)

    assert len(held) == SECRETS_MAX
    assert len(rotated(held, 1.0, 0.0)) == 1


async def test_the_vectors_of_the_specification_are_signed_as_it_says() -> None:
    """From the specification's own example: the header's form, and a signature worked out by the reference library."""
    secret = Secret(value="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = '{"test": 2432232314}'

    headers = signed_headers("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330.9, body, [secret])

    assert headers["webhook-id"] == "msg_p5jXN8AQM9LWM0D4loKWxJek"
    assert headers["webhook-timestamp"] == "1614265330"
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("part", ["body", "webhook-id", "webhook-timestamp", "webhook-signature"])
async def test_an_altered_message_does_not_verify(part: str) -> None:
    import time

    now_s = time.time()  # the reference library reads the clock of this machine
    secret = new_secret()
    body = '{"type": "run.succeeded"}'
    headers = signed_headers("msg_1", now_s, body, [secret])
    assert Webhook(secret.value).verify(body, headers) == {"type": "run.succeeded"}
    changed = {
        "body": lambda: (body.replace("succeeded", "failed"), headers),
        "webhook-id": lambda: (body, headers | {"webhook-id": "msg_2"}),
        "webhook-timestamp": lambda: (body, headers | {"webhook-timestamp": str(int(now_s) - 301)}),
        "webhook-signature": lambda: (body, headers | {"webhook-signature": "v1," + "A" * 43 + "="}),
    }[part]()

    with pytest.raises(WebhookVerificationError):
        Webhook(secret.value).verify(*changed)


def test_waits_lie_between_nothing_and_their_ceiling_and_the_last_failure_is_the_end() -> None:
    for attempt, ceiling_s in enumerate(CEILINGS_S, start=1):
        due = delivery(attempts=attempt)
        waits = [settle(due, Answer(status=500), 100.0, drawn).due_at_s - 100.0 for drawn in (0.0, 0.5, 0.999)]
        assert waits == pytest.approx([0.0, ceiling_s / 2, ceiling_s * 0.999])
    last = settle(delivery(attempts=ATTEMPTS_MAX), Answer(problem="no answer within 15 s"), 100.0)
    assert (last.state, last.detail) == ("dead", "no answer within 15 s")
    assert 3 * 86_400 < sum(CEILINGS_S) < 7 * 86_400


def test_a_receiver_that_asks_for_time_gets_it_and_one_that_is_gone_is_left_alone() -> None:
    asked = settle(delivery(attempts=1), Answer(status=429, retry_after_s=3_600.0), 100.0, 0.5)
    gone = settle(delivery(attempts=1), Answer(status=410), 100.0)

    assert (asked.state, asked.due_at_s) == ("pending", 3_700.0)
    assert (gone.state, gone.detail, gone.disable) == ("dead", "HTTP 410", "the receiver answered 410 Gone")
    assert settle(delivery(attempts=1), Answer(status=299), 100.0).state == "delivered"


def test_every_end_of_a_run_and_every_question_is_an_event() -> None:
    assert EVENTS == ("run.succeeded", "run.degraded", "run.stopped", "run.failed", "run.cancelled", "approval.asked")
    assert endpoint().events == ()
