"""Where the files of these tests lie."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

MEMORY = Path("/dev/shm")  #: syncs are counted and made to fail here, not waited for


@pytest.fixture
def anyio_backend() -> str:
    """The disk is real: a jumping clock would not see it at work."""
    return "asyncio"


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder, in memory where there is some."""
    folder = Path(tempfile.mkdtemp(prefix="ho-disk-", dir=MEMORY if MEMORY.is_dir() else None)).resolve()
    yield folder
    shutil.rmtree(folder)
