"""Writes plans in Python: `with Plan("name") as p: p.step(…)`, then `p.freeze()`.

Users know the class as `orchestrator.Plan`; what it makes is `orchestrator.plan.models.Plan`, publicly `FrozenPlan`.
Nothing is run here, and every mistake is refused on the line that makes it.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Literal, Unpack

from orchestrator.ids import JsonValue
from orchestrator.plan import models
from orchestrator.plan.draft import Draft
from orchestrator.plan.options import StepOptions
from orchestrator.plan.parts import Budget, Check, Effect, Join, ModelUse, Retry, Rung, Tier, Timeout
from orchestrator.plan.refs import Expr, StepRef
from orchestrator.plan.shapes import ANYTHING, Record, refusal
from orchestrator.plan.targets import Target, pool_name, target_of
from orchestrator.plan.values import plain, references, verbatim

__all__ = ["PlanBuilder"]


class PlanBuilder(Draft):
    """A plan while it is being written. `freeze()` gives the plan itself: data, checked, with a digest.

    `inputs` is a pydantic model, or a dict of names and JSON Schemas or types. What may be given to `p.step` and the
    others is listed in `StepOptions`; every other keyword is an argument of the function (`with` in YAML), and
    `with_={…}` takes those whose names are options.

    A step takes its output schema from `output=`, or else from the worker's contract: it is written into the plan, so
    that the gate can enforce it from the plan alone. YAML may leave it out, and the engine takes the contract's.
    """

    def step(
        self,
        fn: Callable[..., object] | str,
        *,
        id: str | None = None,
        pool: object = None,
        with_: Mapping[str, object] | None = None,
        description: str = "",
        needs: Iterable[StepRef | str] = (),
        when: Expr | str | bool | None = None,
        join: Join = "all",
        early: bool = False,
        finally_: bool = False,
        checks: Iterable[Check] = (),
        on_fail: Iterable[Rung | Literal["gap", "fail"]] = (),
        replan_if: Expr | str | None = None,
        output: object = None,
        timeout: Timeout | Mapping[str, object] | None = None,
        retry: Retry | Mapping[str, object] | None = None,
        model: ModelUse | Tier | Mapping[str, object] | None = None,
        effect: Effect | Expr | str | Mapping[str, object] | None = None,
        **arguments: object,
    ) -> StepRef:
        """A call of a worker function, or of `"pool.function"`, with `arguments`.

        Raises:
            PlanError: an argument is unknown or missing, an option is wrong, or the id is taken.
        """
        options = StepOptions(
            description=description, needs=needs, when=when, join=join, early=early, finally_=finally_
        )
        options |= StepOptions(
            checks=checks, on_fail=on_fail, replan_if=replan_if, output=output, timeout=timeout, retry=retry
        )
        return self._call(fn, id, pool, with_, arguments, options | StepOptions(model=model, effect=effect))

    def map(
        self,
        fn: Callable[..., object] | str,
        *,
        over: object = None,
        each: StepRef | str | None = None,
        as_: str = "item",
        max_parallel: int | None = None,
        id: str | None = None,
        pool: object = None,
        with_: Mapping[str, object] | None = None,
        description: str = "",
        needs: Iterable[StepRef | str] = (),
        when: Expr | str | bool | None = None,
        join: Join = "all",
        early: bool = False,
        finally_: bool = False,
        checks: Iterable[Check] = (),
        on_fail: Iterable[Rung | Literal["gap", "fail"]] = (),
        replan_if: Expr | str | None = None,
        output: object = None,
        timeout: Timeout | Mapping[str, object] | None = None,
        retry: Retry | Mapping[str, object] | None = None,
        model: ModelUse | Tier | Mapping[str, object] | None = None,
        effect: Effect | Expr | str | Mapping[str, object] | None = None,
        **arguments: object,
    ) -> StepRef:
        """One call per item of the list `over`, or per branch of the mapped step `each`, `max_parallel` at a time (16).

        The item becomes the one required parameter of `fn` that is not given; or say where it goes with `p.item`.

        Raises:
            PlanError: as `step`; or it is not clear which parameter takes the item, or `over` is no list.
        """
        if over is None and each is None:
            raise refusal(
                "a map needs a list", path="p.map", expected="over=<list or reference to one>, or each=<mapped step>"
            )
        options = StepOptions(
            description=description, needs=needs, when=when, join=join, early=early, finally_=finally_
        )
        options |= StepOptions(
            checks=checks, on_fail=on_fail, replan_if=replan_if, output=output, timeout=timeout, retry=retry
        )
        options |= StepOptions(model=model, effect=effect, over=over, each=each, as_=as_, max_parallel=max_parallel)
        return self._call(fn, id, pool, with_, arguments, options)

    def task(
        self,
        pool: object,
        text: str | Expr,
        *,
        id: str | None = None,
        with_: Mapping[str, object] | None = None,
        over: object = None,
        each: StepRef | str | None = None,
        as_: str = "item",
        max_parallel: int | None = None,
        description: str = "",
        needs: Iterable[StepRef | str] = (),
        when: Expr | str | bool | None = None,
        join: Join = "all",
        early: bool = False,
        finally_: bool = False,
        checks: Iterable[Check] = (),
        on_fail: Iterable[Rung | Literal["gap", "fail"]] = (),
        replan_if: Expr | str | None = None,
        output: object = None,
        timeout: Timeout | Mapping[str, object] | None = None,
        retry: Retry | Mapping[str, object] | None = None,
        model: ModelUse | Tier | Mapping[str, object] | None = None,
        **arguments: object,
    ) -> StepRef:
        """An instruction to the agent of `pool`; references may stand in the text, as in an f-string.

        Raises:
            PlanError: an option is wrong, or the id is taken.
        """
        options = StepOptions(
            description=description, needs=needs, when=when, join=join, early=early, finally_=finally_
        )
        options |= StepOptions(
            checks=checks,
            on_fail=on_fail,
            replan_if=replan_if,
            output=output,
            timeout=timeout,
            retry=retry,
            model=model,
        )
        options |= StepOptions(over=over, each=each, as_=as_, max_parallel=max_parallel)
        name = pool_name(pool, "p.task")
        step_id = self._id(id, name)
        data = self._arguments(step_id, with_, arguments)
        task = plain(text, f"steps.{step_id}.task", self)
        return self._add(step_id, {"pool": name, "task": task, "with": data}, options)

    def plan(
        self,
        sub: "PlanBuilder | models.Plan",
        *,
        id: str | None = None,
        budget: Budget | Mapping[str, object] | None = None,
        with_: Mapping[str, object] | None = None,
        over: object = None,
        each: StepRef | str | None = None,
        as_: str = "item",
        max_parallel: int | None = None,
        description: str = "",
        needs: Iterable[StepRef | str] = (),
        when: Expr | str | bool | None = None,
        join: Join = "all",
        early: bool = False,
        finally_: bool = False,
        checks: Iterable[Check] = (),
        on_fail: Iterable[Rung | Literal["gap", "fail"]] = (),
        replan_if: Expr | str | None = None,
        output: object = None,
        timeout: Timeout | Mapping[str, object] | None = None,
        retry: Retry | Mapping[str, object] | None = None,
        **arguments: object,
    ) -> StepRef:
        """A plan as a step: a run of its own, with `arguments` as its inputs and `budget` as its share.

        Raises:
            PlanError: `sub` is not valid, an input is unknown or missing, an option is wrong, or the id is taken.
        """
        options = StepOptions(
            description=description, needs=needs, when=when, join=join, early=early, finally_=finally_
        )
        options |= StepOptions(
            checks=checks,
            on_fail=on_fail,
            replan_if=replan_if,
            output=output,
            timeout=timeout,
            retry=retry,
            budget=budget,
        )
        options |= StepOptions(over=over, each=each, as_=as_, max_parallel=max_parallel)
        if sub is self:
            raise refusal("a plan cannot be a step of itself", path="p.plan")
        shape = sub._result_shape if isinstance(sub, PlanBuilder) else ANYTHING
        frozen = sub.freeze() if isinstance(sub, PlanBuilder) else sub
        step_id = self._id(id, frozen.name)
        data = self._arguments(step_id, with_, arguments)
        optional = [name for name, schema in frozen.inputs.items() if "default" in schema]
        self._fits(
            step_id, data, list(frozen.inputs), [name for name in frozen.inputs if name not in optional], "input"
        )
        return self._add(step_id, {"plan": frozen, "with": data}, options, shape)

    def human(
        self,
        id: str,
        *,
        ask: str,
        choices: Iterable[str],
        show: object = None,
        expires: str | float | None = None,
        then: str | None = None,
        **options: Unpack[StepOptions],
    ) -> StepRef:
        """A question to a person, who picks one of `choices`; read it from `.output.choice`.

        `then` is the choice taken when nobody answers within `expires` (a day unless told); without it the step fails.

        Raises:
            PlanError: `then` is no choice, an option is wrong, or the id is taken.
        """
        step_id = self._id(id, id)
        path = f"steps.{step_id}.human"
        if isinstance(choices, str):
            raise refusal(f"{choices!r} is one text", path=f"{path}.choices", expected="a list of choices")
        picks = list(choices)
        human: dict[str, object] = {
            "ask": verbatim(ask, f"{path}.ask", "show=… for what the person is to see"),
            "choices": picks,
        }
        human |= {"show": plain(show, f"{path}.show", self), "then": then}
        human |= {} if expires is None else {"expires": expires}
        answer = Record({"choice": {"type": "string"}, "reason": {"type": "string"}})
        return self._add(step_id, {"human": human}, options, answer)

    def goal(
        self,
        text: str,
        *,
        id: str | None = None,
        with_: Mapping[str, object] | None = None,
        **options: Unpack[StepOptions],
    ) -> StepRef:
        """A goal that a supervisor of its own plans at run time; `with_` is the data it gets, `budget` its share.

        Raises:
            PlanError: an option is wrong, or the id is taken.
        """
        step_id = self._id(id, "goal")
        said = verbatim(text, f"steps.{step_id}.goal", "the reference in with_={…}")
        return self._add(step_id, {"goal": said, "with": self._arguments(step_id, with_, {})}, options)

    def _call(
        self,
        fn: Callable[..., object] | str,
        id: str | None,
        pool: object,
        with_: Mapping[str, object] | None,
        arguments: Mapping[str, object],
        options: StepOptions,
    ) -> StepRef:
        target = target_of(fn, "p.step", needs_pool=pool is None)
        step_id = self._id(id, target.function)
        data = self._arguments(step_id, with_, arguments)
        item = options.get("as_", "item")
        if options.get("over") is not None or options.get("each") is not None:
            self._place_item(step_id, target, data, item)
        if target.parameters is not None:
            self._fits(step_id, data, target.parameters, target.required)
        name = target.pool if pool is None else pool_name(pool, f"steps.{step_id}.pool")
        keys: dict[str, object] = {"pool": name, "call": target.function, "with": data}
        if target.output_schema is not None:
            keys["output"] = target.output_schema  # what the step says itself replaces it
        return self._add(step_id, keys, options)

    @staticmethod
    def _place_item(step_id: str, target: Target, data: dict[str, JsonValue], item: str) -> None:
        """Give the item to the one required parameter that nothing else fills, unless it is used already."""
        path = f"steps.{step_id}.with"
        if any(ref.root in {item, "item"} for ref in references(data, path)):
            return
        open_ = [name for name in target.required if name not in data]
        if len(open_) != 1:
            word = "p.item" if item == "item" else f"p.item_as({item!r})"
            which = ", ".join(open_) or "none is left open"
            raise refusal(
                f"it is not clear which parameter of {target.function!r} takes the item ({which})",
                path=path,
                expected=f"{open_[0] if open_ else 'parameter'}={word}",
            )
        data[open_[0]] = f"${{{{ {item} }}}}"
