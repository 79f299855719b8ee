"""Sizes: real bytes, each file once, nothing outside the environment."""

from pathlib import Path

import pytest

from orchestrator.errors import TerminalError
from tests.kinds.distmaker import Ctx, make
from workers.kinds.packages import read_metadata
from workers.kinds.records import Metadata, Size, SizePart, Totals
from workers.kinds.sizes import add_sizes, kind_of, measure_size
from workers.kinds.verifiers import recount_sizes


def metadata(site: Path, name: str = "tiny", **given: object) -> Metadata:
    return read_metadata(Ctx(), make(site, name, **given))  # type: ignore[arg-type]  # fields of a record made by hand


def info_bytes(package: Metadata) -> int:
    return sum(path.stat().st_size for path in (Path(package.ref.root) / package.ref.info).iterdir())


def test_every_recorded_file_is_weighed_by_kind(site: Path, ctx: Ctx) -> None:
    files: dict[str, str | bytes] = {
        "tiny/__init__.py": "x = 1\n",
        "tiny/fast.cpython-311-x86_64-linux-gnu.so": b"\0" * 1000,
        "tiny/__pycache__/__init__.cpython-311.pyc": b"p" * 30,
        "tiny/data.json": "{}",
        "../bin/tiny": "#!python\n",
    }
    package = metadata(site, files=files)

    inside = info_bytes(package)
    assert measure_size(ctx, package) == Size(
        key="tiny",
        files=7,
        bytes=inside + 6 + 1000 + 30 + 2 + 9,
        parts=[
            SizePart(kind="python", files=1, bytes=6),
            SizePart(kind="native code", files=1, bytes=1000),
            SizePart(kind="bytecode", files=1, bytes=30),
            SizePart(kind="metadata", files=2, bytes=inside),
            SizePart(kind="scripts", files=1, bytes=9),
            SizePart(kind="data", files=1, bytes=2),
        ],
        parts_bytes=[6, 1000, 30, inside, 9, 2],
    )


def test_what_is_missing_or_outside_is_named_and_not_counted(site: Path, ctx: Ctx, tmp_path: Path) -> None:
    (tmp_path / "outside.txt").write_text("x" * 500)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "inner.txt").write_text("y" * 700)
    (site / "way_out").symlink_to(tmp_path / "folder")
    record = (
        "tiny-1.0.dist-info/METADATA,,\ngone.py,,\n../../outside.txt,,\n/etc/hostname,,\nway_out/inner.txt,,\n"
        "tiny-1.0.dist-info/../tiny-1.0.dist-info/METADATA,,\ntiny-1.0.dist-info,,\n"
    )
    package = metadata(site, record=record)

    size = measure_size(ctx, package)

    assert (size.files, size.bytes) == (1, (site / package.ref.info / "METADATA").stat().st_size)
    assert (size.missing, size.missing_count) == (["gone.py", "tiny-1.0.dist-info"], 2)
    assert (size.outside, size.outside_count) == (["../../outside.txt", "/etc/hostname", "way_out/inner.txt"], 3)


def test_a_link_counts_as_itself(site: Path, ctx: Ctx, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"x" * 100_000)
    (site / "tiny").mkdir()
    (site / "tiny" / "link").symlink_to(tmp_path / "big")
    package = metadata(site, record="tiny/link,,\n")

    assert measure_size(ctx, package).bytes == len(str((site / "tiny" / "link").readlink()))


def test_without_a_record_the_size_is_not_guessed(site: Path, ctx: Ctx) -> None:
    with pytest.raises(
        TerminalError, match=r"tiny-1\.0\.dist-info has no RECORD: which files belong to it is not recorded"
    ):
        measure_size(ctx, metadata(site, record=False))


def test_a_record_over_the_limit_is_refused(site: Path, ctx: Ctx) -> None:
    with pytest.raises(TerminalError, match="names more than 100000 files"):
        measure_size(ctx, metadata(site, record="".join(f"f{number},,\n" for number in range(100_001))))


def test_a_record_that_is_no_csv_is_refused(site: Path, ctx: Ctx) -> None:
    with pytest.raises(TerminalError, match="RECORD cannot be read: field larger than field limit"):
        measure_size(ctx, metadata(site, record="x" * 200_000 + ",,\n"))


def test_a_file_of_two_distributions_counts_once_in_the_total(site: Path, ctx: Ctx) -> None:
    (site / "shared.py").write_text("x" * 100)
    packages = [
        metadata(site, name, record=f"{name}-1.0.dist-info/METADATA,,\nshared.py,,\n") for name in ("one", "two")
    ]
    sizes = [measure_size(ctx, package) for package in packages]

    totals = add_sizes(ctx, packages, sizes)

    own = [(site / package.ref.info / "METADATA").stat().st_size for package in packages]
    assert totals == Totals(
        keys=["one", "two"],
        package_bytes=[own[0] + 100, own[1] + 100],
        shared_files=1,
        shared_bytes=100,
        total_bytes=sum(own) + 100,
    )
    assert recount_sizes(ctx, totals, packages).verdict == "pass"


def test_a_wrong_total_and_a_stranger_are_found_out(site: Path, ctx: Ctx) -> None:
    package = metadata(site)
    size = measure_size(ctx, package)
    right = add_sizes(ctx, [package], [size])

    wrong = recount_sizes(ctx, right.model_copy(update={"total_bytes": right.total_bytes + 1}), [package])
    strange = recount_sizes(ctx, right.model_copy(update={"keys": ["stranger"]}), [package])

    assert (wrong.verdict, wrong.reasons) == (
        "reject",
        [f"counted again, the total is {right.total_bytes} bytes, not {right.total_bytes + 1}"],
    )
    assert strange.reasons == ["stranger was measured and is not among the audited packages"]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("a/b.pyi", "python"),
        ("a/lib.so.3", "native code"),
        ("x-1.dist-info/RECORD", "metadata"),
        ("../../bin/x", "scripts"),
        ("LICENSE", "data"),
    ],
)
def test_kinds_go_by_name(path: str, kind: str) -> None:
    assert kind_of(path) == kind
