"""One process of a schedule as the world sees it: alive, frozen or dead; with a clock of its own, and its faults."""

import random
from collections.abc import Callable
from typing import Final

import anyio

from orchestrator.testing.simulation.profile import Profile

NOON_S: Final = 1_767_268_800.0  #: 1 January 2026, 12:00 UTC: when every schedule begins


class Gone(Exception):
    """The process is dead; nothing that it still tries to do reaches anybody."""


class Node:
    """A process. It reaches the world only through ports, and every port asks its node first."""

    def __init__(
        self,
        name: str,
        profile: Profile,
        dice: random.Random,
        calm: Callable[[], bool],
        strike: Callable[[str], None],
    ) -> None:
        self.name, self._profile, self._dice, self._calm, self._strike = name, profile, dice, calm, strike
        self.dead = False
        self._thawed: anyio.Event | None = None
        self._skew_s = dice.uniform(-profile.skew_s, profile.skew_s) if profile.skew_s else 0.0

    def now_s(self) -> float:
        """See `Clock`: seconds since the epoch, as this node believes."""
        return NOON_S + self._skew_s + anyio.current_time()

    def strikes(self, fault: str) -> bool:
        """Whether a fault strikes at this move."""
        chance = self._profile.chance(fault)
        if not chance or self._calm() or self._dice.random() >= chance:
            return False
        self._strike(fault)
        return True

    def struck(self, fault: str) -> None:
        """A fault that others decided on has met this node."""
        self._strike(fault)

    def freeze(self) -> None:
        """Stop, as SIGSTOP does: nothing gets out or in."""
        if self._thawed is None:
            self._thawed = anyio.Event()

    def thaw(self) -> None:
        """Go on, as if no time had passed."""
        if self._thawed is not None:
            self._thawed.set()
            self._thawed = None

    @property
    def frozen(self) -> bool:
        """Whether it stands still."""
        return self._thawed is not None

    async def pass_gate(self) -> None:
        """Wait while the node is frozen; for ever once it is dead."""
        while self._thawed is not None:
            await self._thawed.wait()
        if self.dead:
            await anyio.sleep_forever()

    async def sleep(self, seconds: float) -> None:
        """Let time pass on the way in or out."""
        await self.pass_gate()
        await anyio.sleep(seconds)
        await self.pass_gate()
