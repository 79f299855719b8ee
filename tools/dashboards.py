"""Writes deploy/dashboards/*.json: one Grafana board per group of metrics. Run it after a change of the metrics.

    python tools/dashboards.py [--check]

Every process that serves tells the same numbers, because all of them count the same journal. So each query takes the
largest of the processes' series, and never their sum. What no journal tells (requests sent away, spans) is each
process's own, and is summed.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
FOLDER: Final = ROOT / "deploy" / "dashboards"
ALONE: Final = "max without (instance, pod, job)"
WIDTH, HEIGHT = 8, 8
Panel = tuple[str, str, list[tuple[str, str]]]  #: title, unit, and queries with their legends


def rate(name: str, by: str = "", where: str = "", span: str = "$__rate_interval") -> str:
    """How fast a counter grows, per second."""
    grouped = f" by ({by})" if by else ""
    return f"sum{grouped} ({ALONE} (rate(orchestrator_{name}{where}[{span}])))"


def grown(name: str, by: str = "", where: str = "", span: str = "1h") -> str:
    """How much a counter grew."""
    grouped = f" by ({by})" if by else ""
    return f"sum{grouped} ({ALONE} (increase(orchestrator_{name}{where}[{span}])))"


def now(name: str, by: str = "", where: str = "") -> str:
    """What a gauge shows."""
    grouped = f" by ({by})" if by else ""
    return f"sum{grouped} ({ALONE} (orchestrator_{name}{where}))"


def share(part: str, whole: str) -> str:
    """A part of a whole, empty where there is none."""
    return f"({part}) / ({whole} > 0)"


def quantile(q: float, name: str, by: str) -> str:
    """A quantile of a histogram."""
    return f"histogram_quantile({q}, sum by (le, {by}) ({ALONE} (rate(orchestrator_{name}_bucket[$__rate_interval]))))"


def quantiles(title: str, name: str, by: str) -> Panel:
    """Median, and the slow ends."""
    return title, "s", [(quantile(q, name, by), f"p{q * 100:g} {{{{{by}}}}}") for q in (0.5, 0.95, 0.99)]


BOARDS: Final[dict[str, tuple[str, list[Panel]]]] = {
    "infrastructure": (
        "Queues, workers, journal and transport",
        [
            ("Queue depth", "short", [(now("pool_backlog", "pool"), "{{pool}}")]),
            ("Tasks by state", "short", [(now("pool_tasks", "pool, state"), "{{pool}} {{state}}")]),
            ("Oldest waiting task", "s", [(now("pool_oldest_wait_seconds", "pool"), "{{pool}}")]),
            quantiles("Waiting for a worker", "queue_wait_seconds", "pool"),
            ("Utilisation", "percentunit", [(now("pool_utilisation", "pool"), "{{pool}}")]),
            ("Replicas", "short", [(now("pool_replicas", "pool"), "{{pool}}"),
                                   (now("pool_concurrency", "pool"), "{{pool}} places")]),
            ("Scaler events an hour", "short", [(grown("scaler_events_total", "pool, direction"),
                                                 "{{pool}} {{direction}}")]),
            ("Dead letters", "short", [(now("dead_letters", "pool"), "{{pool}}")]),
            ("Latency of journal and transport", "s", [(now("journal_latency_seconds"), "journal"),
                                                       (now("transport_latency_seconds"), "transport")]),
            ("Runs not counted yet", "short", [(now("metrics_behind_runs"), "runs")]),
            ("Requests sent away", "reqps", [
                ("sum by (reason) (rate(orchestrator_refusals_total[$__rate_interval]))", "{{reason}}")]),
            ("Spans", "short", [("sum by (outcome) (rate(orchestrator_telemetry_spans_total[$__rate_interval]))",
                                 "{{outcome}}")]),
        ],
    ),
    "agent": (
        "Runs, steps and attempts",
        [
            ("Runs accepted", "reqps", [(rate("runs_accepted_total", "plan, lane"), "{{plan}} {{lane}}")]),
            ("Runs ended", "reqps", [(rate("runs_total", "status"), "{{status}}")]),
            ("Open runs", "short", [(now("runs_open", "tenant, plan"), "{{tenant}} {{plan}}")]),
            quantiles("How long runs take", "run_seconds", "plan"),
            ("Steps settled", "ops", [(rate("steps_total", "status"), "{{status}}")]),
            quantiles("How long attempts take", "attempt_seconds", "pool"),
            ("Share of attempts that fail", "percentunit", [
                (share(rate("attempts_total", "pool", '{outcome!="ok"}'), rate("attempts_total", "pool")),
                 "{{pool}}")]),
            ("Retries", "ops", [(rate("retries_total", "pool, cause"), "{{pool}} {{cause}}")]),
            ("Escalations an hour", "short", [(grown("escalations_total", "plan, to"), "{{plan}} to {{to}}")]),
            ("Guards tripped an hour", "short", [(grown("guard_trips_total", "guard, verdict"),
                                                  "{{guard}} {{verdict}}")]),
            ("Tools that gave a result", "ops", [(rate("tool_calls_total", "tool"), "{{tool}}")]),
            ("Tools that gave nothing", "ops", [(rate("tool_errors_total", "tool, error"), "{{tool}} {{error}}")]),
            ("Longest silence of an open run", "s", [(now("oldest_quiet_seconds", "plan"), "{{plan}}")]),
        ],
    ),
    "model": (
        "Tokens, money and errors of models",
        [
            ("Tokens", "short", [(rate("model_tokens_total", "model, kind"), "{{model}} {{kind}}")]),
            ("Tokens of a call", "short", [(quantile(0.5, "model_request_tokens", "model"), "p50 {{model}}"),
                                           (quantile(0.95, "model_request_tokens", "model"), "p95 {{model}}")]),
            ("USD an hour", "currencyUSD", [(grown("model_usd_total", "model"), "{{model}}")]),
            ("USD of a call", "currencyUSD", [(quantile(0.5, "model_request_usd", "model"), "p50 {{model}}"),
                                              (quantile(0.95, "model_request_usd", "model"), "p95 {{model}}")]),
            ("Rate limits hit an hour", "short", [(grown("model_rate_limits_total", "model, endpoint"),
                                                   "{{model}} at {{endpoint}}")]),
            ("Calls by outcome", "ops", [(rate("model_calls_total", "outcome"), "{{outcome}}")]),
            quantiles("How long a call takes", "model_seconds", "model"),
            quantiles("Until the first token", "model_first_token_seconds", "model"),
            ("Who answered", "percentunit", [
                ((f"{rate('model_served_total', 'source')} / ignoring (source) group_left () "
                 f"({rate('model_served_total')} > 0)"),
                 "{{source}}")]),
            ("USD saved an hour", "currencyUSD", [(grown("model_saved_usd_total", "source"), "{{source}}")]),
        ],
    ),
    "quality": (
        "What checks, judges and people say",
        [
            ("Completion", "percentunit", [
                (share(grown("runs_total", "plan", '{status="succeeded"}'), grown("runs_total", "plan")), "{{plan}}")]),
            ("Degraded", "percentunit", [
                (share(grown("runs_total", "plan", '{status="degraded"}'), grown("runs_total", "plan")), "{{plan}}")]),
            ("Rejected outputs per settled step", "percentunit", [
                (share(grown("rejections_total", "plan"), grown("steps_total", "plan")), "{{plan}}")]),
            ("Gaps", "percentunit", [
                (share(grown("steps_total", "plan", '{status="gap"}'), grown("steps_total", "plan")), "{{plan}}")]),
            ("Ungrounded claims", "percentunit", [
                (share(grown("grounded_total", "", '{verdict="ungrounded"}'), grown("grounded_total")), "ungrounded")]),
            ("Judges agree", "percentunit", [
                (share(grown("judge_votes_total", "", '{agrees="yes"}'), grown("judge_votes_total")), "agree")]),
            ("Thumbs up", "percentunit", [
                (share(grown("thumbs_total", "plan", '{value="up"}', "1d"), grown("thumbs_total", "plan", "", "1d")),
                 "{{plan}}")]),
            ("Questions to people an hour", "short", [(grown("people_asked_total", "subject"), "{{subject}}"),
                                                      (grown("people_answered_total", "how"), "{{how}}")]),
            ("Verdicts", "ops", [(rate("verdicts_total", "check, verdict"), "{{check}} {{verdict}}")]),
            ("Quarantined a day", "short", [(grown("quarantined_total", "plan", "", "1d"), "{{plan}}")]),
        ],
    ),
    "business": (
        "What a result costs, and whether it is right",
        [
            ("USD per resolved run", "currencyUSD", [
                (share(grown("run_usd_total", "tenant, plan", "", "1d"),
                       grown("runs_resolved_total", "tenant, plan", "", "1d")), "{{tenant}} {{plan}}")]),
            ("USD an hour", "currencyUSD", [(grown("spent_usd_total", "tenant, plan"), "{{tenant}} {{plan}}")]),
            ("Resolved runs a day", "short", [(grown("runs_resolved_total", "tenant, plan", "", "1d"),
                                               "{{tenant}} {{plan}}")]),
            ("Deflection", "percentunit", [
                (share(grown("runs_deflected_total", "tenant, plan", "", "1d"),
                       grown("runs_resolved_total", "tenant, plan", "", "1d")), "{{tenant}} {{plan}}")]),
            ("Accuracy on test sets", "percentunit", [(f"{ALONE} (orchestrator_eval_accuracy)", "{{set}}")]),
            ("Cases a day", "short", [(grown("eval_cases_total", "set, outcome", "", "1d"), "{{set}} {{outcome}}")]),
        ],
    ),
}  # fmt: skip


def board(name: str) -> dict[str, object]:
    """One board, as Grafana reads it."""
    title, panels = BOARDS[name]
    return {
        "uid": f"orchestrator-{name}",
        "title": f"Orchestrator: {name}",
        "description": title,
        "tags": ["orchestrator"],
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {
            "list": [{"name": "source", "type": "datasource", "query": "prometheus", "label": "Prometheus"}]
        },
        "panels": [_panel(number, *panel) for number, panel in enumerate(panels)],
    }


def _panel(number: int, title: str, unit: str, queries: list[tuple[str, str]]) -> dict[str, object]:
    source = {"type": "prometheus", "uid": "${source}"}
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": title,
        "datasource": source,
        "gridPos": {"x": number % 3 * WIDTH, "y": number // 3 * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}},
        "targets": [
            {"refId": chr(ord("A") + at), "datasource": source, "expr": query, "legendFormat": legend}
            for at, (query, legend) in enumerate(queries)
        ],
    }


def main() -> int:
    """Write the boards, or with --check tell whether they are as they would be written."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    wrong = []
    FOLDER.mkdir(exist_ok=True)
    for name in BOARDS:
        text = json.dumps(board(name), indent=2) + "\n"
        path = FOLDER / f"{name}.json"
        if check and (not path.exists() or path.read_text() != text):
            wrong.append(path.name)
        elif not check:
            path.write_text(text)
    if wrong:
        print(f"not as tools/dashboards.py writes them: {', '.join(wrong)}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
