"""Asks the guards of a pool during one attempt: in order, before anything goes on, and a broken one stops it."""

import contextvars
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final, cast, get_args

from orchestrator.errors import PromiseError, TerminalError
from orchestrator.ids import JsonValue
from orchestrator.ports.guard import Guard, Label, Passing, Ruling, Stage, StreamGuard, Verdict
from orchestrator.ports.tasks import StepTask, TaskEvidence, TaskFailed, TaskMessage, TaskProgress, TaskTripped
from orchestrator.ports.transport import WorkerPort
from workers.failures import bounded, ends_more_than_one_task
from workers.guard_looks import STUCK, STUCK_MAX, AllStuck
from workers.plain import plain_copy
from workers.standstill import Late
from workers.timekeeper import Timekeeper

GUARD_S: Final = 10.0  #: longest look of one guard at one value, while the process runs; a longer one stops it
GUARDS_MAX: Final = 32  #: of one pool
REASONS_MAX: Final = 10  #: of one ruling that are journaled
GUARDING: "contextvars.ContextVar[Guarding | None]" = contextvars.ContextVar("workers.guarding", default=None)


class Refused(Exception):
    """A guard stopped what a tool was asked, or what it gave back; the agent is told so and goes on."""


def check_guards(pool: str, guards: Sequence[Guard]) -> tuple[Guard, ...]:
    """The guards of a pool.

    Raises:
        PromiseError: too many, or two of one name, which no journal could tell apart.
    """
    names = [guard.name for guard in guards]
    if len(names) > GUARDS_MAX:
        raise PromiseError(f"pool {pool} has {len(names)} guards", f"use at most {GUARDS_MAX}")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise PromiseError(f"pool {pool} has two guards {twice!r}", "give each a name of its own")
    return tuple(guards)


class StruckPort:
    """The port of a guarded pool: what its workers say on their way is looked at before it leaves them.

    Whatever else a port does is done by the one behind it.
    """

    def __init__(self, port: WorkerPort, guards: Sequence[Guard]) -> None:
        self._port = port
        self._looks: list[tuple[str, Callable[[JsonValue], JsonValue]]] = [
            (guard.name, guard.said) for guard in guards if hasattr(guard, "said")
        ]

    def __getattr__(self, name: str) -> object:
        return getattr(self._port, name)

    def post(self, message: TaskMessage) -> None:
        """Hand on what may be journaled of it."""
        match message:
            case TaskProgress() | TaskFailed():
                message = replace(message, message=str(self._struck(message.message)))
            case TaskEvidence():
                message = replace(message, result=self._struck(message.result))
            case _:
                pass
        self._port.post(message)

    def _struck(self, value: JsonValue) -> JsonValue:
        for name, look in self._looks:
            try:
                value = plain_copy(look(value))
            except BaseException as error:
                if ends_more_than_one_task(error):
                    raise
                return f"[guard {name} broke: {type(error).__name__}]"  # what nobody has looked at does not leave
        return value


class Pieces:
    """One answer of a model on its way to watchers, as the guards let it be shown: a `RedactedStream`."""

    def __init__(self, guards: Sequence[Guard]) -> None:
        self._guards = [(cast(StreamGuard, guard), cast(dict[str, object], {})) for guard in guards if streams(guard)]

    def feed(self, piece: str) -> str:
        """What may be shown after this piece."""
        for guard, memory in self._guards:
            piece = guard.piece(memory, piece)
        return piece

    def end(self) -> str:
        """What was held back."""
        text = ""
        for guard, memory in self._guards:
            text = (guard.piece(memory, text) if text else "") + guard.rest(memory)
        return text


def streams(guard: Guard) -> bool:
    """Whether a guard looks at what streams."""
    return hasattr(guard, "piece") and hasattr(guard, "rest")


class Guarding:
    """The guards around one attempt."""

    def __init__(
        self,
        guards: Sequence[Guard],
        pool: str,
        task: StepTask,
        worker: str,
        post: Callable[[TaskMessage], None],
        keeper: Timekeeper,
    ) -> None:
        self._guards, self._pool, self._task, self._worker, self._post = guards, pool, task, worker, post
        self._keeper = keeper
        self._memories: dict[str, dict[str, object]] = {guard.name: {} for guard in guards}
        self._pieces = Pieces(guards)
        self._labels: Mapping[str, frozenset[Label]] = {
            name: frozenset(cast(Sequence[Label], labels)) for name, labels in task.labels.items()
        }

    async def input(self) -> StepTask:
        """The task as the worker may see it.

        Raises:
            TerminalError: a guard stopped it.
        """
        task = self._task
        given: JsonValue = {"instruction": task.instruction, "args": task.args, "reasons": [*task.reasons]}
        seen = await self._ends(self._looked("input", given, effect=task.idempotency_key is not None))
        if seen is given:
            return task
        match seen:
            case {"instruction": str() | None as instruction, "args": dict() as args, "reasons": list() as reasons}:
                return replace(task, instruction=instruction, args=args, reasons=tuple(map(str, reasons)))
            case _:
                pass
        raise TerminalError("a guard made something else of the input than {instruction, args, reasons}")

    async def output(self, output: JsonValue) -> JsonValue:
        """The output as the owner of the run may see it. Raises TerminalError: a guard stopped it."""
        return await self._ends(self._looked("output", output))

    async def tool_call(self, tool: str, arguments: dict[str, JsonValue], *, effect: bool) -> dict[str, JsonValue]:
        """The arguments that the tool may see. Raises Refused: a guard stopped the call."""
        seen = await self._looked("tool_call", arguments, tool=tool, effect=effect)
        if not isinstance(seen, dict):
            raise Refused("a guard made something else of the arguments than an object")
        return seen

    async def tool_result(self, tool: str, result: JsonValue) -> JsonValue:
        """The result that the agent may see. Raises Refused: a guard stopped it."""
        return await self._looked("tool_result", result, tool=tool)

    def another(self) -> "Guarding":
        """See `Streamed`."""
        return Guarding(self._guards, self._pool, self._task, self._worker, self._post, self._keeper)

    def piece(self, text: str) -> str:
        """What watchers may be shown of a model's words after this piece."""
        return self._pieces.feed(text)

    def rest(self) -> str:
        """What was held back of them, at the end of an answer."""
        return self._pieces.end()

    async def _ends(self, looked: Awaitable[JsonValue]) -> JsonValue:
        try:
            return await looked
        except Refused as error:
            raise TerminalError(str(error)) from None

    async def _looked(self, stage: Stage, value: JsonValue, *, tool: str = "", effect: bool = False) -> JsonValue:
        for guard in self._guards:
            if stage not in guard.stages:
                continue
            ruling = await self._ruling(guard, stage, value, tool, effect=effect)
            if ruling.verdict == "pass":
                continue
            self._tell(guard.name, stage, tool, ruling)
            if ruling.verdict == "block":
                why = f": {'; '.join(ruling.reasons[:REASONS_MAX])}" if ruling.reasons else ""
                what = stage.replace("_", " ") + (f" of {tool}" if tool else "")
                raise Refused(bounded(f"guard {guard.name} stopped the {what}{why}"))
            if ruling.verdict == "change":
                value = ruling.value
        return value

    async def _ruling(self, guard: Guard, stage: Stage, value: JsonValue, tool: str, *, effect: bool) -> Ruling:
        passing = Passing(
            stage=stage,
            pool=self._pool,
            key=self._task.key,
            value=value,
            function=self._task.function,
            tool=tool,
            effect=effect,
            labels=self._labels,
            memory=self._memories[guard.name],
        )
        try:
            ruling: object = await self._keeper.within(GUARD_S, lambda: STUCK.looked(guard, passing))
            if not isinstance(ruling, Ruling):
                return Ruling(verdict="block", reasons=(f"it gave a {type(ruling).__name__} and no ruling",))
            odd = _oddity(ruling)
            if odd:
                return Ruling(verdict="block", reasons=(f"it gave a ruling with {odd}",))
            return replace(ruling, value=plain_copy(ruling.value)) if ruling.verdict == "change" else ruling
        except Late:
            return Ruling(verdict="block", reasons=(f"it said nothing within {GUARD_S:g} s",))
        except AllStuck:
            return Ruling(verdict="block", reasons=(f"{STUCK_MAX} looks of guards have never come back",))
        except Exception as error:  # noqa: BLE001 # a guard that breaks must stop what it was asked about
            return Ruling(verdict="block", reasons=(f"it broke: {type(error).__name__}",))
        except BaseException as error:
            if ends_more_than_one_task(error):
                raise
            return Ruling(verdict="block", reasons=(f"it broke: {type(error).__name__}",))

    def _tell(self, guard: str, stage: Stage, tool: str, ruling: Ruling) -> None:
        assert ruling.verdict != "pass", "asked before"
        self._post(
            TaskTripped(
                key=self._task.key,
                worker=self._worker,
                guard=guard,
                stage=stage,
                verdict=ruling.verdict,
                tool=tool,
                score=ruling.score,
                reasons=tuple(bounded(reason) for reason in ruling.reasons[:REASONS_MAX]),
            )
        )


def _oddity(ruling: Ruling) -> str:
    """What of a ruling is none of the port's; nothing checks the types of guards that others write."""
    verdict, reasons, score = cast(tuple[object, object, object], (ruling.verdict, ruling.reasons, ruling.score))
    if not isinstance(verdict, str) or verdict not in get_args(Verdict):
        return "no known verdict"
    if not isinstance(reasons, tuple) or not all(isinstance(reason, str) for reason in reasons):
        return "reasons that are no tuple of texts"
    if score is not None and not (isinstance(score, int | float) and 0 <= score <= 1):
        return "a score that is not from 0 to 1"
    return ""
