"""Rating a run that has ended: a thumb of a person, or the outcome of a case. Both are audit records of its journal."""

from typing import Final, Literal

from orchestrator.core import facts as f
from orchestrator.core.codec import check_fact
from orchestrator.engine.recovery import read_all
from orchestrator.errors import JournalConflict, RunNotFound, WrongState
from orchestrator.ids import RunId
from orchestrator.ports.journal import Append, Journal

RATINGS_MAX: Final = 1_000  #: of one run
TRIES: Final = 5  #: where others write to the same run at the same moment


async def rate(
    journal: Journal,
    run_id: RunId,
    *,
    source: Literal["thumb", "eval"],
    score: float,
    by: str,
    now_s: float,
    about: str = "",
    reason: str = "",
) -> bool:
    """Record a rating; False when the same person has said the same of it last, which changes nothing.

    Raises:
        RunNotFound: no such run.
        WrongState: it has not ended, or has been rated too often.
        ValueError: the score is outside 0 to 1.
        ValueRefused: a text cannot be kept.
        JournalConflict: others kept writing to it.
    """
    if not 0 <= score <= 1:
        raise ValueError(f"a rating is from 0 to 1, not {score}")
    fact = f.RunRated(at_s=now_s, actor=by, source=source, score=score, about=about, reason=reason)
    check_fact(fact)
    for _ in range(TRIES):
        records = await read_all(journal, run_id)
        if not records:
            raise RunNotFound(run_id)
        facts = [record.fact for record in records]
        if not any(isinstance(one, f.RunEnded) for one in facts):
            raise WrongState(f"run {run_id}", "open", "rate it when it has ended")
        rated = [one for one in facts if isinstance(one, f.RunRated)]
        mine = [one for one in rated if (one.actor, one.source, one.about) == (by, source, about)]
        if mine and (mine[-1].score, mine[-1].reason or "") == (score, reason):
            return False
        if len(rated) >= RATINGS_MAX:
            raise WrongState(f"run {run_id}", f"rated {len(rated)} times", "that is as often as a run can be")
        last = records[-1]
        entry = Append(run_id=run_id, first_seq=last.seq + 1, epoch=last.epoch, facts=(fact,), sync=True)
        if not await journal.append([entry]):
            return True
    raise JournalConflict(run_id, "others keep writing to it; try again")
