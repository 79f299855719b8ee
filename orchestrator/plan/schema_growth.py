"""How often a recursive JSON Schema may look at one value: unions inside recursion double the looks at every level.

A schema without recursion looks a fixed number of times. One whose union has two members that both lead back to it
looks `growth` times as often at each level down; 14 levels took seconds.
"""

from collections import Counter
from collections.abc import Callable, Iterator

from orchestrator.ids import JsonValue

__all__ = ["depth_of", "growth"]

Schema = dict[str, JsonValue]
_LIST = ("items", "contains", "unevaluatedItems")
_ANY_MEMBER = ("additionalProperties", "unevaluatedProperties")


def growth(nodes: list[Schema], same_place: Callable[[Schema], list[Schema]]) -> int:
    """The factor by which looks can multiply per level of a value; 1 for all but strange schemas.

    `nodes` are all subschemas; `same_place` gives the ones that a value meets together with one, `$ref`s followed.
    """
    edges: dict[int, Counter[tuple[str, int]]] = {}
    for node in nodes:
        found: Counter[tuple[str, int]] = Counter()
        todo = [node]
        while todo:
            one = todo.pop()
            found.update((key, id(below)) for key, below in _below(one))
            todo.extend(same_place(one))
        edges[id(node)] = found
    # Only what lies on a circle, or between two, can multiply without end: peel off everything else.
    alive = set(edges)
    while True:
        aims = {below for node in alive for _, below in edges[node] if below in alive}
        kept = {node for node in alive & aims if any(below in alive for _, below in edges[node])}
        if kept == alive:
            break
        alive = kept
    return max((_most(edges[node], alive) for node in alive), default=1)


def _most(found: Counter[tuple[str, int]], alive: set[int]) -> int:
    """How many of the schemas below meet the same part of a value, at most."""
    by_key: Counter[str] = Counter()
    for (key, below), times in found.items():
        if below in alive:
            by_key[key] += times
    named = max((times for key, times in by_key.items() if key.startswith(".")), default=0)
    return max(by_key["[]"], named + by_key["*"], 1)


def _below(schema: Schema) -> Iterator[tuple[str, Schema]]:
    """The schemas that members and items of a value meet: `.name`, `*` for any member, `[]` for items."""
    for key in _LIST:
        if isinstance(one := schema.get(key), dict):
            yield "[]", one
    for one in _listed(schema.get("prefixItems")):
        yield "[]", one
    for key in _ANY_MEMBER:
        if isinstance(one := schema.get(key), dict):
            yield "*", one
    patterns = schema.get("patternProperties")
    for one in _listed(list(patterns.values()) if isinstance(patterns, dict) else None):
        yield "*", one
    properties = schema.get("properties")
    for name, below in properties.items() if isinstance(properties, dict) else ():
        if isinstance(below, dict):
            yield f".{name}", below


def _listed(value: JsonValue) -> Iterator[Schema]:
    yield from (one for one in value if isinstance(one, dict)) if isinstance(value, list) else ()


def depth_of(value: JsonValue) -> int:
    """Nesting of a value: 0 for a text or number."""
    level: list[JsonValue] = [value]
    depth = -1
    while level:
        depth += 1
        level = [
            below
            for one in level
            if isinstance(one, dict | list)
            for below in (one.values() if isinstance(one, dict) else one)
        ]
    return depth
