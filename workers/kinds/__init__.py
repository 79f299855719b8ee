"""The workers that ship with the project, one specialised kind per file; the sample plans run on them.

The pools are attributes of this module, each imported when it is first asked for: naming the module costs next to
nothing, and a plan pays only for the kinds it uses.
"""

from importlib import import_module
from typing import Final

#: Attribute -> module and name. Attributes have a suffix because a module, once imported, is an attribute too.
POOLS: Final = {
    "analyst_pool": ("analyst", "analyst"),
    "critic_pool": ("critic", "critic"),
    "data_pool": ("data", "data"),
    "dependencies_pool": ("dependencies", "dependencies"),
    "documents_pool": ("documents", "documents"),
    "entry_points_pool": ("entry_points", "entry_points"),
    "house_pool": ("house", "house"),
    "imports_pool": ("imports", "imports"),
    "licence_texts_pool": ("licence_texts", "licence_texts"),
    "licences_pool": ("licences", "licences"),
    "packages_pool": ("packages", "packages"),
    "reports_pool": ("report", "reports"),
    "research_pool": ("research", "research"),
    "scanners_pool": ("findings", "scanners"),
    "sizes_pool": ("sizes", "sizes"),
    "verifiers_pool": ("verifiers", "verifiers"),
    "writer_pool": ("writer", "writer"),
}
__all__ = sorted(POOLS)  # noqa: PLE0605  # one list, kept in one place


def __getattr__(name: str) -> object:
    """The pool of that name, imported now."""
    if name not in POOLS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, pool = POOLS[name]
    return getattr(import_module(f"{__name__}.{module}"), pool)


def __dir__() -> list[str]:
    return sorted([*globals(), *POOLS])
