"""Write and read whole files without ever showing half of one."""

import os
import tempfile
from pathlib import Path


def put(path: Path, data: bytes) -> None:
    """Replace `path` by `data` in one step; after a power cut it holds the old bytes or the new, never a mixture.

    Raises:
        OSError: the folder is missing or may not be written.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def read_if_there(path: Path) -> bytes | None:
    """The file's bytes, or None when there is none."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
