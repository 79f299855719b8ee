"""`Scenario`: a plan played without its pools, on a clock that jumps; what is not said, or not asked for, fails."""

import difflib
import json
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self

import anyio

from orchestrator.app import Engine
from orchestrator.engine.submission import Freezable
from orchestrator.errors import KINDS_RESERVED
from orchestrator.ids import JsonValue
from orchestrator.plan.durations import parse_duration
from orchestrator.plan.files import load_plan
from orchestrator.plan.models import Plan
from orchestrator.plan.parts import Budget
from orchestrator.ports.checker import Checker
from orchestrator.ports.model import Models
from orchestrator.ports.planner import Planner
from orchestrator.settings import Settings
from orchestrator.testing.jumping import JumpingLoop
from orchestrator.testing.play import Play, Played
from orchestrator.testing.script import (
    STORE,
    Answer,
    Failure,
    Place,
    Returns,
    ScenarioFailed,
    Script,
    Trouble,
    troubled,
)
from orchestrator.testing.stage import all_plans

__all__ = ["Scenario", "ScenarioFailed"]

LIMIT = "366d"  #: of a scenario's own clock; a run that has not ended by then never will
_BUDGET = "budget"


class Scenario:
    """What the world says to a plan, written down: `Scenario(plan).on("draft", returns="text").play({"topic": "x"})`.

    `plan` is a plan, a builder, or the path of a plan file. Lines for one step answer its calls in the order they are
    written. A step is named as in its plan; a step of a sub-plan too, or as `plan-name/step` where two plans have one
    of that name. Pools given as `pools` are real: their steps run for real unless lines speak of them. What agents,
    judges, goals and replans ask of models is answered by `models`, as a rule a `ScriptedModel`; without it such a
    question fails the scenario. Everything else in `engine` goes to the `Engine` as it is.
    """

    def __init__(
        self,
        plan: Plan | Freezable | str | Path,
        *,
        pools: Iterable[Any] = (),
        models: Models | None = None,
        planner: Planner | None = None,
        checker: Checker | None = None,
        **engine: Any,
    ) -> None:
        if isinstance(plan, str | Path):
            plan = load_plan(Path(plan))
        self.plan = plan if isinstance(plan, Plan) else plan.freeze()
        engine.setdefault("settings", Settings(store="memory:", transport="memory:"))  # whatever the environment says
        self._engine = partial(Engine, pools=tuple(pools), planner=planner, **engine)
        self._models, self._checker = models, checker
        self._script = Script()
        self._steps = {name: each for each in all_plans(self.plan) for name in self._names(each)}

    # ---- lines

    def on(
        self,
        step: str,
        *,
        returns: Returns,
        times: int | None = 1,
        branch: int | None = None,
        check: int = 0,
        after: str | float = 0,
        usd: float = 0.0,
        tokens: int = 0,
        tools: Mapping[str, JsonValue] | None = None,
    ) -> Self:
        """The next `times` calls of a step return a value, or what a function of the `Call` returns.

        `times` None: any number of further calls, none included. `branch` (from 0): calls of this branch only. `check`
        (from 1): the step's `call` check at that position asks, and `returns` is its verdict: true, false, or
        {verdict, reasons}. `after`: how long the work takes, as in `"90s"`. `usd` and `tokens` are what it costs.
        `tools`: what tools gave on the way, by name, which is where `grounded` checks look.

        Raises:
            ValueError: there is no such step, or the line could never be reached.
        """
        what = f"on({step!r}{f', check={check}' if check else ''}, returns={_short(returns)})"
        place = f"check {check}" if check else "work"
        self._add(step, place, what, returns, times, branch, after, usd, tokens, tools=tools)
        return self

    def wrong_answer(
        self,
        step: str,
        returns: Returns,
        *,
        times: int = 1,
        branch: int | None = None,
        after: str | float = 0,
        tools: Mapping[str, JsonValue] | None = None,
    ) -> Self:
        """As `on`, and the scenario fails unless a check refuses the answer: a gate that lets it through is found."""
        what = f"wrong_answer({step!r}, {_short(returns)})"
        self._add(step, "work", what, returns, times, branch, after, wrong=True, tools=tools)
        return self

    def fails(
        self,
        step: str,
        *,
        kind: str = "provider",
        message: str = "the scenario says so",
        retry_after: str | float | None = None,
        times: int | None = 1,
        branch: int | None = None,
        after: str | float = 0,
    ) -> Self:
        """The next calls of a step fail: `kind` is a word of `retry.errors`, `worker` for an exception of the worker's
        own code, or `terminal` for one that no retry mends.

        Raises:
            ValueError: the kind is a word of the engine's own.
        """
        if kind in KINDS_RESERVED - {"terminal", "budget"}:
            raise ValueError(f"{kind!r} is the engine's own word; use another kind of error")
        what = f"fails({step!r}, kind={kind!r})"
        wait_s = None if retry_after is None else _seconds(retry_after)
        failure = Failure(kind=kind, message=message, retry_after_s=wait_s)
        self._add(step, "work", what, None, times, branch, after, failure=failure)
        return self

    def slow(self, step: str, by: str | float, *, times: int | None = 1, branch: int | None = None) -> Self:
        """The next `times` answers of a step come later than their lines say; None: all of them."""
        return self._trouble("slow", step, f"slow({step!r}, {by!r})", times, branch, by)

    def kill_worker(self, *, at: str, branch: int | None = None) -> Self:
        """The process dies, and everything in it, when the step's next call is at a worker. Another one takes over from
        the journal; the call is made again, and answered by the next line. Of calls that were answered, none may be."""
        self._add(at, "work", f"kill_worker(at={at!r})", None, 1, branch, 0, kill=True)
        return self

    def lose_messages(
        self,
        *,
        at: str,
        what: Literal["task", "answer"] = "answer",
        times: int | None = 1,
        branch: int | None = None,
    ) -> Self:
        """What goes to or comes from the worker of the step's next `times` calls is lost, as on a fleet's transport.

        `task`: the worker never hears of it; the owner notices and sends it again. `answer`: all that the worker says
        is lost with the work done; its lease ends, and another worker gets the same attempt and the same line, so
        `calls` tells of both. An effect is begun once: there the second worker may not, and the step's `on_unknown`
        decides. No attempt is counted. Of calls that are played; a step of a real pool has to have lines of its own.
        """
        place: Trouble = "lose task" if what == "task" else "lose answer"
        return self._trouble(place, at, f"lose_messages(at={at!r}, what={what!r})", times, branch)

    def duplicate(self, *, at: str, after: str | float = 0, times: int | None = 1, branch: int | None = None) -> Self:
        """The step's next `times` calls are delivered twice: a second worker does the work too, and its answer, and
        what it cost, comes `after` the first one. The first answer counts. An effect is begun once: there the second
        worker is not let in. Of calls that are played, as for `lose_messages`."""
        return self._trouble("twice", at, f"duplicate(at={at!r})", times, branch, after)

    def slow_store(self, by: str | float, *, times: int | None = None) -> Self:
        """The next `times` commits of the journal take so long; None: all of them. What a process was told and had not
        committed when `kill_worker` ends it is asked for again."""
        what = f"slow_store({by!r})"
        _check_times(what, times)
        self._script.add(STORE, Answer(what=what, after_s=_seconds(by), times=times))
        return self

    def judge(
        self,
        step: str,
        *,
        score: float | None = None,
        verdict: Literal["pass", "fix", "reject", "check_broken"] | None = None,
        reasons: Iterable[str] = (),
        times: int | None = 1,
    ) -> Self:
        """The step's `judge` checks say this: a score, which passes from `pass_at` on, or a verdict of its own."""
        if (score is None) == (verdict is None):
            raise ValueError("say either a score or a verdict")
        told = f"score={score}" if verdict is None else f"verdict={verdict!r}"
        said: JsonValue = {"score": score, "verdict": verdict, "reasons": list(reasons)}
        self._add(step, "judge", f"judge({step!r}, {told})", said, times, None, 0)
        return self

    def person(
        self, step: str, choice: str, *, reason: str = "", branch: int | None = None, after: str | float = 0
    ) -> Self:
        """A person answers the step's next question; `budget` is the question about a run's budget. A question that
        nobody answers expires, as in life."""
        said: JsonValue = {"choice": choice, "reason": reason}
        self._add(step, "person", f"person({step!r}, {choice!r})", said, 1, branch, after)
        return self

    # ---- playing

    async def run(
        self,
        inputs: Mapping[str, JsonValue] | None = None,
        *,
        budget: Budget | None = None,
        limit: str | float = LIMIT,
    ) -> Played:
        """Play in the loop that runs; on a clock that does not jump, what is slow is really slow. May be repeated.

        Raises:
            ScenarioFailed: a call that no line answers, a line that no call asked for, a wrong answer that no check
                refused, or a run that did not end within `limit` (of the scenario's clock).
            AssertionError: `models` is a `ScriptedModel` that was asked more, or less, than its script says.
        """
        play = Play(self.plan, self._script.copy(), self._engine, self._models, self._checker)
        return await play.run(inputs, budget, _seconds(limit))

    def play(
        self,
        inputs: Mapping[str, JsonValue] | None = None,
        *,
        budget: Budget | None = None,
        limit: str | float = LIMIT,
        backend: Literal["asyncio", "trio"] = "asyncio",
    ) -> Played:
        """As `run`, in a loop of its own whose clock jumps: a day of back-off costs no time."""
        options: dict[str, object] = {"loop_factory": JumpingLoop}
        if backend == "trio":
            from trio.testing import MockClock

            options = {"clock": MockClock(autojump_threshold=0)}
        work = partial(self.run, inputs, budget=budget, limit=limit)
        return anyio.run(work, backend=backend, backend_options=options)

    # ---- inside

    def _names(self, plan: Plan) -> list[str]:
        return [*plan.steps, *(f"{plan.name}/{step}" for step in plan.steps)]

    def _place(self, step: str, what: str) -> Place:
        if step not in self._steps and not (step == _BUDGET and what == "person"):
            near = difflib.get_close_matches(step, self._steps, n=1)
            have = ", ".join(name for name in self._steps if "/" not in name)
            raise ValueError(f"the plan has no step {step!r}; " + (f"did you mean {near[0]!r}?" if near else have))
        plan, slash, name = step.rpartition("/")
        return (plan if slash else "", name, what)

    def _trouble(
        self, by: Trouble, step: str, line: str, times: int | None, branch: int | None, after: str | float = 0
    ) -> Self:
        _check_times(line, times)
        place = troubled(self._place(step, "work"), by)
        self._script.add(place, Answer(what=line, after_s=_seconds(after), times=times, branch=branch))
        return self

    def _add(
        self,
        step: str,
        what: str,
        line: str,
        returns: Returns,
        times: int | None,
        branch: int | None,
        after: str | float,
        usd: float = 0.0,
        tokens: int = 0,
        *,
        wrong: bool = False,
        failure: Failure | None = None,
        kill: bool = False,
        tools: Mapping[str, JsonValue] | None = None,
    ) -> None:
        _check_times(line, times)
        if not callable(returns):
            json.dumps(returns, allow_nan=False)  # what is no JSON is found here, not in the run
        answer = Answer(
            what=line,
            returns=returns,
            failure=failure,
            kill=kill,
            wrong=wrong,
            after_s=_seconds(after),
            usd=usd,
            tokens=tokens,
            tools=dict(tools or {}),
            branch=branch,
            times=times,
        )
        self._script.add(self._place(step, what), answer)


def _check_times(line: str, times: int | None) -> None:
    if times is not None and times < 1:
        raise ValueError(f"{line}: times is {times}; it is at least 1, or None for any number")


def _seconds(span: str | float) -> float:
    return parse_duration(span) if isinstance(span, str) else float(span)


def _short(value: Returns) -> str:
    text = getattr(value, "__name__", None) or repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
