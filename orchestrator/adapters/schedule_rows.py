"""What SQL stores of schedules share: a schedule as one JSON text, and back."""

import json
from dataclasses import asdict
from typing import Final

from orchestrator.ids import TenantId
from orchestrator.ports.schedules import Schedule

#: Kept in columns of their own, because they are looked for or compared.
COLUMNS: Final = ("id", "tenant", "created_at_s", "wake_s", "version")


def body_of(schedule: Schedule) -> str:
    """Everything that has no column of its own."""
    held = {name: value for name, value in asdict(schedule).items() if name not in COLUMNS}
    return json.dumps(held, ensure_ascii=False)


def schedule_of(row: tuple[str, str, float, float | None, int, str]) -> Schedule:
    """The schedule that a row of `COLUMNS` and the body holds."""
    *columns, body = row
    held = json.loads(str(body)) | dict(zip(COLUMNS, columns, strict=True))
    held["owed"] = tuple(held["owed"])
    held["tenant"] = TenantId(str(held["tenant"]))
    return Schedule(**held)
