"""`orchestrator cost`: what runs cost by any side, what was spared and by what, and who spends far more than before."""

from typing import Annotated, cast

import typer

from orchestrator.cli.access import AsJson, Store, looking, run_async, settings_of
from orchestrator.cli.console import clean, columns, paint, say, show_json
from orchestrator.cli.exits import Exit
from orchestrator.core.costs import ALARM_FACTOR, SAVERS, Side
from orchestrator.ids import JsonValue
from orchestrator.plan.durations import parse_duration

Document = dict[str, JsonValue]
ROWS_SHOWN = 50


def cost(
    run: Annotated[str | None, typer.Argument(metavar="RUN", help="A run, by step; all runs when left out.")] = None,
    by: Annotated[Side, typer.Option("--by", help="What a row is.")] = "plan",
    since: Annotated[str | None, typer.Option(help="Runs accepted within this time, such as 24h or 7d.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Of one tenant alone.")] = None,
    alarms: Annotated[
        bool, typer.Option("--alarms", help="Tell only who spends ten times its habit; exit 1 where anybody does.")
    ] = False,
    store: Store = None,
    as_json: AsJson = False,
) -> None:
    """Tell what runs cost: by plan, run, step, model, pool, tenant or day, and what cache, routing, compression and the
    batch service have spared; or one run by step.

    What was spared is told against what the same calls would have cost without that part. An alarm compares a tenant's
    spending of today (UTC) with the median of its days before, from three days on.
    """
    if run is not None:
        told = cast(Document, _asked(store, "cost", run=run))
        show_json(told) if as_json else _one_run(told)
        return
    import time

    since_s = 0.0 if since is None else time.time() - _seconds(since)
    told = cast(Document, _asked(store, "costs", by=by, since=since_s, tenant=tenant))
    raised = cast(list[Document], told["alarms"])
    if alarms:
        show_json(cast(JsonValue, raised)) if as_json else _alarms(raised)
        raise typer.Exit(Exit.FAILED if raised else Exit.OK)
    if as_json:
        show_json(told)
        return
    _all_runs(told)
    if raised:
        _alarms(raised)


def _seconds(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--since") from None


def _asked(store: str | None, verb: str, **args: JsonValue) -> JsonValue:
    settings = settings_of(store)

    async def work() -> JsonValue:
        async with looking(settings) as asker:
            return await asker.ask(verb, **args)

    return run_async(work)


def _one_run(told: Document) -> None:
    usage, steps = cast(Document, told["usage"]), cast(dict[str, Document], told["steps"])
    rows = sorted(steps.items(), key=lambda item: -_usd(item[1]["usd"]))
    table = [[name, str(step["attempts"]), _money(step["usd"])] for name, step in rows]
    table.append(["total", "", _money(usage["usd"])])
    _table(["STEP", "TRIES", "USD"], table, right=frozenset({1, 2}))
    say(f"{usage['tokens']:,} tokens in {usage['calls']:,} model calls")


def _all_runs(told: Document) -> None:
    side, rows = str(told["by"]), cast(list[Document], told["rows"])
    shown = [_row(clean(str(row["name"])), row) for row in rows[:ROWS_SHOWN]]
    if len(rows) > ROWS_SHOWN:
        shown.append([f"({len(rows) - ROWS_SHOWN:,} more)", "", "", "", "", "", ""])
    total = cast(Document, told["total"])
    shown.append(_row("total", total))
    header = [side.upper(), "USD", "WITHOUT", "SPARED", "TOKENS", "CALLS", "SERVED"]
    _table(header, shown, right=frozenset(range(1, 7)))
    spared, without = cast(Document, told["saved"]), _usd(total["without_usd"])
    for saver in SAVERS:
        usd = _usd(spared[saver])
        if usd:
            say(f"{saver} spared {usd:.4f} USD, {usd / without:.1%} of what it would have cost")
    if not told["whole"]:
        say(f"only the newest {told['runs']:,} runs were read; narrow it with --since")


def _row(name: str, row: Document) -> list[str]:
    spared = _usd(row["without_usd"]) - _usd(row["usd"])
    counts = (f"{cast(int, row[key]):,}" for key in ("tokens", "calls", "served"))
    return [name, _money(row["usd"]), _money(row["without_usd"]), f"{spared:.4f}", *counts]


def _alarms(raised: list[Document]) -> None:
    if not raised:
        say(f"nobody spends {ALARM_FACTOR:g} times its habit today")
    for alarm in raised:
        say(
            f"{clean(str(alarm['tenant']))} has spent {_money(alarm['usd'])} USD on {alarm['day']}, "
            f"{_usd(alarm['times']):.1f} times its habit of {_money(alarm['habit_usd'])} a day"
        )


def _usd(value: JsonValue) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _money(value: JsonValue) -> str:
    return f"{_usd(value):.4f}"


def _table(header: list[str], rows: list[list[str]], right: frozenset[int]) -> None:
    lines = columns([header, *rows], right=right)
    print(paint(lines[0], "dim"))
    for line in lines[1:]:
        print(line)
