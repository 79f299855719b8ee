"""The last words of a command that drove a run: the result on stdout, what to do next on stderr."""

import signal
import sys
from typing import cast

from orchestrator.cli.console import MARKS, money, one_line, paint, say, show_json, show_result, span
from orchestrator.cli.drive import Driven
from orchestrator.cli.exits import Exit
from orchestrator.cli.people import answers
from orchestrator.cli.prompt import print_question
from orchestrator.ids import JsonValue

GAPS_SHOWN = 10


def tell(driven: Driven, *, as_json: bool, jsonl: bool, flags: str = "") -> Exit:
    """Print how a run stands; give the exit code. `flags` are those that a command named here needs too."""
    document = driven.tally.document()
    if driven.questions:
        document["status"] = "waiting"
    if as_json:
        show_json(document)
    elif not jsonl and driven.tally.ended is not None and document["output"] is not None:
        show_result(document["output"])
    if driven.signal:
        name = signal.Signals(driven.signal).name
        say(f"{paint('⏸ left open', 'warn', sys.stderr)} after {name}: everything up to here is journaled. Go on with")
        say(f"  orchestrator resume {driven.run_id}{flags}")
    elif driven.questions:
        _tell_questions(driven, flags)
    else:
        _tell_end(driven, flags)
    return driven.exit


def _tell_questions(driven: Driven, flags: str) -> None:
    for question in driven.questions:
        asked = cast(dict[str, JsonValue], question)
        print_question(asked)
        say("  answer with")
        for line in answers(asked, flags):
            say(f"  {line}")
    say(f"{paint('⏸ waiting', 'warn', sys.stderr)} for a person. An answer drives the run on; later also")
    say(f"  orchestrator resume {driven.run_id}{flags}")


def _tell_end(driven: Driven, flags: str) -> None:
    run, ended = driven.tally, driven.tally.ended
    assert ended is not None, "a run that neither waits nor was left has ended"
    accepted = run.accepted
    icon, style = MARKS[ended.status]
    words = [paint(f"{icon} {ended.status}", style, sys.stderr)]
    words += [f"in {span(ended.at_s - accepted.at_s)}"] if accepted is not None else []
    words += [money(run.usd)] if run.usd else []
    words += [f"{run.tokens:,} tokens"] if run.tokens else []
    say("  ".join([*words, paint(driven.run_id, "dim", sys.stderr)]))
    if ended.reason:
        say(f"  {_cause(ended.status, one_line(ended.reason, 400))}")
    for gap in ended.gaps[:GAPS_SHOWN]:
        at = f"[{gap['branch']}]" if gap.get("branch") is not None else ""
        say(f"  {paint('○', 'warn', sys.stderr)} {gap['step']}{at} is missing: {one_line(str(gap['reason']), 200)}")
    if len(ended.gaps) > GAPS_SHOWN:
        say(f"  … and {len(ended.gaps) - GAPS_SHOWN} more; orchestrator show {driven.run_id}{flags}")
    if ended.status in {"failed", "stopped"}:
        step = next((name for name, one in run.steps.items() if one.whole.status.value == "failed"), None)
        if step is not None:
            say(f"  the reason in full:  orchestrator why {driven.run_id} {step}{flags}")
        more = " --budget-usd X" if ended.reason.startswith("budget.usd") else ""
        say(f"  once mended:         orchestrator retry {driven.run_id} --from-failed{more}{flags}")


def _cause(status: str, reason: str) -> str:
    if status == "stopped":
        return f"the limit {reason} was reached; what had passed is the output"
    return f"reason: {reason}" if status == "cancelled" else f"cause: {reason}"
