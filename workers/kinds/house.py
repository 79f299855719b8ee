"""Pool `house`: look over a repository's own sources, write up what was found, and publish it once it was approved."""

import ast
import hashlib
from pathlib import Path
from typing import Final

from orchestrator.errors import TerminalError
from workers.kinds.context import Context
from workers.kinds.files import put, read_if_there
from workers.kinds.pages import files_of, home_of, text_of
from workers.kinds.records import Count, Record, Verdict, verdict
from workers.pool import Pool

LINES_MAX: Final = 400  #: of one source file; longer ones are listed
LISTED_MAX: Final = 20

house = Pool("house", concurrency=2, isolation="thread")


class Source(Record):
    """One Python file."""

    path: str
    lines: Count
    job: str  #: first line of its docstring; empty when it has none


class Sources(Record):
    """The Python files of a repository."""

    files: list[Source]
    lines: Count


class Draft(Record):
    """A report that nobody has approved yet."""

    title: str
    body: str
    files: Count
    lines: Count
    long: list[str]  #: files over `LINES_MAX` lines
    silent: list[str]  #: files whose docstring does not say their job


class Published(Record):
    """What was written, and under which key."""

    path: str
    bytes: Count
    sha256: str
    key: str


@house.worker
def survey_sources(ctx: Context, root: str = ".", folders: list[str] | None = None) -> Sources:
    """Lines and first docstring line of every Python file below the folders (all of the repository when none are
    named).

    Raises:
        TerminalError: a folder is missing or holds too many files, or a file is too large.
    """
    home = home_of(root)
    places = [home_of(str(home / folder)) for folder in folders or ["."]]
    files = []
    for path in sorted({path for place in places for path in files_of(place, ".py")}):
        if not path.is_relative_to(home):
            raise TerminalError(f"{path} lies outside {home}")
        text = text_of(path)
        files.append(Source(path=path.relative_to(home).as_posix(), lines=len(text.splitlines()), job=_job(text)))
    ctx.log(f"{len(files)} files")
    return Sources(files=files, lines=sum(file.lines for file in files))


def _job(text: str) -> str:
    try:
        words = ast.get_docstring(ast.parse(text)) or ""
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ""
    return words.split("\n")[0].strip()[:300]


@house.worker
def draft_report(ctx: Context, sources: Sources) -> Draft:
    """Write the survey up as Markdown: size per folder, files over the limit, files that do not say their job."""
    folders: dict[str, list[Source]] = {}
    for file in sources.files:
        folders.setdefault(
            "/".join(file.path.split("/")[:2]) if file.path.count("/") > 1 else file.path.split("/")[0], []
        ).append(file)
    long = [f"{file.path} ({file.lines} lines)" for file in sources.files if file.lines > LINES_MAX]
    silent = [file.path for file in sources.files if not file.job and file.lines]
    lines = ["# The house", "", f"{len(sources.files)} Python files, {sources.lines} lines.", ""]
    lines += ["| Folder | Files | Lines | Longest |", "| --- | ---: | ---: | --- |"]
    for folder, files in sorted(folders.items()):
        longest = max(files, key=lambda file: file.lines)
        lines.append(
            f"| {folder} | {len(files)} | {sum(file.lines for file in files)} | {longest.path} ({longest.lines}) |"
        )
    for heading, names in ((f"Over {LINES_MAX} lines", long), ("Files that do not say their job", silent)):
        lines += ["", f"## {heading}", "", *(f"- {name}" for name in names[:LISTED_MAX] or ["none"])]
        lines += [f"- and {len(names) - LISTED_MAX} more"] if len(names) > LISTED_MAX else []
    return Draft(
        title="The house",
        body="\n".join(lines) + "\n",
        files=len(sources.files),
        lines=sources.lines,
        long=long,
        silent=silent,
    )


@house.worker
def recount(ctx: Context, output: Draft, root: str = ".", folders: list[str] | None = None) -> Verdict:
    """Count files and lines again, by the bytes on disk, and compare."""
    home = home_of(root)
    paths = {path for folder in folders or ["."] for path in files_of(home_of(str(home / folder)), ".py")}
    lines = sum(len(path.read_text("utf-8", "replace").splitlines()) for path in paths)
    found = (len(paths), lines)
    reasons = (
        [] if found == (output.files, output.lines) else [f"counted again: {found}, not {(output.files, output.lines)}"]
    )
    missing = [name for name in output.silent[:LISTED_MAX] + output.long[:LISTED_MAX] if name not in output.body]
    return verdict(reasons + [f"the text does not name {name}" for name in missing])


@house.worker(honours_key=True)
def publish_text(ctx: Context, body: str, to: str, root: str = ".") -> Published:
    """Write `body` to the file `to` below `root`, once per idempotency key: a repeated attempt finds its own work
    and leaves it.

    Raises:
        TerminalError: `to` lies outside `root`, or cannot be written.
    """
    home = home_of(root)
    path = (home / to).resolve()
    if not path.is_relative_to(home) or path == home:
        raise TerminalError(f"{to} lies outside {root}")
    key = ctx.idempotency_key or ""
    data = f"{body.rstrip()}\n\n<!-- published as {key.replace('--', '- -')} -->\n".encode()
    if read_if_there(path) != data:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            put(path, data)
        except OSError as error:
            raise TerminalError(f"{to} cannot be written: {error.strerror or error}") from error
    return Published(path=to, bytes=len(data), sha256=hashlib.sha256(data).hexdigest(), key=key)


@house.worker
def confirm_file(ctx: Context, output: Published, body: str, root: str = ".") -> Verdict:
    """The file is on disk, holds the approved words, and has the digest that was told."""
    data = read_if_there(Path(root) / output.path)
    if data is None:
        return verdict([f"{output.path} is not there"])
    reasons = [] if hashlib.sha256(data).hexdigest() == output.sha256 else [f"{output.path} has another digest"]
    return verdict(
        reasons
        + ([] if data.decode("utf-8", "replace").startswith(body.rstrip()) else [f"{output.path} holds other words"])
    )
