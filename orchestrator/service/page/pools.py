"""The board of pools: backlog by lane, who works on it, what was given up. Pure."""

from collections.abc import Mapping, Sequence

from orchestrator.ids import JsonValue
from orchestrator.plan.catalogue import PoolCatalogue
from orchestrator.ports.fleet import WorkerSeen
from orchestrator.service.work_seen import WorkSeen

WORKERS_MAX = 500  #: told by name; the counts are of all
Document = dict[str, JsonValue]


def pool_board(
    known: PoolCatalogue,
    work: WorkSeen,
    workers: Sequence[WorkerSeen] | None = None,
    dead: Mapping[str, int] | None = None,
) -> Document:
    """{tenants, pools, workers}: pools that are known, have work, a worker or dead letters; workers by their own word.

    Without `workers` this process does all work itself,
    or who does it is not theirs to see: `workers` is then null, and so are the counts of them; so are dead letters
    without `dead`.
    """
    seen, given_up = workers or (), dead or {}
    names = {*known.pools(), *work.pools, *given_up, *(pool for one in seen for pool in one.offer.concurrency)}
    rows: list[JsonValue] = []
    for name in sorted(names):
        here = name in known.pools()
        serving = [one for one in seen if name in one.offer.concurrency and not one.offer.leaving]
        functions: list[JsonValue] = [*known.functions(name)] if here else []
        rows.append(
            {
                **work.of(name),
                "functions": functions,
                "agent": here and known.has_agent(name),
                "workers": len(serving) if workers is not None else None,
                "slots": sum(one.offer.concurrency[name] for one in serving) if workers is not None else None,
                "dead": given_up.get(name, 0) if dead is not None else None,
                "refused": [*sorted({why for one in seen for why in one.offer.refused.get(name, ())})],
            }
        )
    told: list[JsonValue] = [
        {
            "name": one.name,
            "beat_age_s": one.beat_age_s,
            "running": one.running,
            "leaving": one.offer.leaving,
            "pools": {**one.offer.concurrency},
        }
        for one in sorted(seen, key=lambda one: one.name)[:WORKERS_MAX]
    ]
    return {
        "tenants": work.tenants,
        "pools": rows,
        "workers": told if workers is not None else None,
        "workers_total": len(seen),
    }
