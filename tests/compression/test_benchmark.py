"""The comparison of ways to shorten: facts are planted where it says, and it counts what it says."""

import pytest

from benchmarks.cost.compression.__main__ import report
from benchmarks.cost.compression.conversations import FAR, NEAR, PINNED, conversation
from benchmarks.cost.compression.ways import relevant, summed_up, truncated
from orchestrator.plan.facts_kept import kept_in
from workers.compression.turns import size_of


def test_every_planted_fact_is_in_the_conversation_and_in_no_other() -> None:
    one, again, other = conversation(1), conversation(1), conversation(2)
    assert one == again != other
    text = "\n".join(message.content for message in one.messages)
    facts = (*one.pinned, *one.near, *one.far)
    assert (len(one.pinned), len(one.near), len(one.far)) == (PINNED, NEAR, FAR)
    assert all(kept_in(text, (fact,)) for fact in facts)
    assert not any(kept_in("\n".join(message.content for message in other.messages), (fact,)) for fact in facts)


def test_every_way_keeps_to_the_budget() -> None:
    given = conversation(1)
    budget = size_of(given.messages) // 4
    assert all(size_of(way(given, budget)) <= budget for way in (truncated, summed_up, relevant))


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_all_pinned_facts_survive_at_a_quarter_of_the_tokens() -> None:
    told = await report(conversations=1, times=4)
    ours, summary = told[4:6]
    assert ours.startswith("| shortened, pins kept | 4.")
    assert f"| {PINNED}/{PINNED} = 100.0%" in ours
    assert f"| {PINNED}/{PINNED} = 100.0%" in summary
