"""Secrets by reference: a name travels, the value is looked up when it is needed and struck out wherever it reappears.

A plan, a journal, a log and a prompt hold the name at most. What a tool gives back, or says when it fails, is searched
for the values that were looked up in the same attempt, also as they stand in URLs, JSON and base64.
"""

import base64
import contextvars
import json
import os
import re
from collections.abc import Callable
from typing import Final
from urllib.parse import quote, quote_plus

from orchestrator.errors import PromiseError
from orchestrator.ids import JsonValue
from workers.limits import SECRET_CHARS_MIN

_ESCAPE: Final = re.compile(r"%[0-9A-F]{2}")
Provider = Callable[[str], str | None]
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,127}")


class _Keeper:
    """Where values come from; one per process."""

    provider: Provider = staticmethod(os.environ.get)


def use_secrets(provider: Provider | None) -> None:
    """Have `provider` look values up from now on, in this process; None: the environment, as at the start.

    A provider gives the value of a name, or None where there is none. It is called each time a value is needed, so a
    secret that was exchanged counts at once.
    """
    _Keeper.provider = staticmethod(provider or os.environ.get)


class Secret:
    """The name of a secret. Prints as its name, compares by it, and has no JSON form."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        if _NAME.fullmatch(name) is None:
            raise PromiseError(f"{name[:40]!r} cannot name a secret", f"use a name that fits {_NAME.pattern}")
        self.name = name

    def __repr__(self) -> str:
        return f"secret({self.name!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other.name == self.name

    def __hash__(self) -> int:
        return hash((Secret, self.name))

    def reveal(self) -> str:
        """The value, now. From here on it is struck out of whatever this attempt's tools give back.

        Raises:
            PromiseError: nobody knows the secret, or it is too short to be told from other text.
        """
        value = _Keeper.provider(self.name)
        if not value:
            raise PromiseError(f"secret {self.name} has no value", f"set the environment variable {self.name}")
        if len(value) < SECRET_CHARS_MIN:
            raise PromiseError(f"secret {self.name} has under {SECRET_CHARS_MIN} characters", "give it a longer value")
        seen = _SEEN.get()
        if seen is not None:
            seen.saw(self.name, value)
        return value


def secret(name: str) -> Secret:
    """A reference to a secret; `.reveal()` gives its value at the moment of use.

    Raises:
        PromiseError: the name has characters that no variable has.
    """
    return Secret(name)


class Seen:
    """The values that were looked up during one attempt."""

    def __init__(self) -> None:
        self._forms: dict[str, str] = {}  #: as it may appear -> what stands for it

    def saw(self, name: str, value: str) -> None:
        """Remember a value, and the forms in which it may come back."""
        raw = value.encode()
        coded = {base64.b64encode(raw).decode().rstrip("="), base64.urlsafe_b64encode(raw).decode().rstrip("=")}
        forms = {value, quote(value, safe=""), quote(value), quote_plus(value), json.dumps(value)[1:-1], raw.hex()}
        lower = {_ESCAPE.sub(lambda found: found[0].lower(), form) for form in forms}
        for form in forms | coded | lower:
            self._forms[form] = f"[secret {name}]"

    def struck(self, text: str) -> str:
        """The text without any of them. Longer forms first, so that no part of one is left standing."""
        for form in sorted(self._forms, key=len, reverse=True):
            if form in text:
                text = text.replace(form, self._forms[form])
        return text

    def struck_from(self, value: JsonValue) -> JsonValue:
        """The same for every text, and every key, in a JSON value."""
        if not self._forms:
            return value
        match value:
            case str():
                return self.struck(value)
            case list():
                return [self.struck_from(item) for item in value]
            case dict():
                return {self.struck(key): self.struck_from(item) for key, item in value.items()}
            case _:
                return value


_SEEN: contextvars.ContextVar[Seen | None] = contextvars.ContextVar("workers.tools.secrets", default=None)


def watch_secrets() -> Seen:
    """Begin to remember, in this context and in what starts from it."""
    seen = Seen()
    _SEEN.set(seen)
    return seen
