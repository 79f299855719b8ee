"""Pool `reports`, first half: join what the workers found to one row per distribution, and count."""

from typing import Annotated, Final

from pydantic import Field

from orchestrator.ids import JsonValue
from workers.kinds import patterns, spdx
from workers.kinds.context import Context
from workers.kinds.records import (
    SEVERITIES,
    Chain,
    Count,
    Dependencies,
    EntryPoint,
    EntryPoints,
    Finding,
    Findings,
    ImportCost,
    Inventory,
    Licence,
    LicenceText,
    LicenceTexts,
    Metadata,
    ModuleCost,
    Record,
    Size,
    SizePart,
    Totals,
    Unmet,
)
from workers.pool import Pool

WORST_MAX: Final = 10  #: findings that the run's result repeats
#: Licences whose texts read so alike that metadata may name either.
_ALIKE = (frozenset({"PSF-2.0", "Python-2.0"}), frozenset({"MIT", "X11"}))
#: Licences that do not ask for their text to go with every copy.
_NO_TEXT_ASKED = frozenset(
    {"0BSD", "CC0-1.0", "MIT-0", "Unlicense", "WTFPL", "BlueOak-1.0.0", "LicenseRef-Proprietary", "BSL-1.0"}
)


class Lack(Record):
    """Something the audit could not find out."""

    package: str
    what: str  #: which step lacks it
    reason: str


class Row(Record):
    """All that is known of one distribution."""

    key: str
    name: str
    version: str
    absent: bool = False  #: it was asked for and is not here
    summary: str = ""
    homepage: str = ""
    installer: str = ""
    editable: bool = False
    licence: Licence | None = None
    licence_files: list[LicenceText] = Field(default_factory=list)
    size_bytes: Count | None = None
    size_parts: list[SizePart] = Field(default_factory=list)
    import_us: Annotated[int, Field(ge=0)] | None = None
    import_note: str = ""
    slowest: list[ModuleCost] = Field(default_factory=list)
    scripts: list[str] = Field(default_factory=list)
    plugins: list[EntryPoint] = Field(default_factory=list)
    path: list[str] = Field(default_factory=list)
    required_by: list[str] = Field(default_factory=list)
    findings: list[Finding] = Field(default_factory=list)
    findings_dropped: Count = 0
    lacks: list[Lack] = Field(default_factory=list)


class Counts(Record):
    """The figures at the top of the report."""

    packages: Count
    licensed: Count  #: packages whose licence is known
    by_metadata: Count
    by_text: Count  #: licences that only the text gave
    gaps: Count
    findings: Count
    by_severity: dict[str, int]
    by_risk: dict[str, int]
    unmet: Count
    cycles: Count
    total_bytes: Count
    measured_imports: Count


class Summary(Record):
    """The whole audit, ready to be written down."""

    python: str
    prefix: str
    source: str
    counts: Counts
    rows: list[Row]
    gaps: list[Lack]
    unmet: list[Unmet]
    cycles: list[list[str]]
    roots: list[str]
    worst: list[Finding]  #: the gravest of all findings, at most `WORST_MAX`
    remarks: list[str]  #: shadowed distributions, requirements that do not apply, unreadable requirements


class Written(Record):
    """The report on disk."""

    markdown: str
    html: str
    markdown_sha256: str
    html_sha256: str
    key: str  #: the idempotency key it was written under
    headline: str


reports = Pool("reports", concurrency=2, isolation="thread")


@reports.worker
def summarise(
    ctx: Context,
    inventory: Inventory,
    packages: list[Metadata],
    licences: list[Licence],
    texts: list[LicenceTexts],
    sizes: list[Size],
    totals: Totals,
    imports: list[ImportCost],
    entry_points: list[EntryPoints],
    findings: list[Findings],
    dependencies: Dependencies,
    gaps: dict[str, list[dict[str, JsonValue]]],
) -> Summary:
    """One row per audited distribution, findings gravest first, everything missing by name.

    `gaps` holds, per step, `index` and `reason` of its missing branches; an index counts the inventory's targets. A
    package
    without metadata has one gap, not seven.
    """
    metadata = {item.key: item for item in packages}
    licence_of = {item.key: item for item in licences}
    texts_of = {item.key: item for item in texts}
    size_of = {item.key: item for item in sizes}
    import_of = {item.key: item for item in imports}
    entries_of = {item.key: item for item in entry_points}
    findings_of = {item.key: item for item in findings}
    chain_of = {item.key: item for item in dependencies.chains}
    lacks = _lacks(inventory, metadata, gaps)
    rows = []
    for target in inventory.targets:
        own = [lack for lack in lacks if lack.package == target.name]
        about = metadata.get(target.key)
        if about is None:
            rows.append(
                Row(key=target.key, name=target.name, version=target.version, absent=bool(target.absent), lacks=own)
            )
            continue
        licence, text, size = licence_of.get(target.key), texts_of.get(target.key), size_of.get(target.key)
        cost, entry, found = import_of.get(target.key), entries_of.get(target.key), findings_of.get(target.key)
        chain = chain_of.get(target.key, Chain(key=target.key, path=[], required_by=[]))
        everything = [
            *(found.findings if found else []),
            *_licence_findings(target.key, licence, text),
            *_size_findings(size),
        ]
        rows.append(
            Row(
                key=target.key,
                name=about.name,
                version=about.version,
                summary=about.summary,
                homepage=about.homepage,
                installer=about.installer,
                editable=about.editable,
                licence=licence,
                licence_files=text.files if text else [],
                size_bytes=size.bytes if size else None,
                size_parts=size.parts if size else [],
                import_us=cost.total_us if cost and cost.modules else None,
                import_note=cost.note if cost else "",
                slowest=cost.slowest if cost else [],
                scripts=sorted(point.name for point in entry.scripts) if entry else [],
                plugins=entry.plugins if entry else [],
                path=chain.path,
                required_by=chain.required_by,
                findings=sorted(everything, key=_gravity),
                findings_dropped=found.dropped if found else 0,
                lacks=own,
            )
        )
    every = sorted((finding for row in rows for finding in row.findings), key=_gravity)
    ctx.log(f"{len(rows)} packages joined, {len(lacks)} gaps")
    return Summary(
        python=inventory.python,
        prefix=inventory.prefix,
        source=inventory.source,
        counts=_counts(rows, lacks, dependencies, totals),
        rows=rows,
        gaps=lacks,
        unmet=dependencies.unmet,
        cycles=dependencies.cycles,
        roots=dependencies.roots,
        worst=[finding for finding in every if finding.severity != "low"][:WORST_MAX],
        remarks=_remarks(inventory, dependencies, findings, texts),
    )


def _gravity(finding: Finding) -> tuple[int, str, str, int]:
    return (SEVERITIES.index(finding.severity), finding.rule, finding.path, finding.line)


def _lacks(
    inventory: Inventory, metadata: dict[str, Metadata], gaps: dict[str, list[dict[str, JsonValue]]]
) -> list[Lack]:
    lacks = []
    for what, missing in gaps.items():
        for gap in missing:
            index = gap.get("index")
            if not isinstance(index, int) or not 0 <= index < len(inventory.targets):
                lacks.append(Lack(package="(all)", what=what, reason=str(gap.get("reason"))))
                continue
            target = inventory.targets[index]
            if what == "metadata" or target.key in metadata:
                lacks.append(Lack(package=target.name, what=what, reason=target.absent or str(gap.get("reason"))))
    return lacks


def _licence_findings(key: str, licence: Licence | None, texts: LicenceTexts | None) -> list[Finding]:
    """Metadata against licence text: another licence, or no text where one is asked for."""
    if licence is None or texts is None:
        return []
    ids = {
        part for part in licence.spdx.replace("(", " ").replace(")", " ").split() if part not in ("AND", "OR", "WITH")
    }
    known = [file for file in texts.files if file.spdx]
    wrong = [file for file in known if not any(_same(file.spdx, said) for said in ids)]
    if licence.source in ("License-Expression", "License", "Classifier") and known and len(wrong) == len(known):
        file = wrong[0]
        quote = f"{licence.source} says {licence.spdx}; this file reads as {file.spdx}: {file.quote}"
        return [_finding(key, "licence-mismatch", file.path, file.line, quote)]
    if not texts.files and not ids <= _NO_TEXT_ASKED:
        return [_finding(key, "licence-text-missing", "", 0, f"{licence.spdx} by {licence.source}")]
    return []


def _same(text: str, said: str) -> bool:
    """Whether a text of one id may stand behind the other: alike, or the same licence with or without `or later`."""
    base = text.removesuffix("-only").removesuffix("-or-later")
    return base == said.removesuffix("-only").removesuffix("-or-later") or any({text, said} <= pair for pair in _ALIKE)


def _size_findings(size: Size | None) -> list[Finding]:
    found = []
    if size and size.missing_count:
        found.append(
            _finding(
                size.key, "files-missing", size.missing[0], 0, f"{size.missing_count} files, such as {size.missing[0]}"
            )
        )
    if size and size.outside_count:
        found.append(
            _finding(
                size.key, "files-outside", size.outside[0], 0, f"{size.outside_count} files, such as {size.outside[0]}"
            )
        )
    return found


def _finding(key: str, rule: str, path: str, line: int, quote: str) -> Finding:
    about = patterns.RULES[rule]
    return Finding(key=key, rule=rule, severity=about.severity, path=path, line=line, quote=quote[:300], why=about.why)


def _counts(rows: list[Row], lacks: list[Lack], dependencies: Dependencies, totals: Totals) -> Counts:
    licences = [row.licence for row in rows if row.licence]
    by_metadata = sum(licence.source in ("License-Expression", "License", "Classifier") for licence in licences)
    every = [finding.severity for row in rows for finding in row.findings]
    risks = [licence.risk for licence in licences]
    return Counts(
        packages=len(rows),
        licensed=len(licences),
        by_metadata=by_metadata,
        by_text=len(licences) - by_metadata,
        gaps=len(lacks),
        findings=len(every) + sum(row.findings_dropped for row in rows),
        by_severity={severity: every.count(severity) for severity in SEVERITIES},
        by_risk={risk: risks.count(risk) for risk in spdx.RISKS if risk in risks},
        unmet=len(dependencies.unmet),
        cycles=len(dependencies.cycles),
        total_bytes=totals.total_bytes,
        measured_imports=sum(row.import_us is not None for row in rows),
    )


def _remarks(
    inventory: Inventory, dependencies: Dependencies, findings: list[Findings], texts: list[LicenceTexts]
) -> list[str]:
    """What a careful reader should know that fits nowhere else."""
    return [
        *(f"hidden behind another distribution of its name: {name}" for name in inventory.shadowed),
        *(f"does not apply to this interpreter: {text}" for text in inventory.not_applicable),
        *(f"names no exact version: {text}" for text in inventory.unpinned),
        *(f"a requirement that cannot be read: {text}" for text in dependencies.unreadable),
        *(f"not read: {text}" for item in findings for text in item.skipped),
        *(f"not read: {text}" for item in texts for text in item.skipped),
    ]
