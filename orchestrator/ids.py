"""Typed ids and the JSON value type: the vocabulary every other file shares."""

from typing import NewType

from pydantic import JsonValue

__all__ = ["ArtifactDigest", "Digest", "JsonValue", "PoolName", "RunId", "SessionId", "StepId", "TenantId", "WorkerId"]

RunId = NewType(
    "RunId", str
)  #: one execution; sortable by time (UUID version 7), or `parent.step[branch]` for a sub-plan
StepId = NewType("StepId", str)  #: a step's key in its plan
PoolName = NewType("PoolName", str)  #: a capability: where a step runs
WorkerId = NewType("WorkerId", str)  #: one worker, unique per process start
TenantId = NewType("TenantId", str)  #: whose data a row is; `default` in a single-tenant installation
SessionId = NewType("SessionId", str)  #: one conversation of a tenant; chosen by whoever begins it
Digest = NewType("Digest", str)  #: `sha256:` and 64 hex digits, of canonical JSON
ArtifactDigest = NewType("ArtifactDigest", str)  #: `sha256:` and 64 hex digits, of an artifact's bytes
