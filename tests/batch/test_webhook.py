"""What the provider's webhook tells is believed when it is signed, and never else."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks.webhooks import Webhook

from orchestrator.adapters.memory.batches import MemoryBatches
from orchestrator.app.batch import WEBHOOK_VARIABLE as SECRET
from orchestrator.app.batch import Batches
from orchestrator.errors import PromiseError
from orchestrator.models.batch.lane import BatchLane, Pace
from orchestrator.settings import Settings
from orchestrator.testing.scripted import ScriptedModel

KEY = "whsec_" + "dGhpcyBpcyBhIHNlY3JldCBmb3IgdGVzdHM="
TOLD = json.dumps({"id": "evt_1", "type": "batch.completed", "data": {"id": "batch_1"}})


class Heard(BatchLane):
    """Counts what it is told."""

    def __init__(self) -> None:
        super().__init__({}, MemoryBatches(), owner="o", pace=Pace())
        self.count = 0

    def heard(self) -> None:
        self.count += 1


def signed(payload: str, *, age_s: float = 0.0, key: str = KEY) -> dict[str, str]:
    at = datetime.now(UTC) - timedelta(seconds=age_s)
    signature = Webhook(key).sign("msg_1", at, payload)
    return {"webhook-id": "msg_1", "webhook-timestamp": str(int(at.timestamp())), "webhook-signature": signature}


def batches(**environment: str) -> tuple[Batches, Heard]:
    made, lane = Batches(Settings(), ScriptedModel(), "o", environment=environment), Heard()
    made._lane = lane
    return made, lane


def test_a_signed_word_about_a_batch_is_passed_on() -> None:
    made, lane = batches(**{SECRET: KEY})
    assert made.heard(TOLD, signed(TOLD))
    assert lane.count == 1
    other = TOLD.replace("batch.completed", "response.completed")
    assert not made.heard(other, signed(other))
    assert lane.count == 1


@pytest.mark.parametrize(
    ("payload", "headers"),
    [
        (TOLD.replace("batch_1", "batch_2"), signed(TOLD)),
        (TOLD, signed(TOLD, age_s=600.0)),
        (TOLD, signed(TOLD, key="whsec_" + "YW5vdGhlciBzZWNyZXQgZm9yIHRlc3RzIQ==")),
        (TOLD, {}),
        (TOLD, {**signed(TOLD), "webhook-signature": "none"}),
        (TOLD, {**signed(TOLD), "webhook-signature": "v1,x"}),
        (TOLD, {**signed(TOLD), "webhook-timestamp": "inf"}),
    ],
)
def test_a_word_that_is_not_signed_with_the_secret_is_refused(payload: str, headers: dict[str, str]) -> None:
    made, lane = batches(**{SECRET: KEY})
    with pytest.raises(PromiseError, match="not signed with it"):
        made.heard(payload, headers)
    assert lane.count == 0


def test_without_a_secret_nothing_is_believed() -> None:
    made, _ = batches()
    with pytest.raises(PromiseError, match=f"set {SECRET}"):
        made.heard(TOLD, signed(TOLD))
