"""The inventory and the metadata of real distributions, whole and broken."""

from pathlib import Path

import pytest

from orchestrator.errors import TerminalError
from tests.kinds.distmaker import Ctx, make
from workers.kinds import distributions
from workers.kinds.packages import list_packages, read_metadata
from workers.kinds.records import Metadata, PackageRef


def test_every_distribution_is_listed_once_and_in_order(site: Path, ctx: Ctx) -> None:
    beta = make(site, "Beta_Pack", "2.0")
    alpha = make(site, "alpha", "1.0")
    make(site, "alpha", "1.1")

    inventory = list_packages(ctx)

    assert inventory.targets == [
        alpha,
        PackageRef(name="Beta_Pack", key="beta-pack", version="2.0", root=beta.root, info=beta.info),
    ]
    assert inventory.shadowed == [f"alpha 1.1 ({site / 'alpha-1.1.dist-info'})"]
    assert inventory.source == "installed distributions"
    assert ctx.logs == ["2 distributions on the import path"]


def test_metadata_is_read_whole(site: Path, ctx: Ctx) -> None:
    headers = (
        "Summary: does\n  things\nHome-page: https://example.org\nLicense-Expression: MIT\nLicense-File: LICENSE\n"
        "Requires-Python: >=3.11\nRequires-Dist: other>=1\nRequires-Dist: more; extra == 'x'\n"
        "Classifier: License :: OSI Approved :: MIT License\n"
    )
    ref = make(
        site, headers=headers, info_files={"INSTALLER": "pip\n", "direct_url.json": '{"dir_info": {"editable": true}}'}
    )

    assert read_metadata(ctx, ref) == Metadata(
        ref=ref,
        name="tiny",
        key="tiny",
        version="1.0",
        summary="does things",
        homepage="https://example.org",
        requires=["other>=1", "more; extra == 'x'"],
        requires_python=">=3.11",
        classifiers=["License :: OSI Approved :: MIT License"],
        license_expression="MIT",
        license_files=["LICENSE"],
        installer="pip",
        editable=True,
    )
    assert ctx.told == [("tiny-1.0.dist-info/METADATA", {"Name": "tiny", "Version": "1.0"})]


def test_a_project_url_serves_where_there_is_no_home_page(site: Path, ctx: Ctx) -> None:
    ref = make(site, headers="Project-URL: Docs, https://docs.example\nProject-URL: Source, https://code.example\n")

    assert read_metadata(ctx, ref).homepage == "https://code.example"


def test_bytes_that_are_no_utf8_give_text_without_nul_or_surrogates(site: Path, ctx: Ctx) -> None:
    ref = make(site, metadata=b"Name: tiny\nVersion: 1.0\nSummary: caf\xe9 \x00 \xff\n")

    assert read_metadata(ctx, ref).summary == "caf� �"


def test_long_fields_are_cut(site: Path, ctx: Ctx) -> None:
    ref = make(site, headers="Summary: " + "x" * 10_000 + "\n")

    assert read_metadata(ctx, ref).summary == "x" * distributions.FIELD_CHARS_MAX


def test_metadata_over_the_limit_is_refused(site: Path, ctx: Ctx, monkeypatch: pytest.MonkeyPatch) -> None:
    ref = make(site, headers="Summary: " + "x" * 5_000_000 + "\n")

    with pytest.raises(TerminalError, match="is larger than 4194304 bytes"):
        read_metadata(ctx, ref)


def test_a_distribution_without_metadata_is_listed_and_then_refused(site: Path, ctx: Ctx) -> None:
    (site / "hollow-0.1.dist-info").mkdir()

    [ref] = list_packages(ctx).targets

    assert (ref.name, ref.version) == ("hollow", "0.1")
    with pytest.raises(TerminalError, match=r"hollow-0\.1\.dist-info holds no METADATA"):
        read_metadata(ctx, ref)


def test_metadata_that_names_another_package_is_refused(site: Path, ctx: Ctx) -> None:
    ref = make(site, "tiny", metadata=b"Name: other\nVersion: 1.0\n")

    with pytest.raises(TerminalError, match="calls itself 'other', not 'tiny'"):
        read_metadata(ctx, ref)


@pytest.mark.parametrize(
    ("root", "info"),
    [
        ("/etc", "tiny-1.0.dist-info"),
        ("SITE", "../tiny-1.0.dist-info"),
        ("SITE", "tiny"),
        ("SITE", "sub/tiny-1.0.dist-info"),
    ],
)
def test_a_place_that_python_does_not_import_from_is_never_opened(site: Path, ctx: Ctx, root: str, info: str) -> None:
    ref = PackageRef(name="tiny", key="tiny", version="1.0", root=root.replace("SITE", str(site)), info=info)

    with pytest.raises(TerminalError, match="is no place that this interpreter imports from"):
        read_metadata(ctx, ref)


def test_metadata_behind_a_link_out_of_the_environment_is_not_read(site: Path, ctx: Ctx, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("Name: tiny\nVersion: 1.0\n")
    ref = make(site)
    (site / ref.info / "METADATA").unlink()
    (site / ref.info / "METADATA").symlink_to(tmp_path / "secret")

    with pytest.raises(TerminalError, match="leads out of the environment"):
        read_metadata(ctx, ref)


def test_a_requirements_file_selects_and_names_what_is_missing(site: Path, ctx: Ctx, tmp_path: Path) -> None:
    here = make(site, "alpha", "1.0")
    make(site, "beta", "2.0")
    loose = make(site, "gamma", "3.0")
    (tmp_path / "more.txt").write_text("gamma>=2\n")
    file = tmp_path / "requirements.txt"
    file.write_text(
        "# pins\nalpha==1.0 \\\n    --hash=sha256:abc  # why\nbeta==2.1\n-r more.txt\nabsent==9\n"
        "windows-only==1; sys_platform == 'no-such-system'\n--index-url https://example.org\nnot a requirement!\n"
    )

    inventory = list_packages(ctx, str(file))

    assert inventory.targets[0] == here
    assert inventory.targets[2] == loose
    assert [(target.name, target.absent) for target in inventory.targets[1:] if target.absent] == [
        ("beta", "requirements.txt:4 asks for beta==2.1: 2.0 is installed"),
        ("absent", "requirements.txt:6 asks for absent==9: not installed in this environment"),
        (
            "not",
            (
                "requirements.txt:9: cannot be read as a requirement "
                "(Expected semicolon (after name with no version specifier) or end): not a requirement!"
            ),
        ),
    ]
    assert inventory.not_applicable == ["requirements.txt:7: windows-only==1; sys_platform == 'no-such-system'"]
    assert inventory.unpinned == ["more.txt:1: gamma>=2"]
    with pytest.raises(TerminalError, match=r"beta==2\.1: 2\.0 is installed"):
        read_metadata(ctx, inventory.targets[1])


@pytest.mark.parametrize("name", ["missing.txt", "folder"])
def test_a_requirements_file_that_cannot_be_read_is_refused(site: Path, ctx: Ctx, tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()

    with pytest.raises(TerminalError, match="cannot be read"):
        list_packages(ctx, str(tmp_path / name))


def test_includes_do_not_lead_out_of_the_folder_or_in_circles(site: Path, ctx: Ctx, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "out.txt").write_text("-r ../elsewhere.txt\n")
    (tmp_path / "in" / "round.txt").write_text("-r round.txt\n")

    for name in ("out.txt", "round.txt"):
        with pytest.raises(TerminalError, match="included too deeply, or lies outside"):
            list_packages(ctx, str(tmp_path / "in" / name))
