"""What goes wrong with journals, artifacts, caches and transports."""

from orchestrator.errors.root import OrchestratorError


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


class ArtifactMissing(OrchestratorError):
    """An artifact named in the journal is not in the store, or its bytes do not fit its digest."""

    def __init__(self, digest: str, reason: str) -> None:
        super().__init__(digest, reason)
        self.digest, self.reason = digest, reason

    def __str__(self) -> str:
        return f"artifact {self.digest}: {self.reason}"


class CacheError(OrchestratorError):
    """The cache of answers cannot be asked. Nobody fails over it: a model is asked instead."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(where, reason)
        self.where, self.reason = where, reason

    def __str__(self) -> str:
        return f"the cache at {self.where}: {self.reason}"


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
