"""An agent: a model with instructions, tools and an output type, as a worker of a pool."""

import json
from collections.abc import Sequence
from contextlib import AsyncExitStack, nullcontext
from dataclasses import dataclass, replace
from typing import Final

import anyio

from orchestrator.errors import PlanError, RetryableError, TerminalError
from orchestrator.ids import JsonValue
from orchestrator.plan.schemas import compile_schema
from orchestrator.ports.model import Completion, Message, Prompt, Shortened, Tier, ToolSpec
from orchestrator.ports.model_errors import ModelBadOutput, ModelError, ModelUnknownTool
from workers.compression.context import Context
from workers.compression.recall import Recall
from workers.compression.summary import summary_messages
from workers.compression.text import tokens_of
from workers.compression.turns import RECALL, Turns, size_of
from workers.context import WorkContext
from workers.limits import CONVERSATION_BYTES_MAX, MISTAKES_MAX, MODEL_S
from workers.output_type import OutputType
from workers.plain import NotPlain, plain_copy, storable
from workers.prompting import asked_of, block, question_of, system_message, task_message
from workers.tools.access import Access
from workers.tools.calling import Answered, ToolBox
from workers.tools.secrets import watch_secrets
from workers.tools.tool import Tool, ToolSource

TIERS: Final = ("cheap", "standard", "strong")
_LAST: Final = "This is your last answer: give the result now, and call no tool."


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """What `Pool.agent` was told. `run` does one task, in the event loop."""

    pool: str
    name: str
    instructions: str
    tools: tuple[Tool, ...]
    sources: tuple[ToolSource, ...]
    output: OutputType
    tier: Tier
    turns_max: int
    tokens_max: int
    access: Access
    temperature: float | None
    context: Context | None = None  #: None: the conversation is never shortened

    async def run(self, ctx: WorkContext, instruction: str, args: dict[str, JsonValue]) -> JsonValue:
        """Do one task; its output fits the step's schema, or else the agent's own type.

        Raises:
            StepError, ModelError, NotPlain: the attempt ends, and how.
        """
        seen = watch_secrets()
        async with AsyncExitStack() as stack:
            tools = list(self.tools)
            for source in self.sources:
                tools += await stack.enter_async_context(source.open())
            turns: Turns | None = None
            if self.context is not None:
                query = "\n".join([instruction, *(f"{name} {value}" for name, value in args.items())])
                turns = Turns(self.context, query, ctx.constraints)
                tools.append(Recall(turns))
            box = ToolBox(tools, ctx, self.access, seen)
            return await _Conversation(self, ctx, box, instruction, args, turns).held()
        raise AssertionError("no source swallows an error")


class _Conversation:
    """One attempt: what was said, and what may still be said."""

    def __init__(
        self,
        agent: Agent,
        ctx: WorkContext,
        box: ToolBox,
        instruction: str,
        args: dict[str, JsonValue],
        turns: Turns | None,
    ) -> None:
        self._agent, self._ctx, self._box, self._turns = agent, ctx, box, turns
        self._schema = ctx.output_schema if ctx.output_schema is not None else agent.output.schema
        self._messages = [
            system_message(agent.instructions, ctx.constraints, structured=self._schema is not None),
            task_message(instruction, args, ctx.reasons),
        ]
        self._bytes = sum(len(message.content.encode()) for message in self._messages)
        self._mistakes = 0
        self._mended = False
        self._spared = 0  #: tokens that shortening has taken out of the conversation
        self._asked_tokens = 0  #: of the question before, as it would have been
        self._cache = None
        if ctx.cache is not None:
            self._cache = replace(
                ctx.cache, instruction=asked_of(instruction, args), question=question_of(instruction, args)
            )
        self._began_s = anyio.current_time()
        self._ends_s = anyio.current_time() + ctx.timeout_s if ctx.timeout_s is not None else float("inf")

    async def held(self) -> JsonValue:
        agent = self._agent
        for turn in range(1, agent.turns_max + 1):
            last = turn == agent.turns_max
            said = await self._ask(last=last and turn > 1)
            if said.tool_calls:
                if not last:
                    await self._tools(said)
                continue
            output = self._output(said, last=last)
            if output is not _NOT_YET:
                return output  # type: ignore[return-value]  # JSON: the marker was told apart
        raise RetryableError(f"{agent.name} gave no result within {agent.turns_max} answers", "turns")

    async def _ask(self, *, last: bool) -> Completion:
        ctx, agent = self._ctx, self._agent
        ctx.heartbeat()
        await self._fit()
        messages = [*self._messages, Message(role="user", content=_LAST)] if last else self._messages
        batch = ctx.batch(anyio.current_time() - self._began_s)
        prompt = Prompt(
            tier=_tier(ctx.tier, agent.tier),
            messages=tuple(messages),
            tools=() if last else self._box.specs,  # weak models go on calling tools when they are merely asked not to
            output_schema=self._schema,
            tokens_max=agent.tokens_max,
            deadline_s=min(MODEL_S, max(self._ends_s - anyio.current_time(), 0.001)),
            temperature=agent.temperature,
            cache=self._cache if batch is None else None,
            shortened=self._shortened(messages, () if last else self._box.specs),
            batch=batch,
        )
        try:
            with ctx.parked() if batch is not None else nullcontext():
                return await ctx.models.complete(prompt)
        except ModelUnknownTool as error:  # a bad answer, not a bad model: the ladder may have it tried again
            raise RetryableError(str(error), "tools") from error
        except ModelBadOutput as error:
            raise RetryableError(str(error), "output") from error

    def _shortened(self, messages: Sequence[Message], specs: Sequence[ToolSpec]) -> Shortened | None:
        """What shortening has done to this question, less what the tool that undoes it takes."""
        if self._turns is None:
            return None
        extra = sum(_spec_tokens(one) for one in specs if one.name == RECALL)
        size = size_of(messages) + sum(map(_spec_tokens, specs))
        spared, before = self._spared - extra, self._asked_tokens
        self._asked_tokens = size + spared
        return Shortened(size=size, spared=spared, repeated=before)

    async def _tools(self, said: Completion) -> None:
        self._say(Message(role="assistant", content=said.text, tool_calls=said.tool_calls))
        answers = await self._box.answer(said.tool_calls)
        for answer in answers:
            label, text = f"result of {storable(answer.call.name, 64)}", answer.text
            if self._turns is not None:
                label, text = self._turns.result(storable(answer.call.name, 64), answer.text)
            text = block(label, text)
            self._say(Message(role="tool", content=text, tool_call_id=answer.call.id))
        self._mistaken(answers)

    async def _fit(self) -> None:
        """Shorten older turns where the conversation is over its budget, and leave a record of it."""
        if self._turns is None:
            return
        context = self._agent.context
        assert context is not None, "turns are kept for a context"
        self._messages, report = await self._turns.fit(self._messages, self._summarise if context.summary else None)
        if report is not None:
            self._spared += max(report.before - report.after, 0)
            self._ctx.progress(None, str(report))

    async def _summarise(self, text: str, tokens: int) -> str:
        """A summary by a model; empty where there is none, and passages are cut instead."""
        context = self._agent.context
        assert context is not None
        assert context.summary is not None
        facts = self._turns.facts if self._turns is not None else ()
        try:
            said = await self._ctx.models.complete(
                Prompt(
                    tier=context.summary,
                    messages=summary_messages(text, [fact.text for fact in facts], tokens),
                    tokens_max=2 * tokens,
                    deadline_s=min(MODEL_S, max(self._ends_s - anyio.current_time(), 0.001)),
                    temperature=0.0,
                )
            )
        except ModelError as error:
            self._ctx.log(f"no summary: {error}")
            return ""
        return said.text.strip()

    def _mistaken(self, answers: Sequence[Answered]) -> None:
        wrong = [answer for answer in answers if answer.mistake]
        self._mistakes += bool(wrong)
        if self._mistakes > MISTAKES_MAX:
            raise RetryableError(
                f"{self._agent.name} called tools wrongly again: {wrong[0].text.removeprefix('error: ')}", "tools"
            )

    def _output(self, said: Completion, *, last: bool) -> object:
        """The result; or the faults are handed back, once, when it does not fit."""
        try:
            return self._fitting(said)
        except NotPlain as error:
            if self._mended or last:
                raise
            self._mended = True
            self._say(Message(role="assistant", content=storable(said.text, len(said.text))))
            faults = block("faults of your answer", error.at("output"))
            self._say(Message(role="user", content=f"Your answer does not fit. Give it again, mended.\n\n{faults}"))
            return _NOT_YET

    def _fitting(self, said: Completion) -> JsonValue:
        if self._schema is None:
            return plain_copy(said.text)
        data = said.data
        if data is None and said.text.strip() != "null":
            try:
                data = json.loads(said.text)
            except (ValueError, RecursionError) as error:
                raise NotPlain(f"no JSON: {error}") from None
        try:
            faults = compile_schema(self._schema)(data)
        except PlanError as error:
            raise TerminalError(f"the output schema cannot be used: {error}") from None
        if faults:
            raise NotPlain("; ".join(faults))
        data = plain_copy(data)
        return data if self._ctx.output_schema is not None else self._agent.output.read(data)

    def _say(self, message: Message) -> None:
        self._messages.append(message)
        self._bytes += len(message.content.encode()) + sum(len(c.arguments) for c in message.tool_calls)
        if self._bytes > CONVERSATION_BYTES_MAX:
            raise RetryableError(
                f"{self._agent.name} has said and read over {CONVERSATION_BYTES_MAX} bytes in one attempt", "turns"
            )


_NOT_YET: Final = object()


def _spec_tokens(spec: ToolSpec) -> int:
    return tokens_of(spec.name + spec.description + json.dumps(spec.parameters))


def _tier(asked: str | None, own: Tier) -> Tier:
    """The step's tier, which the ladder may have raised, or else the agent's."""
    return asked if asked in TIERS else own  # type: ignore[return-value]  # one of the three words
