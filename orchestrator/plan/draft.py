"""What a plan being written in Python holds: its head, its steps so far, its references, and how it is frozen."""

import re
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Final, Self

from pydantic import ValidationError

from orchestrator.ids import JsonValue
from orchestrator.plan import models
from orchestrator.plan.catalogue import PoolCatalogue
from orchestrator.plan.collecting import undisturbed
from orchestrator.plan.options import StepOptions, check_roots, foreach_of, keys_of, output_of
from orchestrator.plan.parts import NAME_PATTERN, Budget, Defaults
from orchestrator.plan.refs import Inputs, Ref, StepRef, shape_of
from orchestrator.plan.shapes import ANYTHING, Record, Shape, inputs_of, nearest, refusal
from orchestrator.plan.values import invalid, plain, references, verbatim
from orchestrator.plan.vocabulary import RUN_MEMBERS, SESSION_MEMBERS

__all__ = ["Draft"]

_OPTIONS: Final = frozenset({*StepOptions.__annotations__, "pool"})
_ID_CHARS: Final = 56  #: of an id made from a name; leaves room for a number behind it


class Draft:
    """The state behind `PlanBuilder`, and what its verbs share."""

    def __init__(
        self,
        name: str,
        *,
        inputs: object = None,
        description: str = "",
        constraints: Iterable[str] = (),
        budget: Budget | Mapping[str, object] | None = None,
        defaults: Defaults | Mapping[str, object] | None = None,
    ) -> None:
        if not re.fullmatch(NAME_PATTERN, name):
            raise refusal(
                f"{name!r} is no name for a plan", path="name", expected="letters, digits, _ and -, at most 64"
            )
        said = [verbatim(each, f"constraints[{at}]", "a text as it stands") for at, each in enumerate(constraints)]
        self.name = name
        self._schemas = inputs_of(inputs)
        self._head: dict[str, object] = {
            "name": name,
            "inputs": self._schemas,
            "constraints": said,
            "description": description,
        }
        self._head |= {key: given for key, given in (("budget", budget), ("defaults", defaults)) if given is not None}
        self._steps: dict[str, models.Step] = {}
        self._numbers: dict[str, int] = {}  #: the last number tried behind a name
        self._result: JsonValue = None
        self._result_shape = ANYTHING
        self._frozen: models.Plan | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def __repr__(self) -> str:
        return f"<Plan {self.name!r}: {len(self._steps)} steps{', frozen' if self._frozen else ''}>"

    @property
    def inputs(self) -> Inputs:
        """The inputs of the run: `p.inputs.topic`."""
        return Inputs("inputs", self, Record(self._schemas))

    @property
    def run(self) -> Ref:
        """The run itself: `p.run.id`, `p.run.cost_usd`."""
        return Ref("run", self, Record(dict.fromkeys(RUN_MEMBERS)))

    @property
    def session(self) -> Ref:
        """The conversation that the run belongs to."""
        return Ref("session", self, Record(dict.fromkeys(SESSION_MEMBERS)))

    @property
    def item(self) -> Ref:
        """The item of a branch, in a step with `over` or `each`."""
        return self.item_as("item")

    @property
    def index(self) -> Ref:
        """The position of a branch, from 0."""
        return self.item_as("index")

    def item_as(self, name: str) -> Ref:
        """The item of a branch under the name that the step gives it with `as_`."""
        return Ref(name, self)

    def result(self, value: object) -> None:
        """What the run is for: a step, a reference, or data that holds some. Without it, every step's output by its id.

        Raises:
            PlanError: said twice, or a reference of another plan.
        """
        self._open()
        if self._result is not None:
            raise refusal(
                "the plan has its result already", path="result", expected="one p.result(…), with a dict for several"
            )
        self._result = plain(value, "result", self)
        references(self._result, "result")
        self._result_shape = shape_of(value) if isinstance(value, Ref) else ANYTHING

    def freeze(self, pools: PoolCatalogue | None = None) -> models.Plan:
        """The plan as frozen data, checked. No step can be added afterwards; a second call gives the same object.

        With `pools` it is also held against the functions that they have now.

        Raises:
            PlanError: everything that `orchestrator plan check` would refuse.
        """
        if self._frozen is None:
            if not self._steps:
                raise refusal(
                    f"plan {self.name!r} has no steps", path="steps", expected="p.step(…), p.map(…), p.task(…)"
                )
            with undisturbed():
                self._frozen = self._made(pools)
        elif pools is not None:
            self._checked(self._frozen, pools)
        return self._frozen

    def _made(self, pools: PoolCatalogue | None) -> models.Plan:
        data = {**self._head, "steps": self._steps, "result": self._result}
        try:
            made = models.Plan.model_validate(data)
        except ValidationError as error:
            raise invalid(error, models.Plan, data, "") from None
        self._checked(made, pools)
        return made

    @staticmethod
    def _checked(plan: models.Plan, pools: PoolCatalogue | None) -> None:
        from orchestrator.plan.check import refuse_errors  # most programs that write plans do not get here at once

        refuse_errors(plan, pools)

    def _open(self) -> None:
        if self._frozen is not None:
            raise refusal(f"plan {self.name!r} is frozen", expected="everything that belongs to it before freeze()")

    def _id(self, given: str | None, name: str) -> str:
        """The step's id: the one given, or one made from `name` that is still free."""
        self._open()
        if given is not None:
            if not re.fullmatch(NAME_PATTERN, given):
                raise refusal(
                    f"{given!r} is no id for a step", path="steps", expected="letters, digits, _ and -, at most 64"
                )
            if given in self._steps:
                raise refusal(
                    f"there are two steps {given!r}", path=f"steps.{given}", expected="another id=… for one of them"
                )
            return given
        base = re.sub(r"[^A-Za-z0-9_]", "_", name)[:_ID_CHARS] or "step"
        base = f"_{base}" if base[0].isdigit() else base
        number = self._numbers.get(base, 1)
        while (found := base if number == 1 else f"{base}_{number}") in self._steps:
            number += 1
        self._numbers[base] = number  # the next search begins here: thousands of steps may share a name
        return found

    def _arguments(
        self, step_id: str, with_: Mapping[str, object] | None, arguments: Mapping[str, object]
    ) -> dict[str, JsonValue]:
        twice = sorted(set(with_ or {}) & set(arguments))
        if twice:
            raise refusal(
                f"argument {twice[0]!r} is given twice", path=f"steps.{step_id}.with", expected="one of the two"
            )
        for name in arguments:
            if name in _OPTIONS:  # an option that this verb does not have would travel on as data, unnoticed
                raise refusal(
                    f"{name} is no option of this kind of step",
                    path=f"steps.{step_id}",
                    expected=f"with_={{{name!r}: …}} where it is an argument",
                )
        given = {**(with_ or {}), **arguments}
        return {str(name): plain(value, f"steps.{step_id}.with.{name}", self) for name, value in given.items()}

    @staticmethod
    def _fits(
        step_id: str, data: Mapping[str, JsonValue], known: list[str], required: list[str], word: str = "parameter"
    ) -> None:
        for name in data:
            if name not in known:
                raise refusal(
                    f"there is no {word} {name!r}",
                    path=f"steps.{step_id}.with.{name}",
                    expected=nearest(name, known) or "none",
                )
        missing = [name for name in required if name not in data]
        if missing:
            names = ", ".join(map(repr, missing))
            raise refusal(f"{word} {names} is missing", path=f"steps.{step_id}.with", expected=f"{missing[0]}=…")

    def _add(
        self, step_id: str, data: Mapping[str, object], options: StepOptions, shape: Shape | None = None
    ) -> StepRef:
        path = f"steps.{step_id}"
        keys = {**data, **keys_of(options, path, self)}
        foreach = foreach_of(options, path, self)
        if foreach is not None:
            keys["foreach"] = foreach
        output = options.get("output")
        if output is not None:
            keys["output"] = output_of(output, path)
        check_roots(keys, path)
        try:
            step = models.Step.model_validate(keys)
        except ValidationError as error:
            raise invalid(error, models.Step, keys, path) from None
        self._steps[step_id] = models.compact(step)
        known = shape if shape is not None and output is None else Shape(step.output)
        return StepRef(step_id, self, known, mapped=step.foreach is not None)
