"""The plans of the workload, as they are without and with what saves money, and the pool that works on them."""

from collections.abc import Mapping
from typing import Final

from benchmarks.cost.replay.endpoint import UNSURE
from benchmarks.cost.replay.workload import Kind, page
from orchestrator.plan.files import parse_plan
from orchestrator.plan.models import Plan
from workers import Pool, tool
from workers.compression.context import Context

CONTEXT_TOKENS: Final = 1_800  #: of a research conversation, where it is shortened
_PLAN: Final = """
version: 1
name: {name}
inputs: {{q: {{type: string}}}}
budget: {{usd: 1, wall: 2h}}
steps:
  answer:
    pool: {pool}
    task: ${{{{ inputs.q }}}}
    model: {{{model}}}
    timeout: {{attempt: 90m, total: 100m}}
    retry: {{attempts: 3, backoff: 100ms..1s}}
{more}
result: ${{{{ steps.answer.output }}}}
"""
_SURE: Final = f"    checks: [{{rule: 'output != \"{UNSURE}\"'}}]\n    on_fail: [{{escalate: {{tier: strong}}}}]"


def plans(*, cache: str, routing: bool, batch: bool) -> Mapping[Kind, Plan]:
    """One plan for each kind of request."""
    kept = f"tier: strong, cache: {cache}"
    later = "tier: strong, batch: {deadline: 1h}" if batch else "tier: strong"
    tier = "tier: auto" if routing else "tier: strong"
    return {
        "faq": parse_plan(_PLAN.format(name="faq", pool="desk", model=kept, more="")),
        "task": parse_plan(_PLAN.format(name="task", pool="desk", model=tier, more=_SURE)),
        "research": parse_plan(_PLAN.format(name="research", pool="library", model="tier: strong", more="")),
        "later": parse_plan(_PLAN.format(name="later", pool="desk", model=later, more="")),
    }


@tool(name="page")
def read_page(question: str, number: int) -> str:
    """A page of the file that a question is about, from 1."""
    return f"(page {number})\n{page(question, number)}"


def pools(*, compression: bool) -> list[Pool]:
    """Agents that answer, and one that reads."""
    desk, library = Pool("desk", concurrency=256), Pool("library", concurrency=256)
    desk.agent("clerk", "You answer questions of customers in one sentence.", tokens_max=300)
    context = Context(tokens=CONTEXT_TOKENS, pinned=()) if compression else None
    library.agent("reader", "You read files and answer from them.", tools=[read_page], tokens_max=300, context=context)
    return [desk, library]
