"""Keeps what a reader has counted in a file beside the journal, so that a restart counts on and not anew."""

import json
import os
from pathlib import Path
from typing import Final

import structlog

from orchestrator.errors import JournalCorrupt
from orchestrator.service.metrics.reader import JournalReader
from orchestrator.settings import Settings, store_path

SUFFIX: Final = ".metrics.json"
log = structlog.get_logger(__name__)


def kept_beside(settings: Settings) -> Path | None:
    """Where the counts of the settings' store are kept; None: they are counted anew after each start."""
    path = store_path(settings.store)
    return None if path is None else path.with_name(path.name + SUFFIX)


def load(reader: JournalReader, path: Path) -> bool:
    """Go on from the file, if there is one that can be read; False: everything is counted anew."""
    try:
        reader.resume(json.loads(path.read_text()))
    except FileNotFoundError:
        return False
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("the kept metrics cannot be used; counting anew", path=str(path), error=str(error))
        return False
    return True


def save(reader: JournalReader, path: Path) -> None:
    """Write the file whole, or leave it as it was. Raises OSError."""
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:  # as the journal's own
        json.dump(reader.document(), file, separators=(",", ":"))
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


async def catch_up(reader: JournalReader, fresh: JournalReader) -> JournalReader:
    """Have a reader count what is new; where its counts are of another journal, `fresh` counts anew. Returns which."""
    try:
        await reader.catch_up()
    except JournalCorrupt as error:
        if "another journal" not in error.reason:
            raise
        log.warning("the metrics were counted from another journal; counting anew", run=error.run_id)
        await fresh.catch_up()
        return fresh
    return reader


__all__ = ["catch_up", "kept_beside", "load", "save"]
