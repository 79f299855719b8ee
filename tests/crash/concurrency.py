"""The concurrency tests, over and over in one process: `python -m tests.crash.concurrency [--rounds 50]`.

They are those in which many want one thing at the same moment: one number of a journal, one run, one key, one
session, the last of a budget. One that fails once in fifty rounds tells of a race; it is no flake to be run again.
The figures go to concurrency.json beside this file.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
REPORT = Path(__file__).parent / "concurrency.json"
TESTS = (
    "tests/batch/test_stores.py::test_of_many_who_gather_at_once_each_item_goes_to_one",
    "tests/cache/test_caching.py::test_equal_questions_at_the_same_time_ask_once",
    "tests/crash/test_journal_kills.py::test_of_two_that_race_one_becomes_the_owner",
    "tests/engine/test_cancel.py::test_cancelling_from_many_sides_at_once_ends_the_run_once",
    "tests/engine/test_following.py::test_a_thousand_runs_at_once",
    "tests/engine/test_money.py::test_reservations_never_exceed_the_limit_however_many_race",
    "tests/engine/test_operations.py::test_two_people_at_once_the_first_counts",
    "tests/engine/test_scheduling.py::test_a_limit_on_steps_is_met_exactly_under_parallel_branches",
    "tests/engine/test_submission.py::test_fifty_submissions_at_once_with_one_key_are_one_run",
    "tests/postgres/test_commits.py::test_of_many_that_append_the_same_number_at_once_one_wins",
    "tests/postgres/test_commits.py::test_an_idempotency_key_is_taken_once_by_processes_that_race",
    "tests/postgres/test_commits.py::test_a_thousand_writes_of_an_owner_that_was_replaced_count_for_nothing",
    "tests/postgres/test_owners.py::test_of_two_that_resume_the_same_run_one_wins_each_of_200_races",
    "tests/postgres/test_upgrade.py::test_eight_at_once_are_as_good_as_one",
    "tests/redis/test_fencing.py::test_of_a_thousand_zombie_results_none_is_accepted",
    "tests/service/http/test_approvals.py::test_of_many_answers_at_once_one_counts",
    "tests/service/http/test_runs.py::test_a_thousand_posts_with_one_key_make_one_run",
    "tests/service/schedules/test_scheduler.py::test_three_supervisors_with_wrong_clocks_start_a_thousand_moments_once_each",
    "tests/service/webhooks/test_postgres.py::test_many_takers_at_once_get_each_delivery_once_and_keep_the_limit_of_an_endpoint",
    "tests/sessions/test_asking.py::test_a_hundred_askers_at_once_stand_in_one_order_and_each_sees_all_before_it",
    "tests/sessions/test_http.py::test_many_clients_at_once_stand_in_one_order",
    "tests/sessions/test_processes.py::test_two_engines_serve_one_session_by_turns_and_at_once",
)
BATCH = 5  #: rounds of one process


class Again:
    """Every test of a session so many times; what became of each is counted."""

    def __init__(self, rounds: int) -> None:
        self.rounds, self.passed = rounds, 0
        self.failed: list[str] = []

    @pytest.fixture
    def _round(self, request: pytest.FixtureRequest) -> object:
        return request.param

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        metafunc.fixturenames.append("_round")
        metafunc.parametrize("_round", range(self.rounds), indirect=True, ids=[f"round{n}" for n in range(self.rounds)])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.append(f"{report.nodeid} in {report.when}: {report.longreprtext[-2_000:]}")
        elif report.when == "call":
            self.passed += report.passed


def main() -> None:
    parser = argparse.ArgumentParser(description="The concurrency tests, over and over.")
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--report", type=Path, default=REPORT)
    given = parser.parse_args()
    began_s, done, passed = time.monotonic(), 0, 0
    failed: list[str] = []
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    while done < given.rounds and not failed:
        again = Again(min(BATCH, given.rounds - done))
        code = pytest.main(["-q", "-p", "no:cacheprovider", "--rootdir", str(ROOT), *TESTS], plugins=[again])
        done, passed, failed = done + again.rounds, passed + again.passed, again.failed
        if code not in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}:
            raise SystemExit(int(code))
        figures = {
            "command": f"python -m tests.crash.concurrency --rounds {given.rounds}", "commit": commit.stdout.strip(),
            "date": time.strftime("%Y-%m-%d"), "functions": len(TESTS), "rounds": done, "passed": passed,
            "failed": failed, "lasted_s": round(time.monotonic() - began_s),
        }  # fmt: skip
        given.report.write_text(json.dumps(figures, indent=1) + "\n")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
