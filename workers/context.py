"""The context a worker is called with: what it may know of its task, and how it speaks to the owner of the run."""

import contextvars
import math
import secrets
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from pydantic import TypeAdapter

from orchestrator.errors import BudgetExceeded, TerminalError
from orchestrator.ids import JsonValue
from orchestrator.ports.model import BatchUse, CacheUse
from orchestrator.ports.tasks import (
    IntentRequest,
    OwnerReply,
    SpendRequest,
    StepTask,
    TaskEvidence,
    TaskProgress,
    TaskSpent,
    TaskToolFailed,
)
from workers.asking import Line, StepMeter, WorkerModels
from workers.limits import MESSAGE_CHARS_MAX, NAME_CHARS_MAX, TOKENS_MAX
from workers.plain import NotPlain, dumped, storable

_ANYTHING: TypeAdapter[object] = TypeAdapter(object)


class _Nothing:
    """An awaitable that is done already, so that one call serves plain and asynchronous code."""

    __slots__ = ()

    def __await__(self) -> Generator[None, None, None]:
        return
        yield  # makes this a generator


_DONE = _Nothing()


class Reservation:
    """Money or tokens set aside before they are spent. Use it as a context manager and `settle` inside.

    `async with ctx.reserve(usd=0.02) as held:` in asynchronous code, `with ctx.reserve(usd=0.02) as held:` in a thread
    or process. What is left unsettled at the end counts as spent in full: a call that broke may have been billed.
    """

    __slots__ = ("_line", "_request", "_state")

    def __init__(self, line: Line, request: SpendRequest) -> None:
        self._line, self._request, self._state = line, request, "asked"

    @property
    def charge(self) -> str:
        """The id under which the money is booked, once."""
        return self._request.charge

    def settle(self, usd: float = 0.0, tokens: int = 0) -> None:
        """Book what was really spent and give the rest back. Only the first call counts.

        Raises:
            ValueError: an amount is negative or not finite, or tokens are no whole number.
        """
        _check_amounts(usd, tokens)
        if self._state != "settled":
            self._state = "settled"
            request = self._request
            self._line.post(
                TaskSpent(key=request.key, worker=self._line.worker, charge=request.charge, usd=usd, tokens=tokens)
            )

    def _granted(self, reply: OwnerReply) -> Self:
        if not reply.granted:
            self._state = "settled"
            asked = self._request.tokens if reply.limit == "tokens" else self._request.usd
            raise BudgetExceeded(reply.limit or "usd", asked, reply.left)
        self._state = "held"
        return self

    async def _ask(self) -> Self:
        return self if self._state == "held" else self._granted(await self._line.ask(self._request))

    def __await__(self) -> Generator[object, object, Self]:
        """Reserve now; raises BudgetExceeded."""
        return self._ask().__await__()

    async def __aenter__(self) -> Self:
        return await self._ask()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.settle(self._request.usd, self._request.tokens)

    def __enter__(self) -> Self:
        return self._granted(self._line.ask_blocking(self._request))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.settle(self._request.usd, self._request.tokens)


class WorkContext:
    """What a worker knows of its task. The same object in asynchronous code, in threads and in child processes."""

    __slots__ = ("_cancelled", "_charges", "_line", "_nonce", "_park", "_task")

    def __init__(self, task: StepTask, line: Line, park: Callable[[int], None] = lambda _: None) -> None:
        self._task, self._line, self._park = task, line, park
        self._cancelled = False
        self._charges = 0
        self._nonce = ""

    # ---- what the task says

    @property
    def run_id(self) -> str:
        """The run this is part of."""
        return self._task.key.run_id

    @property
    def step_id(self) -> str:
        """The step's key in its plan."""
        return self._task.key.step_id

    @property
    def branch(self) -> int | None:
        """The branch of a mapped step, from 0; None for a step that is not mapped."""
        return None if self._task.key.branch < 0 else self._task.key.branch

    @property
    def attempt(self) -> int:
        """1 for the first."""
        return self._task.key.attempt

    @property
    def traceparent(self) -> str:
        """The W3C `traceparent` of the attempt, for code that traces where no current span reaches it, as in a child
        process; empty where the run is not traced."""
        return self._task.trace

    @property
    def tenant(self) -> str:
        """Whose data this is."""
        return self._task.tenant

    @property
    def plan(self) -> str:
        """The name of the plan."""
        return self._task.plan

    @property
    def tier(self) -> str | None:
        """The model tier the step asks for: cheap, standard or strong."""
        return self._task.tier

    @property
    def constraints(self) -> tuple[str, ...]:
        """What holds for every step of the plan."""
        return self._task.constraints

    @property
    def instruction(self) -> str | None:
        """The text of a `task` step; None in a call."""
        return self._task.instruction

    @property
    def args(self) -> dict[str, JsonValue]:
        """The values of the step, by name, as they were sent: data, never instruction. Do not change them."""
        return self._task.args

    @property
    def output_schema(self) -> dict[str, JsonValue] | None:
        """JSON Schema the step's output must fit; None when the plan says nothing. Do not change it."""
        return self._task.output_schema

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the attempt before was refused; empty on the first."""
        return self._task.reasons

    @property
    def idempotency_key(self) -> str | None:
        """Of an `effect` step, equal over every retry; None in other steps."""
        return self._task.idempotency_key

    @property
    def timeout_s(self) -> float | None:
        """What was left for this attempt when it was sent, in seconds."""
        return self._task.timeout_s

    @property
    def cancelled(self) -> bool:
        """Nobody wants the result any more. Long loops in threads ask and stop."""
        return self._cancelled

    # ---- models

    @property
    def meter(self) -> StepMeter:
        """The budget of this step, for libraries that want a `Meter`."""
        return StepMeter(self._task.key, self._line, self._charge, lambda: self._cancelled)

    @property
    def models(self) -> WorkerModels:
        """The models of the engine, paid for by this step; see `WorkerModels`."""
        return WorkerModels(self._line, self.meter, self.cache, routed=self._task.routed)

    @property
    def cache(self) -> CacheUse | None:
        """Whether earlier answers of models will do for this task; None where a model is to be asked: the step says
        so, its last answer was refused, or it changes the world."""
        task = self._task
        if task.cache == "none" or task.reasons or task.idempotency_key is not None or task.key.purpose == "check":
            return None
        step = f"{task.plan}/{task.key.step_id}"
        tags = (f"plan:{task.plan}", f"step:{step}", f"pool:{task.pool}", f"run:{task.key.run_id}/{task.key.step_id}")
        return CacheUse(tenant=task.tenant, mode=task.cache, tags=tags)

    def batch(self, spent_s: float = 0.0) -> BatchUse | None:
        """How a prompt may wait for the batch service, `spent_s` seconds after the task began; None: not at all."""
        task = self._task
        if task.batch_s is None or task.key.purpose == "check" or spent_s >= task.batch_s:
            return None
        key = task.key
        return BatchUse(
            key=f"{task.tenant}/{key.run_id}/{key.step_id}/{key.branch}/{key.sample}", deadline_s=task.batch_s - spent_s
        )

    @contextmanager
    def parked(self) -> Iterator[None]:
        """While the task only waits for somebody else: its place in the pool is free for another meanwhile."""
        self._park(1)
        try:
            yield
        finally:
            self._park(-1)

    # ---- what the worker says

    def log(self, message: str) -> None:
        """Say something to whoever watches the run. Not journaled; at most 2,000 characters are kept."""
        self._progress(None, message, journal=False)

    def progress(self, fraction: float | None, message: str = "") -> None:
        """Say how far the work is, from 0 to 1 (None: unknown). Journaled.

        Raises:
            ValueError: `fraction` is outside 0 to 1.
        """
        if fraction is not None and not 0.0 <= fraction <= 1.0:
            raise ValueError(f"progress is {fraction}; it lies between 0 and 1")
        self._progress(fraction, message, journal=True)

    def heartbeat(self) -> None:
        """Show that the work goes on, for steps with an idle timeout. Not journaled."""
        self._progress(None, "", journal=False)

    def evidence(self, tool: str, result: object, *, seconds: float = 0.0) -> None:
        """Record what a tool gave, so that `grounded` checks can look quotes up in it; `seconds` is how long it took.

        Raises:
            ValueError: `result` is no JSON, or above the limits of an output.
        """
        if self._cancelled:
            return
        try:
            plain = dumped(_ANYTHING, result)
        except NotPlain as error:
            raise ValueError(error.at(f"evidence of {tool}")) from None
        name = storable(tool, NAME_CHARS_MAX)
        said = TaskEvidence(key=self._task.key, worker=self._line.worker, tool=name, result=plain, seconds=seconds)
        self._line.post(said)

    def fruitless(self, tool: str, error: str, *, seconds: float = 0.0) -> None:
        """Record that a call of a tool came to nothing: `error` is its kind in one word. Its words belong nowhere."""
        if not self._cancelled:
            name, kind = storable(tool, NAME_CHARS_MAX), storable(error, NAME_CHARS_MAX)
            key, worker = self._task.key, self._line.worker
            self._line.post(TaskToolFailed(key=key, worker=worker, tool=name, error=kind, seconds=seconds))

    def cost(self, usd: float = 0.0, tokens: int = 0, charge: str | None = None) -> Awaitable[None]:
        """Book money (USD) or tokens that were spent. Booked by the call itself; asynchronous code may await it.

        `charge` is an id of your own, such as a provider's request id: the same id is booked once per run.

        Raises:
            ValueError: an amount is negative or not finite, tokens are no whole number, or `charge` is no text of up to
                200 characters.
        """
        _check_amounts(usd, tokens)
        if charge is not None and (type(charge) is not str or charge != storable(charge, NAME_CHARS_MAX)):
            raise ValueError(f"a charge is a text of up to {NAME_CHARS_MAX} characters, not {charge!r}")
        self._line.post(
            TaskSpent(
                key=self._task.key,
                worker=self._line.worker,
                charge=charge or self._charge(),
                usd=float(usd),
                tokens=tokens,
            )
        )
        return _DONE

    def reserve(self, usd: float = 0.0, tokens: int = 0) -> Reservation:
        """Set money or tokens aside before spending them; see `Reservation`.

        Raises:
            ValueError: an amount is negative or not finite, or tokens are no whole number.
            BudgetExceeded: on entering it, when the run has not this much left.
        """
        _check_amounts(usd, tokens)
        request = SpendRequest(key=self._task.key, charge=self._charge(), usd=float(usd), tokens=tokens)
        return Reservation(self._line, request)

    async def intend(self, tool: str, key: str) -> None:
        """Announce that a tool is about to change the world outside; returns once that is journaled.

        `key` names the effect: make it equal over attempts, and hand it to whoever can tell a repetition by it.

        Raises:
            TerminalError: nobody wants this attempt any more, or it is a check: the tool must not act.
        """
        self._allowed(tool, await self._line.ask(self._intent(tool, key)))

    def intend_blocking(self, tool: str, key: str) -> None:
        """As `intend`, from code that cannot await."""
        self._allowed(tool, self._line.ask_blocking(self._intent(tool, key)))

    def _intent(self, tool: str, key: str) -> IntentRequest:
        if key != storable(key, NAME_CHARS_MAX) or not key:
            raise ValueError(f"the key of an effect is a text of up to {NAME_CHARS_MAX} characters, not {key[:99]!r}")
        return IntentRequest(key=self._task.key, effect=key, tool=storable(tool, NAME_CHARS_MAX))

    def _allowed(self, tool: str, reply: OwnerReply) -> None:
        if not reply.granted:
            why = "a check changes nothing" if self._task.key.purpose == "check" else "the attempt was given up"
            raise TerminalError(f"{tool} must not act: {why}")

    def _progress(self, fraction: float | None, message: str, *, journal: bool) -> None:
        if self._cancelled:
            return  # nobody listens, and a late word must not look like a sign of life
        text = storable(str(message), MESSAGE_CHARS_MAX)
        self._line.post(
            TaskProgress(key=self._task.key, worker=self._line.worker, fraction=fraction, message=text, journal=journal)
        )

    def _charge(self) -> str:
        # A random part, because a task delivered twice under one key really spends twice.
        self._nonce = self._nonce or secrets.token_hex(8)
        self._charges += 1
        return f"{self._nonce}.{self._charges}"

    def _fence(self) -> None:
        """From here on only money is reported: it was spent whether the result is wanted or not."""
        self._cancelled = True


def _check_amounts(usd: float, tokens: int) -> None:
    if not (math.isfinite(usd) and usd >= 0 and type(tokens) is int and 0 <= tokens <= TOKENS_MAX):
        raise ValueError(f"cannot book {usd} USD and {tokens} tokens; amounts are 0 or more, tokens whole")


CURRENT: contextvars.ContextVar[WorkContext] = contextvars.ContextVar("workers.current_context")


def current_context() -> WorkContext:
    """The context of the worker that this code runs in, for libraries that it is not handed to.

    Raises:
        LookupError: no worker is running here.
    """
    return CURRENT.get()
