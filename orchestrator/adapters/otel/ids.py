"""Ids of traces and spans, made from what a thing is: told again, after a crash too, it has the same id."""

import re
from hashlib import blake2b
from typing import Final, NamedTuple

from orchestrator.core.facts import RunAccepted
from orchestrator.ids import RunId

SAMPLED: Final = 1
_TRACEPARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[!-~]*)?")


class Parent(NamedTuple):
    """What a W3C `traceparent` says."""

    trace: int
    span: int
    flags: int


def trace_id(root: str) -> int:
    """Of a run that nobody traces from outside; its sub-plans share it."""
    return int.from_bytes(blake2b(root.encode(), digest_size=16, person=b"orch.trace").digest()) or 1


def span_id(*parts: object) -> int:
    """Of a thing that these parts name."""
    text = "\x00".join(map(str, parts))
    return int.from_bytes(blake2b(text.encode(), digest_size=8, person=b"orch.span").digest()) or 1


def root_of(run_id: str) -> str:
    """The run at the top of a tree of sub-plans."""
    return run_id.partition(".")[0]


def parse(traceparent: str) -> Parent | None:
    """What a `traceparent` says; None where it says nothing that can be used (W3C Trace Context, section 3.2)."""
    read = _TRACEPARENT.fullmatch(traceparent)
    if read is None or read[1] == "ff" or (read[1] == "00" and read[5]):
        return None
    found = Parent(int(read[2], 16), int(read[3], 16), int(read[4], 16))
    return found if found.trace and found.span else None


def written(trace: int, span: int, *, sampled: bool = True) -> str:
    """A `traceparent`."""
    return f"00-{trace:032x}-{span:016x}-{'01' if sampled else '00'}"


def trace_of(accepted: RunAccepted) -> int:
    """The trace of a run: that of whoever asked for it, else one of its own."""
    asked = parse(accepted.trace) if accepted.trace else None
    return asked.trace if asked is not None else trace_id(root_of(accepted.run))


def run_span(run_id: RunId) -> int:
    """The span of a run."""
    return span_id(run_id, "run")


def attempt_span(run_id: str, step: str, branch: int, attempt: int, sample: int) -> int:
    """The span of an attempt."""
    return span_id(run_id, "attempt", step, branch, attempt, sample)


def check_span(run_id: str, step: str, branch: int, attempt: int, check: int) -> int:
    """The span of a check that a worker is asked for."""
    return span_id(run_id, "check", step, branch, attempt, check)
