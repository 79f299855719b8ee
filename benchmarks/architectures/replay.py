"""Recorded transcripts: what agents were asked and answered, as JSON lines, and agents that answer from them."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from benchmarks.architectures.model import Agent, Reply, Request, Turn
from orchestrator.errors import OrchestratorError
from orchestrator.ids import JsonValue
from orchestrator.plan.models import digest_of


class NotRecorded(OrchestratorError):
    """A recording has no answer to a request; the run differs from the recorded one."""

    def __init__(self, request: str) -> None:
        super().__init__(request)
        self.request = request

    def __str__(self) -> str:
        remedy = "use the suite, seed and architectures that it was made with"
        return f"the recording has no answer to {self.request}\n  remedy: {remedy}"


def key_of(request: Request) -> str:
    """What stands for a request: everything an agent can see of it."""
    plain: JsonValue = json.loads(json.dumps(asdict(request)))
    return digest_of(plain)


class Recorder:
    """An agent that writes down every answer of another one; safe to stop at any moment, and to go on after."""

    def __init__(self, agent: Agent, path: Path) -> None:
        self.label = agent.label
        self._agent, self._path = agent, path
        path.parent.mkdir(parents=True, exist_ok=True)

    async def act(self, request: Request, meter: object) -> Reply:
        """Ask, write, answer."""
        reply = await self._agent.act(request, meter)
        line = json.dumps({"key": key_of(request), "role": request.role, "case": request.case, "reply": asdict(reply)})
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        return reply


class ReplayAgent:
    """Answers from a recording, and from nothing else.

    Raises:
        ValueError: on construction, when a line is no recording; a cut last line is left out.
    """

    def __init__(self, path: Path, *, label: str = "") -> None:
        self.label = label or f"replay of {path.name}"
        self._replies: dict[str, Mapping[str, object]] = {}
        lines = path.read_text(encoding="utf-8").split("\n")
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                found = json.loads(line)
                self._replies[found["key"]] = found["reply"]
            except (ValueError, KeyError) as error:
                if number == len(lines):
                    continue  # the recorder was killed while writing
                raise ValueError(f"{path}:{number}: no recorded answer: {error}") from error

    async def act(self, request: Request, meter: object) -> Reply:
        """Look the answer up.

        Raises:
            NotRecorded: there is none.
        """
        found = self._replies.get(key_of(request))
        if found is None:
            raise NotRecorded(f"{request.role} of {request.agent} in {request.case}, try {request.attempt}")
        given = dict(found)
        turns = given.pop("turns")
        assert isinstance(turns, list), "written by the recorder"
        given["refused"] = tuple(given["refused"])  # type: ignore[arg-type]  # a list, written by the recorder
        return Reply(turns=tuple(Turn(**turn) for turn in turns), **given)  # type: ignore[arg-type]  # same
