"""Connections to a PostgreSQL journal: made with care, made again after a restart of the server; errors in words."""

import asyncio
import os
import random
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg

from orchestrator.errors import JournalError, JournalFull, JournalUnreachable, OrchestratorError, PromiseError

CONNECT_S: Final = 10.0  #: for one try to connect
ARGUMENTS: Final[dict[str, object]] = {"timeout": CONNECT_S, "command_timeout": 60.0}
PATIENCE_S: Final = 120.0  #: a server may be away for this long before a call gives up
FIRST_PAUSE_S: Final = 0.05  #: between tries; doubles up to …
MOST_PAUSE_S: Final = 2.0
TRIES_MAX: Final = 8  #: of a transaction that met another one (deadlock, serialisation)
READERS: Final = 4  #: connections for reading, at most

_LOST: Final = (
    OSError,
    EOFError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.OperatorInterventionError,  # shutdown, crash, "not now"
    asyncpg.TooManyConnectionsError,
    asyncpg.InvalidAuthorizationSpecificationError,  # a password that is just being changed
)
#: Two transactions met: nothing was written, and trying again helps.
MET: Final = (
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.ForeignKeyViolationError,  # an artifact was swept between being found and being referred to
    asyncpg.LockNotAvailableError,
)
FULL: Final = (asyncpg.DiskFullError,)
Connection: TypeAlias = asyncpg.Connection
Record: TypeAlias = asyncpg.Record
T = TypeVar("T")


def read_url(url: str) -> str:
    """The address as asyncpg takes it.

    Raises:
        PromiseError: it is none.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"postgresql", "postgres"}:
        raise PromiseError(f"{shown(url)} is no address of PostgreSQL", "write postgresql://user@host/database")
    query = [(name, value) for name, value in parse_qsl(parts.query) if name != "application_name"]
    return urlunsplit(parts._replace(query=urlencode([*query, ("application_name", "orchestrator")])))


def shown(url: str) -> str:
    """The address without its password."""
    parts = urlsplit(url)
    user = f"{parts.username}@" if parts.username else ""
    port = f":{parts.port}" if parts.port else ""
    return f"postgresql://{user}{parts.hostname or ''}{port}{parts.path}"


def is_lost(error: BaseException) -> bool:
    """The connection is gone, or the server is: whatever was under way may have been done or not."""
    return isinstance(error, _LOST) and not isinstance(error, ValueError)  # asyncpg's refusal of an argument is both


def said(error: BaseException) -> str:
    """What an error says; its name where it says nothing."""
    return str(error) or type(error).__name__


class Pauses:
    """Growing pauses with full jitter, for `PATIENCE_S` altogether."""

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self.rested = False  #: whether there was a reason to wait
        self._next_s = FIRST_PAUSE_S
        self._until_s = asyncio.get_running_loop().time() + patience_s

    async def rest(self, error: BaseException, where: str) -> None:
        """Wait before another try.

        Raises:
            JournalUnreachable: it has been too long.
        """
        if asyncio.get_running_loop().time() >= self._until_s:
            raise JournalUnreachable(where, said(error)) from error
        self.rested = True
        await asyncio.sleep(random.uniform(0, self._next_s))
        self._next_s = min(2 * self._next_s, MOST_PAUSE_S)


class Server:
    """Where the journal is: makes connections, keeps one for writing and some for reading."""

    def __init__(self, url: str) -> None:
        self._dsn = read_url(url)
        self.name = shown(url)
        self._pid, self._loop = os.getpid(), asyncio.get_running_loop()
        self._writer: Connection | None = None
        self._readers: list[Connection] = []
        self._reading = asyncio.Semaphore(READERS)
        self.closed = False

    async def connect(self) -> Connection:
        """A new connection; a commit on it is durable when it is acknowledged.

        Raises:
            Whatever `is_lost` knows: the server is not there.
        """
        connection = await asyncpg.connect(
            self._dsn, timeout=CONNECT_S, command_timeout=60.0, server_settings={"timezone": "UTC", "jit": "off"}
        )
        try:
            await connection.execute(
                "SELECT set_config('synchronous_commit', 'on', false) "
                "WHERE current_setting('synchronous_commit') IN ('off', 'local'); "
                "SELECT set_config('enable_seqscan', 'off', false)"  # the planner sees small tables; they will grow
            )
        except BaseException:
            connection.terminate()
            raise
        return connection

    def must_be_usable(self) -> None:
        """Refuse what cannot go well: after `close`, in a fork, in another loop."""
        if os.getpid() != self._pid:
            raise JournalError("the journal was opened before a fork; open it again in the child")
        if asyncio.get_running_loop() is not self._loop:
            raise JournalError("the journal was opened in another event loop")
        if self.closed:
            raise JournalError("the journal is closed")

    async def writer(self) -> Connection:
        """The connection for appends; made anew when the one before is gone."""
        if self._writer is None or self._writer.is_closed():
            self._writer = await self.connect()
        return self._writer

    def drop_writer(self) -> None:
        """The connection is not to be trusted any more."""
        if self._writer is not None:
            self._writer.terminate()
            self._writer = None

    async def once(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Do work on a connection of the readers; errors as the server raises them."""
        async with self._reading:
            connection = self._readers.pop() if self._readers else None
            if connection is None or connection.is_closed():
                connection = await self.connect()
            try:
                result = await work(connection)
            except BaseException as error:
                if isinstance(error, asyncpg.PostgresError | OrchestratorError) and not is_lost(error):
                    self._readers.append(connection)  # it said no, and is well
                else:
                    connection.terminate()
                raise
            self._readers.append(connection)
            return result

    async def do(self, work: Callable[[Connection], Awaitable[T]], *, patience_s: float = PATIENCE_S) -> T:
        """Do work that may be done twice: tried again while the server is away, or when it met another transaction.

        Raises:
            JournalError: the server stayed away, or refused.
        """
        self.must_be_usable()
        waiting, tries = Pauses(patience_s), 0
        while True:
            try:
                return await self.once(work)
            except OrchestratorError:
                raise
            except Exception as error:
                tries += isinstance(error, MET)
                if not (is_lost(error) or (isinstance(error, MET) and tries < TRIES_MAX)):
                    raise self.translated(error) from error
                await waiting.rest(error, self.name)
                self.must_be_usable()

    def translated(self, error: Exception) -> JournalError:
        """The error in words of the journal."""
        if isinstance(error, FULL):
            return JournalFull(self.name)
        return JournalError(f"{self.name}: {said(error)}")

    async def close(self) -> None:
        """Let go of all connections."""
        self.closed = True
        writer, self._writer = self._writer, None
        readers, self._readers = self._readers, []
        for connection in [*([writer] if writer is not None else []), *readers]:
            try:
                await connection.close(timeout=2.0)
            except Exception:  # noqa: BLE001 # it is gone, which is what was wanted
                connection.terminate()
