"""Pool `packages`: which distributions there are, and what each says of itself."""

import contextlib
import json
import platform
import sys
from pathlib import Path

from orchestrator.errors import TerminalError
from workers.kinds import distributions
from workers.kinds.context import Context
from workers.kinds.distributions import FIELD_CHARS_MAX, Installed, normalise, open_distribution
from workers.kinds.records import Inventory, Metadata, PackageRef
from workers.kinds.requirements_text import match_requirements
from workers.pool import Pool

packages = Pool("packages", concurrency=8, isolation="thread")


@packages.worker
def list_packages(ctx: Context, requirements: str = "") -> Inventory:
    """What is to be audited: every distribution of this interpreter, or what a requirements file asks for.

    The first distribution of a name on the import path counts; others of that name are listed as shadowed.

    Raises:
        TerminalError: the requirements file cannot be read, or there are too many distributions.
    """
    found: dict[str, PackageRef] = {}
    shadowed: list[str] = []
    for installed in distributions.discover():
        ref = _reference(installed)
        if ref.key in found:
            shadowed.append(f"{ref.name} {ref.version} ({installed.info})")
        else:
            found[ref.key] = ref
    ctx.log(f"{len(found)} distributions on the import path")
    python, prefix = platform.python_version(), sys.prefix
    if not requirements:
        targets = sorted(found.values(), key=lambda ref: ref.key)
        source = "installed distributions"
        return Inventory(python=python, prefix=prefix, source=source, targets=targets, shadowed=shadowed)
    wanted = match_requirements(Path(requirements), found)
    return Inventory(
        python=python,
        prefix=prefix,
        source=requirements,
        targets=list(wanted.targets.values()),
        shadowed=shadowed,
        not_applicable=wanted.not_applicable,
        unpinned=wanted.unpinned,
    )


@packages.worker
def read_metadata(ctx: Context, package: PackageRef) -> Metadata:
    """The fields of METADATA that the audit uses, each cut to `FIELD_CHARS_MAX` characters.

    Raises:
        TerminalError: the distribution is not installed, or its metadata is missing, too large, or names something
        else.
    """
    installed = open_distribution(package)
    name, version = installed.field("Name"), installed.field("Version")
    if not name or not version:
        raise TerminalError(f"{installed.info} names no {'version' if name else 'name'}")
    if normalise(name) != package.key:
        raise TerminalError(f"{installed.info} calls itself {name!r}, not {package.name!r}")
    ctx.evidence(f"{installed.info.name}/METADATA", {"Name": name, "Version": version})
    return Metadata(
        ref=package,
        name=_cut(name),
        key=package.key,
        version=_cut(version),
        summary=_cut(" ".join(installed.field("Summary").split())),
        homepage=_cut(_homepage(installed)),
        requires=[_cut(text) for text in installed.fields("Requires-Dist")[:1000]],
        requires_python=_cut(installed.field("Requires-Python")),
        classifiers=[_cut(text) for text in installed.fields("Classifier")[:200]],
        license_expression=_cut(installed.field("License-Expression")),
        license_field=_cut(installed.field("License")),
        license_files=[_cut(text) for text in installed.fields("License-File")[:100]],
        installer=_cut((installed.info_text("INSTALLER") or "").strip()),
        editable=_editable(installed),
    )


def _reference(installed: Installed) -> PackageRef:
    """Name and version from the metadata, or from the directory's name where the metadata says nothing."""
    stem = installed.info.name.removesuffix(".dist-info").removesuffix(".egg-info")
    name, version = stem.partition("-")[::2]
    with contextlib.suppress(TerminalError):  # read_metadata meets the same error, and there it becomes a named gap
        name, version = installed.field("Name") or name, installed.field("Version") or version
    root, info = str(installed.root), installed.info.name
    return PackageRef(name=_cut(name), key=normalise(_cut(name)), version=_cut(version), root=root, info=info)


def _homepage(installed: Installed) -> str:
    """The first address of a home page or source repository."""
    urls = {}
    for line in installed.fields("Project-URL")[:50]:
        label, _, url = line.partition(",")
        urls[label.strip().lower()] = url.strip()
    names = ("homepage", "home", "source", "source code", "repository", "github", "documentation")
    listed = [urls[name] for name in names if urls.get(name)]
    return next(iter([installed.field("Home-page"), *listed]), "") or next(iter(listed), "")


def _editable(installed: Installed) -> bool:
    try:
        direct = json.loads(installed.info_text("direct_url.json") or "{}")
    except json.JSONDecodeError:
        return False
    about = direct.get("dir_info") if isinstance(direct, dict) else None
    return bool(isinstance(about, dict) and about.get("editable"))


def _cut(text: str) -> str:
    """At most `FIELD_CHARS_MAX` characters, and no lone surrogate, which JSON could not carry."""
    return text[:FIELD_CHARS_MAX].encode("utf-8", "replace").decode()
