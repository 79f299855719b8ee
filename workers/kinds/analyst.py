"""Pool `analyst`: an agent that calculates with tools instead of in its head. No code is run.

`calculate` reads the expression language of plans: capped in size and cost, on plain data alone.
"""

import math
import statistics
from typing import Annotated, Final

from pydantic import Field

from orchestrator.errors import ExpressionError
from orchestrator.ids import JsonValue
from orchestrator.plan.expressions import parse
from workers.kinds.records import Record
from workers.pool import Pool
from workers.tools import ToolContext, ToolFailed, tool

NUMBERS_MAX: Final = 100_000
INSTRUCTIONS: Final = """You are an analyst. Every number you give back is one you were given, or one a tool calculated.
Use calculate for arithmetic and for anything over the values of the task, describe for samples of numbers, and trend
for two columns. Name units. Where the data does not say enough, say what is missing instead of guessing."""

Numbers = Annotated[list[float], Field(min_length=1, max_length=NUMBERS_MAX)]


class Description(Record):
    """A sample in figures."""

    count: int
    total: float
    mean: float
    median: float
    low: float
    high: float
    deviation: float  #: standard deviation of the sample; 0 for a single number
    quartiles: list[float]  #: three, by linear interpolation; the number itself for a single one


class Trend(Record):
    """The straight line of least squares through the points."""

    slope: float
    intercept: float
    correlation: float  #: Pearson's; 0 where one column is constant
    growth: float | None  #: last over first y, minus 1; None where the first is 0


@tool
def calculate(ctx: ToolContext, expression: Annotated[str, Field(min_length=1, max_length=2_000)]) -> JsonValue:
    """Work out one expression: + - * / // % **, comparison, and/or/not/in, indexing, and the functions len, any, all,
    min, max, sum, sorted. The values of the task are under `data`: data.prices[0] * 1.19, sum(data.costs)."""
    try:
        return parse(expression).evaluate({"data": ctx.args})
    except ExpressionError as error:
        raise ToolFailed(str(error)) from None


@tool
def describe(numbers: Numbers) -> Description:
    """Count, sum, mean, median, extremes, standard deviation and quartiles of a sample."""
    finite = _finite(numbers)
    single = len(finite) == 1
    return Description(
        count=len(finite),
        total=math.fsum(finite),
        mean=statistics.fmean(finite),
        median=statistics.median(finite),
        low=min(finite),
        high=max(finite),
        deviation=0.0 if single else statistics.stdev(finite),
        quartiles=finite * 3 if single else statistics.quantiles(finite, n=4, method="inclusive"),
    )


@tool
def trend(x: Numbers, y: Numbers) -> Trend:
    """Slope, intercept, correlation and growth of y over x; both lists have the same length, at least 2."""
    if len(x) != len(y) or len(x) < 2:
        raise ToolFailed(f"x has {len(x)} numbers and y has {len(y)}; both need the same, at least 2")
    xs, ys = _finite(x), _finite(y)
    try:
        line = statistics.linear_regression(xs, ys)
    except statistics.StatisticsError as error:
        raise ToolFailed(str(error)) from None
    flat = len(set(ys)) == 1
    return Trend(
        slope=line.slope,
        intercept=line.intercept,
        correlation=0.0 if flat else statistics.correlation(xs, ys),
        growth=None if ys[0] == 0 else ys[-1] / ys[0] - 1,
    )


def _finite(numbers: list[float]) -> list[float]:
    if not all(map(math.isfinite, numbers)):
        raise ToolFailed("every number must be finite")
    return numbers


analyst: Final = Pool("analyst", concurrency=16)
analyst.agent("analyse", INSTRUCTIONS, tools=[calculate, describe, trend])
