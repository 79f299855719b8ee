"""Pool `entry_points`: the commands a distribution installs and the plug-ins it offers."""

from typing import Final

from orchestrator.errors import TerminalError
from workers.kinds.context import Context
from workers.kinds.distributions import open_distribution
from workers.kinds.records import EntryPoint, EntryPoints, Metadata
from workers.pool import Pool

TEXT_BYTES_MAX: Final = 1024 * 1024
ENTRIES_MAX: Final = 2_000
CHARS_MAX: Final = 300  #: of one name or value

entry_points = Pool("entry_points", concurrency=8, isolation="thread")


@entry_points.worker
def read_entry_points(ctx: Context, package: Metadata) -> EntryPoints:
    """The lines of entry_points.txt, commands apart from plug-ins. Source: PyPA "Entry points specification".

    Raises:
        TerminalError: the file is over `TEXT_BYTES_MAX`, or names more than `ENTRIES_MAX` entry points.
    """
    text = open_distribution(package.ref).info_text("entry_points.txt", TEXT_BYTES_MAX) or ""
    scripts: list[EntryPoint] = []
    plugins: list[EntryPoint] = []
    broken: list[str] = []
    group = ""
    for number, line in enumerate(text.split("\n"), start=1):
        bare = line.strip()
        if not bare or bare.startswith(("#", ";")):
            continue
        if bare.startswith("[") and bare.endswith("]"):
            group = bare[1:-1].strip()[:CHARS_MAX]
            continue
        name, equals, value = (part.strip()[:CHARS_MAX] for part in bare.partition("="))
        if not (group and name and equals and value):
            broken.append(f"line {number}: {bare[:CHARS_MAX]}")
            continue
        (scripts if group in ("console_scripts", "gui_scripts") else plugins).append(
            EntryPoint(group=group, name=name, value=value)
        )
        if len(scripts) + len(plugins) > ENTRIES_MAX:
            raise TerminalError(f"{package.name} offers more than {ENTRIES_MAX} entry points")
    return EntryPoints(key=package.key, scripts=scripts, plugins=plugins, broken=broken[:20])
