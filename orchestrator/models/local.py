"""Settings for a model on this machine: every role is that one model, and it costs nothing."""

from typing import Final

from orchestrator.settings import EndpointSettings, GatewaySettings, ModelSettings

LOCAL: Final = "local"  #: name of its endpoint
LOCAL_KEY: Final = "ORCHESTRATOR_LOCAL_MODEL_KEY"  #: variable that holds its key while it serves


def settings_for(base_url: str, name: str, *, slots: int) -> GatewaySettings:
    """All tiers on one small model. It is free, serves `slots` requests at once, and answers the same twice."""
    endpoint = EndpointSettings(
        base_url=base_url, api_key_env=LOCAL_KEY, concurrency=slots, structured="schema", tokens_field="max_tokens"
    )
    model = (ModelSettings(model=name, endpoint=LOCAL, free=True, temperature=0.0),)
    return GatewaySettings(
        endpoints={LOCAL: endpoint}, tiers={"cheap": model, "standard": model, "strong": model}, tries=2
    )
