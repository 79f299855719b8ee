"""What the plan layer may know of workers: which pools there are, and the contract of each function."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from orchestrator.ids import Digest, JsonValue


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionContract:
    """What a function takes and returns, as JSON Schema (2020-12)."""

    name: str
    input_schema: dict[str, JsonValue]  #: of an object with one property per argument
    output_schema: dict[str, JsonValue]  #: `{}` when the function says nothing
    digest: Digest  #: of both schemas without titles, descriptions and defaults
    effect_key: bool = False  #: the function honours an idempotency key: the same key twice has one effect


class PoolCatalogue(Protocol):
    """The pools that a plan may name."""

    def pools(self) -> Collection[str]:
        """Names of all pools."""
        ...

    def functions(self, pool: str) -> Mapping[str, FunctionContract]:
        """Contracts of a pool's functions, by name; empty for an unknown pool."""
        ...

    def has_agent(self, pool: str) -> bool:
        """Whether `task` steps can run in the pool."""
        ...
