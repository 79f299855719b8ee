"""Pool `licence_texts`: read the licence files of a distribution and tell licences by their own words."""

import re
from pathlib import Path, PurePosixPath
from typing import Final

from workers.kinds import spdx
from workers.kinds.context import Context
from workers.kinds.distributions import Installed, decode, open_distribution, read_bytes
from workers.kinds.records import Licence, LicenceText, LicenceTexts, Metadata
from workers.pool import Pool

FILES_MAX: Final = 20  #: licence files of one distribution
TEXT_BYTES_MAX: Final = 512 * 1024  #: read of one licence file; the GPL has 35 KB
EVIDENCE_CHARS_MAX: Final = 8_000  #: of one file, around the quoted line
DEPTH_MAX: Final = 5  #: directories below the import directory where a licence of the whole may lie
_NAME = re.compile(
    r"^(?:un)?(?:licen[cs]es?|copying|copyright)(?:$|[-._ ])|[-._](?:licen[cs]e)(?:\.(?:txt|md|rst))?$", re.IGNORECASE
)
_CODE = (".py", ".pyc", ".pyi", ".so", ".pyd", ".json", ".html", ".toml", ".spdx")

licence_texts = Pool("licence_texts", concurrency=2, isolation="thread")


@licence_texts.worker
def read_licence_files(ctx: Context, package: Metadata) -> LicenceTexts:
    """Every licence file that the distribution ships, and which licence its words are.

    At most `FILES_MAX` files and `TEXT_BYTES_MAX` bytes of each; what is left out is named in `skipped`.

    Raises:
        TerminalError: the distribution is gone, or its RECORD cannot be read.
    """
    texts, skipped = _texts(open_distribution(package.ref))
    files = []
    for path, (text, size) in texts.items():
        matches = spdx.classify(text)
        if not matches:
            files.append(LicenceText(path=path, bytes=size))
            continue
        first = matches[0]
        _show(ctx, path, text, first)
        also = [match.spdx for match in matches[1:]]
        files.append(
            LicenceText(
                path=path, bytes=size, spdx=first.spdx, score=first.score, line=first.line, quote=first.quote, also=also
            )
        )
    return LicenceTexts(key=package.key, files=files, skipped=skipped)


@licence_texts.worker
def identify_licence(ctx: Context, package: Metadata) -> Licence:
    """The licence by text: the rung above the pool `licences`, for metadata that names no licence or leaves it open.

    Reads the licence files, and a licence that was pasted into the License field. Where files hold different
    licences, all are
    taken to apply. An empty `spdx` says that no text matches any known licence well enough.

    Raises:
        TerminalError: the distribution is gone, or its RECORD cannot be read.
    """
    texts, _ = _texts(open_distribution(package.ref))
    if len(package.license_field) > spdx.QUOTE_CHARS_MAX or "\n" in package.license_field:
        texts["License"] = (package.license_field, len(package.license_field))
    found: dict[str, tuple[str, spdx.Match]] = {}
    for path, (text, _size) in texts.items():
        for match in spdx.classify(text)[:1]:
            found.setdefault(match.spdx, (path, match))
            _show(ctx, path, text, match)
    if not found:
        read = ", ".join(texts) or "no licence file"
        why = "; ".join(ctx.reasons)
        note = f"no text matches a known licence (read: {read})" + (f"; before: {why}" if why else "")
        return Licence(key=package.key, spdx="", risk="unclassified", source="licence files", note=note)
    path, match = next(iter(found.values()))
    expression = " AND ".join(found)
    note = f"{match.score:.0%} of the licence's marks found" + (f"; {match.note}" if match.note else "")
    if len(found) > 1:
        note += "; several licence texts, and whether one may choose is not said"
    return Licence(
        key=package.key,
        spdx=expression,
        risk=spdx.risk_of(expression),
        source=path,
        line=match.line,
        quote=match.quote,
        note=note,
    )


def _show(ctx: Context, path: str, text: str, match: spdx.Match) -> None:
    """Record what was read around the quote, so that the `grounded` check can find it."""
    place = max(text.find(match.quote) - EVIDENCE_CHARS_MAX // 4, 0)
    ctx.evidence(path, text[place : place + EVIDENCE_CHARS_MAX])


def _texts(installed: Installed) -> tuple[dict[str, tuple[str, int]], list[str]]:
    """Path to (text, bytes on disk) of the licence files, those of the information directory first; and what was
    skipped."""
    texts: dict[str, tuple[str, int]] = {}
    skipped: list[str] = []
    for path in _paths(installed):
        shown = installed.relative(path)
        real = installed.inside(path)
        if real is None:
            skipped.append(f"{shown}: leads out of the environment")
        elif len(texts) >= FILES_MAX:
            skipped.append(f"{shown}: more than {FILES_MAX} licence files")
        else:
            try:
                size = real.stat().st_size
                texts[shown] = (decode(read_bytes(real, TEXT_BYTES_MAX)), size)
            except OSError as error:
                skipped.append(f"{shown}: {error.strerror or error}")
                continue
            if size > TEXT_BYTES_MAX:
                skipped.append(f"{shown}: only the first {TEXT_BYTES_MAX} of {size} bytes were read")
    return texts, skipped


def _paths(installed: Installed) -> list[Path]:
    """Where licence files lie: the License-File headers, RECORD, and the information directory itself."""
    paths: dict[Path, None] = {}
    for name in installed.fields("License-File")[:100]:
        pure = PurePosixPath(name)
        if pure.is_absolute() or ".." in pure.parts:
            continue
        for path in (installed.info / "licenses" / pure, installed.info / pure):  # PEP 639 and before
            if path.is_file() and _NAME.search(pure.name):
                paths.setdefault(path)
                break
    inner: dict[Path, None] = {}
    for row in installed.record or []:
        pure = PurePosixPath(row.path)
        if not _NAME.search(pure.name) or pure.suffix in _CODE or len(pure.parts) > DEPTH_MAX or ".." in pure.parts:
            continue
        (paths if pure.parts[0] == installed.info.name else inner).setdefault(installed.root / pure)
    if installed.record is None and installed.info.is_dir():
        for path in sorted(installed.info.iterdir())[:1000]:
            if _NAME.search(path.name) and path.suffix not in _CODE:
                paths.setdefault(path)
    # A licence inside the package counts where the information directory holds none: it may be a vendored part's.
    return list(paths or inner)
