"""What any store of the batch lane must do; every adapter passes this suite."""

from dataclasses import replace

from orchestrator.ports.batches import BatchEntry, BatchItem, BatchStore
from orchestrator.ports.endpoint import ChatReply, ChatRequest, Usage
from orchestrator.ports.model import Message, ToolCall

REPLY = ChatReply(
    text="",
    finish="tool_calls",
    tool_calls=(ToolCall(id="c", name="n", arguments="{}"),),
    usage=Usage(tokens_in=3, tokens_out=4),
)


def item(
    name: str, *, line: str = "l", model: str = "m", asked_at_s: float = 10.0, until_s: float = 100.0
) -> BatchItem:
    """An item as the lane makes them."""
    request = ChatRequest(
        model=model,
        messages=(Message(role="user", content=f"Ω {name}"),),
        tokens_max=7,
        output_schema={"type": "object"},
    )
    return BatchItem(id=name, line=line, request=request, asked_at_s=asked_at_s, until_s=until_s)


class BatchStoreContract:
    """Subclasses supply the fixture `store`: an empty one."""

    async def test_an_item_is_kept_once_as_it_was_given(self, store: BatchStore) -> None:
        assert await store.put(item("a")) == BatchEntry(item=item("a"))
        assert await store.put(item("a", asked_at_s=50.0)) == BatchEntry(item=item("a"))
        assert await store.put(item("a", asked_at_s=50.0, until_s=90.0)) == BatchEntry(item=item("a"))
        assert await store.look(["b", "a"]) == [BatchEntry(item=item("a"))]

    async def test_items_are_gathered_when_one_is_ripe_or_there_are_enough(self, store: BatchStore) -> None:
        await store.put(item("a"))
        await store.put(item("b", asked_at_s=11.0))
        assert await store.gather("l", owner="o", now_s=12.0, ripe_s=9.0, most=3) is None
        assert await store.gather("other", owner="o", now_s=12.0, ripe_s=99.0, most=1) is None
        enough = await store.gather("l", owner="o", now_s=12.0, ripe_s=9.0, most=2)
        assert enough is not None
        assert (enough.items, enough.owner, enough.at_s, enough.batch) == (
            (item("a"), item("b", asked_at_s=11.0)),
            "o",
            12.0,
            "",
        )
        assert await store.gather("l", owner="o", now_s=12.0, ripe_s=99.0, most=2) is None
        await store.put(item("c"))
        ripe = await store.gather("l", owner="o", now_s=12.0, ripe_s=10.0, most=2)
        assert ripe is not None
        assert ripe.key != enough.key
        assert [(one.state, one.group, one.sent) for one in await store.look(["a", "c"])] == [
            ("sent", enough.key, 1),
            ("sent", ripe.key, 1),
        ]

    async def test_a_group_holds_one_model_and_at_most_so_many(self, store: BatchStore) -> None:
        for name, model in (("a", "m"), ("b", "n"), ("c", "m"), ("d", "m")):
            await store.put(item(name, model=model))
        sizes = []
        while (found := await store.gather("l", owner="o", now_s=12.0, ripe_s=10.0, most=2)) is not None:
            assert len({one.request.model for one in found.items}) == 1
            sizes.append(len(found.items))
        assert sorted(sizes) == [1, 1, 2]

    async def test_what_nobody_waits_for_any_more_is_not_gathered(self, store: BatchStore) -> None:
        await store.put(item("a", until_s=12.0))
        assert await store.gather("l", owner="o", now_s=12.0, ripe_s=99.0, most=1) is None

    async def test_a_group_is_there_until_its_last_item_has_an_end(self, store: BatchStore) -> None:
        for name in ("a", "b"):
            await store.put(item(name))
        group = await store.gather("l", owner="o", now_s=12.0, ripe_s=10.0, most=9)
        assert group is not None
        assert await store.groups("l") == [group]
        assert await store.groups("other") == []
        first, second = await store.look(["a", "b"])
        answered = replace(first, state="answered", reply=REPLY)
        assert await store.settle([answered], "sent") == ["a"]
        assert [one.items for one in await store.groups("l")] == [(item("b"),)]
        assert await store.settle([replace(second, state="failed", error="late")], "sent") == ["b"]
        assert await store.groups("l") == []
        assert await store.look(["a"]) == [answered]

    async def test_an_item_ends_once(self, store: BatchStore) -> None:
        entry = await store.put(item("a"))
        assert await store.settle([replace(entry, state="withdrawn")], "sent") == []
        group = await store.gather("l", owner="o", now_s=12.0, ripe_s=10.0, most=9)
        assert group is not None
        assert await store.settle([replace(entry, state="withdrawn")], "waiting") == []
        (sent,) = await store.look(["a"])
        assert await store.settle([replace(sent, state="failed", error="x")], "sent") == ["a"]
        assert await store.settle([replace(sent, state="answered", reply=REPLY)], "sent") == []
        assert (await store.put(item("a"))).error == "x"

    async def test_what_was_withdrawn_waits_anew_when_it_is_asked_again(self, store: BatchStore) -> None:
        entry = await store.put(item("a"))
        assert await store.settle([replace(entry, state="withdrawn")], "waiting") == ["a"]
        assert await store.put(item("a", asked_at_s=20.0)) == BatchEntry(item=item("a", asked_at_s=20.0))

    async def test_who_asks_again_has_the_later_of_two_deadlines(self, store: BatchStore) -> None:
        longer = item("a", until_s=500.0)
        await store.put(item("a"))
        assert await store.put(item("a", asked_at_s=50.0, until_s=500.0)) == BatchEntry(item=longer)
        assert await store.look(["a"]) == [BatchEntry(item=longer)]
        group = await store.gather("l", owner="o", now_s=200.0, ripe_s=200.0, most=9)
        assert group is not None
        assert group.items == (longer,)
        again = await store.put(item("a", until_s=900.0))
        assert (again.state, again.group, again.sent, again.item.until_s) == ("sent", group.key, 1, 900.0)
        assert [one.items for one in await store.groups("l")] == [(item("a", until_s=900.0),)]
        assert await store.settle([replace(again, state="answered", reply=REPLY)], "sent") == ["a"]
        assert (await store.put(item("a", until_s=999.0))).item.until_s == 900.0

    async def test_what_was_given_back_is_gathered_again(self, store: BatchStore) -> None:
        await store.put(item("a"))
        await store.gather("l", owner="o", now_s=12.0, ripe_s=10.0, most=9)
        (sent,) = await store.look(["a"])
        assert await store.settle([replace(sent, state="waiting")], "sent") == ["a"]
        again = await store.gather("l", owner="o", now_s=13.0, ripe_s=10.0, most=9)
        assert again is not None
        (entry,) = await store.look(["a"])
        assert (entry.sent, entry.group) == (2, again.key)

    async def test_one_of_two_owners_gets_a_group(self, store: BatchStore) -> None:
        await store.put(item("a"))
        group = await store.gather("l", owner="o", now_s=12.0, ripe_s=10.0, most=9)
        assert group is not None
        assert await store.claim(group, owner="p", now_s=20.0)
        assert not await store.claim(group, owner="q", now_s=20.0)
        taken = replace(group, owner="p", at_s=20.0)
        assert await store.claim(taken, owner="p", now_s=21.0, batch="b1")
        assert not await store.claim(taken, owner="p", now_s=22.0, batch="b2")
        assert [(one.owner, one.at_s, one.batch) for one in await store.groups("l")] == [("p", 21.0, "b1")]
