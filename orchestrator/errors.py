"""Every error the project raises, split by who is at fault.

Expected ends of a run or a step are values, not exceptions; see `orchestrator.core.results`.
Constructors hand all their arguments to `super().__init__`, so that errors survive pickling.
"""

from dataclasses import dataclass


class OrchestratorError(Exception):
    """Root of all errors of this project."""


_SHOWN_CHARS = 120  #: of a source line
_SHOWN_BEFORE = 80  #: of them at most before the column


def _printable(text: str) -> str:
    """The text without what could steer a terminal; equal in length, so that a caret stays where it points."""
    return text if text.isprintable() else "".join(c if c.isprintable() else " " if c == "\t" else "�" for c in text)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanIssue:
    """One thing that is wrong with a plan, with the place and the remedy."""

    message: str
    file: str = "<plan>"
    line: int = 0  #: from 1; 0 when the plan did not come from a file
    column: int = 0  #: from 1; 0 when unknown
    path: str = ""  #: such as `steps.draft.checks[0].rule`
    expected: str = ""  #: what would have been right
    source_line: str = ""

    def render(self) -> str:
        """`file:line:column: message`, the line itself with a caret, and what was expected."""
        where = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        at = f" (at {self.path})" if self.path else ""
        lines = [f"{where}: {self.message}{at}"]
        if self.source_line:
            # Of a long line, what stands around the column.
            start = max(self.column - 1 - _SHOWN_BEFORE, 0)
            lines.append(f"    {self.source_line[start : start + _SHOWN_CHARS]}")
            lines.append(f"    {' ' * (max(self.column - 1, 0) - start)}^")
        if self.expected:
            lines.append(f"    expected: {self.expected}")
        return "\n".join(map(_printable, lines))


class PlanError(OrchestratorError):
    """The plan is not valid. The author's fault; never retried."""

    def __init__(self, issues: tuple[PlanIssue, ...]) -> None:
        super().__init__(issues)
        self.issues = issues

    def __str__(self) -> str:
        return "\n".join(issue.render() for issue in self.issues)


class ExpressionError(OrchestratorError):
    """An expression cannot be read, or has no value for the data it met."""

    def __init__(self, text: str, reason: str, column: int = 0) -> None:
        super().__init__(text, reason, column)
        self.text, self.reason, self.column = text, reason, column

    def __str__(self) -> str:
        return f"{self.reason} in `{self.text[:200]}`"


class InputError(OrchestratorError):
    """The inputs given to a run do not fit the plan's `inputs`."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name, self.reason = name, reason

    def __str__(self) -> str:
        return f"input {self.name!r}: {self.reason}" if self.name else self.reason


class PromiseError(OrchestratorError):
    """A plan asks for something this engine cannot keep; raised before anything starts."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what, remedy)
        self.what, self.remedy = what, remedy

    def __str__(self) -> str:
        return f"{self.what}; {self.remedy}"


class WebhookRefused(PromiseError):
    """A receiver's address is none that a webhook may go to."""


class ScheduleRefused(PromiseError):
    """A schedule says nothing that could ever start a run, or there are too many."""


class StepError(OrchestratorError):
    """Raised by worker code to say how its failure is to be treated."""


_KIND_CHARS_MAX = 64  #: as long as any name in a plan
KINDS_RESERVED = frozenset({"refused", "lost", "budget", "extended", "terminal"})  #: each has a path of its own


class RetryableError(StepError):
    """The surroundings failed, not the answer: the step's `retry` policy applies.

    `kind` is one of `timeout`, `rate_limit`, `provider`, `resource`, or a word of your own that a
    step's `retry.errors` lists; `retry_after_s` is a lower bound for the wait, in seconds.

    Raises:
        ValueError: `kind` is no name or a word of the engine's own; `retry_after_s` is negative or not finite.
    """

    def __init__(self, message: str, kind: str = "provider", retry_after_s: float | None = None) -> None:
        if not 0 < len(kind) <= _KIND_CHARS_MAX or not kind.replace("-", "_").isidentifier() or not kind.isascii():
            raise ValueError(f"the kind of an error is a name such as rate_limit, not {kind!r}")
        if kind in KINDS_RESERVED:
            raise ValueError(f"{kind!r} is a word of the engine's own: use provider, or a word of yours")
        if retry_after_s is not None and not 0 <= retry_after_s < float("inf"):
            raise ValueError(f"retry_after_s is {retry_after_s}; it is a number of seconds, 0 or more")
        super().__init__(message, kind, retry_after_s)
        self.message, self.kind, self.retry_after_s = message, kind, retry_after_s

    def __str__(self) -> str:
        return self.message


class TerminalError(StepError):
    """Trying again cannot help: the step goes straight past its `retry` rungs."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class BudgetExceeded(StepError):
    """A reservation was refused: the run has not this much left."""

    def __init__(self, limit: str, asked: float, left: float) -> None:
        super().__init__(limit, asked, left)
        self.limit, self.asked, self.left = limit, asked, left

    def __str__(self) -> str:
        return f"budget {self.limit}: asked for {self.asked:g}, {self.left:g} left"


class AdmissionRefused(OrchestratorError):
    """Too many runs are open; nothing was created. Try again after `retry_after_s` seconds."""

    def __init__(self, open_runs: int, limit: int, retry_after_s: float) -> None:
        super().__init__(open_runs, limit, retry_after_s)
        self.open_runs, self.limit, self.retry_after_s = open_runs, limit, retry_after_s

    def __str__(self) -> str:
        return f"{self.open_runs} runs are open and the limit is {self.limit}; try again in {self.retry_after_s:g} s"


class RunNotFound(OrchestratorError):
    """No run has this id."""

    def __init__(self, run_id: str) -> None:
        super().__init__(run_id)
        self.run_id = run_id

    def __str__(self) -> str:
        return f"no run {self.run_id!r}; `orchestrator ps --all` lists the runs of this store"


class WrongState(OrchestratorError):
    """The run or step is not in a state that allows this command."""

    def __init__(self, what: str, state: str, remedy: str = "") -> None:
        super().__init__(what, state, remedy)
        self.what, self.state, self.remedy = what, state, remedy

    def __str__(self) -> str:
        return f"{self.what}: {self.state}" + (f"; {self.remedy}" if self.remedy else "")


class IdempotencyConflict(OrchestratorError):
    """The idempotency key was used before, for another plan or other inputs."""

    def __init__(self, key: str, run_id: str) -> None:
        super().__init__(key, run_id)
        self.key, self.run_id = key, run_id

    def __str__(self) -> str:
        return f"idempotency key {self.key!r} belongs to run {self.run_id}, which has other contents"


class JournalError(OrchestratorError):
    """The journal could not be read or written."""


class JournalConflict(JournalError):
    """Another owner wrote this run: the sequence number or the epoch is taken. Stop driving it."""

    def __init__(self, run_id: str, reason: str) -> None:
        super().__init__(run_id, reason)
        self.run_id, self.reason = run_id, reason

    def __str__(self) -> str:
        return f"run {self.run_id}: {self.reason}"


class JournalOwned(JournalError):
    """Another process owns the journal file."""

    def __init__(self, path: str, pid: int) -> None:
        super().__init__(path, pid)
        self.path, self.pid = path, pid

    def __str__(self) -> str:
        return f"{self.path} is owned by process {self.pid}; use the command line from a second terminal, or stop it"


class JournalUnreachable(JournalError):
    """No answer from the server at `where`, which holds the journal; what was under way may be done or not."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(where, reason)
        self.where, self.reason = where, reason

    def __str__(self) -> str:
        return f"{self.where} cannot be reached: {self.reason}; see that it runs and lets you in"


class JournalCorrupt(JournalError):
    """A stored record is damaged: its hash, its form or its place in the chain is wrong."""

    def __init__(self, run_id: str, seq: int, reason: str) -> None:
        super().__init__(run_id, seq, reason)
        self.run_id, self.seq, self.reason = run_id, seq, reason

    def __str__(self) -> str:
        return (
            f"run {self.run_id}, record {self.seq}: {self.reason}; `orchestrator audit verify {self.run_id}` tells more"
        )


class CheckpointBroken(JournalError):
    """A signed checkpoint is not what was signed, or one before it is missing."""

    def __init__(self, number: int, reason: str) -> None:
        super().__init__(number, reason)
        self.number, self.reason = number, reason

    def __str__(self) -> str:
        return f"checkpoint {self.number}: {self.reason}"


class JournalFull(JournalError):
    """The disk or the page limit is full. Nothing was written; free room and resume."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return f"{self.path}: no room left; free some and resume, nothing half-written is kept"


class ValueRefused(JournalError):
    """A fact holds a value that no journal can keep: NaN, a lone surrogate, NUL, and the like. Nothing was written."""

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(place, reason)
        self.place, self.reason = place, reason

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}; hand over plain JSON values"


class SessionError(OrchestratorError):
    """A conversation could not be read, or not be changed."""


class SessionNotFound(SessionError):
    """The tenant has no session of this id."""

    def __init__(self, session: str) -> None:
        super().__init__(session)
        self.session = session

    def __str__(self) -> str:
        return f"there is no session {self.session!r}: it was never begun, has expired, or was deleted"


class SessionBusy(SessionError):
    """The turn before is not answered yet: run `run_id` is at it. Nothing was changed."""

    def __init__(self, session: str, run_id: str, retry_after_s: float) -> None:
        super().__init__(session, run_id, retry_after_s)
        self.session, self.run_id, self.retry_after_s = session, run_id, retry_after_s

    def __str__(self) -> str:
        return f"session {self.session!r} waits for the answer of run {self.run_id}; ask again when it has ended"


class SessionChanged(SessionError):
    """The session is not in the version that the caller has seen. Nothing was changed."""

    def __init__(self, session: str, expected: str, found: str) -> None:
        super().__init__(session, expected, found)
        self.session, self.expected, self.found = session, expected, found

    def __str__(self) -> str:
        return f"session {self.session!r} is in version {self.found}, not {self.expected}; read it again"


class SessionFull(SessionError):
    """A limit of the session is met. Nothing was changed."""

    def __init__(self, session: str, limit: str, most: int) -> None:
        super().__init__(session, limit, most)
        self.session, self.limit, self.most = session, limit, most

    def __str__(self) -> str:
        return f"session {self.session!r} would be over {self.limit} = {self.most:,}"


class SessionDamaged(SessionError):
    """What a store holds of a session cannot be read. Nothing was changed."""

    def __init__(self, session: str, reason: str) -> None:
        super().__init__(session, reason)
        self.session, self.reason = session, reason

    def __str__(self) -> str:
        return f"session {self.session!r} cannot be read: {self.reason}; export what you can and delete it"


class SessionsUnreachable(SessionError):
    """The server at `where`, which holds the sessions, did not do what it was asked; it may be done or not."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(where, reason)
        self.where, self.reason = where, reason

    def __str__(self) -> str:
        return f"the sessions at {self.where} cannot be used: {self.reason}"


class ArtifactMissing(OrchestratorError):
    """An artifact named in the journal is not in the store, or its bytes do not fit its digest."""

    def __init__(self, digest: str, reason: str) -> None:
        super().__init__(digest, reason)
        self.digest, self.reason = digest, reason

    def __str__(self) -> str:
        return f"artifact {self.digest}: {self.reason}"


class IllegalTransition(OrchestratorError):
    """Our bug: an event that no rule allows. The run is parked; its journal stays as it was."""

    def __init__(self, step: str, status: str, event: str, story: tuple[str, ...] = ()) -> None:
        super().__init__(step, status, event, story)
        self.step, self.status, self.event, self.story = step, status, event, story

    def __str__(self) -> str:
        return f"{self.event} met {self.step or 'the run'} in state {self.status}" + "".join(
            f"\n  {line}" for line in self.story
        )


class EngineClosed(OrchestratorError):
    """The engine is not open, or is draining and takes no new runs."""


class TransportError(OrchestratorError):
    """The server that carries tasks did not do what it was asked."""


class TransportUnreachable(TransportError):
    """No answer from the server at `where`; whether it did what it was asked is not known."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(where, reason)
        self.where, self.reason = where, reason

    def __str__(self) -> str:
        return f"the transport at {self.where} cannot be reached ({self.reason}); start it, or name another --transport"


class TransportRefused(TransportError):
    """The server at `where` answered with an error; `passing` when it may do it later."""

    def __init__(self, where: str, reason: str, passing: bool = False) -> None:
        super().__init__(where, reason, passing)
        self.where, self.reason, self.passing = where, reason, passing

    def __str__(self) -> str:
        return f"the transport at {self.where} refused: {self.reason}"


class PlanningFailed(OrchestratorError):
    """A supervisor's model wrote no plan that is in order. `tries` says of each draft what was wrong with it."""

    def __init__(self, tries: tuple[tuple[str, ...], ...]) -> None:
        super().__init__(tries)
        self.tries = tries

    def __str__(self) -> str:
        told = "".join(f"\n  draft {at}: {'; '.join(errors)}" for at, errors in enumerate(self.tries, start=1))
        return f"no plan in order after {len(self.tries)} drafts{told}"


class OwnerUnreachable(OrchestratorError):
    """A process owns the store, and it does not answer on its control socket."""

    def __init__(self, path: str, pid: int, reason: str) -> None:
        super().__init__(path, pid, reason)
        self.path, self.pid, self.reason = path, pid, reason

    def __str__(self) -> str:
        who = f"process {self.pid}" if self.pid else "another process"
        return f"{self.path} is in use by {who}, which {self.reason}; wait for it, stop it, or name another --store"


class OwnerRefused(OrchestratorError):
    """The process that owns the store refused a request, for a reason that has no error of its own here."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(kind, reason)
        self.kind, self.reason = kind, reason

    def __str__(self) -> str:
        return self.reason


class CacheError(OrchestratorError):
    """The cache of answers cannot be asked. Nobody fails over it: a model is asked instead."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(where, reason)
        self.where, self.reason = where, reason

    def __str__(self) -> str:
        return f"the cache at {self.where}: {self.reason}"
