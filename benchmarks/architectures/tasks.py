"""The task host's client: public cases in, grades out; answers never enter this process but for a simulation."""

import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from benchmarks.architectures.model import Case, Claims
from orchestrator.errors import OrchestratorError
from orchestrator.ids import JsonValue

ENVIRONMENT: Final = "ORCHESTRATOR_BENCH_PYTHON"  #: the interpreter whose environment holds the task packages
TASKS_VENV: Final = Path(".venv-tasks") / "bin" / "python"
LOCKED: Final = ".locked"  #: in that environment: it was installed to the end
PATIENCE_S: Final = 600.0  #: for one answer of the host; a grader that hangs must not hang a benchmark
TAIL_LINES: Final = 5  #: of what the host wrote to stderr, shown with an error


class TaskHostError(OrchestratorError):
    """Tasks cannot be made or graded; says why, and what to do. Episodes that were journaled are not lost by it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        remedy = "mend the task module and repeat the command: episodes that are done are kept, and not paid again"
        if "ModuleNotFoundError" in self.reason or "ImportError" in self.reason or "cannot be started" in self.reason:
            remedy = f"tools/bench-tasks.sh makes .venv-tasks with the task packages, or set {ENVIRONMENT}"
        return f"{self.reason}\n  remedy: {remedy}"


def interpreter() -> str:
    """Which Python runs the host: the one of ENVIRONMENT, else .venv-tasks of the checkout, else this one."""
    if chosen := os.environ.get(ENVIRONMENT):
        return chosen
    found = Path(__file__).resolve().parents[2] / TASKS_VENV
    return str(found) if (found.parents[1] / LOCKED).exists() else sys.executable


class TaskHost:
    """The child process. Use as a context manager; one question at a time.

    `patience_s` bounds each answer; a host that takes longer is killed, and TaskHostError says so.
    """

    def __init__(self, python: str | None = None, *, patience_s: float = PATIENCE_S) -> None:
        self._python = python or interpreter()
        self._patience_s = patience_s
        self._process: subprocess.Popen[str] | None = None
        self._said: IO[bytes] = io.BytesIO()  #: what the process writes to stderr
        self.broke: list[str] = []  #: why graders broke on answers, which count as wrong

    def __enter__(self) -> Self:
        root = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        environment = {name: value for name, value in os.environ.items() if "KEY" not in name and "TOKEN" not in name}
        self._said = tempfile.TemporaryFile()  # closed with the process
        try:
            self._process = subprocess.Popen(
                [self._python, "-P", "-m", "benchmarks.architectures.host"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                text=True,
                env=environment | {"PYTHONPATH": path, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"},
            )
        except OSError as error:
            self._said.close()
            raise TaskHostError(f"the task host ({self._python}) cannot be started: {error}") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
            self._process.kill()  # it holds nothing that could be lost, and its tasks may not heed a request
            self._process.wait(timeout=10)
            self._process.stdout.close()
            self._process = None
        self._said.close()

    def cases(self, family: str, seed: int, count: int) -> list[Case]:
        """Public cases, the same for the same seed."""
        found = self._ask({"op": "cases", "family": family, "seed": seed, "count": count})
        assert isinstance(found, list), "the host lists cases"
        return [Case.from_json(one) for one in found if isinstance(one, dict)]

    def golds(self, cases: Sequence[str]) -> dict[str, Claims]:
        """The answers, for a simulation's world alone."""
        return self._ask({"op": "golds", "cases": list(cases)})  # type: ignore[return-value]  # as the host writes it

    def grade(
        self, case: str, finals: Sequence[JsonValue], claims: Sequence[Mapping[str, JsonValue]]
    ) -> tuple[bool, list[dict[str, bool]]]:
        """Whether all of `finals` are right, and which answers of each set of claims are."""
        asked: JsonValue = {
            "op": "grade",
            "case": case,
            "finals": list(finals),
            "claims": [dict(one) for one in claims],
        }
        found = self._ask(asked)
        assert isinstance(found, dict), "the host writes a mapping"
        broke = found["broke"]
        assert isinstance(broke, list), "the host writes a list"
        self.broke += [str(why) for why in broke]
        return found["success"], found["steps"]  # type: ignore[return-value]  # as the host writes it

    def _ask(self, asked: JsonValue) -> JsonValue:
        assert self._process is not None, "use `with TaskHost()`"
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        late = threading.Event()
        timer = threading.Timer(self._patience_s, self._give_up, (late,))
        timer.start()
        try:
            self._process.stdin.write(json.dumps(asked, ensure_ascii=True) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            timer.cancel()
        if not line:
            what = asked["op"] if isinstance(asked, dict) else ""
            why = f"did not answer `{what}` within {self._patience_s:g} s" if late.is_set() else "is gone"
            raise TaskHostError(f"the task host ({self._python}) {why}{self._tail()}")
        answer = json.loads(line)
        if "error" in answer:
            raise TaskHostError(answer["error"])
        return answer["ok"]  # type: ignore[no-any-return]  # JSON

    def _give_up(self, late: threading.Event) -> None:
        late.set()
        if self._process is not None:
            self._process.kill()

    def _tail(self) -> str:
        """The last lines that the host wrote to stderr, on lines of their own; empty when there are none."""
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").splitlines()[-TAIL_LINES:]
        return "".join(f"\n  | {line}" for line in lines)
