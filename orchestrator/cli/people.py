"""Who is at the terminal, and how they answer a run's questions."""

import shlex
from typing import cast

from orchestrator.ids import JsonValue


def answers(asked: dict[str, JsonValue], flags: str = "") -> list[str]:
    """The commands that answer a question, one for each choice, ready to be copied."""
    where = f"{shlex.quote(str(asked['run']))} {shlex.quote(str(asked['step']))}"
    choices = [shlex.quote(str(choice)) for choice in cast(list[JsonValue], asked["choices"])]
    return [f"orchestrator approve {where} --choice {choice} --reason '…'{flags}" for choice in choices]


def who() -> str:
    """The user's name, as the system knows it; empty where it does not."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return ""
