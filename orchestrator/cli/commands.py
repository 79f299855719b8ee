"""The table of commands: what each is called, where it lives, and its line in `--help`. Costs nothing to import."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Entry:
    """One command of the root."""

    name: str
    where: str  #: module below `orchestrator.cli`, and what in it: a function, or a Typer application of several
    help: str  #: also the command's own help
    section: str


RUNS, PLANS, FLEET, STORE = "Runs", "Plans and pools", "A fleet", "The store"
SERVICE = "The service"
COMMANDS: Final = (
    Entry("ask", "ask:ask", "Plan a goal, run the plan with every output checked, print the answer.", RUNS),
    Entry("run", "run_command:run", "Run a plan to its result.", RUNS),
    Entry("ps", "look:ps", "List runs.", RUNS),
    Entry("show", "look:show", "Show one run: its steps, its result, what it waits for.", RUNS),
    Entry("watch", "watching:watch", "Follow a run until it ends.", RUNS),
    Entry("why", "look:why", "Tell why a step is where it is.", RUNS),
    Entry("events", "watching:events", "Print a run's events.", RUNS),
    Entry("cost", "cost:cost", "Tell what runs cost, what was spared, and who spends too much.", RUNS),
    Entry("approve", "people_commands:approve", "Answer a question that a run waits for, and let it go on.", RUNS),
    Entry("resume", "again:resume", "Go on with open runs, after a crash or an answer.", RUNS),
    Entry("retry", "again:retry", "Run what did not pass again, as a new run.", RUNS),
    Entry("fork", "again:fork", "Run again from a step, with other inputs, as a new run.", RUNS),
    Entry("cancel", "people_commands:cancel", "Cancel a run.", RUNS),
    Entry("quarantine", "people_commands:quarantine", "Take a result back that turned out wrong.", RUNS),
    Entry("plan", "plan_commands:app", "Check, draw, compare and price plans.", PLANS),
    Entry("eval", "eval:evaluate", "Tell whether a plan is right on a test set, and whether it got worse.", PLANS),
    Entry("chaos", "chaos:chaos", "Play a plan through seeded disasters and tell what broke.", PLANS),
    Entry("pools", "fleet_pools:pools", "List the pools that runs may use, and who serves them.", PLANS),
    Entry("up", "fleet_up:up", "Start a fleet on this machine, with the workers that its work needs.", FLEET),
    Entry("supervise", "fleet_supervise:supervise", "Own runs of a shared store.", FLEET),
    Entry("worker", "fleet_worker:worker", "Do the tasks of pools.", FLEET),
    Entry("dlq", "dlq:app", "Look at tasks that no worker could do; put them back or delete them.", FLEET),
    Entry("serve", "serve:serve", "Answer HTTP: jobs, events, approvals, sessions.", SERVICE),
    Entry("keys", "keys:app", "Make, list and revoke the keys of the service.", SERVICE),
    Entry("audit", "audit:app", "Prove that the journal is whole, or hand it to somebody who wants proof.", STORE),
    Entry("backup", "store:backup", "Copy the journal while it is in use.", STORE),
    Entry("restore", "store:restore", "Put a copy in the journal's place.", STORE),
    Entry("gc", "store:gc", "Forget old runs.", STORE),
    Entry("cache", "cache:app", "Forget kept answers of models.", STORE),
    Entry("db", "db:app", "Bring the tables of the store to this release.", STORE),
    Entry("bench", "bench:app", "Compare architectures of agents on your tasks.", PLANS),
    Entry("config", "config:app", "Show the settings in force.", STORE),
)
BY_NAME: Final = {entry.name: entry for entry in COMMANDS}
