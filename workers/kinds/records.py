"""The shapes that pass between the audit's workers: closed, frozen records."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Bytes = Annotated[int, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]
Severity = Literal["high", "medium", "low"]
SEVERITIES: tuple[Severity, ...] = ("high", "medium", "low")


class Record(BaseModel):
    """Base of all records: unknown keys are refused; validators are built at first use, so importing stays cheap."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class PackageRef(Record):
    """Which distribution to look at. A worker opens it only where the interpreter itself would import from."""

    name: str  #: as its metadata spells it
    key: str  #: normalised (PEP 503): lower case, runs of `-_.` become `-`
    version: str
    root: str = ""  #: the import directory that holds it; empty when it is not installed
    info: str = ""  #: its `*.dist-info` or `*.egg-info`, a name inside `root`; empty when it is not installed
    absent: str = ""  #: why there is nothing to audit, for a requirement that is not met here


class Inventory(Record):
    """What is to be audited."""

    python: str  #: version of the interpreter
    prefix: str  #: the environment
    source: str  #: `installed distributions`, or the requirements file
    targets: list[PackageRef]
    shadowed: list[str] = []  #: distributions hidden behind another of the same name, as `name version (where)`
    not_applicable: list[str] = []  #: requirements whose marker is false here
    unpinned: list[str] = []  #: requirements that name no exact version


class Metadata(Record):
    """What a distribution says of itself."""

    ref: PackageRef
    name: str
    key: str
    version: str
    summary: str = ""
    homepage: str = ""
    requires: list[str] = []
    requires_python: str = ""
    classifiers: list[str] = []
    license_expression: str = ""
    license_field: str = ""  #: the older free-text field; may hold a whole licence, then cut
    license_files: list[str] = []
    installer: str = ""
    editable: bool = False


class LicenceText(Record):
    """One licence file and what its own words say it is."""

    path: str
    bytes: Bytes
    spdx: str = ""  #: empty when the text matches no licence well enough
    score: Annotated[float, Field(ge=0, le=1)] = 0.0
    line: Count = 0
    quote: str = ""  #: one line of the file, verbatim
    also: list[str] = []  #: further licences whose text lies in the same file


class LicenceTexts(Record):
    """All licence files of one distribution."""

    key: str
    files: list[LicenceText]
    skipped: list[str] = []  #: files that were not read, and why


class Licence(Record):
    """Under which licence a distribution is, and the words that say so."""

    key: str
    spdx: str  #: an SPDX expression; empty when nothing says it
    risk: str  #: a group of `spdx.RISKS`
    source: str  #: `License-Expression`, `License`, `Classifier`, or a file
    line: Count = 0  #: in a file; 0 for a metadata field
    quote: str = ""
    note: str = ""


class SizePart(Record):
    """Files of one kind."""

    kind: str
    files: Count
    bytes: Bytes


class Size(Record):
    """What a distribution weighs on disk."""

    key: str
    files: Count
    bytes: Bytes
    parts: list[SizePart]
    parts_bytes: list[int]  #: the parts' bytes alone, for the rule that they add up
    missing: list[str] = []  #: recorded and not on disk; the first few
    missing_count: Count = 0
    outside: list[str] = []  #: recorded outside the environment, not measured; the first few
    outside_count: Count = 0


class Totals(Record):
    """What all distributions weigh together."""

    keys: list[str]
    package_bytes: list[int]  #: in the order of `keys`
    shared_files: Count  #: files that more than one distribution records
    shared_bytes: Bytes  #: what counting them more than once would add
    total_bytes: Bytes


class ModuleCost(Record):
    """Time one module took to import."""

    module: str
    us: Annotated[int, Field(ge=0)]  #: microseconds


class ImportCost(Record):
    """What importing a distribution's top-level modules costs in a fresh interpreter."""

    key: str
    modules: list[ModuleCost]  #: cumulative
    modules_us: list[int]
    total_us: Annotated[int, Field(ge=0)]
    slowest: list[ModuleCost] = []  #: own time, children left out
    skipped: list[str] = []  #: top-level modules beyond the cap
    note: str = ""


class EntryPoint(Record):
    """One name that a distribution offers to others."""

    group: str
    name: str
    value: str


class EntryPoints(Record):
    """What a distribution plugs into, and the commands it installs."""

    key: str
    scripts: list[EntryPoint]
    plugins: list[EntryPoint]
    broken: list[str] = []  #: lines that cannot be read


class Finding(Record):
    """One thing worth a person's look, with the place and the words."""

    key: str
    rule: str  #: an id of `patterns.RULES`
    severity: Severity
    path: str  #: relative to the import directory
    line: Count
    quote: str
    why: str


class Findings(Record):
    """What reading a distribution's code brought up."""

    key: str
    findings: list[Finding]
    files_read: Count
    bytes_read: Bytes
    hashed: Count  #: files whose recorded SHA-256 was compared
    dropped: Count = 0  #: further findings over the cap
    skipped: list[str] = []  #: files that were not read, and why


class Unmet(Record):
    """A requirement that this environment does not meet."""

    key: str
    requirement: str
    reason: str


class Chain(Record):
    """Who pulls a distribution in."""

    key: str
    path: list[str]  #: keys, from a root to this one; just itself for a root
    required_by: list[str]


class Dependencies(Record):
    """How the distributions need each other."""

    roots: list[str]
    chains: list[Chain]
    cycles: list[list[str]]
    unmet: list[Unmet]
    unreadable: list[str] = []  #: requirements that are not written to PEP 508


class Verdict(Record):
    """What a checking function answers."""

    verdict: Literal["pass", "fix", "reject"]
    reasons: list[str] = []
    evidence: list[str] = []


def verdict(reasons: list[str]) -> Verdict:
    """Pass where there is nothing to say against it; otherwise reject with the first ten reasons."""
    shown = reasons[:10] + ([f"and {len(reasons) - 10} more"] if len(reasons) > 10 else [])
    return Verdict(verdict="reject" if reasons else "pass", reasons=shown)
