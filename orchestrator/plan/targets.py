"""Finds where a step runs: the pool, the function and its contract behind what a user names.

Worker functions are known by their `__worker__` attribute alone, because plans must not import workers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from orchestrator.plan.models import JsonSchema
from orchestrator.plan.shapes import refusal, without_titles


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A function of a pool, and what is known of it."""

    pool: str  #: empty when not known
    function: str
    output_schema: JsonSchema | None = None  #: plain JSON, not to be changed
    parameters: list[str] | None = None  #: names of the arguments; None when there may be others
    required: list[str] = field(default_factory=list)  #: names of the arguments without a default


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
    kept = _targets.get(id(worker))
    if kept is None or kept[0] is not worker:
        if len(_targets) >= _KEPT:
            _targets.clear()
        kept = _targets[id(worker)] = (worker, _target(worker, path))
    return kept[1]


_KEPT: Final = 1_024  #: workers that are not looked at again for each step
_targets: dict[int, tuple[object, Target]] = {}  #: by identity: the worker itself, and what is known of it


def _target(worker: object, path: str) -> Target:
    contract = getattr(worker, "contract", None)
    given = _schema(getattr(contract, "input_schema", None))
    properties = given.get("properties", {}) if given is not None else None
    closed = given is not None and isinstance(properties, dict) and not given.get("additionalProperties")
    required = (given or {}).get("required", [])
    return Target(
        pool=pool_name(getattr(worker, "pool", None), path),
        function=str(getattr(worker, "name", "")),
        output_schema=_schema(getattr(contract, "output_schema", None)) or None,  # {} says nothing
        parameters=list(properties) if closed and isinstance(properties, dict) else None,
        required=[str(name) for name in required] if isinstance(required, list) else [],
    )


def _schema(schema: object) -> JsonSchema | None:
    """A copy without titles."""
    return without_titles(schema) if isinstance(schema, Mapping) else None
