"""Offers travel: between a child process and its pool, and between a worker and the owner of a run."""

from orchestrator.adapters.cached import entry_bytes, entry_of
from orchestrator.adapters.redis.codec import message_bytes, message_of, tag_of
from orchestrator.ids import RunId, StepId
from orchestrator.ports.cache import Answer, Observation, Offer
from orchestrator.ports.model import ToolCall
from orchestrator.ports.tasks import TaskKey, TaskOffered
from orchestrator.testing.cache_contract import kept, unit
from workers.wire import frame_of, line_of

CALL = ToolCall(id="1", name="t", arguments="{")
ANSWER = Answer(text="é", finish="tool_calls", data={"a": [1, None]}, tool_calls=(CALL,))
OFFERED = TaskOffered(
    key=TaskKey(RunId("r"), StepId("s"), 2, 1),
    worker="w",
    offer=Offer(
        entry=kept(
            "k",
            answer=ANSWER,
            vector=unit(1, 2, 3),
            scope="s",
            question="q",
            tags=("plan:p",),
        ),
        neighbour="n",
        observed=Observation(similarity=0.91, same=False),
    ),
)


def test_an_offer_comes_over_both_wires_as_it_was() -> None:
    assert message_of(tag_of(OFFERED), message_bytes(OFFERED)) == OFFERED
    assert frame_of(line_of(OFFERED)) == OFFERED


def test_an_entry_is_stored_without_what_lies_beside_it() -> None:
    entry = OFFERED.offer.entry
    found = entry_of(entry_bytes(entry), "here")
    assert (found.vector, found.seen) == ((), ())
    assert found.answer == entry.answer
