"""Test sets as data: `*.eval.yaml`, read as strictly as plans are."""

from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_core import to_json

from orchestrator.errors import ExpressionError, PlanError, PlanIssue
from orchestrator.ids import JsonValue
from orchestrator.plan.durations import Duration
from orchestrator.plan.explain import explained
from orchestrator.plan.expressions import bare
from orchestrator.plan.parts import Budget, Name, Part, Text
from orchestrator.plan.yaml_text import Located, read_yaml

SUFFIX: Final = ".eval.yaml"
BYTES_MAX: Final = 16 << 20  #: of a file
CASES_MAX: Final = 10_000
EXPECTED_MAX: Final = 50  #: of one case
REPEAT_MAX: Final = 20
Status = Literal["succeeded", "degraded", "stopped", "failed", "cancelled"]
_KINDS: Final = ("status", "rule", "equals", "not_equals", "contains")


class Expect(Part):
    """One thing that must hold of what a run came to."""

    status: Status | None = None
    rule: Text | None = None  #: an expression over `output`, `inputs`, `gaps` and `run` (status, usd, tokens, seconds)
    equals: JsonValue = None  #: the whole output
    not_equals: JsonValue = None
    contains: Text | None = None  #: in a text, or in the JSON text of another output
    reason: Text | None = None  #: told when it does not hold

    @field_validator("rule")
    @classmethod
    def _reads(cls, text: str | None) -> str | None:
        if text is None:
            return None
        try:
            found = bare(text)
        except ExpressionError as error:
            raise ValueError(str(error)) from None
        unknown = {ref.root for ref in found.refs} - {"output", "inputs", "gaps", "run"}
        if unknown:
            raise ValueError(f"there is no {', '.join(sorted(unknown))} here; use output, inputs, gaps or run")
        return text

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        given = [name for name in _KINDS if name in self.model_fields_set]
        if len(given) != 1:
            raise ValueError(f"say exactly one of {', '.join(_KINDS)}")
        return self

    @property
    def kind(self) -> str:
        """Which of them it is."""
        return next(name for name in _KINDS if name in self.model_fields_set)


class Case(Part):
    """Inputs, and what must hold of the result. Without `expect` the run must succeed."""

    id: Name
    inputs: dict[str, JsonValue] = Field(default_factory=dict)
    expect: Annotated[tuple[Expect, ...], Field(max_length=EXPECTED_MAX)] = ()
    source: Annotated[str, Field(max_length=200)] = ""  #: the run that it was made from


class EvalSet(Part):
    """A test set."""

    version: Literal[1]
    name: Name
    plan: Annotated[str, Field(min_length=1, max_length=500)]  #: a plan file, from the folder of this one
    repeat: Annotated[int, Field(ge=1, le=REPEAT_MAX)] = 1  #: runs per case; it is right when most of them are
    timeout: Duration = 600.0  #: of one run
    budget: Budget | None = None  #: of one run, over the plan's own
    pass_at: Annotated[float, Field(ge=0, le=1)] = 0.0  #: accuracy below which the set fails
    cases: Annotated[tuple[Case, ...], Field(min_length=1, max_length=CASES_MAX)]

    @field_validator("cases")
    @classmethod
    def _ids_differ(cls, cases: tuple[Case, ...]) -> tuple[Case, ...]:
        seen: set[str] = set()
        for case in cases:
            if case.id in seen:
                raise ValueError(f"two cases are called {case.id}")
            seen.add(case.id)
        return cases


def read_set(path: Path) -> EvalSet:
    """The test set in a file.

    Raises:
        PlanError: the file cannot be read, or is none; the error names file, line and column.
    """
    try:
        with path.open("rb") as file:
            text = file.read(BYTES_MAX + 1)
    except OSError as error:
        said = f"cannot be read: {error.strerror or error}"
        raise PlanError((PlanIssue(message=said, file=str(path), expected="a file of cases"),)) from None
    if len(text) > BYTES_MAX:
        said = f"over {BYTES_MAX:,} bytes"
        raise PlanError((PlanIssue(message=said, file=str(path), expected="several smaller sets"),))
    return parse_set(text, str(path))


def parse_set(text: str | bytes, file: str = "<string>") -> EvalSet:
    """The test set in a text. Raises PlanError: it is none."""
    located: Located = read_yaml(text, file)
    if not isinstance(located.value, dict):
        raise PlanError((located.issue("a test set is a mapping", (), expected="version, name, plan, cases"),))
    try:
        return EvalSet.model_validate(located.value)
    except ValidationError as error:
        raise explained(error, EvalSet, located.value, located) from None


def dump_set(one: EvalSet) -> str:
    """The set as text that reads back to the same: a line for what each case is given, and one for what it expects."""

    def line(value: object) -> str:
        return to_json(value).decode()

    told = one.model_dump(mode="json", exclude_unset=True, exclude={"cases"})
    lines = [f"{name}: {line(value)}" for name, value in told.items()] + ["cases:"]
    for case in one.cases:
        lines.append(f"  - id: {case.id}")
        if case.source:
            lines.append(f"    source: {line(case.source)}")
        lines.append(f"    inputs: {line(case.inputs)}")
        expects = [expect.model_dump(mode="json", exclude_unset=True) for expect in case.expect]
        lines.append(f"    expect: {line(expects)}")
    return "\n".join(lines) + "\n"


__all__ = ["SUFFIX", "Case", "EvalSet", "Expect", "dump_set", "parse_set", "read_set"]
