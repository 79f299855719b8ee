"""The Lua scripts beside this file, each with the digest the server knows it by; what they share is put into each."""

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


def _read(name: str) -> str:
    return files(__package__).joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")


def _load(name: str) -> Script:
    text = _read(name).replace("--include standing\n", _read("standing"))
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
SAY: Final = _load("say")
LIMIT: Final = _load("limit")
SESSION: Final = _load("session")
REQUEUE: Final = _load("requeue")
CACHE: Final = _load("cache")
