"""Pool `scanners`: read a distribution's code for what deserves a look, and compare it with what was installed."""

import base64
import hashlib
from pathlib import PurePosixPath
from typing import Final

from workers.kinds import patterns
from workers.kinds.context import Context
from workers.kinds.distributions import RecordRow, decode, open_distribution, read_bytes
from workers.kinds.records import SEVERITIES, Finding, Findings, Metadata
from workers.pool import Pool

FILES_MAX: Final = 20_000  #: code files of one distribution
FILE_BYTES_MAX: Final = 4 * 1024 * 1024  #: of one file; a larger one is named as not read
TOTAL_BYTES_MAX: Final = 256 * 1024 * 1024  #: of one distribution
FINDINGS_MAX: Final = 40  #: kept per distribution, the gravest first; the rest is counted
SKIPPED_MAX: Final = 20

# Parsing is pure Python work, and hostile source may exhaust memory: a process of its own for both reasons.
scanners = Pool("scanners", concurrency=2, isolation="process")


@scanners.worker
def scan_files(ctx: Context, package: Metadata) -> Findings:
    """Look through every `.py` and `.pth` file of a distribution; rules and reasons are in `patterns.RULES`.

    Raises:
        TerminalError: nothing recorded which files belong to the distribution, or RECORD cannot be read.
    """
    installed = open_distribution(package.ref)
    found: list[Finding] = []
    skipped: list[str] = []
    files = total = hashed = 0
    for row in installed.recorded():
        suffix = PurePosixPath(row.path).suffix
        if suffix not in (".py", ".pth"):
            continue
        path = installed.inside(installed.root / row.path)
        if path is None:
            skipped.append(f"{row.path}: leads out of the environment")
            continue
        try:
            data = read_bytes(path, FILE_BYTES_MAX + 1)
        except OSError as error:
            if not isinstance(error, FileNotFoundError):  # missing files are the size worker's to report
                skipped.append(f"{row.path}: {error.strerror or 'no regular file'}")
            continue
        files += 1
        total += len(data)
        if files > FILES_MAX or total > TOTAL_BYTES_MAX:
            skipped.append(f"{row.path} and what follows: over {FILES_MAX} files or {TOTAL_BYTES_MAX} bytes")
            break
        if len(data) > FILE_BYTES_MAX:
            skipped.append(f"{row.path}: larger than {FILE_BYTES_MAX} bytes")
            continue
        if row.digest.startswith("sha256="):
            hashed += 1
            found += _compared(package.key, row, data)
        text = decode(data)
        hits = patterns.scan_pth(text) if suffix == ".pth" else patterns.scan_python(text, row.path)
        found += _located(package.key, row.path, text, hits)
    found.sort(key=lambda finding: (SEVERITIES.index(finding.severity), finding.path, finding.line))
    return Findings(
        key=package.key,
        findings=found[:FINDINGS_MAX],
        files_read=files,
        bytes_read=total,
        hashed=hashed,
        dropped=max(len(found) - FINDINGS_MAX, 0),
        skipped=skipped[:SKIPPED_MAX],
    )


def digest_of(data: bytes) -> str:
    """SHA-256 as RECORD writes it: urlsafe base64 without padding. Source: PyPA "Recording installed projects"."""
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def _compared(key: str, row: RecordRow, data: bytes) -> list[Finding]:
    actual = digest_of(data)
    if actual == row.digest.rstrip("="):
        return []
    rule = patterns.RULES["record-mismatch"]
    quote = f"recorded {row.digest[:60]}, on disk {actual}"
    return [
        Finding(
            key=key, rule="record-mismatch", severity=rule.severity, path=row.path, line=0, quote=quote, why=rule.why
        )
    ]


def _located(key: str, path: str, text: str, hits: list[patterns.Hit]) -> list[Finding]:
    if not hits:
        return []
    lines = text.split("\n")
    return [
        Finding(
            key=key,
            rule=hit.rule,
            severity=patterns.severity_at(hit.rule, path),
            path=path,
            line=hit.line,
            quote=patterns.quoted(lines[hit.line - 1]) if hit.line <= len(lines) else "",
            why=patterns.RULES[hit.rule].why,
        )
        for hit in hits
    ]
