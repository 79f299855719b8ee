"""Boards and rules speak of metrics that a real run exports, alerts lead to a page, and a real Prometheus agrees."""

import json
import os
import re
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.service.metrics.table import METRICS, PREFIX
from tests.servers.redis import free_port
from tests.telemetry.day import Day, play_day
from tests.telemetry.test_metrics import exported

ROOT = Path(__file__).resolve().parents[2]
BOARDS = sorted((ROOT / "deploy" / "dashboards").glob("*.json"))
RULES = ROOT / "deploy" / "alerts" / "orchestrator.rules.yml"
TESTS = ROOT / "deploy" / "alerts" / "orchestrator.test.yml"
NAME = re.compile(r"\b(orchestrator_[a-z0-9_]+)(?:\{([^}]*)\})?")
BY = re.compile(r"\bby \(([^)]*)\)")
SCRAPED = {"instance", "pod", "job", "le"}  #: labels that Prometheus or its histograms add
GROUPS = ["agent", "business", "infrastructure", "model", "quality"]


def queries() -> list[tuple[str, str]]:
    found = [
        (f"{path.stem}: {panel['title']}", target["expr"])
        for path in BOARDS
        for panel in json.loads(path.read_text())["panels"]
        for target in panel["targets"]
    ]
    return found + [(rule.get("alert") or rule["record"], rule["expr"]) for rule in rules()]


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def family(name: str) -> str:
    """The metric that a series belongs to."""
    short = name.removeprefix(PREFIX)
    for tail in ("_bucket", "_count", "_sum"):
        if short.endswith(tail) and any(m.name == short[: -len(tail)] and m.kind == "histogram" for m in METRICS):
            return short.removesuffix(tail)
    return short


@pytest.fixture(scope="module")
def day() -> Day:
    return play_day()


@pytest.mark.parametrize(("where", "query"), queries(), ids=[f"{n}-{where}" for n, (where, _) in enumerate(queries())])
def test_a_query_speaks_of_what_a_real_run_exports(where: str, query: str, day: Day) -> None:
    known = {metric.name: set(metric.labels) for metric in METRICS}
    found = exported(day.text)
    labels: set[str] = set()
    names = NAME.findall(query)
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    assert names or any(name in query for name in recorded), f"{where} asks nothing"
    for name, matchers in names:
        metric = family(name)
        assert metric in found, f"{where}: {name} is not exported"
        labels |= known[metric]
        asked = set(re.findall(r"([a-z_]+)\s*(?:=~|!~|!=|=)", matchers))
        assert asked <= known[metric], f"{where}: {name} has no label {asked - known[metric]}"
    for grouping in BY.findall(query):
        asked = {one.strip() for one in grouping.split(",")}
        assert asked <= labels | SCRAPED, f"{where}: nothing has the label {asked - labels}"


def test_every_metric_is_on_a_board() -> None:
    shown = {family(name) for path in BOARDS for name, _ in NAME.findall(path.read_text())}
    missing = {metric.name for metric in METRICS} - shown
    assert missing == set()
    assert [path.stem for path in BOARDS] == GROUPS


def test_a_board_shows_the_metrics_of_its_group() -> None:
    group_of = {metric.name: metric.group for metric in METRICS}
    for path in BOARDS:
        strangers = {
            name for name, _ in NAME.findall(path.read_text()) if group_of[family(name)] not in {path.stem, "agent"}
        }
        assert strangers == set(), path.name


def test_boards_are_as_the_script_writes_them() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "dashboards.py", "--check"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_every_alert_leads_to_its_place_in_the_runbook_and_back() -> None:
    page = (ROOT / "docs" / "runbook.md").read_text()
    sections = {
        re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-"): body
        for title, body in re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    }
    alerts = [rule for rule in rules() if "alert" in rule]
    for alert in alerts:
        file, _, anchor = alert["annotations"]["runbook_url"].partition("#")
        assert file == "docs/runbook.md"
        assert f"`{alert['alert']}`" in sections[anchor], f"{alert['alert']} is not explained at #{anchor}"
        assert alert["labels"]["severity"] in {"page", "ticket"}
        assert alert["annotations"]["summary"]
    said = set(re.findall(r"`(Orchestrator[A-Za-z]+)`", page))
    assert said == {alert["alert"] for alert in alerts}
    links = set(re.findall(r"\]\(#([a-z-]+)\)", page))
    assert links <= set(sections)


def test_every_alert_is_set_off_in_the_rules_own_tests() -> None:
    told = yaml.safe_load(TESTS.read_text())["tests"]
    fires = {one["alertname"] for test in told for one in test["alert_rule_test"] if one["exp_alerts"]}
    assert fires == {rule["alert"] for rule in rules() if "alert" in rule}


# ---- with a real Prometheus


@pytest.fixture(scope="module")
def binaries() -> tuple[str, str]:
    """promtool and prometheus; without them skipped aloud, and failed in CI."""
    done = subprocess.run([ROOT / "tools" / "ensure-prometheus.sh"], capture_output=True, text=True, check=False)
    if done.returncode:
        outcome = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        outcome(f"no Prometheus: {done.stderr.strip()}")
    promtool, prometheus = done.stdout.split()[-2:]
    return promtool, prometheus


def test_promtool_finds_nothing_wrong_and_every_alert_fires_when_it_should(binaries: tuple[str, str]) -> None:
    for words in (["check", "rules", str(RULES)], ["test", "rules", str(TESTS)]):
        done = subprocess.run([binaries[0], *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_finds_nothing_wrong_with_the_metrics(binaries: tuple[str, str], day: Day) -> None:
    done = subprocess.run(
        [binaries[0], "check", "metrics"], input=day.text, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.fixture(scope="module")
def server(binaries: tuple[str, str], day: Day, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prometheus that scrapes what the day exported, from two processes that tell the same."""

    class Told(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = day.text.encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    folder = tmp_path_factory.mktemp("prometheus")
    exporter = ThreadingHTTPServer(("127.0.0.1", 0), Told)
    threading.Thread(target=exporter.serve_forever, daemon=True).start()
    target = f"127.0.0.1:{exporter.server_address[1]}"
    jobs = [
        {
            "job_name": name,
            "scrape_interval": "200ms",
            "scrape_timeout": "200ms",
            "static_configs": [{"targets": [target]}],
        }
        for name in ("one", "two")
    ]
    (folder / "prometheus.yml").write_text(json.dumps({"scrape_configs": jobs, "rule_files": [str(RULES)]}))
    port = free_port()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [binaries[1], f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}",
             f"--web.listen-address=127.0.0.1:{port}"],
            stdout=log, stderr=log,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        end_s = time.monotonic() + 30
        while True:
            try:
                urllib.request.urlopen(f"{url}/-/ready", timeout=5).close()
                if len(asked(url, "count_over_time(orchestrator_pool_replicas[1m]) > 2")) >= 2:
                    break
            except OSError:  # refused, or 503 while it starts
                pass
            assert time.monotonic() < end_s, (folder / "log").read_text()
            time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(10)
        exporter.shutdown()
        exporter.server_close()


def asked(url: str, query: str) -> list[dict[str, Any]]:
    place = f"{url}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
    try:
        with urllib.request.urlopen(place, timeout=10) as answer:
            found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
            return found
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{query}: {error.read().decode()}") from error


def test_a_real_prometheus_answers_every_query_of_every_board(server: str) -> None:
    empty = []
    for where, query in queries():
        found = asked(server, query.replace("$__rate_interval", "1m"))
        if not found and ("increase(" in query or "rate(" in query or ":" in where):
            names = [name for name, _ in NAME.findall(query)]
            empty += [where for name in names if not asked(server, name)]
    assert empty == [], "no series at all for these"


def test_two_processes_that_tell_the_same_count_once(server: str, day: Day) -> None:
    gauges = exported(day.text)["runs_open"]
    found = asked(server, "sum by (plan) (max without (instance, pod, job) (orchestrator_runs_open))")
    assert {one["metric"]["plan"]: float(one["value"][1]) for one in found} == {
        plan: sum(value for (_, p), value in gauges.items() if p == plan) for plan in {p for _, p in gauges}
    }
