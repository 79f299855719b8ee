"""Models that are opened when something first needs them: an engine whose plans ask no model never loads a client."""

from collections.abc import Callable
from typing import Protocol

from orchestrator.ports.model import Completion, Meter, Models, Prompt


class Closing(Models, Protocol):
    """Models that hold connections."""

    async def aclose(self) -> None:
        """Close them."""
        ...


class LazyModels:
    """`open` gives the models; it is called once, or again after it has failed."""

    def __init__(self, open_: Callable[[], Closing]) -> None:
        self._open = open_
        self._models: Closing | None = None

    def need(self) -> Models:
        """The models, opened by now.

        Raises:
            PromiseError: they cannot be had; the error says what to do.
        """
        if self._models is None:
            self._models = self._open()
        return self._models

    async def complete(self, prompt: Prompt, meter: Meter, on_delta: Callable[[str], None] | None = None) -> Completion:
        """Ask the model of a tier; see `Models.complete`.

        Raises:
            PromiseError: there are no models.
        """
        return await self.need().complete(prompt, meter, on_delta)

    async def aclose(self) -> None:
        """Close what was opened."""
        models, self._models = self._models, None
        if models is not None:
            await models.aclose()
