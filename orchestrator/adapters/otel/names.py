"""Every name this product gives to a span or an attribute: the one table to change when the conventions change.

The GenAI conventions are all in development and have a repository of their own now; the Python package still lists the
names (and marks them as moved), which `tests/telemetry` holds this table against. What has no standard name begins with
`orchestrator.`.
"""

from typing import Final

# ---- the conventions' own

OPERATION: Final = "gen_ai.operation.name"
PROVIDER: Final = "gen_ai.provider.name"
AGENT: Final = "gen_ai.agent.name"
WORKFLOW: Final = (
    "gen_ai.workflow.name"  #: what older back ends read; v0.1.0 of the conventions says `gen_ai.agent.name`
)
REQUEST_MODEL: Final = "gen_ai.request.model"
RESPONSE_MODEL: Final = "gen_ai.response.model"
TOKENS_IN: Final = "gen_ai.usage.input_tokens"
TOKENS_OUT: Final = "gen_ai.usage.output_tokens"
TOKENS_CACHED: Final = "gen_ai.usage.cache_read.input_tokens"
FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
TOOL: Final = "gen_ai.tool.name"
TOOL_TYPE: Final = "gen_ai.tool.type"
TOOL_RESULT: Final = "gen_ai.tool.call.result"
EVALUATION: Final = "gen_ai.evaluation.name"
SCORE: Final = "gen_ai.evaluation.score.value"
LABEL: Final = "gen_ai.evaluation.score.label"
EXPLANATION: Final = "gen_ai.evaluation.explanation"
ERROR: Final = "error.type"

GEN_AI: Final = frozenset({
    OPERATION, PROVIDER, AGENT, WORKFLOW, REQUEST_MODEL, RESPONSE_MODEL, TOKENS_IN, TOKENS_OUT,
    TOKENS_CACHED, FIRST_CHUNK, TOOL, TOOL_TYPE, TOOL_RESULT, EVALUATION, SCORE, LABEL, EXPLANATION,
})  # fmt: skip

#: Operations of the conventions that are used here.
INVOKE_WORKFLOW: Final = "invoke_workflow"
INVOKE_AGENT: Final = "invoke_agent"
PLAN: Final = "plan"
CHAT: Final = "chat"
EXECUTE_TOOL: Final = "execute_tool"
#: The client speaks OpenAI's protocol to whatever stands at the endpoint; which one that is, `ENDPOINT` says.
PROVIDER_VALUE: Final = "openai"

# ---- ours

RUN: Final = "orchestrator.run.id"
ORIGIN: Final = "orchestrator.run.origin"
PLAN_NAME: Final = "orchestrator.plan.name"
PLAN_DIGEST: Final = "orchestrator.plan.digest"
STATUS: Final = "orchestrator.status"
TENANT: Final = "orchestrator.tenant"
LANE: Final = "orchestrator.lane"
STEP: Final = "orchestrator.step.id"
BRANCH: Final = "orchestrator.step.branch"
UNTOLD: Final = "orchestrator.step.branches_untold"
ATTEMPT: Final = "orchestrator.attempt"
SAMPLE: Final = "orchestrator.sample"
CAUSE: Final = "orchestrator.attempt.cause"
POOL: Final = "orchestrator.pool"
FUNCTION: Final = "orchestrator.function"
WORKER: Final = "orchestrator.worker"
TIER: Final = "orchestrator.tier"
WAIT_S: Final = "orchestrator.queue.wait_s"
USD: Final = "orchestrator.cost.usd"
TOKENS: Final = "orchestrator.cost.tokens"
ENDPOINT: Final = "orchestrator.endpoint"
OUTCOME: Final = "orchestrator.model.outcome"
ESTIMATED: Final = "orchestrator.usage.estimated"
SERVED: Final = "orchestrator.model.served"
CHECK: Final = "orchestrator.check.position"
SUBJECT: Final = "orchestrator.question.subject"
CHOICE: Final = "orchestrator.question.choice"
OUTPUT: Final = "orchestrator.step.output"
MESSAGE: Final = "orchestrator.error.message"
REASON: Final = "orchestrator.reason"

#: What a model or a person wrote, or data of a run: never set unless content is asked for, and redacted then.
CONTENT: Final = frozenset({TOOL_RESULT, EXPLANATION, OUTPUT, MESSAGE, REASON})


def workflow(plan: str) -> str:
    """The span of a run."""
    return f"{INVOKE_WORKFLOW} {plan}"


def plan(name: str) -> str:
    """The span of a plan, or of making one."""
    return f"{PLAN} {name}"


def call(pool: str, function: str) -> str:
    """The span of an attempt that a function of a pool makes."""
    return f"call {pool}.{function}"


def agent(name: str) -> str:
    """The span of an attempt that an agent makes."""
    return f"{INVOKE_AGENT} {name}"


def chat(model: str) -> str:
    """The span of a model call."""
    return f"{CHAT} {model}"


def tool(name: str) -> str:
    """The span of a tool call."""
    return f"{EXECUTE_TOOL} {name}"
