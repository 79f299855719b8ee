"""Ids of traces and spans, made from what a thing is: told again, after a crash too, it has the same id."""

import re
from functools import lru_cache
from hashlib import blake2b
from typing import Final, NamedTuple

from orchestrator.core.facts import RunAccepted
from orchestrator.ids import RunId

SAMPLED: Final = 1
STEPS_KEPT: Final = 16_384  #: whose ids need no hash of their own for every branch and attempt
_MASK: Final = 2**64 - 1
#: Odd numbers without a pattern, so that what differs in few places of one step gets ids far apart.
_BRANCH: Final = 0x9E37_79B9_7F4A_7C15
_ATTEMPT: Final = 0xC2B2_AE3D_27D4_EB4F
_SAMPLE: Final = 0x1656_67B1_9E37_79F9
_FURTHER: Final = 0xD6E8_FEB8_6659_FD93
_OURS: Final = re.compile("00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]")
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


def asked(traceparent: str) -> Parent | None:
    """As `parse`, for tasks: most of them are of few traces."""
    if _OURS.fullmatch(traceparent) is None:
        return parse(traceparent)
    trace, span = _trace(traceparent[3:35]), int(traceparent[36:52], 16)
    return Parent(trace, span, traceparent[-1] == "1") if trace and span else None


@lru_cache(maxsize=1_024)
def _trace(digits: str) -> int:
    return int(digits, 16)


def written(trace: int, span: int, *, sampled: bool = True) -> str:
    """A `traceparent`."""
    return f"00-{trace:032x}-{span:016x}-{'01' if sampled else '00'}"


def trace_of(accepted: RunAccepted) -> int:
    """The trace of a run: that of whoever asked for it, else one of its own."""
    asked = parse(accepted.trace) if accepted.trace else None
    return asked.trace if asked is not None else trace_id(root_of(accepted.run))


def run_span(run_id: RunId) -> int:
    """The span of a run."""
    return _owner(run_id)


def plan_span(run_id: str, revision: int) -> int:
    """The span of a plan as it was after so many patches."""
    return (_base(run_id, "plan", "") + revision * _ATTEMPT) & _MASK or 1


def step_span(run_id: str, step: str, branch: int, times: int) -> int:
    """The span of a step or branch; `times`: how often it has been begun, from 1."""
    return (_base(run_id, "step", step) + branch * _BRANCH + times * _ATTEMPT) & _MASK or 1


def of_branch(first: int, branch: int) -> int:
    """The span of what is in a branch as `first` is in branch 0."""
    return (first + branch * _BRANCH) & _MASK or 1


def attempt_span(run_id: str, step: str, branch: int, attempt: int, sample: int) -> int:
    """The span of an attempt."""
    return (_base(run_id, "attempt", step) + branch * _BRANCH + attempt * _ATTEMPT + sample * _SAMPLE) & _MASK or 1


def check_span(run_id: str, step: str, branch: int, attempt: int, check: int) -> int:
    """The span of a check that a worker is asked for."""
    return (_base(run_id, "check", step) + branch * _BRANCH + attempt * _ATTEMPT + check * _SAMPLE) & _MASK or 1


def work_span(asked: int, sent_at_s: float, worker: str) -> int:
    """The span of the work on a task that was sent then for the span `asked`; a task may be delivered twice."""
    return (asked + _base(worker, "work", "") + int(sent_at_s * 1_000_000) * _FURTHER) & _MASK or 1


def _base(owner: str, what: str, name: str) -> int:
    """Of what belongs to a run or a worker; most runs are of few plans, whose steps are hashed once for all of them."""
    return _owner(owner) + _thing(what, name)


@lru_cache(maxsize=STEPS_KEPT)
def _owner(name: str) -> int:
    return span_id(name)


@lru_cache(maxsize=STEPS_KEPT)
def _thing(what: str, name: str) -> int:
    return span_id(what, name)
