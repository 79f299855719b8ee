"""Pools that come upon secrets by themselves, say them wherever they can, and fail with them now and then.

`orchestrator serve` loads this module: CANARY_WORDS is how many words they say at a time.
"""

import os
import random

import structlog

from orchestrator.safety.redactor import Redactor
from tests.safety.samples import GOOD
from workers import Pool, TerminalError, tool

SECRET = {"email", "card", "iban", "key"}
CANARIES = [find for kind, _, find in GOOD if kind in SECRET and "\n" not in find and len(find) > 11]
BARE = [canary for canary in CANARIES if canary not in Redactor().text(canary)]  #: known without a word before them
TEXTS = [text for _, text, find in GOOD if find in CANARIES]
PLAIN = ("the pump", "moves heat", "from cold", "to warm", "and back", "when it freezes", "outside", "by night")
_WORDS = int(os.environ.get("CANARY_WORDS", "60"))
_chance = random.Random(7)


def prose(words: int, chance: random.Random) -> str:
    """So many words or groups of them, every eighth of which holds a canary."""
    said = chance.choices(PLAIN, k=words)
    said[::8] = chance.choices(TEXTS, k=len(said[::8]))
    return " ".join(said)


desk = Pool("desk", concurrency=8)
readers = Pool("readers", concurrency=8)


@desk.worker
async def read(ctx, text: str) -> dict[str, object]:  # type: ignore[no-untyped-def]
    """Find canaries, log them, and give them back or fail with them."""
    log = structlog.get_logger()
    said = f"{text} {prose(_WORDS, _chance)}"
    log.info("reading", said=said, nested={"deep": [said], _chance.choice(BARE): 1})
    ctx.progress(0.5, said)
    ctx.evidence("search", {"found": said})
    if _chance.random() < 0.2:
        try:
            raise ValueError(said)
        except ValueError:
            log.exception("it failed")
        raise TerminalError(said)
    return {"found": said, _chance.choice(BARE): [said]}


@desk.worker
async def write(ctx, found: object) -> str:  # type: ignore[no-untyped-def]
    """Log what it was given, and say more."""
    structlog.get_logger().warning("writing", found=str(found))
    return prose(_WORDS, _chance)


@tool
async def look_up(word: str) -> str:
    """Look a word up."""
    return f"{word}: {prose(_WORDS, _chance)}"


readers.agent("reader", "You answer what is asked.", tools=[look_up], turns_max=3)
