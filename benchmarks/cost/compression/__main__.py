"""`python -m benchmarks.cost.compression`: what survives at a quarter of the tokens, as Markdown on stdout."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field

import anyio

from benchmarks.architectures.statistics import wilson
from benchmarks.cost.compression.conversations import Conversation, conversation
from benchmarks.cost.compression.ways import forgetful, relevant, shortened, summed_up, truncated
from orchestrator.plan.facts_kept import Fact, kept_in
from orchestrator.ports.model import Message
from workers.compression.turns import RECALL, size_of

SEED = 20_261_127


@dataclass(slots=True)
class Survived:
    """How many facts are still there, of how many."""

    kept: dict[str, int] = field(default_factory=dict)
    of: dict[str, int] = field(default_factory=dict)
    tokens: int = 0
    before: int = 0

    def count(self, given: Conversation, messages: Sequence[Message]) -> None:
        text = "\n".join(message.content for message in messages)
        self.tokens += size_of(messages)
        self.before += size_of(given.messages)
        for kind, facts in (("pinned", given.pinned), ("near", given.near), ("far", given.far)):
            self.add(kind, facts, text)

    def add(self, kind: str, facts: Sequence[Fact], text: str) -> None:
        self.kept[kind] = self.kept.get(kind, 0) + sum(kept_in(text, (fact,)) for fact in facts)
        self.of[kind] = self.of.get(kind, 0) + len(facts)

    def row(self, name: str) -> str:
        cells = []
        for kind in ("pinned", "near", "far"):
            low, high = wilson(self.kept[kind], self.of[kind])
            cells.append(
                f"{self.kept[kind]}/{self.of[kind]} = {self.kept[kind] / self.of[kind]:.1%} [{low:.1%}, {high:.1%}]"
            )
        return f"| {name} | {self.before / self.tokens:.2f}x | " + " | ".join(cells) + " |"


async def report(conversations: int, times: int) -> list[str]:
    """The lines of the report."""
    ours, summary, recalled = Survived(), Survived(), Survived()
    others = {
        "truncation": (truncated, Survived()),
        "plain summary": (summed_up, Survived()),
        "relevance alone": (relevant, Survived()),
    }
    asked = lost = refused = 0
    for number in range(conversations):
        given = conversation(SEED + number)
        budget = size_of(given.messages) // times
        messages, turns, _ = await shortened(given, budget)
        ours.count(given, messages)
        back = "\n".join(turns.recall(one, "", 10**9) for one in turns.originals)
        recalled.count(given, [*messages, Message(role="tool", content=back)])
        for way, found in others.values():
            found.count(given, way(given, budget))
        summarise, counts = forgetful(given, SEED + number)
        messages, _, why = await shortened(given, budget, summarise)
        summary.count(given, messages)
        asked, lost, refused = asked + counts()[0], lost + counts()[1], refused + bool(why)
    kinds = "pinned facts | facts about the question | other facts"
    size = ours.before // conversations
    unpinned = sum(recalled.kept[kind] for kind in ("near", "far")), sum(recalled.of[kind] for kind in ("near", "far"))
    return [
        f"{conversations} conversations of about {size:,} tokens, cut to 1/{times}; Wilson 95 %.",
        "",
        f"| Way | Fewer tokens | {kinds} |",
        "| --- | --- | --- | --- | --- |",
        ours.row("shortened, pins kept"),
        summary.row("the same with a forgetful summariser"),
        *(found.row(name) for name, (_, found) in others.items()),
        "",
        f"Of {asked} summaries {lost} had lost a pinned fact; each of these was refused.",
        f"With `{RECALL}` the agent can still read {unpinned[0]} of {unpinned[1]} facts that were not pinned.",
    ]


def main(argv: Sequence[str] | None = None) -> None:
    """Cut, count, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cost.compression", description=__doc__)
    parser.add_argument("--conversations", type=int, default=40)
    parser.add_argument("--times", type=int, default=4, help="how many times fewer tokens")
    options = parser.parse_args(argv)
    print("\n".join(anyio.run(report, options.conversations, options.times)))


if __name__ == "__main__":
    main()
