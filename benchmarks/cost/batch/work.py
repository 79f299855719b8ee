"""One plan of many questions that may wait, and what runs it; for tests and for the process that dies."""

from pathlib import Path

from orchestrator.plan.files import parse_plan
from orchestrator.plan.models import Plan
from orchestrator.settings import (
    BatchSettings,
    EndpointSettings,
    GatewaySettings,
    ModelSettings,
    PriceSettings,
    Settings,
)
from workers import Pool

INPUT_USD, OUTPUT_USD = 1.0, 4.0  #: per million tokens
PLACES = 4  #: of the pool: far fewer than questions
TEXT = """
version: 1
name: questions
inputs: {questions: {type: array}}
budget: {usd: 100, tokens: 100000000, wall: 8h, steps: 5000}
steps:
  say:
    pool: writer
    foreach: {over: inputs.questions, as: question, max_parallel: 5000}
    task: "${{ question }}"
    model: {batch: {deadline: 6h}}
result: ${{ steps.say.output }}
"""


def plan(**changes: str) -> Plan:
    """The plan, with some of its text changed."""
    text = TEXT
    for old, new in changes.items():
        text = text.replace(old.replace("_", " "), new)
    return parse_plan(text, "questions.plan.yaml")


def writer() -> Pool:
    """A pool that has few places."""
    pool = Pool("writer", concurrency=PLACES)
    pool.agent("writer", "You answer.")
    return pool


def settings(url: str, store: Path | str, **batch: object) -> Settings:
    """Models behind `url`, at prices that are easy to add up; short waits."""
    pace = {"gather_s": 0.3, "poll_s": 0.05, "lease_s": 0.3, "grace_s": 0.5, **batch}
    return Settings(
        store=store if isinstance(store, str) else f"sqlite:///{store}",
        models=GatewaySettings(
            endpoints={"default": EndpointSettings(base_url=url, api_key_env="", batches=True, stream=False)},
            tiers={"standard": (ModelSettings(model="m", price=PriceSettings(input=INPUT_USD, output=OUTPUT_USD)),)},
            batch=BatchSettings.model_validate(pace),
        ),
    )


def questions(count: int, failing: int = 0) -> list[str]:
    """So many questions, of which `failing` fail in a batch."""
    every = count // failing if failing else count + 1
    return [f"Question {n}{' FAIL' if n % every == every - 1 else ''}" for n in range(count)]


def usd(tokens: tuple[int, int]) -> float:
    """What a direct call costs."""
    return (tokens[0] * INPUT_USD + tokens[1] * OUTPUT_USD) / 1e6
