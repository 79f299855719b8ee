"""What cannot be done to a run, or by its owner."""

from orchestrator.errors.root import OrchestratorError


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


class IllegalTransition(OrchestratorError):
    """An event that no rule allows. A worker's word is refused; of what is said here it is our bug, and the run is
    parked as it was."""

    def __init__(self, step: str, status: str, event: str, story: tuple[str, ...] = ()) -> None:
        super().__init__(step, status, event, story)
        self.step, self.status, self.event, self.story = step, status, event, story

    def __str__(self) -> str:
        return f"{self.event} met {self.step or 'the run'} in state {self.status}" + "".join(
            f"\n  {line}" for line in self.story
        )


class EngineClosed(OrchestratorError):
    """The engine is not open, or is draining and takes no new runs."""


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
