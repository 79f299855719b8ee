"""`orchestrator ask`: a goal in words to a checked answer."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from orchestrator.cli.access import AsJson, Pools, Store, flags, run_async, settings_of
from orchestrator.cli.talk import SessionId
from orchestrator.errors import PromiseError

if TYPE_CHECKING:
    from orchestrator.ids import JsonValue

GOAL_CHARS_MAX: Final = 20_000
APPROVE_ABOVE_USD: Final = 0.50  #: plans whose estimate is above this are asked for


def ask(
    goal: Annotated[str, typer.Argument(metavar="GOAL", help="What you want to know or to have, in words.")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output-schema", metavar="FILE", help="JSON Schema that the answer must fit."),
    ] = None,
    constraints: Annotated[
        list[str] | None,
        typer.Option("-c", "--constraint", metavar="TEXT", help="What every step must keep to. Repeatable."),
    ] = None,
    budget_usd: Annotated[
        float | None, typer.Option("--budget-usd", min=0, help="USD at most, planning included.  [default: 1]")
    ] = None,
    approve_above: Annotated[
        float,
        typer.Option(
            "--approve-above", min=0, metavar="USD", help="Ask before a plan with a higher estimate; 0: always."
        ),
    ] = APPROVE_ABOVE_USD,
    yes: Annotated[bool, typer.Option("--yes", help="Run the plan without asking, whatever its estimate.")] = False,
    plan_only: Annotated[bool, typer.Option("--plan-only", help="Print the plan and run nothing.")] = False,
    save: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Keep the plan; asked again with the same goal, it is not made anew."),
    ] = None,
    start_from: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="Run a plan that was saved for this goal.")
    ] = None,
    local: Annotated[
        bool, typer.Option("--local", help="Use a small model on this machine. It is weak: see how it fails.")
    ] = False,
    session: SessionId = None,
    pools: Pools = None,
    store: Store = None,
    as_json: AsJson = False,
    jsonl: Annotated[bool, typer.Option("--jsonl", help="Print events as JSON lines while they come.")] = False,
) -> None:
    """Plan a goal, run the plan with every output checked, and print the answer: answer to stdout, progress to stderr.

    The models are those of the settings, or of OPENAI_API_KEY and OPENAI_BASE_URL. What is asked is an ordinary run:
    `show`, `why` and `resume` know it.

    Exit codes: 0 succeeded, 1 failed, 2 usage or no model, 3 stopped by a budget, 4 waiting for your approval,
    5 cancelled, 6 the store is not reachable, 7 degraded: an answer with named gaps.
    """
    if not goal.strip() or len(goal) > GOAL_CHARS_MAX:
        raise typer.BadParameter(f"say in 1 to {GOAL_CHARS_MAX:,} characters what you want", param_hint="GOAL")
    if as_json and jsonl:
        raise typer.BadParameter("choose one of --json and --jsonl", param_hint="--json")
    if plan_only and (start_from is not None or jsonl):
        raise typer.BadParameter("it goes with neither --from nor --jsonl", param_hint="--plan-only")
    if start_from is not None and (output is not None or constraints or save is not None):
        raise typer.BadParameter("the saved plan says what is to come out and what to keep to", param_hint="--from")
    if session is not None and (plan_only or save is not None or start_from is not None):
        raise typer.BadParameter("each turn is planned anew: no --plan-only, --save or --from", param_hint="--session")
    settings = settings_of(store, pools)
    if local:
        settings = settings.model_copy(update={"local": True})

    from orchestrator.cli.ask_plan import check_place, plan_for
    from orchestrator.cli.ask_run import Asking, ask_goal

    if save is not None:
        check_place(save)
    file = start_from if start_from is not None else save if save is not None and save.exists() else None
    saved = plan_for(file, goal) if file is not None else None
    if saved is not None and plan_only:
        raise PromiseError(f"{file} holds the plan already", "read it, or name another file with --save")
    asking = Asking(
        goal=goal,
        schema=_schema(output) if output is not None else None,
        constraints=tuple(constraints or ()),
        budget_usd=budget_usd,
        approve_above_usd=None if yes else approve_above,
        plan_only=plan_only,
        save=save if saved is None else None,
        saved=saved,
        file=file,
        as_json=as_json,
        jsonl=jsonl,
        flags=flags(store, pools),
        local=settings.local,
        session=session,
    )
    raise typer.Exit(run_async(lambda: ask_goal(settings, asking)))


def _schema(file: Path) -> "dict[str, JsonValue]":
    """The JSON Schema in a file.

    Raises:
        PromiseError: it cannot be read, or is none.
    """
    import json

    from orchestrator.errors import PlanError
    from orchestrator.plan.schemas import compile_schema

    try:
        schema = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PromiseError(f"{file} holds no JSON Schema: {error}", "name a JSON file with --output-schema") from None
    try:
        compile_schema(schema)
    except PlanError as error:
        raise PromiseError(f"{file} is no JSON Schema that can be kept: {error}", "see docs/plan-format.md") from None
    return dict(schema) if isinstance(schema, dict) else {}
