"""Pool `verifiers`: checks that look again by another way than the worker whose output they judge.

They read distributions through the standard library's `importlib.metadata` and open files by themselves, so a fault in
`distributions.py` cannot hide itself. Each answers with a `Verdict`; what they cannot confirm they reject.
"""

import base64
import hashlib
import importlib.metadata
import os
import sys
from pathlib import Path
from typing import Final

from workers.kinds import patterns, spdx
from workers.kinds.context import Context
from workers.kinds.distributions import decode, normalise
from workers.kinds.records import Dependencies, Findings, Licence, Metadata, PackageRef, Totals, Verdict, verdict
from workers.kinds.report_words import anchor
from workers.kinds.summary import Summary, Written
from workers.pool import Pool

FILE_BYTES_MAX: Final = 64 * 1024 * 1024

verifiers = Pool("verifiers", concurrency=4, isolation="thread")


@verifiers.worker
def confirm_licence(ctx: Context, output: Licence, package: Metadata) -> Verdict:
    """The quoted words stand in the named metadata field, or in the named line of the named file."""
    if not output.spdx or not output.quote:
        return verdict([output.note or "no licence is named"])
    reasons = []
    if output.source in ("License-Expression", "License", "Classifier"):
        headers = [_words(value) for value in _distribution(package.ref).metadata.get_all(output.source) or []]
        if not any(_words(output.quote) in value for value in headers):
            reasons.append(f"no {output.source} of {package.name} says {output.quote!r}")
    else:
        text = _line(Path(package.ref.root) / output.source, output.line)
        if text is None or not text.strip().startswith(output.quote):
            reasons.append(f"{output.source}:{output.line} does not say {output.quote!r}")
    if spdx.risk_of(output.spdx) != output.risk:
        reasons.append(f"{output.spdx} is not {output.risk}")
    return verdict(reasons)


@verifiers.worker
def confirm_findings(ctx: Context, output: Findings, package: Metadata) -> Verdict:
    """Every quoted line stands where the finding says; every changed file still differs from RECORD."""
    reasons = []
    lines: dict[str, list[str]] = {}
    for finding in output.findings:
        place = Path(package.ref.root) / finding.path
        if finding.rule == "record-mismatch":
            digest = base64.urlsafe_b64encode(hashlib.sha256(_bytes(place) or b"").digest()).rstrip(b"=").decode()
            right = finding.quote.endswith(f"sha256={digest}") and not finding.quote.startswith(
                f"recorded sha256={digest}"
            )
        else:
            if finding.path not in lines:
                lines[finding.path] = decode(_bytes(place) or b"").split("\n")
            found = lines[finding.path]
            right = 1 <= finding.line <= len(found) and patterns.quoted(found[finding.line - 1]) == finding.quote
        if not right:
            reasons.append(f"{finding.path}:{finding.line} does not say {finding.quote!r}")
        if finding.rule not in patterns.RULES:
            reasons.append(f"there is no rule {finding.rule!r}")
    return verdict(reasons)


@verifiers.worker
def recount_sizes(ctx: Context, output: Totals, packages: list[Metadata]) -> Verdict:
    """All recorded files of all measured distributions, each counted once, weigh what the total says."""
    refs = {package.key: package.ref for package in packages}
    unknown = [key for key in output.keys if key not in refs]
    if unknown:
        return verdict([f"{key} was measured and is not among the audited packages" for key in unknown])
    weights: dict[Path, int] = {}
    for key in output.keys:
        root = Path(refs[key].root).resolve()
        for file in _distribution(refs[key]).files or []:
            path = Path(os.path.normpath(root.joinpath(*file.parts)))
            parent = path.parent.resolve()
            real = parent / path.name
            if (
                parent.is_relative_to(root) or parent.is_relative_to(Path(sys.prefix).resolve())
            ) and path not in weights:
                there = os.path.lexists(real) and (real.is_symlink() or real.is_file())
                weights[path] = real.lstat().st_size if there else 0
    total = sum(weights.values())
    return verdict(
        [] if total == output.total_bytes else [f"counted again, the total is {total} bytes, not {output.total_bytes}"]
    )


@verifiers.worker
def confirm_paths(ctx: Context, output: Dependencies, packages: list[Metadata]) -> Verdict:
    """Each step of each path is a requirement in the metadata on disk, and each path begins at a root."""
    refs = {package.key: package.ref for package in packages}
    needs: dict[str, set[str]] = {}
    reasons = []
    for key, ref in refs.items():
        lines = _distribution(ref).requires or []
        needs[key] = {normalise(_leading_name(line)) for line in lines}
    for chain in output.chains:
        if chain.path[0] not in output.roots or chain.path[-1] != chain.key:
            reasons.append(f"the path to {chain.key} begins or ends elsewhere")
        for upper, lower in zip(chain.path, chain.path[1:], strict=False):
            if lower not in needs.get(upper, ()):
                reasons.append(f"{upper} does not require {lower}")
    missing = refs.keys() - {chain.key for chain in output.chains}
    return verdict(reasons + [f"no path leads to {key}" for key in sorted(missing)])


@verifiers.worker
def confirm_summary(ctx: Context, output: Summary) -> Verdict:
    """Every package that the summary names exists in that version, nobody is named twice, and its counts are those
    of its rows."""
    reasons = []
    names = [row.key for row in output.rows]
    reasons += [f"{name} is named twice" for name in sorted({name for name in names if names.count(name) > 1})]
    for row in output.rows:
        if row.absent:
            continue
        try:
            found = importlib.metadata.version(row.name)
        except importlib.metadata.PackageNotFoundError:
            reasons.append(f"{row.name} is not installed")
            continue
        if found != row.version:
            reasons.append(f"{row.name} is {found}, not {row.version}")
    counts = output.counts
    told = (counts.packages, counts.licensed, counts.gaps, counts.findings)
    seen = (
        len(output.rows),
        sum(row.licence is not None for row in output.rows),
        len(output.gaps),
        sum(len(row.findings) for row in output.rows) + sum(row.findings_dropped for row in output.rows),
    )
    if told != seen:
        reasons.append(f"the counts say {told}, the rows {seen}")
    return verdict(reasons)


@verifiers.worker
def confirm_report(ctx: Context, output: Written, summary: Summary) -> Verdict:
    """Both files are on disk with the bytes that were written, and every package and gap is named in each."""
    reasons = []
    for path, digest in ((output.markdown, output.markdown_sha256), (output.html, output.html_sha256)):
        data = _bytes(Path(path))
        if data is None:
            reasons.append(f"{path} cannot be read")
            continue
        if hashlib.sha256(data).hexdigest() != digest:
            reasons.append(f"{path} is not what was written")
        text = data.decode("utf-8", "replace")
        reasons += [f"{path} does not name {row.key}" for row in summary.rows if f'"{anchor(row.key)}"' not in text]
    return verdict(reasons)


def _distribution(ref: PackageRef) -> importlib.metadata.Distribution:
    return importlib.metadata.Distribution.at(Path(ref.root) / ref.info)


def _words(text: str) -> str:
    return " ".join(str(text).split())


def _leading_name(requirement: str) -> str:
    for index, char in enumerate(requirement):
        if not (char.isalnum() or char in "-_."):
            return requirement[:index]
    return requirement


def _bytes(path: Path) -> bytes | None:
    """The file's bytes; None when it is missing, no regular file, or over `FILE_BYTES_MAX`."""
    try:
        if not path.is_file() or path.stat().st_size > FILE_BYTES_MAX:
            return None
        return path.read_bytes()
    except OSError:
        return None


def _line(path: Path, number: int) -> str | None:
    data = _bytes(path)
    lines = decode(data).split("\n") if data is not None else []
    return lines[number - 1] if 1 <= number <= len(lines) else None
