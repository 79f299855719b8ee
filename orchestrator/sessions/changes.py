"""How a session goes from one version to the next. Pure: time, ids and stamps are handed in."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from orchestrator.errors import IdempotencyConflict, SessionBusy, SessionChanged, SessionFull, SessionNotFound
from orchestrator.ids import Digest, RunId
from orchestrator.plan.facts_kept import Fact
from orchestrator.ports.sessions import AskedBefore, OpenTurn, SessionHead, SessionKey, Summary, Turn, TurnStatus
from orchestrator.sessions.window import bytes_of, cut_to, tokens_of
from orchestrator.settings import SessionSettings

KEYS_MAX: Final = 64  #: idempotency keys that a session remembers, the newest
BUSY_S: Final = 1.0  #: advice to whoever is refused while a turn is open


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What a user says, before it has a place in the conversation."""

    content: str
    run_id: RunId
    at_s: float
    key: str = ""
    request: Digest | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """How the run of a turn has ended."""

    run_id: RunId
    content: str
    status: TurnStatus
    at_s: float
    tokens: int = 0
    usd: float = 0.0


def new_session(key: SessionKey, now_s: float) -> SessionHead:
    """A session that nobody has written yet: version 0."""
    return SessionHead(key=key, stamp="", version=0, created_at_s=now_s, updated_at_s=now_s, expires_at_s=now_s)


def asked_before(head: SessionHead | None, ask: Ask) -> RunId | None:
    """The run that the idempotency key of an ask stands for; None: it has none, or it is new.

    Raises:
        IdempotencyConflict: the key stands for another request.
    """
    if head is None or not ask.key:
        return None
    known = {one.key: (one.request, one.run_id) for one in head.asked}
    if head.open is not None and head.open.key:
        known[head.open.key] = head.open.request or Digest(""), head.open.run_id
    if ask.key not in known:
        return None
    request, run_id = known[ask.key]
    if request != ask.request:
        raise IdempotencyConflict(ask.key, run_id)
    return run_id


def check_version(key: SessionKey, head: SessionHead | None, expected: str | None) -> None:
    """Refuse a change of something else than the caller has seen.

    Raises:
        SessionChanged: the session is in another version, or is not there.
    """
    if expected is not None and (head is None or head.etag != expected):
        raise SessionChanged(key.id, expected, head.etag if head is not None else "0: it is not there")


def opened(head: SessionHead, ask: Ask, settings: SessionSettings) -> SessionHead:
    """The session with a turn that waits for its answer.

    Raises:
        SessionBusy: another one waits.
        SessionFull: the turn is too long, or one too many.
    """
    if head.open is not None:
        raise SessionBusy(head.key.id, head.open.run_id, BUSY_S)
    if head.turns + 2 > settings.turns_max:
        raise SessionFull(head.key.id, "turns_max", settings.turns_max)
    check_size(head.key, ask.content, settings)
    turn = OpenTurn(content=ask.content, run_id=ask.run_id, at_s=ask.at_s, key=ask.key, request=ask.request)
    return replace(head, open=turn)


def check_size(key: SessionKey, content: str, settings: SessionSettings) -> None:
    """Refuse a turn that no window could hold. Raises SessionFull."""
    if bytes_of(content) > settings.turn_bytes_max:
        raise SessionFull(key.id, "turn_bytes_max", settings.turn_bytes_max)


def withdrawn(head: SessionHead, run_id: RunId) -> SessionHead | None:
    """The session without an open turn whose run was refused; None: it has none of that run."""
    return replace(head, open=None) if head.open is not None and head.open.run_id == run_id else None


def answered(
    head: SessionHead, answer: Answer, settings: SessionSettings
) -> tuple[SessionHead, tuple[Turn, Turn]] | None:
    """The session with the open turn and its answer as two turns; None: that turn is not open (any more)."""
    turn = head.open
    if turn is None or turn.run_id != answer.run_id:
        return None
    number = head.turns + 1
    said = Turn(
        number=number,
        role="user",
        content=turn.content,
        run_id=turn.run_id,
        at_s=turn.at_s,
        tokens=tokens_of(turn.content),
    )
    told = Turn(
        number=number + 1,
        role="assistant",
        content=cut_to(answer.content, settings.turn_bytes_max, answer.run_id),
        run_id=answer.run_id,
        at_s=answer.at_s,
        tokens=answer.tokens,
        usd=answer.usd,
        status=answer.status,
    )
    asked = head.asked
    if turn.key and turn.request is not None:
        asked = (*asked, AskedBefore(key=turn.key, request=turn.request, run_id=turn.run_id, number=number))
    changed = replace(
        head,
        open=None,
        turns=number + 1,
        asked=asked[-KEYS_MAX:],
        usd=head.usd + answer.usd,
        tokens=head.tokens + answer.tokens,
    )
    return changed, (said, told)


def pinned(head: SessionHead, fact: Fact, settings: SessionSettings) -> SessionHead | None:
    """The session with one fact more; None: it is pinned already.

    Raises:
        SessionFull: there are too many, or they are too long together.
    """
    if fact in head.facts:
        return None
    facts = (*(one for one in head.facts if one.text != fact.text), fact)
    if len(facts) > settings.facts_max:
        raise SessionFull(head.key.id, "facts_max", settings.facts_max)
    if sum(bytes_of(one.text) for one in facts) > settings.facts_bytes_max:
        raise SessionFull(head.key.id, "facts_bytes_max", settings.facts_bytes_max)
    return replace(head, facts=facts)


def unpinned(head: SessionHead, text: str) -> SessionHead | None:
    """The session without a fact; None: it was not pinned."""
    facts = tuple(one for one in head.facts if one.text != text)
    return replace(head, facts=facts) if len(facts) != len(head.facts) else None


def summarised(head: SessionHead, summary: Summary) -> SessionHead:
    """The session with another summary."""
    return replace(head, summary=summary)


def stamped(head: SessionHead, *, stamp: str, now_s: float, ttl_s: float) -> SessionHead:
    """A changed session as its next version. Time never goes back in it, whatever the clocks of several hosts say."""
    at_s = max(now_s, head.updated_at_s)
    return replace(head, stamp=stamp, version=head.version + 1, updated_at_s=at_s, expires_at_s=at_s + ttl_s)


def must_be(key: SessionKey, head: SessionHead | None) -> SessionHead:
    """The session. Raises SessionNotFound: there is none."""
    if head is None:
        raise SessionNotFound(key.id)
    return head


def with_open(head: SessionHead, turns: Sequence[Turn], after: int) -> list[Turn]:
    """Turns above `after` as they are shown: the open one is the last, where `turns` reach that far."""
    turn, last = head.open, turns[-1].number if turns else after
    if turn is None or last != head.turns:
        return list(turns)
    waiting = Turn(
        number=head.turns + 1,
        role="user",
        content=turn.content,
        run_id=turn.run_id,
        at_s=turn.at_s,
        tokens=tokens_of(turn.content),
    )
    return [*turns, waiting]
