"""Golden journals: what a release wrote, kept for every later one to read. Added, never edited.

A golden is a file `tests/replay/v<codec version>/<name>.jsonl`, one record a line:

    header, payload  the stored bytes, as text; payload null where there is none
    salt, hash       as stored, hexadecimal
    event            the canonical event this release printed for it

`layouts.json` beside them pins the order of the fields of every kind. Until a codec version has been released it may be
written anew: `python -m tests.replay.golden`.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from orchestrator.adapters.memory.journal import MemoryJournal
from orchestrator.core.chain import FIRST_HASH, Link, link_hash, payload_digest
from orchestrator.core.codec import CODEC_VERSION, LAYOUTS, encode
from orchestrator.core.event import canonical_event
from orchestrator.core.facts import Fact, RunAccepted
from orchestrator.ids import JsonValue, RunId
from orchestrator.ports.journal import Append, Recorded

FOLDER = Path(__file__).parent
SALT = b"golden journals "  # sixteen bytes; nothing is hidden here


@dataclass(frozen=True, slots=True)
class Golden:
    """One golden journal."""

    run_id: RunId
    links: list[Link]
    events: list[dict[str, JsonValue]]


def versions() -> list[int]:
    """Codec versions that goldens were written in."""
    return sorted(int(folder.name[1:]) for folder in FOLDER.glob("v[0-9]*"))


def paths() -> list[Path]:
    """All golden journals, of every version."""
    return sorted(FOLDER.glob("v[0-9]*/*.jsonl"))


def write(path: Path, records: Iterable[Recorded]) -> None:
    """Write a whole run, from its first record on; an existing file is never replaced."""
    before, lines = FIRST_HASH, []
    for record in records:
        header, payload = encode(record.fact, record.epoch)
        digest = None if payload is None else payload_digest(SALT, payload)
        after = link_hash(before, record.run_id, record.seq, header, digest)
        event = canonical_event(record) | {"prev_hash": before.hex(), "hash": after.hex()}
        line = {
            "header": header.decode(),
            "payload": None if payload is None else payload.decode(),
            "salt": None if payload is None else SALT.hex(),
            "hash": after.hex(),
            "event": event,
        }
        lines.append(json.dumps(line, ensure_ascii=False, separators=(",", ":")))
        before = after
    with path.open("x", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{line}\n" for line in lines)


def read(path: Path) -> Golden:
    """A golden journal as it lies in its file; nothing is checked yet."""
    links, events = [], []
    for line in path.read_text(encoding="utf-8").split("\n")[:-1]:
        record = json.loads(line)
        salt = None if record["salt"] is None else bytes.fromhex(record["salt"])
        payload = None if record["payload"] is None else record["payload"].encode()
        links.append(
            Link(
                seq=record["event"]["seq"],
                header=record["header"].encode(),
                payload_digest=None if salt is None or payload is None else payload_digest(salt, payload),
                hash=bytes.fromhex(record["hash"]),
                salt=salt,
                payload=payload,
            )
        )
        events.append(record["event"])
    return Golden(RunId(events[0]["run"]), links, events)


async def recorded(facts: tuple[Fact, ...], epoch: int = 1) -> list[Recorded]:
    """Facts as a journal gives them back, to be written as a golden; the first is `run.accepted`."""
    journal = MemoryJournal()
    first = facts[0]
    assert isinstance(first, RunAccepted)
    assert await journal.append([Append(run_id=first.run, first_seq=1, epoch=epoch, facts=facts)]) == ()
    return await journal.read(first.run)


def layouts() -> dict[str, list[list[str]]]:
    """Kind: header fields and payload fields, in the order they are written."""
    return {kind: [list(layout.header), list(layout.payload)] for kind, layout in sorted(LAYOUTS.items())}


def layouts_path() -> Path:
    """Where the layouts of the present version are pinned."""
    return FOLDER / f"v{CODEC_VERSION}" / "layouts.json"


if __name__ == "__main__":
    lines = [f"  {json.dumps(kind)}: {json.dumps(fields)}" for kind, fields in layouts().items()]
    layouts_path().parent.mkdir(exist_ok=True)
    layouts_path().write_text("{\n" + ",\n".join(lines) + "\n}\n")
