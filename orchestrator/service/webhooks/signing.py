"""Signatures of messages by Standard Webhooks, and the secrets they are made with."""

import base64
import secrets
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from standardwebhooks.webhooks import Webhook

from orchestrator.ids import TenantId
from orchestrator.ports.webhooks import Endpoint, Secret, Webhooks

SECRET_BYTES: Final = 32  #: Standard Webhooks asks for 24 to 64
SECRETS_MAX: Final = 2  #: that sign at once
OVERLAP_S: Final = 86_400.0  #: an old secret goes on signing for a day, unless another time is asked for
OVERLAP_S_MAX: Final = 30 * 86_400.0

CALLBACK: Final = "callback"  #: in the events of a webhook: its secret signs what single runs tell their own address
UNSIGNED: Final = "there is no webhook whose secret could sign"


async def signer(store: Webhooks, tenant: TenantId) -> Endpoint | None:
    """The webhook whose secrets sign callbacks of single runs: the oldest for that purpose, else the oldest."""
    found = [one for one in await store.endpoints(tenant) if one.state == "active"]
    return next((one for one in found if CALLBACK in one.events), found[0] if found else None)


def new_secret() -> Secret:
    """A secret that signs without end."""
    return Secret(value="whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode())


def rotated(held: Iterable[Secret], now_s: float, overlap_s: float) -> tuple[Secret, ...]:
    """A new secret, and the newest one before it for `overlap_s` seconds more. Older ones are dropped at once."""
    before = next((one for one in held if signs(one, now_s)), None)
    if before is None or overlap_s <= 0:
        return (new_secret(),)
    return (new_secret(), replace(before, until_s=now_s + overlap_s))


def signs(secret: Secret, now_s: float) -> bool:
    """Whether a secret is in force."""
    return secret.until_s is None or now_s < secret.until_s


def signed_headers(message_id: str, now_s: float, body: str, held: Iterable[Secret]) -> dict[str, str]:
    """The three headers of a message: id, the moment of this attempt, one signature for each secret in force.

    Source: Standard Webhooks 1.0, "Webhook Signature".
    """
    at = datetime.fromtimestamp(int(now_s), UTC)
    signatures = [Webhook(one.value).sign(message_id, at, body) for one in held if signs(one, now_s)]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now_s)),
        "webhook-signature": " ".join(signatures),
        "Content-Type": "application/json",
        "User-Agent": "hierarchical-orchestrator",
    }
