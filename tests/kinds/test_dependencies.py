"""Who pulls in whom: paths, extras, markers, circles, and what is not met."""

from pathlib import Path

from tests.kinds.distmaker import Ctx, make
from workers.kinds.dependencies import cycles, trace_dependencies
from workers.kinds.packages import read_metadata
from workers.kinds.records import Chain, Dependencies, Metadata, Unmet
from workers.kinds.verifiers import confirm_paths


def environment(site: Path, **needs: list[str]) -> list[Metadata]:
    return [
        read_metadata(Ctx(), make(site, name, headers="".join(f"Requires-Dist: {need}\n" for need in wants)))
        for name, wants in needs.items()
    ]


def test_paths_are_shortest_and_start_at_what_nobody_needs(site: Path, ctx: Ctx) -> None:
    packages = environment(
        site, app=["lib", "Util>=0.5"], tool=["util"], lib=["util", "base"], util=[], base=["app ; extra == 'never'"]
    )

    found = trace_dependencies(ctx, packages)

    assert found == Dependencies(
        roots=["app", "tool"],
        chains=[
            Chain(key="app", path=["app"], required_by=[]),
            Chain(key="base", path=["app", "lib", "base"], required_by=["lib"]),
            Chain(key="lib", path=["app", "lib"], required_by=["app"]),
            Chain(key="tool", path=["tool"], required_by=[]),
            Chain(key="util", path=["app", "util"], required_by=["app", "lib", "tool"]),
        ],
        cycles=[],
        unmet=[],
    )
    assert confirm_paths(ctx, found, packages).verdict == "pass"


def test_extras_count_once_somebody_asks_for_them(site: Path, ctx: Ctx) -> None:
    packages = environment(
        site, app=["lib[fast]"], lib=["speed>=2; extra == 'fast'", "slow; extra == 'other'"], speed=[], slow=[]
    )

    found = trace_dependencies(ctx, packages)

    assert {chain.key: chain.path for chain in found.chains} == {
        "app": ["app"],
        "lib": ["app", "lib"],
        "slow": ["slow"],
        "speed": ["app", "lib", "speed"],
    }
    assert found.unmet == [Unmet(key="lib", requirement='speed>=2; extra == "fast"', reason="1.0 is installed")]


def test_unmet_and_unreadable_requirements_are_named(site: Path, ctx: Ctx) -> None:
    make(site, "other")
    packages = environment(
        site, app=["absent>1", "other", "other>1", "elsewhere; sys_platform == 'no-such-system'", "not a requirement!"]
    )

    found = trace_dependencies(ctx, packages)

    assert found.unmet == [
        Unmet(key="app", requirement="absent>1", reason="not installed here"),
        Unmet(key="app", requirement="other>1", reason="1.0 is installed"),
    ]
    assert found.unreadable == ["app: not a requirement!"]


def test_a_circle_is_named_and_entered_at_its_first(site: Path, ctx: Ctx) -> None:
    packages = environment(site, zeta=["alpha"], alpha=["beta", "alpha"], beta=["zeta", "leaf"], leaf=[])

    found = trace_dependencies(ctx, packages)

    assert (found.cycles, found.roots) == ([["alpha", "beta", "zeta"]], ["alpha"])
    assert {chain.key: chain.path for chain in found.chains}["leaf"] == ["alpha", "beta", "leaf"]
    assert confirm_paths(ctx, found, packages).verdict == "pass"


def test_ten_thousand_in_a_row_need_no_recursion() -> None:
    edges: dict[str, dict[str, None]] = {str(number): {str(number + 1): None} for number in range(10_000)}
    edges["10000"] = {"0": None}

    assert [len(group) for group in cycles(edges)] == [10_001]


def test_an_invented_path_is_refused(site: Path, ctx: Ctx) -> None:
    packages = environment(site, app=["lib"], lib=[], other=[])
    right = trace_dependencies(ctx, packages)
    invented = [
        Chain(key="app", path=["app"], required_by=[]),
        Chain(key="lib", path=["other", "lib"], required_by=["other"]),
    ]

    assert confirm_paths(ctx, right.model_copy(update={"chains": invented}), packages).reasons == [
        "other does not require lib",
        "no path leads to other",
    ]
