"""docs/reliability.md, from the figures of the last campaign and proofs: `python -m tests.simulation.page` writes it.

python -m orchestrator.testing.simulation.campaign --seeds 1000 --report tests/simulation/report.json
python -m tests.simulation.page

Where a campaign found something, `again.json` is the report of the schedules that the mending reaches, played once
more, with `only`, the fault that had them chosen; `mended`, the seeds of either that failed and fail no more; and
`open`, what other schedules have found since.
"""

import json
from pathlib import Path
from typing import Any

from orchestrator.testing.simulation.profile import AT_MOVES, AT_TIMES
from tests.simulation.bugs import BUGS
from tests.simulation.found import FOUND
from tests.simulation.proofs import proofs, wrong_in_the_storm
from tests.sizes import CI, PROVE

ROOT = Path(__file__).resolve().parents[2]
REPORT = Path(__file__).parent / "report.json"
AGAIN = Path(__file__).parent / "again.json"
KEPT = Path(__file__).parent / "kept"
PAGE = ROOT / "docs" / "reliability.md"

#: what is looked at, and by whom: the history checker (H), the simulator's witness (W), the journal itself (J), the
#: account of a storm on real processes (S), which looks at all but one of them
RULES = (
    ("I1", "W S", "every run that a client was told of exists afterwards"),
    ("I2", "H W S", "one end per run; nothing after it but late charges and audit records"),
    ("I3", "W S", "once faults stop, every accepted run ends"),
    ("I4", "H J S", "sequence numbers have no gap and are chained by hashes"),
    ("I5", "W J S", "no record of a lower epoch after a higher one was claimed"),
    ("I6", "H S", "each record is a legal move of its step ([states.md](states.md))"),
    ("I7, I8", "H S", "one acceptance per step; no dispatch after it"),
    ("I9", "H S", "no dispatch before everything it waits for has settled"),
    ("I10", "W S", "a worker is given the inputs whose digest is in the journal"),
    ("I11", "H S", "each acceptance follows a pass of every check on that very output"),
    ("I12", "H S", "attempts stay within retries, rungs and lost workers"),
    ("I13", "W S", "one key per effect, announced before it happens, acted on once per attempt"),
    ("I14", "S", "each result of a worker is accepted, rejected, stale or unknown: one of them"),
    ("I15", "W S", "no message is acknowledged before what follows from it is journaled"),
    ("I16", "S", "attempts are numbered upwards; two workers have one only once a lease ended, or Redis forgot"),
    ("I17", "H W S", "reservations fit the budget; models are not called before theirs is journaled"),
    ("I18", "H W S", "what is booked under a charge is what was billed, and once"),
    ("I19", "S", "the calls of a model stay within its rate, over all processes"),
    ("I20", "W S", "one run per idempotency key; another request under it never makes one"),
    ("I21", "H W S", "no dispatch after a cancel; a cancel that was confirmed is in the journal"),
    ("I22", "S", "each end is told by webhook, under one name, and not again once the receiver's word was heard"),
    ("I23", "S", "a stream of events, cut and read on, is the journal without a gap"),
    ("I24", "S", "the turns of a conversation have one order, and none is lost"),
    ("I25", "S", "a tenant is shown, told and worked for with its own data alone"),
    ("I26", "S", "a low lane waits for a bounded number of others"),
    ("I27", "W", "the same seed gives the same history, byte for byte"),
    ("I28", "W S", "every journal can be replayed into a state whose counters are right"),
    ("I29", "W S", "afterwards no task, message or driven run is left"),
    ("I30", "S", "a secret stands in no log, table, event, message or answer"),
)

_HISTORY = """\
One history is one process with one heap of future events: clients, one to three supervisors (the real engine, its
loop, its take-over), up to eight workers, a transport and a store that fail. It runs on an asyncio loop of its own
whose clock jumps, because there the order of events within one moment is the same each time. After the last fault
comes a phase without any, in which everything must end.

Reproduce one: `python -m orchestrator.testing.simulation.campaign --from SEED --seeds 1`. Histories that once failed
are kept in `tests/simulation/kept` and replayed at every push. `orchestrator chaos PLAN` plays your plan.
"""
_WHO = """\
`H`: the history checker, which `orchestrator audit check` runs on your own journals. `W`: the witness, which keeps
books outside of the system. `J`: the journal itself. `S`: the account of a storm on a real fleet, below."""
_NOT_PROMISED = """\
- Exactly-once effects outside: a step's effect gets a key, its intent is journaled first, and one beginning is
  allowed per attempt; what a worker did before it died, nobody can take back.
- No loss with Redis alone: it carries work, the journal keeps it.
- Nothing about a power cut under a store that does not sync.
- Safety by the wording of prompts, or a sandbox for Python code."""


def page(report: dict[str, Any], again: dict[str, Any] | None) -> str:
    """The page for a report of `campaign`, and for one of the schedules that were played again."""
    moves, pairs = report["legal_moves"], report["fault_phase_pairs"]
    lines = [
        "# Reliability: what is promised, and how it is shown",
        "",
        "Generated by `python -m tests.simulation.page` from the simulator's last campaign and the reports of the last",
        "full proofs; a test keeps it current.",
        "",
        "## The last campaign",
        "",
        "| | |",
        "| --- | --- |",
        f"| seeded histories | {report['schedules']:,} |",
        f"| of these, histories that broke a promise | {report['violations']} |",
        f"| records written in them | {report['facts']:,} |",
        f"| simulated time | {report['virtual_days']} days |",
        f"| histories per second of one core | {report['schedules_per_cpu_second']} |",
        f"| played twice and compared byte for byte | {report['played_twice']} |",
        f"| legal moves of a step that were met | {moves['met']} of {moves['of']} |",
        f"| pairs of a fault and a phase that were met | {pairs['met']} of {pairs['of']} |",
        f"| bugs planted on purpose that are found | {len(FOUND)} of {len(BUGS)} |",
        f"| how runs ended | {', '.join(f'{name} {n:,}' for name, n in report['runs'].items())} |",
        *_again(again),
        "",
        _HISTORY,
        "## Faults",
        "",
        f"At every move: {', '.join(AT_MOVES)}.",
        "",
        f"At moments of their own: {', '.join(AT_TIMES)}. And clocks that differ between nodes by up to an hour.",
        "",
        "## What is looked at",
        "",
        _WHO,
        "",
        "| Rule | By | What |",
        "| --- | --- | --- |",
        *[f"| {name} | {by} | {what} |" for name, by, what in RULES],
        "",
        "## Real processes",
        "",
        "| | every push | full proof |",
        "| --- | --- | --- |",
        f"| moments at which a real process is killed (SQLite) | {CI.kill_points} | {PROVE.kill_points} |",
        f"| crash at every n-th append of the reference plans | {CI.crash_stride} | {PROVE.crash_stride} |",
        f"| examples per property of the core | {CI.hypothesis_examples} | {PROVE.hypothesis_examples} |",
        "",
        "What full proofs last came to:",
        "",
        *proofs(),
        "",
        "## Open",
        "",
        *_open(report, again),
        "",
        "## Not promised",
        "",
        _NOT_PROMISED,
        "",
    ]
    return "\n".join(lines)


def _again(again: dict[str, Any] | None) -> list[str]:
    if again is None:
        return []
    return [
        f"| mended since, and kept | {', '.join(f'seed {seed}' for seed in again['mended'])} |",
        f"| with the first of them mended, all in which `{again['only']}` strikes | {again['schedules']:,} |",
        f"| of these, histories that broke a promise | {again['violations']} |",
    ]


def _open(report: dict[str, Any], again: dict[str, Any] | None) -> list[str]:
    mended = again["mended"] if again is not None else []
    failing = [*report["failing"], *([*again["failing"], *again["open"]] if again is not None else [])]
    found = [
        f"- seed {one['schedule']['seed']} breaks a promise: {one['violations'][0].replace(chr(10), ' ')}"
        for one in failing
        if one["schedule"]["seed"] not in mended
    ]
    found += [f"- a legal move that no history met: `{move}`" for move in report["legal_moves_not_met"]]
    found += [f"- a pair that no history met: `{pair}`" for pair in report["fault_phase_pairs_not_met"]]
    found += wrong_in_the_storm()
    return found or ["Nothing is known to be."]


def reports() -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The reports that are kept; the second only since a campaign found something."""
    again = json.loads(AGAIN.read_text(encoding="utf-8")) if AGAIN.exists() else None
    return json.loads(REPORT.read_text(encoding="utf-8")), again


if __name__ == "__main__":
    PAGE.write_text(page(*reports()), encoding="utf-8")
