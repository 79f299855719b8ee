"""Pool `licences`: the licence a distribution names in its own metadata, where that names just one."""

from workers.kinds import spdx
from workers.kinds.context import Context
from workers.kinds.records import Licence, Metadata
from workers.pool import Pool

licences = Pool("licences", concurrency=8)


@licences.worker
async def identify_licence(ctx: Context, package: Metadata) -> Licence:
    """The licence by metadata: License-Expression, else the License field, else the classifiers.

    Nothing is guessed: "BSD" (which clauses?) or a classifier that leaves the version open gives an empty `spdx`,
    which the
    step's check refuses, so that the package climbs to the pool that reads the licence's text.
    """
    fields = {
        "License-Expression": package.license_expression,
        "License": package.license_field,
        "Classifier": [line for line in package.classifiers if line.startswith("License ::")],
    }
    ctx.evidence(f"metadata of {package.name}", {name: value for name, value in fields.items() if value})
    for source, read in (("License-Expression", spdx.expression), ("License", spdx.from_spoken)):
        said = str(fields[source])
        if found := read(said):
            return Licence(key=package.key, spdx=found, risk=spdx.risk_of(found), source=source, quote=said)
    named = {line: spdx.from_classifier(line) for line in fields["Classifier"]}
    ids = list(dict.fromkeys(named.values()))
    if ids and all(ids):
        # Several classifiers do not say whether one may choose: both are taken to apply.
        found = " AND ".join(ids)
        note = "" if len(ids) == 1 else "several classifiers; whether one may choose is not said"
        return Licence(
            key=package.key,
            spdx=found,
            risk=spdx.risk_of(found),
            source="Classifier",
            quote=next(iter(named)),
            note=note,
        )
    vague = [line for line in (package.license_field.split("\n")[0][:200], *named) if line]
    note = "metadata says only: " + "; ".join(vague) if vague else "metadata says nothing about the licence"
    return Licence(key=package.key, spdx="", risk="unclassified", source="metadata", note=note)
