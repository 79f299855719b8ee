"""Sessions as text and back: the form in which every store keeps heads and turns."""

from typing import Final

from pydantic import TypeAdapter, ValidationError

from orchestrator.errors import SessionDamaged
from orchestrator.ports.sessions import SessionHead, SessionKey, Turn

_HEAD: Final = TypeAdapter(SessionHead)
_TURN: Final = TypeAdapter(Turn)


def head_text(head: SessionHead) -> str:
    """A head as JSON."""
    return _HEAD.dump_json(head).decode()


def turn_text(turn: Turn) -> str:
    """A turn as JSON."""
    return _TURN.dump_json(turn).decode()


def head_of(key: SessionKey, text: str | bytes) -> SessionHead:
    """The head that a text holds. Raises SessionDamaged: it is none, or another session's."""
    try:
        head = _HEAD.validate_json(text, strict=True)
    except ValidationError as error:
        raise SessionDamaged(key.id, f"its head is damaged ({error.error_count()} mistakes)") from error
    if head.key != key:
        raise SessionDamaged(key.id, "its head is another session's")
    return head


def turn_of(key: SessionKey, number: int, text: str | bytes) -> Turn:
    """The turn that a text holds. Raises SessionDamaged: it is none, or another turn."""
    try:
        turn = _TURN.validate_json(text, strict=True)
    except ValidationError as error:
        raise SessionDamaged(key.id, f"turn {number} is damaged ({error.error_count()} mistakes)") from error
    if turn.number != number:
        raise SessionDamaged(key.id, f"turn {number} is missing: turn {turn.number} lies in its place")
    return turn


def is_next(head: SessionHead, turns: int, over: SessionHead | None) -> None:
    """Refuse a write that does not follow from what it replaces: our bug, never a caller's.

    Raises:
        ValueError: the version or the number of turns does not go on, or it is another session.
    """
    before, counted = (over.version, over.turns) if over is not None else (0, 0)
    if head.version != before + 1 or head.turns != counted + turns:
        raise ValueError(f"version {head.version} with {head.turns} turns does not follow version {before}")
    if over is not None and (over.key != head.key or over.stamp == head.stamp):
        raise ValueError("the session to write is not the one that was read, or has its stamp")
