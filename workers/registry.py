"""The pools a process knows: collected from modules that the host names, never from a plan."""

import importlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final

from orchestrator.errors import PromiseError
from orchestrator.plan.catalogue import FunctionContract
from workers.pool import Pool

DEFAULT_MODULE: Final = "workers.kinds"


class Registry:
    """Pools by name. Also the catalogue that plans are checked against.

    Raises:
        PromiseError: two different pools have one name.
    """

    def __init__(self, pools: Iterable[Pool] = ()) -> None:
        self._pools: dict[str, Pool] = {}
        for pool in pools:
            self.add(pool)

    @classmethod
    def from_modules(cls, modules: Iterable[str] = ()) -> "Registry":
        """The pools at the top level of the named modules; without a name those of `workers.kinds`.

        Raises:
            PromiseError: a module cannot be imported or holds no pool, or two pools have one name.
        """
        registry = cls()
        for name in list(modules) or [DEFAULT_MODULE]:
            for pool in _pools_of(name):
                registry.add(pool)
        return registry

    def add(self, pool: Pool) -> None:
        """Take in a pool. Adding the same one again changes nothing.

        Raises:
            PromiseError: another pool has its name.
        """
        known = self._pools.setdefault(pool.name, pool)
        if known is not pool:
            raise PromiseError(f"two pools are named {pool.name!r}", "rename one, or name only one of their modules")

    def __iter__(self) -> Iterator[Pool]:
        return iter(self._pools.values())

    def __len__(self) -> int:
        return len(self._pools)

    def get(self, name: str) -> Pool:
        """The pool of this name.

        Raises:
            PromiseError: there is none.
        """
        try:
            return self._pools[name]
        except KeyError:
            have = ", ".join(sorted(self._pools)) or "none"
            raise PromiseError(f"no pool is named {name!r}", f"known are {have}; --pools MODULE adds more") from None

    # ---- the catalogue

    def pools(self) -> Collection[str]:
        """Names of all pools."""
        return self._pools.keys()

    def functions(self, pool: str) -> Mapping[str, FunctionContract]:
        """Contracts of a pool's functions, by name; empty for an unknown pool."""
        known = self._pools.get(pool)
        return {} if known is None else {name: spec.contract for name, spec in known.functions.items()}

    def has_agent(self, pool: str) -> bool:
        """Whether `task` steps can run in the pool."""
        known = self._pools.get(pool)
        return known is not None and known.agent_handler is not None

    def check_ready(self, pool: str, function: str | None) -> bool:
        """Whether a function of the pool, or what runs its `task` steps, asks a model.

        Raises:
            PromiseError: it cannot work in this process.
        """
        known = self._pools.get(pool)
        spec = None if known is None else known.agent_handler if function is None else known.functions.get(function)
        if spec is not None and spec.ready is not None:
            spec.ready()
        return spec is not None and spec.needs_model


def _pools_of(module: str) -> list[Pool]:
    try:
        loaded = importlib.import_module(module)
    except Exception as error:  # the module's own code may raise anything
        raise PromiseError(
            f"the pools module {module!r} cannot be imported: {type(error).__name__}: {error}",
            "name a module that `python -c 'import ...'` finds from here, with dots and without .py",
        ) from error
    # By `dir`, so that a module may import its pools when they are first asked for (PEP 562).
    values = (getattr(loaded, name, None) for name in dir(loaded))
    found: dict[int, Pool] = {id(value): value for value in values if isinstance(value, Pool)}
    if not found:
        raise PromiseError(
            f"the module {module!r} holds no Pool", "name the module whose top level has `pool = Pool(...)`"
        )
    return list(found.values())
