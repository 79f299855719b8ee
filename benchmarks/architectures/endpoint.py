"""Agents behind any OpenAI-compatible endpoint, asked through the gateway: one step of the task per call."""

import contextlib
import time
from collections.abc import Mapping
from typing import Final

from benchmarks.architectures.model import Case, Claims, Reply, Request, Turn, TurnKind
from orchestrator.ids import JsonValue
from orchestrator.plan.models import canonical_json
from orchestrator.ports.model import Message, Meter, ModelCall, Models, Prompt, Tier
from orchestrator.ports.model_errors import ModelBadOutput, ModelFiltered, ModelRefused, ModelTruncated
from workers import WorkContext

UNUSABLE: Final = (ModelBadOutput, ModelFiltered, ModelRefused, ModelTruncated)  #: an answer came, and no good one
SYSTEM: Final = "You are one of several agents that work on a task. Answer with one JSON object and nothing else."


class Counted:
    """A meter that also remembers the calls, so that an answer nobody can use is counted too."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self.calls: list[ModelCall] = []

    async def reserve(self, usd: float, tokens: int) -> str:
        """As the meter does."""
        return await self._meter.reserve(usd, tokens)

    def called(self, call: ModelCall) -> None:
        """As the meter does, and remember."""
        self.calls.append(call)
        self._meter.called(call)

    def delta(self, text: str) -> None:
        """As the meter does."""
        self._meter.delta(text)


class EndpointAgent:
    """Solves, plans, coordinates, debates, joins and verifies by asking a model of a tier.

    The decomposition comes with the task: a `plan` request is asked and paid for, but its answer is not used, since
    what is compared is how work is organised and not how well a model draws graphs.
    """

    def __init__(self, models: Models, cases: Mapping[str, Case], *, label: str, tokens_max: int = 400) -> None:
        self.label = label
        self._models, self._cases, self._tokens_max = models, cases, tokens_max

    async def act(self, request: Request, meter: object) -> Reply:
        """Ask the model as often as the role needs.

        Raises:
            ModelError: the endpoint cannot be asked; the engine's retry policy decides what follows.
            BudgetExceeded: the run has not enough left.
        """
        assert isinstance(meter, WorkContext), "agents run in pools"
        case = self._cases[request.case]
        match request.role:
            case "solve":
                return await self._solve(case, request, meter)
            case "debate":
                return await self._debate(case, request, meter)
            case "verify":
                return await self._verify(case, request, meter)
            case "coordinate":
                return await self._judge(case, request, meter, "coordinate")
            case "plan" | "stop" | "synthesise":
                return await self._lead(case, request, meter)

    async def _ask(
        self, request: Request, ctx: WorkContext, kind: TurnKind, text: str, schema: dict[str, JsonValue]
    ) -> tuple[JsonValue, Turn]:
        tier: Tier = request.tier  # type: ignore[assignment]  # a word of the plan's
        prompt = Prompt(
            tier=tier,
            messages=(Message(role="system", content=SYSTEM), Message(role="user", content=text)),
            output_schema=schema,
            tokens_max=self._tokens_max,
            seed=request.trial,
        )
        began, counted = time.monotonic(), Counted(ctx.meter)
        data: JsonValue = None
        with contextlib.suppress(*UNUSABLE):
            data = (await self._models.complete(prompt, counted)).data
        calls = counted.calls
        turn = Turn(
            kind=kind,
            agent=request.agent,
            tokens_in=sum(call.tokens_in for call in calls),
            tokens_out=sum(call.tokens_out for call in calls),
            usd=sum(call.usd for call in calls),
            seconds=time.monotonic() - began,
        )
        return data, turn

    async def _solve(self, case: Case, request: Request, ctx: WorkContext) -> Reply:
        done: Claims = {}
        turns: list[Turn] = []
        for name in request.units[: request.iterations]:
            known = {**request.known, **done}
            if any(need not in known for need in case.unit(name).needs):
                continue
            reasons = "\n".join(request.reasons)
            text = (
                f"{case.prompt}\n\nAnswers so far: {canonical_json(known)}\n"
                + (f"An earlier answer of yours was not accepted: {reasons}\n" if reasons else "")
                + f'Now do only this step.\n{name}: {case.unit(name).text}\nAnswer as {{"answer": …}}.'
            )
            data, turn = await self._ask(request, ctx, "work", text, _object("answer", case.answer_schema))
            turns.append(turn)
            if isinstance(data, dict) and data.get("answer") is not None:
                done[name] = data["answer"]
        return Reply(claims=done, turns=tuple(turns), note=f"try {request.attempt}")

    async def _debate(self, case: Case, request: Request, ctx: WorkContext) -> Reply:
        others = "\n".join(f"Agent {number}: {canonical_json(claims)}" for number, claims in enumerate(request.peers))
        schema = _object("answers", {"type": "object", "additionalProperties": case.answer_schema})
        text = (
            f"{case.prompt}\n\nYour answers: {canonical_json(request.known)}\nOthers say:\n{others}\n"
            'Keep, mend or replace your answers. Answer as {"answers": {step: answer}}.'
        )
        data, turn = await self._ask(request, ctx, "debate", text, schema)
        given = data.get("answers") if isinstance(data, dict) else None
        changed = (
            {unit: value for unit, value in given.items() if unit in request.units} if isinstance(given, dict) else {}
        )
        return Reply(claims={**request.known, **changed}, turns=(turn,), note=request.phase)

    async def _verify(self, case: Case, request: Request, ctx: WorkContext) -> Reply:
        if request.verifier == "placebo":
            return Reply()  # a placebo that a model pays for would be a verifier
        return await self._judge(case, request, ctx, "verify")

    async def _judge(self, case: Case, request: Request, ctx: WorkContext, kind: TurnKind) -> Reply:
        looked = {unit: request.known[unit] for unit in request.units if unit in request.known}
        if not looked:
            return Reply()
        inputs = request.peers[0] if request.peers else {}
        steps = "\n".join(
            f"{unit}: {case.unit(unit).text} -> {canonical_json(value)}" for unit, value in looked.items()
        )
        text = (
            f"{case.prompt}\n\nGiven: {canonical_json(inputs)}\nCheck these answers:\n{steps}\n"
            'Which steps are wrong? Answer as {"wrong": [step, …]}; an empty list when all are right.'
        )
        schema = _object("wrong", {"type": "array", "items": {"type": "string"}, "maxItems": len(looked)})
        data, turn = await self._ask(request, ctx, kind, text, schema)
        named = data.get("wrong") if isinstance(data, dict) else None
        refused = tuple(unit for unit in looked if isinstance(named, list) and unit in named)
        return Reply(refused=refused, turns=(turn,))

    async def _lead(self, case: Case, request: Request, ctx: WorkContext) -> Reply:
        what = {
            "plan": "Say in one sentence how to divide this task.",
            "stop": "Is the task finished? Say so in one sentence.",
            "synthesise": f"Say in one sentence whether these answers fit: {canonical_json(request.known)}.",
        }[request.role]
        kind: TurnKind = request.role  # type: ignore[assignment]  # each of the three is a kind
        _, turn = await self._ask(request, ctx, kind, f"{case.prompt}\n\n{what}", _object("text", {"type": "string"}))
        claims = dict(request.known) if request.role == "synthesise" else {}
        needs = {unit.id: list(unit.needs) for unit in case.units} if request.role == "plan" else {}
        return Reply(claims=claims, turns=(turn,), needs=needs)


def _object(name: str, schema: dict[str, JsonValue]) -> dict[str, JsonValue]:
    return {"type": "object", "properties": {name: schema}, "required": [name], "additionalProperties": False}
