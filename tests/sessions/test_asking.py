"""Asking in a session through the engine: what runs see, in which order turns stand, what a refusal leaves behind."""

from dataclasses import replace

import anyio
import pytest

from orchestrator.core import facts as f
from orchestrator.core.results import Cancelled, Failed, Succeeded, Usage
from orchestrator.engine.handle import Run
from orchestrator.engine.operations import Operations
from orchestrator.errors import (
    IdempotencyConflict,
    InputError,
    PromiseError,
    SessionBusy,
    SessionChanged,
    SessionFull,
    SessionNotFound,
    ValueRefused,
)
from orchestrator.ids import RunId
from orchestrator.plan.parts import Budget
from orchestrator.ports.sessions import Turn
from orchestrator.sessions.changes import Ask
from orchestrator.sessions.desk import session_key
from orchestrator.sessions.window import tokens_of
from tests.sessions.house import ECHO, REFUSE, SLOW, Shared, plan_of

pytestmark = pytest.mark.anyio


def said(turns: list[Turn]) -> list[tuple[int, str, str, str]]:
    """What can be said of turns before they are asked."""
    return [(turn.number, turn.role, turn.content, turn.status) for turn in turns]


async def test_a_run_sees_the_turns_before_it_and_its_answer_stands_behind_it() -> None:
    shared = Shared()
    async with shared.engine() as engine:
        session = engine.session("anna")

        first = await session.ask(ECHO, "hello")
        second = await session.ask(ECHO, "and now?")

        assert first.result == Succeeded(run_id=first.run.id, output="hello [1|]", usage=Usage(steps=1))
        assert second.text == "and now? [3|]"
        turns = await session.turns()
        assert said(turns) == [
            (1, "user", "hello", "said"),
            (2, "assistant", "hello [1|]", "succeeded"),
            (3, "user", "and now?", "said"),
            (4, "assistant", "and now? [3|]", "succeeded"),
        ]
        assert [turn.run_id for turn in turns] == [first.run.id, first.run.id, second.run.id, second.run.id]
        assert turns[0].tokens == tokens_of("hello")
        pinned = [r.fact for r in await shared.journal.read(second.run.id) if isinstance(r.fact, f.SessionPinned)]
        assert [(one.session, one.version, one.view) for one in pinned] == [
            (
                "anna",
                3,
                {
                    "id": "anna",
                    "summary": "",
                    "turns": [
                        {"role": "user", "content": "hello"},
                        {"role": "assistant", "content": "hello [1|]"},
                        {"role": "user", "content": "and now?"},
                    ],
                    "facts": [],
                    "dropped": 0,
                },
            )
        ]


async def test_a_plan_without_a_session_says_who_refers_to_one() -> None:
    async with Shared().engine() as engine:
        with pytest.raises(PromiseError, match="step say refers to a session, and this run has none; name one"):
            await engine.submit(ECHO, {"text": "x"})
        await engine.session("s").ask(ECHO, "first")
        with pytest.raises(PromiseError, match="step say refers to a session"):  # also once it is known
            await engine.submit(ECHO, {"text": "x"})


async def test_a_hundred_askers_at_once_stand_in_one_order_and_each_sees_all_before_it() -> None:
    async with Shared(turns_max=400, window_turns=500, window_tokens=10**6, window_bytes=1 << 22).engine() as engine:
        answers: list[str] = []

        async def ask(number: int) -> None:
            answers.append((await engine.session("all").ask(ECHO, f"n{number}")).text)

        async with anyio.create_task_group() as group:
            for number in range(100):
                group.start_soon(ask, number)

        turns = await engine.session("all").turns()
        assert [turn.number for turn in turns] == list(range(1, 201))
        assert sorted(turn.content for turn in turns[::2]) == sorted(f"n{number}" for number in range(100))
        for at in range(100):
            asked, answer = turns[2 * at], turns[2 * at + 1]
            assert answer.content == f"{asked.content} [{2 * at + 1}|]"
        assert sorted(answers) == sorted(turn.content for turn in turns[1::2])


async def test_what_is_wrong_with_a_turn_leaves_no_trace_in_the_session() -> None:
    async with Shared(turn_bytes_max=256).engine() as engine:
        session = engine.session("s")
        deaf = plan_of("{version: 1, name: deaf, steps: {a: {pool: talk, call: refuse, with: {said: x}}}, result: 1}")
        with pytest.raises(PromiseError, match="plan deaf cannot see what was said; give it an input `text`"):
            await session.ask(deaf, "x")
        with pytest.raises(PromiseError, match="a turn without words"):
            await session.ask(ECHO)
        with pytest.raises(InputError, match="seconds"):
            await session.ask(SLOW, "x")
        with pytest.raises(PromiseError, match="there is no lane 'fast'"):
            await session.ask(ECHO, "x", lane="fast")
        with pytest.raises(SessionFull, match="over turn_bytes_max = 256"):
            await session.ask(ECHO, "é" * 129)
        with pytest.raises(ValueRefused, match="NUL"):
            await session.ask(SLOW, "\0", inputs={"text": "x", "seconds": 0})
        with pytest.raises(SessionNotFound):
            await session.turns()
        for name in ("", "x" * 201, "a\nb"):
            with pytest.raises(ValueRefused, match="session id"):
                engine.session(name)


async def test_a_run_that_was_not_admitted_takes_its_turn_back() -> None:
    from orchestrator.errors import AdmissionRefused

    async with Shared().engine(open_runs_max=1) as engine:
        other = await engine.session("other").begin(SLOW, "wait", inputs={"seconds": 60})
        with pytest.raises(AdmissionRefused):
            await engine.session("s").ask(ECHO, "x")

        assert await engine.session("s").turns() == []
        await other.run.cancel()
        assert (await engine.session("s").ask(ECHO, "x")).text == "x [1|]"


async def test_failed_and_cancelled_runs_are_answers_too_and_runs_see_that_there_was_none() -> None:
    async with Shared().engine() as engine:
        session = engine.session("s")

        failed = await session.ask(REFUSE, "please")
        begun = await session.begin(SLOW, "wait", inputs={"seconds": 3600})
        await begun.run.cancel("no time")
        last = await session.ask(ECHO, "so?")

        assert isinstance(failed.result, Failed)
        assert isinstance(await begun.run.result(), Cancelled)
        assert said(await session.turns())[:4] == [
            (1, "user", "please", "said"),
            (2, "assistant", "", "failed"),
            (3, "user", "wait", "said"),
            (4, "assistant", "", "cancelled"),
        ]
        assert last.text == "so? [5|]"
        view = await session.view()
        document = view.document("s", None)
        assert document["turns"][1:4:2] == [  # type: ignore[index]  # a list
            {"role": "assistant", "content": "(no answer: failed)"},
            {"role": "assistant", "content": "(no answer: cancelled)"},
        ]


async def test_a_turn_that_is_begun_is_shown_once_and_its_answer_comes_by_itself() -> None:
    async with Shared().engine() as engine:
        session = engine.session("s")

        started = await session.begin(SLOW, "wait", inputs={"seconds": 0.005})
        waiting = await session.turns()
        with pytest.raises(SessionBusy, match=f"waits for the answer of run {started.run.id}"):
            await session.begin(ECHO, "me too")
        await started.run.result()
        with anyio.fail_after(60):
            while (await engine.conversations.desk.head(session.key)).open is not None:  # noqa: ASYNC110 # nobody is told
                await anyio.sleep(0.001)

        assert (started.number, started.again) == (1, False)
        assert said(waiting) == [(1, "user", "wait", "said")]
        assert said(await session.turns()) == [
            (1, "user", "wait", "said"),
            (2, "assistant", "at last: wait", "succeeded"),
        ]


async def test_the_same_idempotency_key_is_the_same_turn_before_and_after_its_answer() -> None:
    async with Shared().engine() as engine:
        session = engine.session("s")

        first = await session.begin(SLOW, "wait", inputs={"seconds": 0.01}, idempotency_key="k")
        again = await session.begin(SLOW, "wait", inputs={"seconds": 0.01}, idempotency_key="k")
        with pytest.raises(IdempotencyConflict, match=f"'k' belongs to run {first.run.id}"):
            await session.begin(SLOW, "another", inputs={"seconds": 0.01}, idempotency_key="k")
        answer = await session.ask(SLOW, "wait", inputs={"seconds": 0.01}, idempotency_key="k")
        await session.ask(ECHO, "next")
        late = await session.begin(SLOW, "wait", inputs={"seconds": 0.01}, idempotency_key="k")
        with pytest.raises(IdempotencyConflict):
            await session.begin(ECHO, "wait", idempotency_key="k")

        ids = {first.run.id, again.run.id, answer.run.id, late.run.id}
        assert (ids, again.again, late.again, late.number) == ({first.run.id}, True, True, 1)
        assert len(await session.turns()) == 4


async def test_a_version_that_was_seen_is_held_to() -> None:
    async with Shared().engine() as engine:
        session = engine.session("s")
        with pytest.raises(SessionChanged, match="is in version 0: it is not there, not 1-x"):
            await session.begin(ECHO, "x", if_match="1-x")
        seen = (await session.pin("Ann pays 40")).etag
        await session.pin("Bob pays 50")

        with pytest.raises(SessionChanged, match=f"not {seen}; read it again"):
            await session.begin(ECHO, "x", if_match=seen)
        with pytest.raises(SessionChanged):
            await session.unpin("Ann pays 40", if_match=seen)
        with pytest.raises(SessionChanged):
            await session.delete(if_match=seen)
        started = await session.begin(ECHO, "x", if_match=(await session.head()).etag)
        assert started.number == 1


async def test_another_tenants_session_is_another_session() -> None:
    async with Shared().engine() as engine:
        await engine.session("s").ask(ECHO, "mine")

        theirs = engine.session("s", tenant="other")
        with pytest.raises(SessionNotFound):
            await theirs.head()
        answer = await theirs.ask(ECHO, "theirs")

        assert answer.text == "theirs [1|]"
        assert [row.key.id for row in await engine.conversations.page("other")] == ["s"]
        assert len(await engine.session("s").turns()) == 2


async def test_pins_are_part_of_what_runs_see_and_can_be_let_go() -> None:
    async with Shared(facts_max=2, facts_bytes_max=60).engine() as engine:
        session = engine.session("s")
        await session.pin("Ann pays 40 EUR until 2026-03-14")
        await session.pin("the code is blue", "blue")

        answer = await session.ask(ECHO, "x")

        assert answer.text == ("x [1|Facts, word for word:\n- Ann pays 40 EUR until 2026-03-14\n- the code is blue]")
        with pytest.raises(SessionFull, match="facts_max = 2"):
            await session.pin("third")
        head = await session.unpin("the code is blue")
        assert [fact.text for fact in head.facts] == ["Ann pays 40 EUR until 2026-03-14"]
        assert (await session.unpin("never there")).etag == head.etag
        assert (await session.pin("Ann pays 40 EUR until 2026-03-14")).etag == head.etag
        with pytest.raises(SessionFull, match="facts_bytes_max = 60"):
            await session.pin("x" * 40)
        with pytest.raises(ValueRefused, match="'50' does not occur"):
            await session.pin("Ann pays 40", "50")


async def test_an_export_is_everything_and_a_deletion_leaves_nothing() -> None:
    shared = Shared()
    async with shared.engine() as engine:
        session = engine.session("s")
        await session.pin("Ann pays 40")
        answer = await session.ask(ECHO, "x", idempotency_key="k")
        head = await session.head()

        document = await session.export()

        assert document == {
            "id": "s",
            "version": 3,
            "etag": head.etag,
            "created_at_s": head.created_at_s,
            "updated_at_s": head.updated_at_s,
            "expires_at_s": head.updated_at_s + 30 * 86_400,
            "turns_answered": 2,
            "usd": 0.0,
            "tokens": 0,
            "facts": [{"text": "Ann pays 40", "literals": ["Ann", "40"]}],
            "summary": {
                "text": "", "version": 0, "upto": 0, "missed": 0, "tried_upto": 0, "refused": "", "at_s": 0.0,
                "usd": 0.0, "tokens": 0,
            },
            "waits_for": None,
            "turns": [
                {
                    "number": 1, "role": "user", "content": "x", "run_id": answer.run.id, "at_s": head.created_at_s,
                    "tokens": 9, "usd": 0.0, "status": "said",
                } | {"at_s": document["turns"][0]["at_s"]},  # type: ignore[index, call-overload]  # a list
                {
                    "number": 2, "role": "assistant", "content": answer.text, "run_id": answer.run.id, "tokens": 0,
                    "usd": 0.0, "status": "succeeded", "at_s": document["turns"][1]["at_s"],  # type: ignore[index, call-overload]  # a list
                },
            ],
        }  # fmt: skip
        assert await session.delete(forget_runs=True) is True
        assert await session.delete() is False
        records = await shared.journal.read(answer.run.id)
        assert [r.forgotten for r in records if isinstance(r.fact, f.SessionPinned)] == [True]
        assert "Ann pays" not in repr(records)


async def test_a_session_expires_and_begins_anew() -> None:
    shared = Shared(ttl_s=100)
    async with shared.engine() as engine:
        session = engine.session("s")
        await session.ask(ECHO, "x")
        head = await session.head()
        old = replace(head, stamp="old", version=head.version + 1, expires_at_s=shared.clock.now_s() - 1)
        assert await shared.sessions.write(old, (), head)

        with pytest.raises(SessionNotFound):
            await session.turns()
        assert (await session.ask(ECHO, "y")).text == "y [1|]"


async def test_a_session_takes_no_more_turns_than_it_may() -> None:
    async with Shared(turns_max=2).engine() as engine:
        session = engine.session("s")
        await session.ask(ECHO, "x")
        with pytest.raises(SessionFull, match="turns_max = 2"):
            await session.ask(ECHO, "y")
        assert len(await session.turns()) == 2


async def test_a_long_answer_is_cut_and_says_where_the_whole_one_is() -> None:
    async with Shared(turn_bytes_max=256, window_bytes=4096).engine() as engine:
        session = engine.session("s")
        answer = await session.ask(SLOW, "x", inputs={"text": "é" * 300, "seconds": 0})

        content = (await session.turns())[1].content
        assert len(content.encode()) in {255, 256}
        assert content.startswith("at last: ééé")
        assert content.endswith(f"é\n… (cut here; the whole answer is that of run {answer.run.id})")


async def test_sub_plans_and_runs_that_are_made_again_see_the_same_conversation() -> None:
    outer = plan_of("""
version: 1
name: outer
inputs: {text: {type: string}}
steps:
  inner:
    plan:
      version: 1
      name: inner
      steps:
        say:
          pool: talk
          call: echo
          with: {said: inner, turns: "${{ session.turns }}", summary: "${{ session.facts[0] }}"}
      result: ${{ steps.say.output }}
  fails: {pool: talk, call: refuse, with: {said: "${{ steps.inner.output }}"}, on_fail: [gap]}
result: ${{ steps.inner.output }}
""")
    async with Shared().engine() as engine:
        session = engine.session("s")
        await session.pin("Ann pays 40")
        await session.ask(ECHO, "before")
        answer = await session.ask(outer, "x")
        await session.ask(ECHO, "after")

        again = await Operations(engine.runs).retry(answer.run.id, step="inner")

        assert answer.text == "inner [3|Ann pays 40]"
        assert (await again.result()).output == answer.text  # type: ignore[union-attr]  # it ends like the first


async def test_a_turn_whose_process_died_before_its_run_was_journaled_is_said_to_be_lost() -> None:
    shared = Shared()
    async with shared.engine() as engine:
        session, now_s = engine.session("s"), shared.clock.now_s()
        dead = Ask(content="hello?", run_id=RunId("never"), at_s=now_s - 61.0)
        await engine.conversations.desk.begin(session.key, dead)

        answer = await session.ask(ECHO, "still there?")

        assert answer.text == "still there? [3|]"
        assert said(await session.turns())[:2] == [
            (1, "user", "hello?", "said"),
            (2, "assistant", "", "lost"),
        ]


async def test_a_client_that_repeats_a_turn_whose_process_died_early_gets_its_run_started() -> None:
    shared = Shared()
    async with shared.engine() as engine:
        session = engine.session("s")
        real = session._turns.run

        async def dies(*_: object) -> Run:
            raise KeyboardInterrupt

        session._turns.run = dies  # type: ignore[method-assign, assignment]  # the process ends before the run
        with pytest.raises(KeyboardInterrupt):
            await session.begin(ECHO, "x", idempotency_key="k")
        session._turns.run = real  # type: ignore[method-assign]  # and another one takes its place

        with pytest.raises(SessionBusy):
            await session.begin(ECHO, "y")
        started = await session.begin(ECHO, "x", idempotency_key="k")

        assert started.again
        assert (await started.run.result()).output == "x [1|]"  # type: ignore[union-attr]  # it succeeds
        assert said(await session.turns())[0] == (1, "user", "x", "said")


async def test_two_engines_serve_one_session_by_turns() -> None:
    shared = Shared()
    async with shared.engine() as one, shared.engine(recover=False) as other:
        for number, engine in enumerate([one, other, one, other]):
            answer = await engine.session("s").ask(ECHO, f"n{number}")
            assert answer.text == f"n{number} [{2 * number + 1}|]"
        assert len(await one.session("s").turns()) == 8


async def test_a_budget_is_that_of_its_turn() -> None:
    async with Shared().engine() as engine:
        answer = await engine.session("s").ask(ECHO, "x", budget=Budget(steps=1, usd=0.25))
        accepted = (await engine.runs.journal.read(answer.run.id, limit=1))[0].fact
        assert isinstance(accepted, f.RunAccepted)
        assert (accepted.usd, accepted.steps, accepted.tenant) == (0.25, 1, "default")


def test_the_key_of_a_session_names_its_tenant() -> None:
    assert (session_key("s", "t").tenant, session_key("s", "t").id) == ("t", "s")
