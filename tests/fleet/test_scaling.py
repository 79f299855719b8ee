"""The autoscaler's rule: grows at once, shrinks after its cool-down, never below what is needed."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orchestrator.engine.scaling import Bounds, Decision, Load, Memory, decide, needed
from orchestrator.errors import PromiseError

BOUNDS = Bounds(pool="p", least=0, most=10, slots=4, cooldown_s=30.0)
loads = st.builds(Load, waiting=st.integers(0, 2_000), delayed=st.integers(0, 50), running=st.integers(0, 200))
bounds = st.builds(
    lambda least, more, slots, cool: Bounds(pool="p", least=least, most=least + more, slots=slots, cooldown_s=cool),
    st.integers(0, 5), st.integers(1, 40), st.integers(1, 64), st.floats(0, 120),
)  # fmt: skip
looks = st.lists(st.tuples(st.floats(0, 60), loads), min_size=1, max_size=40)


def test_a_burst_grows_a_pool_from_nothing_to_its_most_at_once() -> None:
    _, decision = decide(BOUNDS, Memory(), Load(waiting=500), 0, 0.0)

    assert decision == Decision(workers=10, reason="500 waiting, 0 delayed, 0 running; 4 per worker")


def test_a_pool_shrinks_to_the_highest_need_of_its_cool_down() -> None:
    memory, have, seen = Memory(), 0, []
    for now_s, load in [
        (0.0, Load(waiting=40)), (10.0, Load(running=9)), (20.0, Load(running=2)), (31.0, Load(running=2)),
        (41.0, Load()), (52.0, Load()), (61.0, Load()), (71.0, Load()),
    ]:  # fmt: skip
        memory, decision = decide(BOUNDS, memory, load, have, now_s)
        have = decision.workers
        seen.append((now_s, have, decision.reason))

    assert seen == [
        (0.0, 10, "40 waiting, 0 delayed, 0 running; 4 per worker"),
        (10.0, 10, ""),
        (20.0, 10, ""),
        (31.0, 3, "needed at most 3 for 30 s"),
        (41.0, 1, "needed at most 1 for 30 s"),
        (52.0, 1, ""),
        (61.0, 0, "needed at most 0 for 30 s"),
        (71.0, 0, ""),
    ]


def test_a_pool_never_shrinks_under_its_last_long_step() -> None:
    memory, have = Memory(), 1
    for minute in range(120):
        memory, decision = decide(BOUNDS, memory, Load(running=1), have, 60.0 * minute)
        have = decision.workers
    assert have == 1


def test_delayed_retries_keep_their_workers() -> None:
    _, decision = decide(BOUNDS, Memory(), Load(delayed=5), 0, 0.0)
    assert decision.workers == 2


@example(
    bounds=Bounds(pool="p", least=0, most=1, slots=1, cooldown_s=0.0),
    looks=[(0.0, Load(running=1)), (0.0, Load())],  # at one moment, and there is no cool-down
    have=1,
)
@given(bounds=bounds, looks=looks, have=st.integers(0, 60))
def test_whatever_comes_the_answer_keeps_its_promises(
    bounds: Bounds, looks: list[tuple[float, Load]], have: int
) -> None:
    memory, now_s, history = Memory(), 0.0, []
    for pause_s, load in looks:
        now_s += pause_s
        need = needed(bounds, load)
        history.append((now_s, need))
        memory, decision = decide(bounds, memory, load, have, now_s)

        window = [need, *(n for at_s, n in history if now_s - at_s < bounds.cooldown_s)]
        assert need <= decision.workers, "never below what is needed"
        assert bounds.least <= decision.workers, "never below the least"
        assert decision.workers <= max(bounds.most, have), "never grows above the most"
        if decision.workers < have:
            assert decision.workers == max(window), "shrinks to the highest need of the cool-down, no further"
        if decision.workers > have:
            assert decision.workers == need, "grows to what is needed, no further"
        assert (decision.workers == have) == (decision.reason == ""), "every change has a reason"
        assert len(memory.needs) <= bounds.most - bounds.least + 1, "what is remembered is bounded"
        have = decision.workers


@given(bounds=bounds, load=loads)
def test_a_lasting_load_settles_at_exactly_what_it_needs(bounds: Bounds, load: Load) -> None:
    memory, have = Memory(), bounds.most
    for look in range(4):
        memory, decision = decide(bounds, memory, load, have, look * (bounds.cooldown_s + 1))
        have = decision.workers
    assert have == needed(bounds, load)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"least": -1}, "use 0 <= least <= most"),
        ({"least": 3, "most": 2}, "use 0 <= least <= most"),
        ({"most": 0}, "use 0 <= least <= most"),
        ({"most": 1_000_000}, "most from 1 to 10,000"),
        ({"slots": 0}, "0 tasks per worker"),
        ({"cooldown_s": -1.0}, "cool-down is -1"),
    ],
)
def test_numbers_outside_their_range_are_refused_with_a_remedy(change: dict[str, float], said: str) -> None:
    given: dict[str, object] = {"pool": "p", "least": 0, "most": 5, "slots": 1, **change}
    with pytest.raises(PromiseError, match=said):
        Bounds(**given)  # type: ignore[arg-type]  # wrong on purpose
