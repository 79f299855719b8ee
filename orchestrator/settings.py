"""Frozen settings: flag over environment over `.env` over `[tool.orchestrator]` in pyproject.toml over default."""

from pathlib import Path
from typing import Annotated, Final

from pydantic import Field, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    PyprojectTomlConfigSettingsSource,
    SettingsConfigDict,
)

from orchestrator.errors import PromiseError

DEFAULT_STORE: Final = "sqlite:///.orchestrator/journal.db"
DEFAULT_POOLS: Final = ("workers.kinds",)


class Settings(BaseSettings):
    """What a process is told from outside. Names in the environment begin with ORCHESTRATOR_."""

    model_config = SettingsConfigDict(
        env_prefix="ORCHESTRATOR_",
        env_file=".env",
        pyproject_toml_table_header=("tool", "orchestrator"),
        frozen=True,
        extra="ignore",
    )

    store: str = DEFAULT_STORE  #: sqlite:///file or memory:
    transport: str = "memory:"
    pools: Annotated[tuple[str, ...], NoDecode] = DEFAULT_POOLS  #: modules whose Pool objects a run may use
    open_runs_max: Annotated[int, Field(ge=1, le=1_000_000)] = 1_000  #: runs that may be open at once
    drain_s: Annotated[float, Field(ge=0, le=3600)] = 10.0  #: grace for running steps when the engine closes
    journal_bytes_max: Annotated[int, Field(ge=1 << 20)] = 8 << 30  #: size of the journal file
    keep_days: Annotated[float, Field(gt=0)] = 30.0  #: `gc` deletes ended runs that are older
    keep_runs: Annotated[int, Field(ge=0)] = 100  #: `gc` keeps this many of each plan, however old

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
    """The file of a `sqlite:///` store; None for `memory:`.

    Raises:
        PromiseError: another kind of store.
    """
    if store == "memory:":
        return None
    scheme, mark, rest = store.partition(":///")
    if scheme == "sqlite" and mark and rest:
        return Path(rest)
    raise PromiseError(
        f"store {store!r} is not known", "use sqlite:///relative/file, sqlite:////absolute/file or memory:"
    )
