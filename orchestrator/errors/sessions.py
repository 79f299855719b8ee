"""What goes wrong with conversations."""

from orchestrator.errors.root import OrchestratorError


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
