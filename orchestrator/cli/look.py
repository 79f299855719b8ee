"""Commands that only look: ps, show, why, pools."""

import sys
import time
from typing import Annotated, cast

import typer

from orchestrator.cli.access import AsJson, Asker, Pools, RunName, Store, engine_of, looking, run_async, settings_of
from orchestrator.cli.console import (
    clean,
    clock_time,
    columns,
    date_time,
    mark,
    money,
    one_line,
    paint,
    say,
    show_json,
    show_result,
    span,
)
from orchestrator.cli.fleet_common import Transport
from orchestrator.cli.people import answers
from orchestrator.ids import JsonValue

Document = dict[str, JsonValue]
GAPS_SHOWN = 20


def _asked(store: str | None, verb: str, **args: JsonValue) -> JsonValue:
    settings = settings_of(store)

    async def work() -> JsonValue:
        async with looking(settings) as asker:
            return await asker.ask(verb, **args)

    return run_async(work)


def _table(header: list[str], rows: list[list[str]], right: frozenset[int] = frozenset()) -> None:
    lines = columns([header, *rows], right=right)
    print(paint(lines[0], "dim"))
    for line in lines[1:]:
        print(line)


def _number(value: JsonValue) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def ps(
    every: Annotated[bool, typer.Option("--all", "-a", help="Ended runs too.")] = False,
    status: Annotated[
        list[str] | None, typer.Option("--status", help="open, succeeded, degraded, stopped, failed or cancelled.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Rows at most.")] = 50,
    store: Store = None,
    as_json: AsJson = False,
) -> None:
    """List runs, newest first: open ones, or with --all every one. Sub-plans are listed by `show`."""
    known = ("open", "succeeded", "degraded", "stopped", "failed", "cancelled")
    for word in status or ():
        if word not in known:
            raise typer.BadParameter(f"choose one of {', '.join(known)}", param_hint="--status")
    wanted: JsonValue = [*status] if status else None if every else ["open"]
    rows = cast(list[Document], _asked(store, "ps", status=wanted, limit=limit))
    if as_json:
        show_json(cast(JsonValue, rows))
        return
    if not rows:
        say("no open run; --all lists those that ended" if wanted == ["open"] else "no run")
        return
    now_s = time.time()
    lines = [
        [
            str(row["run"]),
            str(row["status"]),
            one_line(str(row["plan"]), 20),
            str(row["progress"] or ""),
            money(_number(row["usd"]) or 0.0),
            span(now_s - (_number(row["accepted_at"]) or now_s)),
        ]
        for row in rows
    ]
    # The status is painted after the columns are laid out: colours have no width.
    laid = columns([["RUN", "STATUS", "PLAN", "STEPS", "COST", "AGE"], *lines], right=frozenset({3, 4, 5}))
    print(paint(laid[0], "dim"))
    for line, row in zip(laid[1:], rows, strict=True):
        print(line.replace(str(row["status"]), paint(str(row["status"]), _style(str(row["status"]))), 1))
        if row["parked"]:
            print(f"  parked: {one_line(str(row['parked']), 200)}")


def _style(status: str) -> str:
    from orchestrator.cli.console import MARKS

    return MARKS.get(status, ("", "plain"))[1]


def show(
    run: RunName,
    page: Annotated[
        str | None,
        typer.Option(
            "--html", help="Write the run as one HTML file that needs no server; - prints it.", metavar="FILE"
        ),
    ] = None,
    store: Store = None,
    as_json: AsJson = False,
) -> None:
    """Show one run: its steps, its result, what it waits for. With --json the document of `run --json`."""
    if page is not None:
        from orchestrator.cli.show_page import write_page

        write_page(settings_of(store), run, page)
        return
    told = cast(Document, _asked(store, "show", run=run))
    summary, detail = cast(Document, told["summary"]), cast(Document, told["detail"])
    if detail["questions"] and summary["status"] == "running" and not detail["driven"]:
        summary["status"] = "waiting"
    if as_json:
        show_json(summary)
        return
    _head(summary, detail)
    _steps(cast(dict[str, Document], summary["steps"]))
    _foot(summary, detail)
    if summary["output"] is not None:
        print()
        print(paint("output" if summary["status"] != "stopped" else "what had passed", "bold"))
        show_result(summary["output"])


def _head(summary: Document, detail: Document) -> None:
    usage = cast(Document, summary["usage"])
    print(f"{paint(str(detail['plan']), 'bold')}  {mark(str(summary['status']))}  {summary['run']}")
    accepted, ended = _number(detail["accepted_at"]), _number(detail["ended_at"])
    words = [f"accepted {date_time(accepted)}"]
    took = span((ended or time.time()) - accepted) if accepted is not None else ""
    words += [f"took {took}" if ended is not None else f"for {took}"]
    words += [text for text in (money(_number(usage["usd"]) or 0.0),) if text]
    words += [f"{usage['tokens']:,} tokens"] if usage["tokens"] else []
    words += [f"lane {detail['lane']}"] if detail["lane"] != "normal" else []
    words += [f"taken over from {detail['origin']}"] if detail["origin"] != detail["run"] else []
    print(paint("  " + " · ".join(words), "dim"))
    if detail["reason"]:
        print(f"  {one_line(str(detail['reason']), 400)}")
    if summary["status"] in {"running", "waiting", "cancelling"} and not detail["driven"]:
        if detail["parked"]:
            print(f"  parked: {one_line(str(detail['parked']), 400)}")
        print(f"  nobody drives it now: orchestrator resume {summary['run']}")
    if detail["forgotten"]:
        print("  its payloads were forgotten: outputs and reasons are gone, the audit trail is whole")


def _steps(steps: dict[str, Document]) -> None:
    rows: list[list[str]] = []
    statuses: list[str] = []
    for name, step in steps.items():
        counts = dict(cast(dict[str, int], step.get("branches") or {}))
        total, passed = counts.pop("total", None), counts.pop("passed", 0)
        words = (
            [f"{passed}/{total}", *(f"{count} {word}" for word, count in counts.items())] if total is not None else []
        )
        verdicts = cast(list[Document], step["verdicts"])
        refused = sum(cast(int, one["count"]) for one in verdicts if one["verdict"] != "pass")
        words += [f"{refused} refused"] if refused else []
        attempts = cast(int, step["attempts"])
        started, ended = _number(step["started_at"]), _number(step["ended_at"])
        took = span((ended or time.time()) - started) if started is not None else ""
        rows.append([
            "  " + one_line(name, 28), str(step["status"]), f"×{attempts}" if attempts > 1 else "",
            money(_number(step["usd"]) or 0.0), took, one_line(", ".join(words), 60),
        ])  # fmt: skip
        statuses.append(str(step["status"]))
    laid = columns([["  STEP", "STATUS", "TRIES", "COST", "TIME", "BRANCHES"], *rows], right=frozenset({2, 3, 4}))
    print(paint(laid[0], "dim"))
    width = max(len(row[0]) for row in [["  STEP"], *rows])
    for line, status in zip(laid[1:], statuses, strict=True):
        print(line[:width] + line[width:].replace(status, paint(status, _style(status)), 1))


def _foot(summary: Document, detail: Document) -> None:
    for question in cast(list[Document], detail["questions"]):
        print(f"{mark('waiting')}  {question['step']}: {clean(str(question['ask']))}")
        if question["show"] is not None:
            shown = question["show"] if isinstance(question["show"], str) else str(question["show"])
            print("\n".join("  │ " + line for line in clean(shown).splitlines()[:40]))
        print("\n".join(f"  {line}" for line in answers(question)))
    gaps = cast(list[Document], summary["gaps"])
    for gap in gaps[:GAPS_SHOWN]:
        at = f"[{gap['branch']}]" if gap.get("branch") is not None else ""
        print(f"  {paint('○', 'warn')} {gap['step']}{at} is missing: {one_line(str(gap['reason']), 200)}")
    if len(gaps) > GAPS_SHOWN:
        print(f"  … and {len(gaps) - GAPS_SHOWN} more; --json lists them all")
    for name in cast(list[str], detail["quarantined"]):
        print(f"  {paint('✗', 'bad')} {name} is quarantined: its result was found wrong later")
    for child in cast(list[str], detail["children"]):
        print(paint(f"  sub-plan {child}", "dim"))


def why(
    run: RunName,
    step: Annotated[str | None, typer.Argument(metavar="[STEP]", help="A step, or `step[3]` for a branch.")] = None,
    store: Store = None,
    transport: Transport = None,
    as_json: AsJson = False,
) -> None:
    """Tell why a step is where it is: inputs, attempts, verdicts, costs, what it waits for. Without STEP, the run.

    On a fleet it also tells, from what its processes say of themselves, why no worker takes the step.
    """
    from orchestrator.cli.fleet_pools import why_waiting

    lines = cast(list[Document], _asked(store, "why", run=run, step=step))
    lines += why_waiting(settings_of(store), transport, [str(line["text"]) for line in lines[-1:]])
    if as_json:
        show_json(cast(JsonValue, lines))
        return
    for line in lines:
        now = not line["seq"]
        when = "now     " if now else clock_time(_number(line["at"]) or 0.0)
        print(
            f"{paint(when, 'dim')}  {paint(clean(str(line['text']).removeprefix('now: ')), 'bold' if now else 'plain')}"
        )


def pools(pools: Pools = None, store: Store = None, as_json: AsJson = False) -> None:
    """List the pools that runs may use, and what they have to do in the process that owns the store."""
    settings = settings_of(store, pools)

    async def work() -> JsonValue:
        from orchestrator.cli.access import file_of
        from orchestrator.service.control_client import Owner
        from orchestrator.service.control_desk import pools_of

        file = file_of(settings)
        if file is not None and not pools:
            async with Owner.connect(file) as owner:
                if owner is not None:
                    say(f"as process {owner.pid} has them, which owns the store")
                    return await Asker(owner).ask("pools")
        return pools_of(engine_of(settings).registry)

    rows = cast(list[Document], run_async(work))
    if as_json:
        show_json(cast(JsonValue, rows))
        return
    table = [
        [
            str(row["pool"]), "yes" if row["agent"] else "", str(row["waiting"]), str(row["running"]),
            one_line(", ".join(map(str, cast(list[JsonValue], row["functions"]))), 200),
        ]
        for row in rows
    ]  # fmt: skip
    _table(["POOL", "AGENT", "WAITING", "RUNNING", "FUNCTIONS"], table, right=frozenset({2, 3}))
    if not sys.stdout.isatty():
        return
    say("--pools MODULE adds others; a plan file never names a module")
