"""How long an agent's conversation may get, and what must survive when it is shortened."""

from dataclasses import dataclass
from typing import Final

from orchestrator.errors import PromiseError
from orchestrator.plan.facts_kept import Fact, fact_of
from orchestrator.ports.model import Tier

TOKENS_MIN: Final = 500  #: below it not even a task and its answer have room
TOKENS_MAX: Final = 1_000_000
PINNED_MAX: Final = 100  #: facts that an agent may pin beforehand
TURNS_WHOLE_MAX: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The longest conversation of an agent, in estimated tokens; older turns are shortened to fit.

    Instructions, constraints and the task stay whole, and so do the latest `turns_whole` turns. What is said of a
    `pinned` fact survives word for word or in a summary that was checked; so do passages whose numbers and names the
    agent has used since. `summary` names the tier that writes a rolling summary of what no longer fits; None cuts
    passages by relevance, without a model. Whatever is cut can be fetched back by the agent: tool `recall`.

    Raises:
        PromiseError: a number is out of range, or a pinned text is empty or too long.
    """

    tokens: int
    pinned: tuple[str, ...] = ()
    summary: Tier | None = None
    turns_whole: int = 1

    def __post_init__(self) -> None:
        if not TOKENS_MIN <= self.tokens <= TOKENS_MAX:
            raise PromiseError(f"a context of {self.tokens} tokens", f"use a number from {TOKENS_MIN} to {TOKENS_MAX}")
        if not 1 <= self.turns_whole <= TURNS_WHOLE_MAX:
            raise PromiseError(f"turns_whole is {self.turns_whole}", f"use a number from 1 to {TURNS_WHOLE_MAX}")
        if len(self.pinned) > PINNED_MAX:
            raise PromiseError(f"{len(self.pinned)} pinned facts", f"pin at most {PINNED_MAX}")
        self.facts()

    def facts(self) -> tuple[Fact, ...]:
        """The pinned facts with their literals.

        Raises:
            PromiseError: one of them is none.
        """
        found = []
        for text in self.pinned:
            try:
                found.append(fact_of(text))
            except ValueError as error:
                raise PromiseError(f"the pinned fact {text[:60]!r}: {error}", "pin one short sentence") from error
        return tuple(found)
