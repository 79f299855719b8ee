"""What is missing inside one sub-plan of many is not lost on the way up."""

import pytest

from orchestrator import Degraded, Gap, Plan, Succeeded, ladder
from tests.engine.conftest import OpenEngine
from workers import Pool

pytestmark = pytest.mark.anyio
pool = Pool("numbers")


@pool.worker
async def positive(x: int) -> int:
    if x < 0:
        raise ValueError("negative")
    return x


def book() -> Plan:
    with Plan("chapter", inputs={"xs": {"type": "array"}}) as chapter:
        read = chapter.map(positive, id="read", over=chapter.inputs.xs, on_fail=[ladder.gap()])
        chapter.result(read.passed)
    with Plan("book", inputs={"chapters": {"type": "array"}}) as p:
        chapters = p.plan(chapter.freeze(), id="chapter", over=p.inputs.chapters, with_={"xs": p.item})
        p.result(chapters.passed)
    return p


async def test_a_gap_in_one_sub_plan_of_a_map_degrades_the_parent_and_is_named(open_engine: OpenEngine) -> None:
    async with open_engine(pool) as engine:
        whole = await (await engine.submit(book(), {"chapters": [[1], [2, 3]]})).result()
        holed = await (await engine.submit(book(), {"chapters": [[1], [2, -3]]})).result()

    assert isinstance(whole, Succeeded)
    assert isinstance(holed, Degraded)
    assert holed.output == [[1], [2]]
    assert holed.gaps == (Gap(step="chapter", branch=1, reason="ended with gaps of its own"),)
