"""The account of judges and planners with a run: reserve before a call, settle after it, record what was written."""

from collections.abc import Awaitable, Callable
from itertools import count
from typing import Final

from orchestrator.core import facts as f
from orchestrator.core.closing import short_of
from orchestrator.core.inputs import Input
from orchestrator.engine.driver import RunDriver
from orchestrator.engine.loop import Item
from orchestrator.errors import BudgetExceeded
from orchestrator.ports.checker import Vote
from orchestrator.ports.clock import Clock
from orchestrator.ports.model import ModelCall
from orchestrator.ports.planner import Choice, Draft
from orchestrator.ports.tasks import TaskCalled, TaskDelta, TaskKey

DRAFT_CHARS_MAX: Final = 256 * 1024  #: of a draft that is journaled
_numbers = count(1)


class RunDesk:
    """One question's account. What it grants is in the journal first, so a crash leaves it charged."""

    def __init__(
        self,
        driver: RunDriver,
        key: TaskKey,
        who: str,
        *,
        clock: Clock,
        tell: Callable[[RunDriver, Input], Awaitable[None]],
        post: Callable[[RunDriver, Item], None],
    ) -> None:
        self._driver, self._key, self._who = driver, key, who
        self._clock, self._tell, self._post = clock, tell, post

    async def reserve(self, usd: float, tokens: int) -> str:
        """Set an amount and one call aside; return the charge.

        Raises:
            BudgetExceeded: the run has not this much left; the limit counts as met.
            JournalConflict, EngineClosed: the run is not driven here any more.
        """
        key, driver = self._key, self._driver
        charge = f"{key}!{driver.epoch}.{next(_numbers)}"
        await self._tell(
            driver,
            f.BudgetReserved(
                at_s=self._clock.now_s(),
                actor=self._who,
                step=key.step_id,
                branch=key.branch,
                attempt=key.attempt,
                charge=charge,
                usd=usd,
                tokens=tokens,
            ),
        )
        run = driver.machine.state
        if charge in run.ledger.open:
            return charge
        state = run.step(key.step_id)
        short = short_of(run, state, usd, tokens) if state is not None else None
        if short is None:  # it was met before, or nobody wants the answer any more
            raise BudgetExceeded(run.limit or "run", usd, 0.0)
        met = f.LimitHit(at_s=self._clock.now_s(), limit=short.limit, policy=driver.accepted.on_limit)
        self._post(driver, met)
        asked = {"usd": usd, "tokens": float(tokens)}.get(short.limit, 1.0)
        raise BudgetExceeded(short.limit, asked, short.left)

    def called(self, call: ModelCall) -> None:
        """Record an attempt at a model."""
        self._post(self._driver, TaskCalled(key=self._key, worker=self._who, call=call))

    def delta(self, text: str) -> None:
        """A piece of an answer, for whoever watches."""
        self._post(self._driver, TaskDelta(key=self._key, worker=self._who, text=text))

    async def drafted(self, draft: Draft) -> None:
        """Journal what the planner's model wrote."""
        key = self._key
        purpose = "patch" if self._replans() else "plan"
        await self._tell(
            self._driver,
            f.PlanDrafted(
                at_s=self._clock.now_s(),
                actor=self._who,
                step=key.step_id,
                branch=key.branch,
                attempt=key.attempt,
                number=draft.number,
                purpose=purpose,  # type: ignore[arg-type]  # one of the two
                tier=draft.tier,
                accepted=draft.accepted,
                answer=kept(draft.answer)[:DRAFT_CHARS_MAX],
                errors=tuple(map(kept, draft.errors)),
            ),
        )

    def voted_on(self, check: int) -> Callable[[Vote], Awaitable[None]]:
        """What journals the votes of a judge on a check."""

        async def voted(vote: Vote) -> None:
            key = self._key
            await self._tell(
                self._driver,
                f.JudgeVoted(
                    at_s=self._clock.now_s(),
                    actor=self._who,
                    step=key.step_id,
                    branch=key.branch,
                    attempt=key.attempt,
                    check=check,
                    number=vote.number,
                    score=vote.score,
                    reasons=tuple(map(kept, vote.reasons)),
                ),
            )

        return voted

    async def decided(self, choice: Choice) -> None:
        """Journal how the work is split up."""
        key = self._key
        await self._tell(
            self._driver,
            f.PatternChosen(
                at_s=self._clock.now_s(),
                actor=self._who,
                step=key.step_id,
                branch=key.branch,
                attempt=key.attempt,
                pattern=choice.pattern,
                row=choice.row,
                source=choice.source,
                reason=kept(choice.reason),
            ),
        )

    def _replans(self) -> bool:
        state = self._driver.machine.state.step(self._key.step_id)
        unit = state.find(self._key.branch) if state is not None else None
        return unit is not None and bool(unit.replan)


def kept(text: str) -> str:
    """A text as every journal keeps it: without NUL and halves of characters."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def drafts_of(drafts: tuple[f.PlanDrafted, ...]) -> tuple[Draft, ...]:
    """Journaled drafts as planners know them."""
    return tuple(
        Draft(number=one.number, tier=one.tier, accepted=one.accepted, answer=one.answer, errors=one.errors)
        for one in drafts
    )
