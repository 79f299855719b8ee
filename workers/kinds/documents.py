"""Pool `documents`: a repository's change log and documentation pages, read, checked and made into release notes."""

import re
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from orchestrator.errors import TerminalError
from orchestrator.ids import JsonValue
from workers.kinds.context import Context
from workers.kinds.pages import anchors_of, files_of, home_of, links_of, prose, text_of, title_of
from workers.kinds.records import Count, Record, Verdict, verdict
from workers.pool import Pool

ENTRIES_MAX: Final = 2_000  #: entries of one change log
BROKEN_MAX: Final = 100  #: broken links that are listed
_RELEASE = re.compile(r"^##\s+\[?([^\]\s]+)\]?(?:\([^)]*\))?(?:\s+[-–—]\s+(.+?)|\s+\((.+?)\))?\s*$")
_GROUP = re.compile(r"^###\s+(.+?)\s*$")
_ENTRY = re.compile(r"^[-*]\s+(.+?)\s*$")

documents = Pool("documents", concurrency=4, isolation="thread")


class Change(Record):
    """One entry of a change log."""

    group: str  #: `Added`, `Fixed` and so on; empty where entries stand without a heading
    text: str
    line: Count


class Release(Record):
    """One release, or what is not released yet."""

    version: str
    date: str = ""
    changes: list[Change]


class Changelog(Record):
    """A change log as data, newest first."""

    path: str
    releases: list[Release]


class Page(Record):
    """One documentation page."""

    path: str  #: relative to the repository
    title: str
    words: Count
    links: Count


class Pages(Record):
    """All Markdown pages of a repository."""

    pages: list[Page]
    words: Count


class BrokenLink(Record):
    """A link that leads nowhere."""

    path: str
    line: Count
    target: str
    reason: str


class Links(Record):
    """What became of the links between pages."""

    checked: Count  #: links to files and headings of the repository
    external: Count  #: links to other sites, which are not followed
    broken: list[BrokenLink]


class Notes(Record):
    """Release notes, ready to be pasted."""

    version: str
    text: str
    entries: list[str]  #: the entries it is made of, word for word


@documents.worker
def read_changelog(ctx: Context, root: str = ".", file: str = "CHANGELOG.md") -> Changelog:
    """Releases, groups and entries of a change log in the form of Keep a Changelog 1.1.

    Raises:
        TerminalError: the file cannot be read, lies outside `root`, or has over `ENTRIES_MAX` entries.
    """
    home = home_of(root)
    path = _inside(home, file)
    text = text_of(path)
    ctx.evidence(file, text[:200_000])
    releases: list[tuple[str, str, list[Change]]] = []
    group = ""
    open_entry = False
    for number, line in enumerate(text.split("\n"), start=1):
        if match := _RELEASE.match(line):
            releases.append((match.group(1), (match.group(2) or match.group(3) or "").strip(), []))
            group, open_entry = "", False
        elif match := _GROUP.match(line):
            group, open_entry = match.group(1), False
        elif releases and (match := _ENTRY.match(line)):
            changes = releases[-1][2]
            changes.append(Change(group=group, text=match.group(1), line=number))
            open_entry = True
        elif releases and open_entry and line.startswith("  ") and line.strip():
            last = releases[-1][2].pop()
            releases[-1][2].append(Change(group=last.group, text=f"{last.text} {line.strip()}", line=last.line))
        elif not line.strip():
            open_entry = False
    if sum(len(changes) for _, _, changes in releases) > ENTRIES_MAX:
        raise TerminalError(f"{file} holds more than {ENTRIES_MAX} entries")
    made = [Release(version=version, date=date, changes=changes) for version, date, changes in releases]
    return Changelog(path=file, releases=made)


@documents.worker
def survey_pages(ctx: Context, root: str = ".") -> Pages:
    """Every Markdown page with title, words of prose and number of links.

    Raises:
        TerminalError: `root` is no folder, holds too many pages, or a page is too large.
    """
    home = home_of(root)
    pages = []
    for path in files_of(home, ".md"):
        text = text_of(path)
        words = sum(len(line.split()) for _, line in prose(text))
        pages.append(
            Page(path=path.relative_to(home).as_posix(), title=title_of(text), words=words, links=len(links_of(text)))
        )
    return Pages(pages=pages, words=sum(page.words for page in pages))


@documents.worker
def check_links(ctx: Context, pages: Pages, root: str = ".") -> Links:
    """Follow every link between pages, to files and to headings; links to other sites are counted only.

    Raises:
        TerminalError: a page is gone or too large.
    """
    home = home_of(root)
    anchors: dict[Path, set[str]] = {}
    broken: list[BrokenLink] = []
    checked = external = 0
    for done, page in enumerate(pages.pages, start=1):
        path = _inside(home, page.path)
        for line, target in links_of(text_of(path)):
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                external += 1
                continue
            checked += 1
            if reason := _dead(home, path, unquote(parts.path), unquote(parts.fragment), anchors):
                broken.append(BrokenLink(path=page.path, line=line, target=target, reason=reason))
        ctx.progress(done / len(pages.pages), page.path)
    return Links(checked=checked, external=external, broken=broken[:BROKEN_MAX])


def _dead(home: Path, page: Path, target: str, fragment: str, anchors: dict[Path, set[str]]) -> str:
    """Why a link leads nowhere; empty when it leads somewhere."""
    goal = (home / target.lstrip("/") if target.startswith("/") else page.parent / target).resolve() if target else page
    if not goal.is_relative_to(home):
        return "leads out of the repository"
    if not goal.exists():
        return "there is no such file"
    if not fragment or goal.suffix != ".md":
        return ""
    if goal not in anchors:
        anchors[goal] = anchors_of(text_of(goal))
    return "" if fragment in anchors[goal] else "the page has no such heading"


@documents.worker
def links_hold(ctx: Context, output: Links) -> Verdict:
    """Reject when a link leads nowhere, naming each with its line."""
    return verdict([f"{link.path}:{link.line} links to {link.target}: {link.reason}" for link in output.broken])


@documents.worker
def compose_notes(
    ctx: Context,
    changelog: Changelog,
    pages: Pages,
    links: Links | None,
    doubts: list[dict[str, JsonValue]],
    version: str = "",
) -> Notes:
    """Release notes of one release: its entries by group, and in what state the documentation is.

    Without `version` the newest release that has entries is taken. `links` is None when the link check was refused;
    `doubts`
    then says why.

    Raises:
        TerminalError: the change log has no such release, or no entry at all.
    """
    wanted = [
        release for release in changelog.releases if release.version == version or (not version and release.changes)
    ]
    if not wanted:
        known = ", ".join(release.version for release in changelog.releases) or "none"
        raise TerminalError(f"{changelog.path} has no entries for {version or 'any release'}; its releases: {known}")
    release = wanted[0]
    lines = [f"# {release.version}" + (f", {release.date}" if release.date else ""), ""]
    for group in dict.fromkeys(change.group for change in release.changes):
        lines += [f"## {group}", ""] if group else []
        lines += [f"- {change.text}" for change in release.changes if change.group == group] + [""]
    state = f"Documentation: {len(pages.pages)} pages, {pages.words} words"
    if links is not None:
        lines.append(f"{state}; {links.checked} links between pages, all of them good.")
    else:
        lines += [f"{state}; not all links hold:", "", *(f"- {doubt.get('reason')}" for doubt in doubts)]
    return Notes(
        version=release.version, text="\n".join(lines) + "\n", entries=[change.text for change in release.changes]
    )


@documents.worker
def confirm_notes(ctx: Context, output: Notes, root: str = ".", file: str = "CHANGELOG.md") -> Verdict:
    """Each entry of the notes stands in the change log on disk, below the heading of its release, and in the notes'
    text."""
    text = text_of(_inside(home_of(root), file))
    begin = re.search(rf"^##\s+\[?{re.escape(output.version)}(?![\w.])", text, re.MULTILINE)
    if begin is None:
        return verdict([f"{file} has no release {output.version}"])
    end = re.search(r"^## ", text[begin.end() :], re.MULTILINE)
    section = " ".join(text[begin.end() : begin.end() + end.start() if end else len(text)].split())
    reasons = [
        f"{file} does not say under {output.version}: {entry}"
        for entry in output.entries
        if " ".join(entry.split()) not in section
    ]
    reasons += [f"the notes leave out: {entry}" for entry in output.entries if entry not in output.text]
    return verdict(reasons)


def _inside(home: Path, name: str) -> Path:
    path = (home / name).resolve()
    if not path.is_relative_to(home):
        raise TerminalError(f"{name} lies outside {home}")
    return path
