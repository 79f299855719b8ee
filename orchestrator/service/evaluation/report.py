"""What an evaluation found, as data; and how it stands against an earlier one."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Final, cast

from pydantic import BaseModel, ConfigDict, ValidationError

from orchestrator.errors import PromiseError
from orchestrator.ids import JsonValue
from orchestrator.service.evaluation.statistics import Interval, difference, share

VERSION: Final = 1
REASONS_MAX: Final = 5  #: of one case, told


class CaseReport(BaseModel):
    """What became of one case."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    right: bool  #: most of its runs were
    runs: tuple[str, ...]
    runs_right: int
    usd: float
    seconds: float  #: of the slowest run
    reasons: tuple[str, ...] = ()  #: why runs were wrong


class Report(BaseModel):
    """What became of a set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = VERSION
    set: str
    plan: str
    plan_digest: str
    at_s: float
    cases: dict[str, CaseReport]

    @property
    def accuracy(self) -> Interval:
        """The share of right cases."""
        return share(sum(case.right for case in self.cases.values()), len(self.cases))

    @property
    def usd(self) -> float:
        """What all runs cost."""
        return sum(case.usd for case in self.cases.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A report against an earlier one, over the cases that both have."""

    shared: int
    change: Interval  #: of the accuracy
    fixed: tuple[str, ...]  #: right now, and wrong then
    broken: tuple[str, ...]  #: wrong now, and right then
    usd_before: float
    usd_now: float

    @property
    def worse(self) -> bool:
        """More than chance explains: even the upper end of the interval is below zero."""
        return self.change.high < 0


def check_baseline(before: Report, plan: str, cases: Iterable[str]) -> None:
    """That a report can be a baseline for these cases of this plan; asked before anything is spent.

    Raises:
        PromiseError: it is of another plan, or has none of the cases.
    """
    if before.plan != plan:
        raise PromiseError(f"the baseline is of plan {before.plan}, not of {plan}", "save a new one: --save FILE")
    if before.cases.keys().isdisjoint(cases):
        raise PromiseError("the baseline has none of these cases", "save a new one: --save FILE")


def compare(now: Report, before: Report) -> Comparison:
    """How a set did against an earlier time.

    Raises:
        PromiseError: they cannot be compared, as `check_baseline` says.
    """
    check_baseline(before, now.plan, now.cases)
    names = [name for name in now.cases if name in before.cases]
    pairs = [(now.cases[name].right, before.cases[name].right) for name in names]
    return Comparison(
        shared=len(names),
        change=difference(
            pairs.count((True, True)),
            pairs.count((True, False)),
            pairs.count((False, True)),
            pairs.count((False, False)),
        ),
        fixed=tuple(name for name, pair in zip(names, pairs, strict=True) if pair == (True, False)),
        broken=tuple(name for name, pair in zip(names, pairs, strict=True) if pair == (False, True)),
        usd_before=sum(before.cases[name].usd for name in names),
        usd_now=sum(now.cases[name].usd for name in names),
    )


def read_report(text: str, file: str) -> Report:
    """A saved report. Raises PromiseError: it is none."""
    try:
        found = Report.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "file"
        raise PromiseError(f"{file} is no report: {where}: {first['msg']}", "save one: --save FILE") from None
    if found.version != VERSION or not found.cases:
        raise PromiseError(f"{file} is a report of another release, or of no case", "save a new one: --save FILE")
    return found


def document(report: Report, comparison: Comparison | None) -> dict[str, JsonValue]:
    """What `--json` prints."""
    told = cast(dict[str, JsonValue], report.model_dump(mode="json"))
    told["accuracy"] = _plain(report.accuracy)
    told["usd"] = report.usd
    if comparison is not None:
        found: Mapping[str, object] = asdict(comparison) | {"worse": comparison.worse}
        told["baseline"] = cast(JsonValue, dict(found))
    return told


def _plain(interval: Interval) -> JsonValue:
    return {"value": interval.value, "low": interval.low, "high": interval.high}


__all__ = ["CaseReport", "Comparison", "Report", "check_baseline", "compare", "document", "read_report"]
