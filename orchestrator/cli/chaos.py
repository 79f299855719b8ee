"""`orchestrator chaos`: play a plan through seeded disasters, and tell what broke."""

import json
from pathlib import Path
from typing import Annotated, cast

import typer

from orchestrator.cli.access import AsJson
from orchestrator.cli.console import paint, say, show_json
from orchestrator.cli.exits import Exit
from orchestrator.ids import JsonValue

SEEDS_TOLD = 5  #: of one reason


def chaos(
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="A plan file.")],
    inputs: Annotated[list[str] | None, typer.Option("-i", "--input", metavar="NAME=VALUE", help="An input.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Disasters to play.")] = 100,
    first: Annotated[int, typer.Option("--from", min=0, help="The first seed; a seed names a disaster for good.")] = 0,
    answers: Annotated[
        Path | None, typer.Option("--answers", metavar="F", help="JSON: {step: what honest workers answer}.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Play a plan through seeded disasters: killed processes, lost messages, slow stores, lying workers, a power cut.

    Nothing real is called: workers, models, transport and store are simulated, the engine is the real one. What workers
    answer is made up from the schemas of the plan, or read from --answers.
    Exit codes: 0 every run succeeded, 1 a run failed or a promise broke, 7 some ended otherwise, 2 usage.
    """
    from orchestrator.cli.inputs import read_inputs
    from orchestrator.plan.files import load_plan
    from orchestrator.plan.inputs import validate_inputs
    from orchestrator.testing.simulation.given import Given, disasters

    loaded = load_plan(plan)
    told = validate_inputs(loaded, read_inputs(loaded, inputs or ()))
    known = cast(dict[str, JsonValue], json.loads(answers.read_text(encoding="utf-8"))) if answers is not None else {}
    found = disasters(Given(plan=loaded, inputs=told, answers=known), first, seeds)
    if as_json:
        show_json(
            {
                "schedules": found.schedules,
                "without_faults": found.calm,
                "runs": dict(found.statuses),
                "reasons": {reason: [*at] for reason, at in found.reasons.items()},
                "broken_promises": {str(seed): [*what] for seed, what in found.broken.items()},
            }
        )
    else:
        if found.calm != "succeeded":
            why = f": {found.calm_reason}" if found.calm_reason else ""
            say(f"{paint('!', 'warn')} without any fault the run ends as {found.calm or 'open'}{why}")
            say("  made-up outputs may not pass its checks: write better ones into a file for --answers")
        for reason, at in sorted(found.reasons.items(), key=lambda one: -len(one[1])):
            print(f"{len(at):5}  {reason}  (seeds {', '.join(map(str, at[:SEEDS_TOLD]))})")
        for seed, what in found.broken.items():
            print(f"{paint('✗', 'bad')} seed {seed}: a promise of ours broke: {what[0]}")
        ends = ", ".join(f"{n} {status}" for status, n in found.statuses.most_common())
        say(f"{found.schedules} disasters: {ends}")
    if found.broken or found.statuses["failed"]:
        raise typer.Exit(Exit.FAILED)
    if found.statuses.keys() - {"succeeded"}:
        raise typer.Exit(Exit.DEGRADED)
