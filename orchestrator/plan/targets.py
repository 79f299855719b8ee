"""Finds where a step runs: the pool, the function and its contract behind what a user names.

Worker functions are known by their `__worker__` attribute alone, because plans must not import workers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from orchestrator.ids import JsonValue
from orchestrator.plan.models import JsonSchema
from orchestrator.plan.shapes import refusal, without_titles


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A function of a pool, and what is known of it."""

    pool: str  #: empty when not known
    function: str
    input_schema: Mapping[str, JsonValue] | None = None  #: None when the function is only named
    output_schema: JsonSchema | None = field(default=None)

    def parameters(self) -> list[str] | None:
        """Names of the arguments; None when there may be others."""
        schema = self.input_schema
        properties = schema.get("properties", {}) if schema is not None else None
        if schema is None or not isinstance(properties, dict) or schema.get("additionalProperties"):
            return None
        return list(properties)

    def required(self) -> list[str]:
        """Names of the arguments without a default."""
        required = (self.input_schema or {}).get("required", [])
        return [str(name) for name in required] if isinstance(required, list) else []


_POOL_REMEDY: Final = "a pool's name, or the Pool itself"


def pool_name(pool: object, path: str) -> str:
    """The name of a pool that is given by name, as a pool, or as something that belongs to one.

    Raises:
        PlanError: it is none of these.
    """
    if isinstance(pool, str):
        return pool
    name = getattr(pool, "pool", None) or getattr(pool, "name", None)
    if name is not None and not isinstance(name, str):
        name = getattr(name, "name", None)
    if not isinstance(name, str):
        raise refusal(f"{pool!r} is no pool", path=path, expected=_POOL_REMEDY)
    return name


def target_of(fn: object, path: str, *, needs_pool: bool = True) -> Target:
    """The target behind a worker function, or behind `"pool.function"`.

    Raises:
        PlanError: neither; or the pool is missing and `needs_pool`.
    """
    if isinstance(fn, str):
        pool, dot, function = fn.rpartition(".")
        if not dot and needs_pool:
            raise refusal(f"{fn!r} names no pool", path=path, expected=f'"pool.{fn}", or pool=…')
        return Target(pool=pool, function=function)
    worker = getattr(fn, "__worker__", None)
    if worker is None:
        raise refusal(
            f"{getattr(fn, '__name__', fn)!r} is no worker function",
            path=path,
            expected='a function under @pool.worker, or "pool.function"',
        )
    contract = getattr(worker, "contract", None)
    return Target(
        pool=pool_name(worker.pool, path),
        function=str(worker.name),
        input_schema=_schema(getattr(contract, "input_schema", None)),
        output_schema=_schema(getattr(contract, "output_schema", None)) or None,  # {} says nothing
    )


_KEPT: Final = 1_024  #: schemas of workers that are not copied again for each step
_copies: dict[int, tuple[Mapping[str, JsonValue], JsonSchema]] = {}  #: by identity: the schema itself, and its copy


def _schema(schema: object) -> JsonSchema | None:
    """A copy without titles, the same one for the same object: contracts do not change."""
    if not isinstance(schema, Mapping):
        return None
    kept = _copies.get(id(schema))
    if kept is None or kept[0] is not schema:
        if len(_copies) >= _KEPT:
            _copies.clear()
        kept = _copies[id(schema)] = (schema, without_titles(schema))
    return kept[1]
