"""Facts as bytes and back: the form in which journals keep them. Versioned, strict, without guesses.

A record is a header and, apart from it, a payload (`Fact.PAYLOAD`), both arrays of JSON in the order of the fields:

    header  [codec version, kind, epoch, field, …]
    payload [field, …]; none when every field of it has its default

Positions take half the room of names, and a change of them is caught: `tests/replay` pins every layout, and a changed
one takes a new `CODEC_VERSION` and an upcaster for each kind it changed.
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields, replace
from operator import attrgetter
from typing import Final, Protocol, cast, get_type_hints

from pydantic_core import from_json, to_json

from orchestrator.core.facts import FACTS, Fact
from orchestrator.core.shapes import Shape, shape_of
from orchestrator.core.values import COUNT_BITS_MAX, check_values, json_of
from orchestrator.errors import JournalCorrupt
from orchestrator.ids import RunId

CODEC_VERSION: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """A record between bytes and fact: its kind, and its fields in the order they were written."""

    kind: str
    header: tuple[object, ...]
    payload: tuple[object, ...] | None  #: None: none was written, or it was deleted


Upcaster = Callable[[Parts], Parts]


def _longer(*further: object) -> Upcaster:
    """The header got further fields at its end; until then they were what is given here."""
    return lambda parts: replace(parts, header=(*parts.header, *further))


#: (version a record was written in, its kind then) -> how the next version says the same.
UPCASTERS: Final[dict[tuple[int, str], Upcaster]] = {
    (1, "child.ended"): _longer(0),  # calls
    (1, "child.started"): _longer(None),  # calls
    (1, "model.called"): _longer(  # endpoint, tokens_cached, … first_s, served, entry, why, saved_…
        "", 0, False, False, "", 0.0, 0.0, "", "", "", 0.0, 0.0, 0.0, 0.0
    ),
    (1, "tool.called"): _longer(0.0),  # seconds
    (1, "run.accepted"): _longer(None, 0.0, ""),  # calls, closing, trace
    (1, "run.ended"): _longer(0),  # calls
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """What a stored record says."""

    fact: Fact
    epoch: int
    forgotten: bool  #: the payload was deleted; its fields hold None


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How one kind of fact lies in a record."""

    cls: type[Fact]
    header: tuple[str, ...]
    payload: tuple[str, ...]
    header_values: Callable[[Fact], tuple[object, ...]]
    payload_values: Callable[[Fact], tuple[object, ...]]
    payload_defaults: tuple[object, ...]
    header_shapes: tuple[Shape, ...]
    payload_shapes: tuple[Shape, ...]


class _Make(Protocol):
    def __call__(self, **values: object) -> Fact: ...


class _Change(Protocol):
    def __call__(self, fact: Fact, /, **values: object) -> Fact: ...


def _getter(names: tuple[str, ...]) -> Callable[[Fact], tuple[object, ...]]:
    if not names:
        return lambda _: ()
    get = attrgetter(*names)
    if len(names) == 1:
        return lambda fact: (get(fact),)
    return cast(Callable[[Fact], tuple[object, ...]], get)


def _layout(cls: type[Fact]) -> Layout:
    hints = get_type_hints(cls)
    defaults = {field.name: field.default for field in fields(cls)}
    header = tuple(name for name in defaults if name not in cls.PAYLOAD)
    return Layout(
        cls=cls,
        header=header,
        payload=cls.PAYLOAD,
        header_values=_getter(header),
        payload_values=_getter(cls.PAYLOAD),
        payload_defaults=tuple(defaults[name] for name in cls.PAYLOAD),
        header_shapes=tuple(shape_of(hints[name]) for name in header),
        payload_shapes=tuple(shape_of(hints[name]) for name in cls.PAYLOAD),
    )


_SCALARS: Final = frozenset({int, float, str, bool, type(None)})
LAYOUTS: Final[Mapping[str, Layout]] = {cls.KIND: _layout(cls) for cls in FACTS}


def check_fact(fact: Fact) -> None:
    """Refuse a fact that could not be given back unchanged; see `check_values`. About a microsecond.

    Raises:
        ValueRefused: names the kind of the fact and what is wrong.
    """
    layout = LAYOUTS[fact.KIND]
    check_values(fact.KIND, layout.header_values(fact), COUNT_BITS_MAX)
    if layout.payload:
        payload = layout.payload_values(fact)
        if payload == layout.payload_defaults:
            return
        if len(payload) == 1 and type(payload[0]) in _SCALARS:
            check_values(fact.KIND, payload)
        else:
            json_of(fact.KIND, payload)


def encode(fact: Fact, epoch: int) -> tuple[bytes, bytes | None]:
    """Header and payload of a fact, as UTF-8.

    The types of the fields are those the fact declares, which is for the type checker to see; the values are checked.

    Raises:
        ValueRefused: a value is NaN, infinite, or otherwise none that every store can give back.
    """
    layout = LAYOUTS[fact.KIND]
    header = layout.header_values(fact)
    check_values(fact.KIND, header, COUNT_BITS_MAX)
    head = to_json((CODEC_VERSION, fact.KIND, epoch, *header))
    if not layout.payload:
        return head, None
    payload = layout.payload_values(fact)
    if payload == layout.payload_defaults:
        return head, None
    return head, json_of(fact.KIND, payload)


def decode(run_id: RunId, seq: int, header: bytes, payload: bytes | None, *, had_payload: bool) -> Decoded:
    """The fact a record holds; `had_payload` tells a deleted payload from one that never was.

    Raises:
        JournalCorrupt: not JSON, a kind or version nobody knows, or a field that is missing, too many or mistyped.
    """
    try:
        return _decode(header, payload, had_payload)
    except ValueError as error:
        raise JournalCorrupt(run_id, seq, str(error)) from error


def _decode(header: bytes, payload: bytes | None, had_payload: bool) -> Decoded:
    version, kind, epoch, *values = _array(header, at_least=3)
    if type(version) is not int or type(kind) is not str or type(epoch) is not int:
        raise ValueError("the header does not begin with version, kind and epoch")
    if not 1 <= version <= CODEC_VERSION:
        raise ValueError(f"written in codec version {version}; this release reads 1 to {CODEC_VERSION}")
    body = None if payload is None else tuple(_array(payload))
    parts = Parts(kind=kind, header=tuple(values), payload=body)
    for old in range(version, CODEC_VERSION):
        upcaster = UPCASTERS.get((old, parts.kind))
        parts = parts if upcaster is None else upcaster(parts)
    layout = LAYOUTS.get(parts.kind)
    if layout is None:
        raise ValueError(f"no release up to this one knows the kind {parts.kind!r}")
    found = _fields(layout.header, layout.header_shapes, parts.header)
    if parts.payload is not None:
        found |= _fields(layout.payload, layout.payload_shapes, parts.payload)
    elif had_payload:
        found |= dict.fromkeys(layout.payload)
    elif MISSING in layout.payload_defaults:
        raise ValueError(f"{parts.kind} without the fields {', '.join(layout.payload)}")
    make = cast(_Make, layout.cls)
    return Decoded(fact=make(**found), epoch=epoch, forgotten=had_payload and parts.payload is None)


def _array(text: bytes, at_least: int = 0) -> list[object]:
    found: object = from_json(text, allow_inf_nan=False)
    if type(found) is not list or len(found) < at_least:
        raise ValueError(f"an array of at least {at_least} values was expected")
    return found


def _fields(names: tuple[str, ...], shapes: tuple[Shape, ...], values: tuple[object, ...]) -> dict[str, object]:
    if len(values) != len(names):
        raise ValueError(f"{len(values)} fields instead of the {len(names)} of {', '.join(names)}")
    found: dict[str, object] = {}
    for name, shape, value in zip(names, shapes, values, strict=True):
        try:
            found[name] = shape(value)
        except ValueError as error:
            raise ValueError(f"field {name}: {error}") from None
    return found


def without_payload(fact: Fact) -> Fact:
    """The fact as it reads once its payload is deleted: those fields hold None, whatever their type says."""
    change = cast(_Change, replace)
    return change(fact, **dict.fromkeys(fact.PAYLOAD))
