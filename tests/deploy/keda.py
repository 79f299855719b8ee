"""The part of KEDA's custom resources that deploy/ uses, as JSON Schema; every other word is refused.

From KEDA's reference of ScaledObject and TriggerAuthentication, and of the scalers redis-streams and metrics-api.
"""

from orchestrator.ids import JsonValue

Schema = dict[str, JsonValue]


def closed(required: list[str], **properties: JsonValue) -> Schema:
    return {"type": "object", "additionalProperties": False, "required": [*required], "properties": properties}


COUNT: Schema = {"type": "string", "pattern": "^[1-9][0-9]*$"}  # metadata of triggers is text
META: Schema = {"type": "object", "required": ["name"]}
STREAM_METADATA: Schema = {
    **closed(
        ["stream", "consumerGroup"],
        stream={"type": "string", "minLength": 1}, consumerGroup={"type": "string", "minLength": 1},
        lagCount=COUNT, pendingEntriesCount=COUNT,
    ),
    "oneOf": [{"required": ["lagCount"]}, {"required": ["pendingEntriesCount"]}],  # never both in one trigger
}  # fmt: skip
API_METADATA = closed(
    ["url", "valueLocation", "targetValue"],
    url={"type": "string", "pattern": "^http://"}, valueLocation={"type": "string"}, targetValue=COUNT,
)  # fmt: skip


def trigger(kind: str, metadata: Schema, *required: str) -> Schema:
    return closed(
        ["type", "metadata", *required],
        type={"const": kind}, metadata=metadata, authenticationRef=closed(["name"], name={"type": "string"}),
    )  # fmt: skip


SCALED_OBJECT = closed(
    ["apiVersion", "kind", "metadata", "spec"],
    apiVersion={"const": "keda.sh/v1alpha1"}, kind={"const": "ScaledObject"}, metadata=META,
    spec=closed(
        ["scaleTargetRef", "minReplicaCount", "maxReplicaCount", "pollingInterval", "cooldownPeriod", "triggers"],
        scaleTargetRef=closed(
            ["name"], apiVersion={"type": "string"}, kind={"type": "string"}, name={"type": "string"},
        ),
        minReplicaCount={"type": "integer", "minimum": 0}, maxReplicaCount={"type": "integer", "minimum": 1},
        pollingInterval={"type": "integer", "minimum": 1}, cooldownPeriod={"type": "integer", "minimum": 0},
        advanced={"type": "object"},
        triggers={
            "type": "array", "minItems": 1,
            "items": {"oneOf": [
                trigger("redis-streams", STREAM_METADATA, "authenticationRef"), trigger("metrics-api", API_METADATA),
            ]},
        },
    ),
)  # fmt: skip

AUTHENTICATION = closed(
    ["apiVersion", "kind", "metadata", "spec"],
    apiVersion={"const": "keda.sh/v1alpha1"}, kind={"const": "TriggerAuthentication"}, metadata=META,
    spec=closed(
        ["secretTargetRef"],
        secretTargetRef={"type": "array", "items": closed(
            ["parameter", "name", "key"],
            parameter={"enum": ["address", "username", "password"]}, name={"type": "string"}, key={"type": "string"},
        )},
    ),
)  # fmt: skip
