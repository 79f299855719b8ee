"""Every metric there is: name, kind, labels and meaning. Boards and rules may refer to nothing else."""

from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["counter", "gauge", "histogram"]
Group = Literal["infrastructure", "agent", "model", "quality", "business"]
PREFIX: Final = "orchestrator_"
SECONDS: Final = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0)
USD: Final = (0.0001, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 20.0)
TOKENS: Final = (100.0, 500.0, 1_000.0, 2_000.0, 5_000.0, 10_000.0, 20_000.0, 50_000.0, 100_000.0, 500_000.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric. A counter's exported name ends in `_total`, which `name` holds already."""

    name: str  #: without the prefix
    group: Group
    kind: Kind
    labels: tuple[str, ...]
    help: str
    buckets: tuple[float, ...] = ()  #: upper bounds of a histogram
    journal: bool = True  #: counted from facts; else seen by this process at the moment it is asked

    @property
    def full(self) -> str:
        """The exported name."""
        return PREFIX + self.name


def _m(
    group: Group,
    kind: Kind,
    name: str,
    labels: str,
    text: str,
    buckets: tuple[float, ...] = (),
    *,
    journal: bool = True,
) -> Metric:
    found = tuple(labels.split())
    return Metric(name=name, group=group, kind=kind, labels=found, help=text, buckets=buckets, journal=journal)


def _here(kind: Kind, name: str, labels: str, text: str) -> Metric:
    return _m("infrastructure", kind, name, labels, text, journal=False)


_INFRA: Final = (
    _here("gauge", "pool_backlog", "pool", "Tasks that need a worker: the scaling signal."),
    _here("gauge", "pool_tasks", "pool state", "Tasks by state: waiting, delayed, running."),
    _here("gauge", "pool_oldest_wait_seconds", "pool", "How long the oldest task has waited."),
    _here("gauge", "pool_replicas", "pool", "Workers that serve a pool."),
    _here("gauge", "pool_concurrency", "pool", "Tasks that its workers can do at once."),
    _here("gauge", "pool_utilisation", "pool", "Running tasks per place, 0 to 1."),
    _here("gauge", "dead_letters", "pool", "Tasks that no worker could take, kept."),
    _here("counter", "scaler_events_total", "pool direction", "Changes of replicas seen here."),
    _here("gauge", "journal_latency_seconds", "", "What a question to the journal takes now."),
    _here("gauge", "transport_latency_seconds", "", "What one to the transport takes now."),
    _here("gauge", "metrics_behind_runs", "", "Runs whose facts are not all counted yet."),
    _here("counter", "telemetry_spans_total", "outcome", "Spans of this process."),
    _here("counter", "refusals_total", "reason", "Requests this process sent away (429, 503, 507), since it began."),
    _m("infrastructure", "histogram", "queue_wait_seconds", "pool", "From dispatch to a worker's beginning.", SECONDS),
)  # fmt: skip
_AGENT: Final = (
    _m("agent", "counter", "runs_accepted_total", "tenant plan lane", "Runs, without sub-plans, accepted."),
    _m("agent", "counter", "runs_total", "tenant plan status", "Runs, without sub-plans, ended."),
    _m("agent", "gauge", "runs_open", "tenant plan", "Runs, without sub-plans, that are open."),
    _m("agent", "gauge", "oldest_quiet_seconds", "plan", "Since an open run's last fact, unless a person is asked."),
    _m("agent", "histogram", "run_seconds", "plan status", "From acceptance to the end.", SECONDS),
    _m("agent", "counter", "steps_total", "plan status", "Steps and branches settled."),
    _m("agent", "counter", "attempts_total", "pool outcome", "Attempts ended: ok, or the kind of the error."),
    _m("agent", "histogram", "attempt_seconds", "pool", "From an attempt's beginning to its output or error.", SECONDS),
    _m("agent", "counter", "retries_total", "pool cause", "Attempts after the first: retry, ladder, lost."),
    _m("agent", "counter", "escalations_total", "plan to", "To a stronger tier, another pool, or a new plan."),
    _m("agent", "counter", "guard_trips_total", "guard verdict", "Guards, limits, permissions: block, change, signal."),
    _m("agent", "counter", "tool_calls_total", "tool", "Calls of tools that gave a result."),
    _m("agent", "counter", "tool_errors_total", "tool error", "Calls of tools that came to nothing, by kind."),
)  # fmt: skip
_MODEL: Final = (
    _m("model", "counter", "model_calls_total", "model endpoint outcome", "Calls: ok, or the kind of the error."),
    _m("model", "counter", "model_tokens_total", "model kind", "Tokens in, out, and cached (of those in)."),
    _m("model", "counter", "model_usd_total", "model tenant", "What calls cost."),
    _m("model", "histogram", "model_request_tokens", "model", "Tokens of one call.", TOKENS),
    _m("model", "histogram", "model_request_usd", "model", "What one call costs.", USD),
    _m("model", "counter", "model_rate_limits_total", "model endpoint", "Calls refused for the endpoint's rates."),
    _m("model", "histogram", "model_seconds", "model", "How long a call takes.", SECONDS),
    _m("model", "histogram", "model_first_token_seconds", "model", "Until the first piece of an answer.", SECONDS),
    _m("model", "counter", "model_served_total", "source", "Who answered: model, exact, semantic, shared or batch."),
    _m("model", "counter", "model_saved_usd_total", "source", "What calls did not cost, by what spared it."),
)  # fmt: skip
_QUALITY: Final = (
    _m("quality", "counter", "verdicts_total", "check verdict", "Words of checks on outputs."),
    _m("quality", "counter", "rejections_total", "plan", "Attempts whose output was refused."),
    _m("quality", "counter", "grounded_total", "verdict", "Checks of quotes and links: grounded or ungrounded."),
    _m("quality", "counter", "judge_votes_total", "agrees", "Votes of judges: yes within 0.2 of the verdict's score."),
    _m("quality", "counter", "thumbs_total", "tenant plan value", "Ratings by people: up or down."),
    _m("quality", "counter", "people_asked_total", "subject", "Questions to people, by what they are about."),
    _m("quality", "counter", "people_answered_total", "subject how", "Questions answered, or expired."),
    _m("quality", "counter", "quarantined_total", "plan", "Passed results found wrong later."),
)  # fmt: skip
_BUSINESS: Final = (
    _m("business", "counter", "spent_usd_total", "tenant plan", "Money, as it is spent; of sub-plans under their own."),
    _m("business", "counter", "run_usd_total", "tenant plan status", "What ended runs cost, sub-plans included."),
    _m("business", "counter", "runs_resolved_total", "tenant plan", "Runs that succeeded or degraded."),
    _m("business", "counter", "runs_deflected_total", "tenant plan", "Of these, those in which no person was asked."),
    _m("business", "counter", "eval_cases_total", "set outcome", "Cases of evaluations: right or wrong."),
    _m("business", "gauge", "eval_accuracy", "set", "Share of right cases among the latest rating of each."),
)  # fmt: skip

METRICS: Final = (*_INFRA, *_AGENT, *_MODEL, *_QUALITY, *_BUSINESS)
BY_NAME: Final = {metric.name: metric for metric in METRICS}
