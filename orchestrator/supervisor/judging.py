"""The judge: a model with a rubric, blind to everything but task, inputs, constraints and output."""

import json
from dataclasses import dataclass
from typing import Final, cast

import anyio

from orchestrator.errors import BudgetExceeded, EngineClosed, JournalConflict
from orchestrator.ports.checker import Judgement, JudgeRequest, Vote
from orchestrator.ports.model import Models, Prompt, Tier
from orchestrator.ports.model_errors import ModelError
from orchestrator.supervisor.prompts import JUDGE_SCHEMA, judge_messages
from orchestrator.supervisor.rules import FIX_FROM

JUDGED_CHARS_MAX: Final = 400_000  #: of a question to a judge; what is longer is not cut, it is not judged
VOTE_TOKENS_MAX: Final = 1_024  #: of one answer
REASONS_MAX: Final = 10  #: of one verdict
REASON_CHARS: Final = 1_000


@dataclass(slots=True)
class ModelJudge:
    """Judges outputs with models. Each vote is a call of its own; the median counts.

    `pass` from `pass_at` on, `fix` from `fix_from` x `pass_at` on, `reject` below. Votes that broke do not count, and
    where fewer than more than half are left nothing is decided: `check_broken`, which never passes anything.
    """

    models: Models
    fix_from: float = FIX_FROM
    deadline_s: float = 120.0

    async def judge(self, request: JudgeRequest) -> Judgement:
        """A verdict; see `orchestrator.ports.checker.Checker`.

        Raises:
            BudgetExceeded: there was no room for enough votes.
            EngineClosed, JournalConflict: the run is not driven here any more.
        """
        messages = judge_messages(request)
        size = sum(len(message.content) for message in messages)
        if size > JUDGED_CHARS_MAX:
            reason = f"the question has {size:,} characters, and a judge reads {JUDGED_CHARS_MAX:,}"
            return Judgement(verdict="check_broken", reasons=(reason,))
        said: list[Vote | ModelError | BudgetExceeded | None] = [None] * request.votes
        for vote in request.cast:
            if vote.number <= request.votes:
                said[vote.number - 1] = vote

        gone: list[Exception] = []

        async def ask(at: int) -> None:
            try:
                said[at] = found = await self._vote(request, at)
                if isinstance(found, Vote) and request.votes > 1 and request.voted is not None:
                    await request.voted(found)  # a single one is the verdict, which is journaled
            except (EngineClosed, JournalConflict) as error:
                gone.append(error)
                group.cancel_scope.cancel()

        async with anyio.create_task_group() as group:
            for at in range(request.votes):
                if said[at] is None:
                    group.start_soon(ask, at)
        if gone:
            raise gone[0]
        votes = sorted((one for one in said if isinstance(one, Vote)), key=lambda vote: vote.score)
        if len(votes) * 2 <= request.votes:
            for one in said:
                if isinstance(one, BudgetExceeded):
                    raise one
            why = tuple(dict.fromkeys(str(one) for one in said if isinstance(one, ModelError)))
            return Judgement(verdict="check_broken", reasons=why or ("the judge gave no vote that can be read",))
        median = votes[(len(votes) - 1) // 2]  # the lower of two: in doubt against the output
        return self._verdict(request, median, votes)

    def _verdict(self, request: JudgeRequest, median: Vote, votes: list[Vote]) -> Judgement:
        if median.score >= request.pass_at:
            return Judgement(verdict="pass", score=median.score, reasons=median.reasons[:REASONS_MAX])
        against = [reason for vote in votes if vote.score < request.pass_at for reason in vote.reasons]
        reasons = tuple(dict.fromkeys(against))[:REASONS_MAX] or ("the judge gave no reason",)
        mend = median.score >= self.fix_from * request.pass_at
        return Judgement(verdict="fix" if mend else "reject", score=median.score, reasons=reasons)

    async def _vote(self, request: JudgeRequest, at: int) -> Vote | ModelError | BudgetExceeded | None:
        prompt = Prompt(
            tier=cast(Tier, request.tier),
            messages=judge_messages(request),
            output_schema=JUDGE_SCHEMA,
            tokens_max=VOTE_TOKENS_MAX,
            deadline_s=self.deadline_s,
            seed=at if request.votes > 1 else None,
        )
        try:
            answer = (await self.models.complete(prompt, request.meter)).data
        except (ModelError, BudgetExceeded) as error:
            return error
        return _read(answer, at + 1)


def _read(answer: object, number: int) -> Vote | None:
    """A vote; None for anything else, whatever the gateway has let through."""
    if not isinstance(answer, dict):
        return None
    score, reasons = answer.get("score"), answer.get("reasons")
    if isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 1:
        return None
    if not isinstance(reasons, list):
        return None
    told = tuple(one[:REASON_CHARS] if isinstance(one, str) else json.dumps(one)[:REASON_CHARS] for one in reasons)
    return Vote(number=number, score=float(score), reasons=told)
