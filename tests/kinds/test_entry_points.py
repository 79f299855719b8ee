"""Entry points: commands apart from plug-ins, broken lines named."""

from pathlib import Path

import pytest

from orchestrator.errors import TerminalError
from tests.kinds.distmaker import Ctx, make
from workers.kinds.entry_points import read_entry_points
from workers.kinds.packages import read_metadata
from workers.kinds.records import EntryPoint, EntryPoints


def test_commands_and_plugins_are_told_apart_and_broken_lines_named(site: Path, ctx: Ctx) -> None:
    text = "lost = a:b\n[console_scripts]\ntiny = tiny.cli:main\n; a comment\n\n"
    text += "[pytest11]\ntiny = tiny.plugin\nno value =\n"
    package = read_metadata(ctx, make(site, info_files={"entry_points.txt": text}))

    assert read_entry_points(ctx, package) == EntryPoints(
        key="tiny",
        scripts=[EntryPoint(group="console_scripts", name="tiny", value="tiny.cli:main")],
        plugins=[EntryPoint(group="pytest11", name="tiny", value="tiny.plugin")],
        broken=["line 1: lost = a:b", "line 8: no value ="],
    )


def test_a_distribution_without_the_file_offers_nothing(site: Path, ctx: Ctx) -> None:
    assert read_entry_points(ctx, read_metadata(ctx, make(site))) == EntryPoints(key="tiny", scripts=[], plugins=[])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[g]\n" + "".join(f"n{n} = v\n" for n in range(2001)), "more than 2000 entry points"),
        ("x" * 1_100_000, "is larger than 1048576 bytes"),
    ],
)
def test_limits_hold(site: Path, ctx: Ctx, text: str, reason: str) -> None:
    package = read_metadata(ctx, make(site, info_files={"entry_points.txt": text}))

    with pytest.raises(TerminalError, match=reason):
        read_entry_points(ctx, package)
