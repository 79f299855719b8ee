"""Pool `dependencies`: who pulls in whom, which requirements are not met, and where the requirements run in circles."""

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from workers.kinds.context import Context
from workers.kinds.distributions import discover, normalise
from workers.kinds.records import Chain, Dependencies, Metadata, Unmet
from workers.pool import Pool

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet

REQUIRES_MAX: Final = 2_000  #: requirements read per distribution
Edges = dict[str, dict[str, None]]  #: key -> keys it needs, in the order of the metadata

dependencies = Pool("dependencies", concurrency=2, isolation="thread")


@dependencies.worker
def trace_dependencies(ctx: Context, packages: list[Metadata]) -> Dependencies:
    """Shortest path from a root to each distribution, with markers and extras evaluated for this interpreter.

    A root is what nothing else needs; of a circle that nothing outside needs, its first name. Extras count once
    somebody
    asks for them. Source of the evaluation: PEP 508, by the `packaging` library.
    """
    by_key = {package.key: package for package in packages}
    edges, unmet, unreadable = _edges(by_key)
    needed_by: Edges = {key: {} for key in by_key}
    for key, needs in edges.items():
        for need in needs:
            needed_by[need].setdefault(key)
    circles = cycles(edges)
    roots = [key for key in sorted(by_key) if not needed_by[key]]
    roots += [
        circle[0] for circle in circles if not any(needer not in circle for key in circle for needer in needed_by[key])
    ]
    paths = shortest_paths(edges, sorted(roots))
    chains = [Chain(key=key, path=paths[key], required_by=sorted(needed_by[key])) for key in sorted(by_key)]
    return Dependencies(roots=sorted(roots), chains=chains, cycles=circles, unmet=unmet, unreadable=unreadable)


def _edges(by_key: Mapping[str, Metadata]) -> tuple[Edges, list[Unmet], list[str]]:
    """Follow every requirement whose marker holds; extras asked for anywhere are followed as well, until nothing is
    new."""
    from packaging.requirements import InvalidRequirement, Requirement

    read: dict[str, list[Requirement]] = {}
    unreadable: list[str] = []
    for key, package in by_key.items():
        read[key] = []
        for text in package.requires[:REQUIRES_MAX]:
            try:
                read[key].append(Requirement(text))
            except InvalidRequirement:
                unreadable.append(f"{package.name}: {text[:200]}")
    versions = _installed() | {key: package.version for key, package in by_key.items()}
    edges: Edges = {key: {} for key in by_key}
    unmet: dict[tuple[str, str], Unmet] = {}
    todo = deque((key, "") for key in sorted(by_key))
    done = set(todo)
    while todo:
        key, extra = todo.popleft()
        for requirement in read[key]:
            if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
                continue
            if extra and (requirement.marker is None or requirement.marker.evaluate({"extra": ""})):
                continue  # holds without the extra, and was followed then
            need = normalise(requirement.name)
            if reason := _unmet(requirement.specifier, versions.get(need)):
                unmet.setdefault((key, str(requirement)), Unmet(key=key, requirement=str(requirement), reason=reason))
            if need not in by_key:
                continue
            if need != key:
                edges[key].setdefault(need)
            for wish in sorted(requirement.extras):
                if (need, normalise(wish)) not in done:
                    done.add((need, normalise(wish)))
                    todo.append((need, wish))
    return edges, list(unmet.values()), unreadable


def _installed() -> dict[str, str]:
    """Version by key of everything installed, audited or not, by the names of their directories; the first counts."""
    found: dict[str, str] = {}
    for installed in discover():
        name, _, version = installed.info.stem.partition("-")
        found.setdefault(normalise(name), version)
    return found


def _unmet(specifier: "SpecifierSet", installed: str | None) -> str:
    """Why the version that is installed does not do; empty when it does."""
    from packaging.version import InvalidVersion, Version

    if installed is None:
        return "not installed here"
    try:
        version = Version(installed)
    except InvalidVersion:
        return f"{installed!r} is installed, which is no version by PEP 440"
    return "" if specifier.contains(version, prereleases=True) else f"{installed} is installed"


def shortest_paths(edges: Edges, roots: list[str]) -> dict[str, list[str]]:
    """Keys from the nearest root to each key, breadth first, so that the path is a shortest one."""
    paths = {root: [root] for root in roots}
    todo = deque(roots)
    while todo:
        key = todo.popleft()
        for need in edges[key]:
            if need not in paths:
                paths[need] = [*paths[key], need]
                todo.append(need)
    return paths


def cycles(edges: Edges) -> list[list[str]]:
    """Groups of more than one that all need each other. Tarjan's algorithm (SIAM J. Comput. 1972), without
    recursion."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    held: list[str] = []
    groups: list[list[str]] = []
    for start in sorted(edges):
        if start in index:
            continue
        index[start] = low[start] = len(index)
        held.append(start)
        work = [(start, iter(edges[start]))]
        while work:
            key, needs = work[-1]
            need = next(needs, None)
            if need is None:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[key])
                if low[key] == index[key]:
                    group = held[held.index(key) :]
                    del held[held.index(key) :]
                    if len(group) > 1:
                        groups.append(sorted(group))
            elif need not in index:
                index[need] = low[need] = len(index)
                held.append(need)
                work.append((need, iter(edges[need])))
            elif need in held:
                low[key] = min(low[key], index[need])
    return sorted(groups)
