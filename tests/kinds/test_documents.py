"""Change log to release notes, and the repository's own sources to a published report."""

from pathlib import Path

import pytest

from orchestrator.errors import TerminalError
from tests.kinds.distmaker import Ctx
from workers.kinds import documents as docs
from workers.kinds import house, pages
from workers.kinds.documents import BrokenLink, Change, Changelog, Links, Page, Pages, Release

CHANGELOG = """# Changelog

## [Unreleased]

## [1.1.0] - 2026-05-01

### Added
- Plans may hold
  sub-plans.
- `why` tells more.

### Fixed
* A crash.

## 1.0.0 (unreleased)
- First.
"""


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text(
        "# The *Thing*\n\nSee [docs](docs/a.md#two-words) and [site](https://example.org).\n\n```\n[no](no.md)\n```\n"
    )
    (tmp_path / "docs" / "a.md").write_text(
        "# A\n## Two words!\n## Two words!\n[up](../README.md#the-thing) [self](#two-words-1) `[x](y.md)`\n"
    )
    for hidden in (".git", "node_modules", "env"):
        (tmp_path / hidden).mkdir()
        (tmp_path / hidden / "x.md").write_text("[broken](gone.md)\n")
    (tmp_path / "env" / "pyvenv.cfg").write_text("")
    return tmp_path


def test_the_change_log_is_read_by_release_and_group(repo: Path, ctx: Ctx) -> None:
    assert docs.read_changelog(ctx, str(repo)) == Changelog(
        path="CHANGELOG.md",
        releases=[
            Release(version="Unreleased", changes=[]),
            Release(
                version="1.1.0",
                date="2026-05-01",
                changes=[
                    Change(group="Added", text="Plans may hold sub-plans.", line=8),
                    Change(group="Added", text="`why` tells more.", line=10),
                    Change(group="Fixed", text="A crash.", line=13),
                ],
            ),
            Release(version="1.0.0", date="unreleased", changes=[Change(group="", text="First.", line=16)]),
        ],
    )


def test_pages_are_found_and_links_followed(repo: Path, ctx: Ctx) -> None:
    found = docs.survey_pages(ctx, str(repo))

    assert found.pages == [
        Page(path="CHANGELOG.md", title="Changelog", words=28, links=0),
        Page(path="README.md", title="The *Thing*", words=7, links=2),
        Page(path="docs/a.md", title="A", words=10, links=2),
    ]
    assert docs.check_links(ctx, found, str(repo)) == Links(checked=3, external=1, broken=[])


def test_broken_links_are_told_with_place_and_reason(repo: Path, ctx: Ctx) -> None:
    (repo / "docs" / "a.md").write_text("[one](gone.md)\n[two](../README.md#nothing)\n[three](../../../etc/passwd)\n")

    links = docs.check_links(ctx, docs.survey_pages(ctx, str(repo)), str(repo))

    assert links.broken == [
        BrokenLink(path="README.md", line=3, target="docs/a.md#two-words", reason="the page has no such heading"),
        BrokenLink(path="docs/a.md", line=1, target="gone.md", reason="there is no such file"),
        BrokenLink(path="docs/a.md", line=2, target="../README.md#nothing", reason="the page has no such heading"),
        BrokenLink(path="docs/a.md", line=3, target="../../../etc/passwd", reason="leads out of the repository"),
    ]
    assert docs.links_hold(ctx, links).reasons[1] == "docs/a.md:1 links to gone.md: there is no such file"


def test_notes_hold_every_entry_and_the_state_of_the_links(repo: Path, ctx: Ctx) -> None:
    changelog, found = docs.read_changelog(ctx, str(repo)), docs.survey_pages(ctx, str(repo))

    good = docs.compose_notes(ctx, changelog, found, docs.check_links(ctx, found, str(repo)), [])
    bad = docs.compose_notes(
        ctx, changelog, found, None, [{"index": None, "reason": "a.md:1 is broken"}], version="1.0.0"
    )

    assert good.text == (
        "# 1.1.0, 2026-05-01\n\n"
        "## Added\n\n- Plans may hold sub-plans.\n- `why` tells more.\n\n## Fixed\n\n- A crash.\n\n"
        "Documentation: 3 pages, 45 words; 3 links between pages, all of them good.\n"
    )
    assert (
        bad.text == "# 1.0.0, unreleased\n\n- First.\n\n"
        "Documentation: 3 pages, 45 words; not all links hold:\n\n- a.md:1 is broken\n"
    )
    assert [docs.confirm_notes(ctx, notes, str(repo)).verdict for notes in (good, bad)] == ["pass", "pass"]


def test_invented_and_misplaced_entries_are_refused(repo: Path, ctx: Ctx) -> None:
    changelog, found = docs.read_changelog(ctx, str(repo)), docs.survey_pages(ctx, str(repo))
    notes = docs.compose_notes(ctx, changelog, found, None, [])

    wrong = notes.model_copy(update={"entries": ["First.", "Invented."], "text": notes.text + "First."})

    assert docs.confirm_notes(ctx, wrong, str(repo)).reasons == [
        "CHANGELOG.md does not say under 1.1.0: First.",
        "CHANGELOG.md does not say under 1.1.0: Invented.",
        "the notes leave out: Invented.",
    ]


def test_a_release_that_is_not_there_is_refused(repo: Path, ctx: Ctx) -> None:
    changelog = docs.read_changelog(ctx, str(repo))

    with pytest.raises(TerminalError, match=r"no entries for 9\.9; its releases: Unreleased, 1\.1\.0, 1\.0\.0"):
        docs.compose_notes(ctx, changelog, Pages(pages=[], words=0), None, [], version="9.9")


@pytest.mark.parametrize("file", ["../outside.md", "missing.md"])
def test_a_change_log_elsewhere_or_missing_is_refused(repo: Path, ctx: Ctx, file: str) -> None:
    with pytest.raises(TerminalError, match=r"lies outside|cannot be read"):
        docs.read_changelog(ctx, str(repo), file)


def test_pages_over_the_limit_are_refused(repo: Path, ctx: Ctx, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "PAGE_BYTES_MAX", 10)
    with pytest.raises(TerminalError, match="is larger than 10 bytes"):
        docs.survey_pages(ctx, str(repo))

    monkeypatch.setattr(pages, "FILES_MAX", 1)
    with pytest.raises(TerminalError, match="more than 1 files"):
        docs.survey_pages(ctx, str(repo))


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "good.py").write_text('"""Does good.\n\nMore.\n"""\nx = 1\n')
    (tmp_path / "app" / "long.py").write_text("x = 1\n" * 401)
    (tmp_path / "app" / "odd.py").write_bytes(b"\xff\xfe def (")
    return tmp_path


def test_sources_are_surveyed_written_up_and_counted_again(sources: Path, ctx: Ctx) -> None:
    survey = house.survey_sources(ctx, str(sources), ["app"])
    draft = house.draft_report(ctx, survey)

    assert [(file.path, file.lines, file.job) for file in survey.files] == [
        ("app/good.py", 5, "Does good."),
        ("app/long.py", 401, ""),
        ("app/odd.py", 1, ""),
    ]
    assert draft.body == (
        "# The house\n\n3 Python files, 407 lines.\n\n"
        "| Folder | Files | Lines | Longest |\n| --- | ---: | ---: | --- |\n"
        "| app | 3 | 407 | app/long.py (401) |\n\n## Over 400 lines\n\n- app/long.py (401 lines)\n\n"
        "## Files that do not say their job\n\n- app/long.py\n- app/odd.py\n"
    )
    assert house.recount(ctx, draft, str(sources), ["app"]).verdict == "pass"
    assert house.recount(ctx, draft.model_copy(update={"lines": 1}), str(sources), ["app"]).reasons == [
        "counted again: (3, 407), not (3, 1)"
    ]


def test_publishing_twice_under_one_key_writes_once(tmp_path: Path) -> None:
    ctx = Ctx(idempotency_key="run-1/publish")

    first = house.publish_text(ctx, "body\n", "build/out.md", str(tmp_path))
    stamp = (tmp_path / "build" / "out.md").stat().st_mtime_ns
    again = house.publish_text(ctx, "body\n", "build/out.md", str(tmp_path))

    assert (tmp_path / "build" / "out.md").read_text() == "body\n\n<!-- published as run-1/publish -->\n"
    assert (again, (tmp_path / "build" / "out.md").stat().st_mtime_ns) == (first, stamp)
    assert house.confirm_file(ctx, first, "body\n", str(tmp_path)).verdict == "pass"
    assert house.confirm_file(ctx, first, "other\n", str(tmp_path)).reasons == ["build/out.md holds other words"]


@pytest.mark.parametrize("to", ["../out.md", "/tmp/out.md", "."])
def test_publishing_outside_the_repository_is_refused(tmp_path: Path, to: str) -> None:
    with pytest.raises(TerminalError, match="lies outside"):
        house.publish_text(Ctx(), "x", to, str(tmp_path))
