"""Golden messages: the bytes a release put on the wire between owners and workers. Added, never edited.

`wire/v<n>.jsonl` holds one message a line: its name, the tag that stands beside it (`task` for a task), the body as the
release wrote it. v1 has every field that there was when it was written, with a value that is no default; v0 has what a
message has at the very least, as a release would say it that knew no more. `python -m tests.upgrade.wire_goldens`
writes v1 where it is missing.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import MISSING, Field, dataclass, fields
from pathlib import Path

from orchestrator.adapters.redis import codec
from orchestrator.ids import PoolName, RunId, StepId, TenantId
from orchestrator.ports import tasks as t
from orchestrator.ports.cache import Answer, CacheEntry, Observation, Offer
from orchestrator.ports.model import ModelCall, Saved, ToolCall

FOLDER = Path(__file__).parent / "wire"
KEY = t.TaskKey(RunId("run-é"), StepId("draft"), 3, 2, 1, "check", 1)
WORK = t.TaskKey(RunId("run"), StepId("draft"), -1, 1)
TASK = t.StepTask(
    key=KEY,
    tenant=TenantId("acme"),
    pool=PoolName("writer"),
    lane="low",
    function="check_it",
    instruction="Look at it.",
    args={"text": "é", "n": [1, 2.5, None, {"a": True}]},
    output_schema={"type": "string"},
    constraints=("short",),
    tier="strong",
    reasons=("dull",),
    idempotency_key="run/draft",
    timeout_s=90.0,
    idle_s=20.0,
    plan="brief",
    sent_at_s=1.5,
    batch_s=600.0,
    routed=True,
    cache="exact",
    trace="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    labels={"text": ["web"]},
)
CALL = ModelCall(
    charge="c",
    model="m",
    endpoint="e",
    outcome="ok",
    usd=0.5,
    tokens_in=5,
    tokens_out=7,
    tokens_cached=2,
    estimated=True,
    unknown=True,
    prices="p",
    seconds=1.5,
    first_s=0.5,
    served="exact",
    entry="k",
    why="equal",
    saved=Saved(cache=0.1, routing=0.2, compression=0.3, batch=0.4),
)
MESSAGES: dict[str, t.TaskMessage | t.OwnerRequest | t.OwnerReply] = {
    "started": t.TaskStarted(key=KEY, worker="w", at_s=1.5),
    "progress": t.TaskProgress(key=KEY, worker="w", fraction=0.5, message="half", journal=False),
    "evidence": t.TaskEvidence(key=KEY, worker="w", tool="search", result={"url": "x"}, seconds=0.5),
    "tool_failed": t.TaskToolFailed(key=KEY, worker="w", tool="search", error="timeout", seconds=0.5),
    "tripped": t.TaskTripped(
        key=KEY, worker="w", guard="pii", stage="output", verdict="block", tool="x", score=0.9, reasons=("mail",)
    ),
    "spent": t.TaskSpent(key=KEY, worker="w", charge="c", usd=0.25, tokens=10),
    "called": t.TaskCalled(key=KEY, worker="w", call=CALL),
    "offered": t.TaskOffered(
        key=KEY,
        worker="w",
        offer=Offer(
            entry=CacheEntry(
                tenant="acme",
                key="k",
                answer=Answer(
                    text="5", finish="stop", data=5, tool_calls=(ToolCall(id="a", name="b", arguments="{}"),)
                ),
                model="m",
                endpoint="e",
                usd=0.5,
                tokens=9,
                stored_at_s=1.0,
                expires_at_s=2.0,
                tags=("fees",),
                scope="s",
                question="fee?",
                vector=(0.5, -0.5),
                seen=(Observation(similarity=0.9, same=True),),
            ),
            neighbour="n",
            observed=Observation(similarity=0.8, same=False),
        ),
    ),
    "delta": t.TaskDelta(key=KEY, worker="w", text="piece"),
    "done": t.TaskDone(key=KEY, worker="w", output={"a": [1, None]}, started_at_s=1.5),
    "failed": t.TaskFailed(
        key=KEY, worker="w", error="rate_limit", message="busy", retry_after_s=3.0, started_at_s=1.5
    ),
    "spend": t.SpendRequest(key=KEY, charge="c", usd=0.25, tokens=10),
    "intent": t.IntentRequest(key=KEY, effect="run/draft", tool="send"),
    "start": t.StartRequest(key=KEY, worker="w/1"),
    "reply": t.OwnerReply(granted=False, limit="usd", left=0.5),
}


@dataclass(frozen=True, slots=True)
class GoldenMessage:
    """One message of one release."""

    version: int
    tag: str
    body: bytes

    def __str__(self) -> str:
        return f"v{self.version}-{self.tag}"


def read() -> list[GoldenMessage]:
    """Every golden message of every release."""
    found = []
    for path in sorted(FOLDER.glob("v[0-9]*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            said = json.loads(line)
            found.append(GoldenMessage(int(path.stem[1:]), said["tag"], said["body"].encode()))
    return found


def decode(tag: str, body: bytes) -> object:
    """The message that this release makes of it."""
    return codec.task_of(body) if tag == "task" else codec.message_of(tag, body)


def encode(message: object) -> bytes:
    """What this release writes."""
    if isinstance(message, t.StepTask):
        return codec.task_bytes(message)
    return codec.message_bytes(message)  # type: ignore[arg-type]  # any other message


def known_fields(version: int) -> dict[str, set[str]]:
    """By tag: the fields that a release knew, as its golden messages have them."""
    return {one.tag: set(json.loads(one.body)) for one in read() if one.version == version}


def required(kind: type) -> Iterator[str]:
    """Fields that a message cannot be without."""
    each: Field[object]
    for each in fields(kind):
        if each.default is MISSING and each.default_factory is MISSING:
            yield each.name


def _write(version: int, bodies: dict[str, bytes]) -> None:
    path = FOLDER / f"v{version}.jsonl"
    lines = (json.dumps({"tag": tag, "body": body.decode()}, ensure_ascii=False) for tag, body in bodies.items())
    with path.open("x", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{line}\n" for line in lines)


def _least(kind: type, body: bytes) -> bytes:
    whole, names = json.loads(body), set(required(kind))
    return json.dumps({name: value for name, value in whole.items() if name in names}).encode()


def main() -> None:
    """Write what is missing."""
    whole = {"task": encode(TASK), **{tag: encode(message) for tag, message in MESSAGES.items()}}
    kinds: dict[str, type] = {"task": t.StepTask, **{tag: type(message) for tag, message in MESSAGES.items()}}
    made: dict[int, Callable[[str], bytes]] = {0: lambda tag: _least(kinds[tag], whole[tag]), 1: whole.__getitem__}
    for version, body_of in made.items():
        if not (FOLDER / f"v{version}.jsonl").exists():
            _write(version, {tag: body_of(tag) for tag in whole})


if __name__ == "__main__":
    main()
