"""From what the workers found to the two files a person reads; nothing a package says becomes markup."""

import html.parser
import importlib.metadata
import re
from pathlib import Path

import pytest

from orchestrator.errors import TerminalError
from tests.kinds.distmaker import BSD3, MIT, Ctx, make
from workers.kinds import licence_texts, report_markdown, verifiers
from workers.kinds import report_words as words
from workers.kinds.dependencies import trace_dependencies
from workers.kinds.findings import scan_files
from workers.kinds.licence_texts import read_licence_files
from workers.kinds.packages import list_packages, read_metadata
from workers.kinds.records import Licence, PackageRef
from workers.kinds.report import write_report
from workers.kinds.sizes import add_sizes, measure_size
from workers.kinds.summary import Lack, Summary, summarise

HOSTILE = "<script>alert(1)</script> | `x` [a](javascript:alert(1)) --> &amp;"


def audited(site: Path) -> Summary:
    """Three packages: a good one, a hostile one, and one that is not installed."""
    ctx = Ctx()
    make(site, "good", headers="License-Expression: MIT\nSummary: does things\n", info_files={"LICENSE": MIT})
    make(
        site,
        "evil",
        headers=f"Summary: {HOSTILE}\nHome-page: javascript:alert(1)\nRequires-Dist: absent\nLicense-Expression: MIT\n",
        info_files={"LICENSE": BSD3},
        files={"evil.pth": "import os; exec('</style><script>1</script>')\n", "evil.py": ""},
    )
    (site / "evil.py").unlink()
    inventory = list_packages(ctx)
    missing = PackageRef(
        name="ghost",
        key="ghost",
        version="",
        absent="requirements.txt:1 asks for ghost==1: not installed in this environment",
    )
    inventory = inventory.model_copy(update={"targets": [*inventory.targets, missing], "shadowed": [HOSTILE]})
    packages = [read_metadata(ctx, target) for target in inventory.targets[:2]]
    sizes = [measure_size(ctx, package) for package in packages]
    return summarise(
        ctx,
        inventory=inventory,
        packages=packages,
        licences=[
            Licence(key="evil", spdx="MIT", risk="permissive", source="License-Expression", quote="MIT"),
            licence_texts.identify_licence(ctx, packages[1]),
        ],
        texts=[read_licence_files(ctx, package) for package in packages],
        sizes=sizes,
        totals=add_sizes(ctx, packages, sizes),
        imports=[],
        entry_points=[],
        findings=[scan_files(ctx, package) for package in packages],
        dependencies=trace_dependencies(ctx, packages),
        gaps={
            "metadata": [{"index": 2, "reason": "TerminalError"}],
            "import cost": [{"index": 1, "reason": HOSTILE}, {"index": 2, "reason": "gap upstream"}],
        },
    )


def test_the_summary_joins_counts_and_names_every_gap_once(site: Path) -> None:
    summary = audited(site)

    assert [(row.key, row.absent, [finding.rule for finding in row.findings]) for row in summary.rows] == [
        ("evil", False, ["pth-exec", "files-missing", "licence-mismatch"]),
        ("good", False, []),
        ("ghost", True, []),
    ]
    assert summary.gaps == [
        Lack(
            package="ghost",
            what="metadata",
            reason="requirements.txt:1 asks for ghost==1: not installed in this environment",
        ),
        Lack(package="good", what="import cost", reason=HOSTILE),
    ]
    assert summary.counts.model_dump() == {
        "packages": 3,
        "licensed": 2,
        "by_metadata": 1,
        "by_text": 1,
        "gaps": 2,
        "findings": 3,
        "by_severity": {"high": 1, "medium": 2, "low": 0},
        "by_risk": {"permissive": 2},
        "unmet": 1,
        "cycles": 0,
        "total_bytes": summary.counts.total_bytes,
        "measured_imports": 0,
    }
    assert [finding.rule for finding in summary.worst] == ["pth-exec", "files-missing", "licence-mismatch"]
    assert words.headline(summary) == "1 finding of high severity; 2 of 3 licences known; 1 unmet requirement; 2 gaps"
    assert verifiers.confirm_summary(Ctx(), summary).verdict == "pass"


def test_a_summary_that_invents_is_refused(site: Path) -> None:
    summary = audited(site)
    rows = [
        summary.rows[0],
        summary.rows[0],
        summary.rows[1].model_copy(update={"version": "9"}),
        summary.rows[2].model_copy(update={"absent": False}),
    ]

    assert verifiers.confirm_summary(Ctx(), summary.model_copy(update={"rows": rows})).reasons == [
        "evil is named twice",
        "good is 1.0, not 9",
        "ghost is not installed",
        "the counts say (3, 2, 2, 3), the rows (4, 3, 2, 6)",
    ]


class Tags(html.parser.HTMLParser):
    """Every tag and address of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.addresses: set[str] = set()
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses |= {value or "" for name, value in attrs if name in {"href", "src", "action"}}
        self.ids += [value or "" for name, value in attrs if name == "id"]
        assert not [name for name, _ in attrs if name.startswith("on")]


def test_the_page_is_self_contained_and_hostile_words_stay_words(site: Path, tmp_path: Path) -> None:
    summary = audited(site)
    ctx = Ctx(idempotency_key="run-1/report--><script>")

    written = write_report(ctx, summary, str(tmp_path / "deep" / "out"))

    page = Path(written.html).read_text()
    tags = Tags()
    tags.feed(page)
    assert tags.tags.isdisjoint({"script", "img", "link", "iframe", "object", "base", "form"})
    assert all(address.startswith("#") for address in tags.addresses)
    assert {address[1:] for address in tags.addresses} <= set(tags.ids)
    assert len(tags.ids) == len(set(tags.ids))
    assert "url(" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "prefers-color-scheme: dark" in page
    assert verifiers.confirm_report(ctx, written, summary).verdict == "pass"


def test_markdown_escapes_what_packages_say(site: Path, tmp_path: Path) -> None:
    written = write_report(Ctx(idempotency_key="k"), audited(site), str(tmp_path))

    text = Path(written.markdown).read_text()
    assert not re.search(r"(?<!`)<script>", re.sub(r"`[^`]*`", "", text))
    rows = [line for line in text.split("\n") if line.startswith("| ") and "package-" in line and "<a id" in line]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {9}


@pytest.mark.parametrize(("value", "span"), [("a`b", "`` a`b ``"), ("a|b", "`a\\|b`"), ("", "` `"), ("a\n b", "`a b`")])
def test_code_spans_hold_anything(value: str, span: str) -> None:
    assert report_markdown.code(value) == span


def test_a_repeated_attempt_leaves_the_files_alone_and_another_run_replaces_them(site: Path, tmp_path: Path) -> None:
    summary = audited(site)
    first = write_report(Ctx(idempotency_key="run-1/report"), summary, str(tmp_path))
    stamp = Path(first.html).stat().st_mtime_ns

    again = write_report(Ctx(idempotency_key="run-1/report"), summary, str(tmp_path))
    assert (again, Path(first.html).stat().st_mtime_ns) == (first, stamp)

    other = write_report(Ctx(idempotency_key="run-2/report"), summary, str(tmp_path))
    assert other.key == "run-2/report"
    assert "run-2/report" in Path(other.html).read_text()
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == [
        "dependency-audit.html",
        "dependency-audit.md",
    ]


def test_a_folder_that_cannot_be_made_is_refused(site: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")

    with pytest.raises(TerminalError, match="cannot be written to"):
        write_report(Ctx(idempotency_key="k"), audited(site), str(tmp_path / "taken"))


def test_a_report_that_was_changed_is_found_out(site: Path, tmp_path: Path) -> None:
    summary = audited(site)
    written = write_report(Ctx(idempotency_key="k"), summary, str(tmp_path))
    Path(written.markdown).write_text("short")
    Path(written.html).unlink()

    assert verifiers.confirm_report(Ctx(), written, summary).reasons == [
        f"{written.markdown} is not what was written",
        *(f"{written.markdown} does not name {name}" for name in ("evil", "good", "ghost")),
        f"{written.html} cannot be read",
    ]


@pytest.mark.parametrize(
    ("licence", "reasons"),
    [
        ({}, []),
        ({"quote": "Apache-2.0"}, ["no License-Expression of good says 'Apache-2.0'"]),
        ({"risk": "public domain"}, ["MIT is not public domain"]),
        ({"spdx": "", "note": "nothing says it"}, ["nothing says it"]),
        ({"source": "good-1.0.dist-info/LICENSE", "line": 1, "quote": "MIT License"}, []),
        (
            {"source": "good-1.0.dist-info/LICENSE", "line": 2, "quote": "MIT License"},
            ["good-1.0.dist-info/LICENSE:2 does not say 'MIT License'"],
        ),
        ({"source": "nowhere", "line": 1}, ["nowhere:1 does not say 'MIT'"]),
    ],
)
def test_a_licence_is_looked_up_again(site: Path, licence: dict[str, object], reasons: list[str]) -> None:
    package = read_metadata(Ctx(), make(site, "good", headers="License-Expression: MIT\n", info_files={"LICENSE": MIT}))
    said = Licence(key="good", spdx="MIT", risk="permissive", source="License-Expression", quote="MIT").model_copy(
        update=licence
    )

    assert verifiers.confirm_licence(Ctx(), said, package).reasons == reasons


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (None, "—"),
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 KB"),
        (27_412_345, "27.4 MB"),
        (999_960, "1.0 MB"),
        (3_210_000_000, "3.2 GB"),
    ],
)
def test_sizes_are_written_for_people(number: int | None, shown: str) -> None:
    assert words.size(number) == shown


@pytest.mark.parametrize(
    ("us", "shown"), [(None, "—"), (400, "0.4 ms"), (9_960, "10 ms"), (430_000, "430 ms"), (1_120_000, "1.12 s")]
)
def test_times_are_written_for_people(us: int | None, shown: str) -> None:
    assert words.duration(us) == shown


def test_verifiers_see_the_same_environment(site: Path) -> None:
    make(site, "good")
    assert importlib.metadata.version("good") == "1.0"
