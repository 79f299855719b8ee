"""What SQL stores of webhooks share: columns, and rows as endpoints, notices and deliveries."""

import json
from collections.abc import Iterable
from dataclasses import fields
from typing import Final

from orchestrator.ids import RunId, TenantId
from orchestrator.ports.webhooks import Delivery, Endpoint, Notice, Secret

NOTICE: Final = ", ".join(field.name for field in fields(Notice))
DELIVERY: Final = ", ".join(field.name for field in fields(Delivery))
ENDPOINT: Final = ", ".join(field.name for field in fields(Endpoint))


def endpoint_values(endpoint: Endpoint) -> tuple[object, ...]:
    """An endpoint as its columns; of one that was removed neither address nor secrets are left."""
    gone = endpoint.state == "removed"
    secrets = [] if gone else [[secret.value, secret.until_s] for secret in endpoint.secrets]
    return (
        *(endpoint.id, endpoint.tenant, "" if gone else endpoint.url, json.dumps(secrets)),
        *(json.dumps(endpoint.events), endpoint.run_id, endpoint.state, endpoint.reason, endpoint.created_at_s),
    )


def delivery_values(delivery: Delivery) -> tuple[object, ...]:
    """A delivery as its columns."""
    return tuple(getattr(delivery, field.name) for field in fields(Delivery))


def endpoint_of(row: Iterable[object]) -> Endpoint:
    """The endpoint that a row holds."""
    name, tenant, url, secrets, events, run_id, state, reason, created_at_s = row
    return Endpoint(
        id=str(name),
        tenant=TenantId(str(tenant)),
        url=str(url),
        secrets=tuple(Secret(value=value, until_s=until_s) for value, until_s in json.loads(str(secrets))),
        events=tuple(json.loads(str(events))),
        run_id=None if run_id is None else RunId(str(run_id)),
        state=state,  # type: ignore[arg-type]  # one of the three was written
        reason=str(reason),
        created_at_s=float(str(created_at_s)),
    )


def notice_of(row: Iterable[object]) -> Notice:
    """The notice that a row holds."""
    return Notice(**dict(zip((field.name for field in fields(Notice)), row, strict=True)))  # type: ignore[arg-type]  # columns have the types of the fields


def delivery_of(row: Iterable[object], counted: int = 0) -> Delivery:
    """The delivery that a row holds, with `counted` attempts more."""
    held = dict(zip((field.name for field in fields(Delivery)), row, strict=True))
    held["attempts"] = int(str(held["attempts"])) + counted
    return Delivery(**held)  # type: ignore[arg-type]  # likewise
