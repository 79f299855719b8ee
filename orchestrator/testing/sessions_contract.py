"""What any store of sessions must do: subclass `SessionsContract`, supply the fixture `sessions`. Needs pytest."""

import itertools
from dataclasses import replace
from typing import Final

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.ids import Digest, RunId, SessionId, TenantId
from orchestrator.plan.facts_kept import fact_of
from orchestrator.ports.sessions import AskedBefore, OpenTurn, SessionHead, SessionKey, Sessions, Summary, Turn

WRITERS: Final = 100
TTL_S: Final = 60.0
_numbers = itertools.count(1)


def key(name: str = "s", tenant: str = "default") -> SessionKey:
    """The key of a session."""
    return SessionKey(tenant=TenantId(tenant), id=SessionId(name))


def begun(where: SessionKey, at_s: float = 0.0, *, stamp: str = "") -> SessionHead:
    """A new session, without turns."""
    return SessionHead(
        key=where,
        stamp=stamp or f"stamp-{next(_numbers)}",
        version=1,
        created_at_s=at_s,
        updated_at_s=at_s,
        expires_at_s=at_s + TTL_S,
    )


def after(head: SessionHead, at_s: float | None = None, *, turns: int = 0) -> SessionHead:
    """The next version of a session, with more turns."""
    now_s = head.updated_at_s if at_s is None else at_s
    return replace(
        head,
        stamp=f"stamp-{next(_numbers)}",
        version=head.version + 1,
        turns=head.turns + turns,
        updated_at_s=now_s,
        expires_at_s=now_s + TTL_S,
    )


def said(number: int, content: str = "x") -> Turn:
    """A turn."""
    role = "user" if number % 2 else "assistant"
    return Turn(number=number, role=role, content=content, run_id=RunId(f"r{number}"), at_s=1.5, tokens=number)  # type: ignore[arg-type]  # one of the two


def full(where: SessionKey) -> SessionHead:
    """A session in which no field has its default."""
    return replace(
        begun(where, 3.25),
        summary=Summary(
            text="Ann said é\u2028☃",
            version=2,
            upto=4,
            missed=1,
            tried_upto=6,
            refused="it lost 40",
            at_s=2.5,
            usd=0.125,
            tokens=99,
        ),
        facts=(fact_of("Ann pays 40 EUR"), fact_of("never on a Sunday", "Sunday")),
        open=OpenTurn(content="and now?", run_id=RunId("r9"), at_s=3.0, key="k", request=Digest("sha256:" + "0" * 64)),
        asked=(AskedBefore(key="j", request=Digest("sha256:" + "1" * 64), run_id=RunId("r1"), number=1),),
        usd=1.5,
        tokens=12,
    )


class SessionsContract:
    """What any store of sessions must do. Subclasses supply the fixture `sessions`: open and empty."""

    async def test_what_was_written_comes_back_whole(self, sessions: Sessions) -> None:
        head = replace(full(key()), turns=2)
        turns = [said(1, 'é\u2028☃ " \\ \n'), replace(said(2), usd=0.5, status="degraded", content="")]

        assert await sessions.write(head, turns, None)

        assert await sessions.read(key(), 4.0) == head
        assert await sessions.turns(key(), 0) == turns

    async def test_a_session_that_never_was_is_not_there(self, sessions: Sessions) -> None:
        assert await sessions.read(key(), 0.0) is None
        assert await sessions.turns(key(), 0) == []
        assert await sessions.page(TenantId("default"), "", 10, 0.0) == []
        assert await sessions.delete(key()) is False
        assert await sessions.write(after(begun(key())), [], begun(key())) is False
        assert await sessions.sweep(0.0) == 0

    async def test_only_the_newest_version_is_written_over(self, sessions: Sessions) -> None:
        first = begun(key())
        assert await sessions.write(first, [], None)
        second = after(first, turns=1)
        assert await sessions.write(second, [said(1)], first)

        assert await sessions.write(after(first, turns=1), [said(1, "late")], first) is False
        assert await sessions.write(begun(key()), [], None) is False

        assert await sessions.read(key(), 0.0) == second
        assert await sessions.turns(key(), 0) == [said(1)]

    @pytest.mark.parametrize("turns", [0, 2])
    async def test_a_write_that_does_not_follow_is_a_bug_of_its_writer(self, sessions: Sessions, turns: int) -> None:
        first = begun(key())
        assert await sessions.write(first, [], None)

        with pytest.raises(ValueError, match="does not follow"):
            await sessions.write(after(first, turns=1), [said(n + 1) for n in range(turns)], first)
        with pytest.raises(ValueError, match="not the one that was read"):
            await sessions.write(replace(after(first), stamp=first.stamp), [], first)
        assert await sessions.read(key(), 0.0) == first

    async def test_a_hundred_writers_at_once_leave_one_order_and_lose_nothing(self, sessions: Sessions) -> None:
        assert await sessions.write(begun(key()), [], None)
        order: list[int] = []

        async def write(number: int) -> None:
            while True:
                head = await sessions.read(key(), 0.0)
                assert head is not None
                mine = said(head.turns + 1, f"by {number}")
                if await sessions.write(after(head, turns=1), [mine], head):
                    order.append(number)
                    return

        async with anyio.create_task_group() as group:
            for number in range(WRITERS):
                group.start_soon(write, number)

        head = await sessions.read(key(), 0.0)
        turns = await sessions.turns(key(), 0)
        assert head is not None
        assert (head.version, head.turns) == (WRITERS + 1, WRITERS)
        assert [turn.number for turn in turns] == list(range(1, WRITERS + 1))
        assert sorted(turn.content for turn in turns) == sorted(f"by {number}" for number in range(WRITERS))
        assert len(order) == WRITERS

    async def test_of_many_who_begin_a_session_one_does(self, sessions: Sessions) -> None:
        written: list[SessionHead] = []

        async def begin(number: int) -> None:
            head = begun(key(), stamp=f"of-{number}")
            if await sessions.write(head, [], None):
                written.append(head)

        async with anyio.create_task_group() as group:
            for number in range(10):
                group.start_soon(begin, number)

        assert [await sessions.read(key(), 0.0)] == written

    async def test_another_tenants_session_does_not_exist(self, sessions: Sessions) -> None:
        mine, theirs = begun(key()), begun(key(tenant="other"))
        assert await sessions.write(replace(mine, turns=1), [said(1, "mine")], None)

        assert await sessions.read(theirs.key, 0.0) is None
        assert await sessions.turns(theirs.key, 0) == []
        assert await sessions.page(TenantId("other"), "", 10, 0.0) == []
        assert await sessions.delete(theirs.key) is False
        assert await sessions.write(after(replace(mine, key=theirs.key)), [], replace(mine, key=theirs.key)) is False
        assert await sessions.write(theirs, [], None)
        assert await sessions.turns(mine.key, 0) == [said(1, "mine")]
        assert await sessions.page(TenantId("default"), "", 10, 0.0) == [replace(mine, turns=1)]

    @pytest.mark.parametrize(
        ("mine", "theirs"),
        [(key("b:c", "a"), key("c", "a:b")), (key("s", "t"), key("s", "T")), (key("", "1"), key("1", ""))],
    )
    async def test_names_that_look_alike_are_apart(
        self, sessions: Sessions, mine: SessionKey, theirs: SessionKey
    ) -> None:
        assert await sessions.write(replace(begun(mine), turns=1), [said(1)], None)

        assert await sessions.read(theirs, 0.0) is None
        assert await sessions.turns(theirs, 0) == []

    async def test_pages_go_through_all_sessions_once_in_the_order_of_their_ids(self, sessions: Sessions) -> None:
        names = ["B", "a", "a-1", "a.b", "z1", "z10", "z2", "é"]
        for name in reversed(names):
            assert await sessions.write(begun(key(name)), [], None)
        found: list[str] = []
        while rows := await sessions.page(TenantId("default"), found[-1] if found else "", 3, 0.0):
            assert len(rows) <= 3
            found += [row.key.id for row in rows]

        assert found == names

    async def test_turns_are_read_in_pieces(self, sessions: Sessions) -> None:
        turns = [said(number) for number in range(1, 8)]
        assert await sessions.write(replace(begun(key()), turns=7), turns, None)

        assert await sessions.turns(key(), 0, 3) == turns[:3]
        assert await sessions.turns(key(), 3, 3) == turns[3:6]
        assert await sessions.turns(key(), 6, 3) == turns[6:]
        assert await sessions.turns(key(), 7, 3) == []
        assert await sessions.turns(key(), 3, 0) == []

    async def test_an_expired_session_does_not_exist_and_the_next_one_has_none_of_its_turns(
        self, sessions: Sessions
    ) -> None:
        old = replace(begun(key()), turns=2)
        assert await sessions.write(old, [said(1, "old"), said(2, "old")], None)

        assert await sessions.read(key(), TTL_S - 0.5) == old
        assert await sessions.read(key(), TTL_S) is None
        assert await sessions.page(TenantId("default"), "", 10, TTL_S) == []
        assert await sessions.write(after(old, TTL_S), [], old) is False

        new = replace(begun(key(), TTL_S), turns=1)
        assert await sessions.write(new, [said(1, "new")], None)
        assert await sessions.read(key(), TTL_S) == new
        assert await sessions.turns(key(), 0) == [said(1, "new")]
        assert await sessions.write(after(old), [], old) is False

    async def test_a_deleted_session_is_gone_with_its_turns_and_stale_writers_do_not_bring_it_back(
        self, sessions: Sessions
    ) -> None:
        old = replace(begun(key()), turns=1)
        assert await sessions.write(old, [said(1)], None)

        assert await sessions.delete(key()) is True

        assert await sessions.delete(key()) is False
        assert await sessions.read(key(), 0.0) is None
        assert await sessions.turns(key(), 0) == []
        assert await sessions.write(after(old), [], old) is False
        assert await sessions.write(begun(key()), [], None)
        assert await sessions.write(after(old), [], old) is False

    async def test_sweeping_takes_away_what_has_expired_and_nothing_else(self, sessions: Sessions) -> None:
        for number in range(5):
            head = replace(begun(key(f"s{number}"), float(number)), turns=1)
            assert await sessions.write(head, [said(1)], None)

        assert await sessions.sweep(TTL_S + 2.0, 2) in {0, 2}  # 0: the server does it by itself
        await sessions.sweep(TTL_S + 2.0)

        rows = await sessions.page(TenantId("default"), "", 10, TTL_S + 2.0)
        assert [row.key.id for row in rows] == ["s3", "s4"]
        assert await sessions.turns(key("s4"), 0) == [said(1)]

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
    @given(
        moves=st.lists(
            st.tuples(
                st.sampled_from(["begin", "write", "stale", "delete", "wait", "expire"]),
                st.sampled_from(["a", "b"]),
                st.integers(0, 3),
            ),
            max_size=25,
        )
    )
    async def test_any_order_of_calls_leaves_what_a_dictionary_would_hold(
        self, sessions: Sessions, moves: list[tuple[str, str, int]]
    ) -> None:
        run, now_s = next(_numbers), 0.0
        held: dict[str, tuple[SessionHead, list[Turn]]] = {}
        past: dict[str, list[SessionHead]] = {"a": [], "b": []}
        for move, name, count in moves:
            where = key(f"{name}-{run}")
            live = name in held and held[name][0].expires_at_s > now_s
            if not live:
                held.pop(name, None)
            match move:
                case "begin":
                    head = begun(where, now_s)
                    assert await sessions.write(head, [], None) is not live
                    if not live:
                        held[name] = head, []
                        past[name].append(head)
                case "write" if live:
                    before, turns = held[name]
                    more = [said(before.turns + at + 1, f"{run}") for at in range(count)]
                    head = after(before, now_s, turns=count)
                    assert await sessions.write(head, more, before)
                    held[name] = head, [*turns, *more]
                    past[name].append(head)
                case "stale" if past[name]:
                    before = past[name][count % len(past[name])]
                    if not live or before != held[name][0]:
                        assert await sessions.write(after(before, now_s), [], before) is False
                case "delete":
                    assert await sessions.delete(where) in ({True} if live else {True, False})
                    held.pop(name, None)
                case "expire":
                    now_s += TTL_S / 2
                case _:
                    now_s += 1.0
            found = await sessions.read(where, now_s)
            if name in held and held[name][0].expires_at_s > now_s:
                assert (found, await sessions.turns(where, 0)) == held[name]
            else:
                assert found is None
