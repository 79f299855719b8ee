"""Which turns a run sees: the newest that fit three named limits. Pure."""

from collections.abc import Sequence
from typing import Final

from orchestrator.ids import RunId
from orchestrator.ports.sessions import Turn
from orchestrator.settings import SessionSettings

#: As in the accounts of models: a byte-level tokenizer makes at most one token of a byte and on real text one of three
#: to five, so three errs high.
BYTES_PER_TOKEN: Final = 3
TOKENS_PER_TURN: Final = 8  #: what a chat template puts around each
CUT: Final = "\n… (cut here; the whole answer is that of run {run})"


def bytes_of(content: str) -> int:
    """The size of a text."""
    return len(content.encode())


def tokens_of(content: str) -> int:
    """Tokens that a text will be counted as, rather too many."""
    return -(-bytes_of(content) // BYTES_PER_TOKEN) + TOKENS_PER_TURN


def cut_to(content: str, most_bytes: int, run: RunId) -> str:
    """The content, or as much of it as fits with a note that it is not whole."""
    if bytes_of(content) <= most_bytes:
        return content
    note = CUT.format(run=run)
    room = max(most_bytes - bytes_of(note), 0)
    return content.encode()[:room].decode(errors="ignore") + note


def window_of(turns: Sequence[Turn], asked: str, settings: SessionSettings, share: float = 1.0) -> list[Turn]:
    """The newest of `turns`, oldest first, that fit the limits together with what is asked now.

    `share` of each limit is used, 0 to 1. A window begins with what a user said: an answer alone would mislead.
    """
    left_turns = int(settings.window_turns * share) - 1
    left_tokens = settings.window_tokens * share - tokens_of(asked)
    left_bytes = settings.window_bytes * share - bytes_of(asked)
    begin = len(turns)
    while begin > 0:
        content = turns[begin - 1].content
        left_turns, left_tokens = left_turns - 1, left_tokens - tokens_of(content)
        left_bytes -= bytes_of(content)
        if left_turns < 0 or left_tokens < 0 or left_bytes < 0:
            break
        begin -= 1
    seen = list(turns[begin:])
    return seen[1:] if seen and seen[0].role == "assistant" else seen
