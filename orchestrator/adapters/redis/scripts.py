"""The Lua scripts beside this file, each with the digest the server knows it by."""

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from typing import Final


@dataclass(frozen=True, slots=True)
class Script:
    """One script."""

    name: str
    text: str
    sha: str


def _load(name: str) -> Script:
    text = files(__package__).joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")
    return Script(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


SEND: Final = _load("send")
REVOKE: Final = _load("revoke")
FETCH: Final = _load("fetch")
POST: Final = _load("post")
RENEW: Final = _load("renew")
GIVE: Final = _load("give")
BURY: Final = _load("bury")
UNKNOWN: Final = _load("unknown")
BACKLOG: Final = _load("backlog")
LEAVE: Final = _load("leave")
LIMIT: Final = _load("limit")
REQUEUE: Final = _load("requeue")
