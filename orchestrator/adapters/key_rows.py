"""A key as a row of a database, and back: what two adapters write alike."""

import json
from collections.abc import Sequence
from dataclasses import fields
from typing import Final, cast

from orchestrator.errors import JournalError
from orchestrator.ids import TenantId
from orchestrator.ports.keys import SCOPES, ApiKey, Caps, Scope
from orchestrator.ports.tasks import LANES, Lane

COLUMNS: Final = "id, name, tenant, scopes, digest, created_at_s, caps, expires_at_s, revoked_at_s"
Row = tuple[str, str, str, str, str, float, str, float | None, float | None]


def row_of(key: ApiKey) -> Row:
    """The values of `COLUMNS`; scopes and caps as JSON."""
    caps = {one.name: getattr(key.caps, one.name) for one in fields(Caps) if getattr(key.caps, one.name) is not None}
    return (
        key.id, key.name, key.tenant, json.dumps(key.scopes), key.digest, key.created_at_s,
        json.dumps(caps, sort_keys=True), key.expires_at_s, key.revoked_at_s,
    )  # fmt: skip


def key_of(row: Sequence[object]) -> ApiKey:
    """The key of a row.

    Raises:
        JournalError: a scope, a lane or a cap is none that this release knows.
    """
    key_id, name, tenant, scopes, digest, created, caps, expires, revoked = cast(Row, tuple(row))
    read_scopes, read_caps = json.loads(scopes), json.loads(caps)
    lanes = read_caps.pop("lanes", None)
    known = {one.name for one in fields(Caps)}
    if not set(read_scopes) <= set(SCOPES) or not set(lanes or ()) <= set(LANES) or not set(read_caps) <= known:
        raise JournalError(f"the key {key_id} allows what this release does not know; use a newer release")
    return ApiKey(
        id=key_id,
        name=name,
        tenant=TenantId(tenant),
        scopes=cast(tuple[Scope, ...], tuple(read_scopes)),
        digest=digest,
        created_at_s=created,
        caps=Caps(**read_caps, lanes=cast(tuple[Lane, ...], tuple(lanes)) if lanes is not None else None),
        expires_at_s=expires,
        revoked_at_s=revoked,
    )
