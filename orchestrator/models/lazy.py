"""Models that are opened when something first needs them: an engine whose plans ask no model never loads a client."""

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from orchestrator.errors import PromiseError
from orchestrator.ports.model import Completion, Meter, Models, Prompt, Tier

if TYPE_CHECKING:
    from orchestrator.models.routes import Route


class Closing(Models, Protocol):
    """Models that hold connections."""

    @property
    def tiers(self) -> Collection[str]:
        """The tiers that have a model."""
        ...

    async def aclose(self) -> None:
        """Close them."""
        ...


@runtime_checkable
class Routed(Protocol):
    """Models that tell which ones answer a tier."""

    def routes(self, tier: Tier) -> "tuple[Route, ...]":
        """In their order; none for a tier without models."""
        ...


class LazyModels:
    """`open` gives the models; it is called once, or again after it has failed."""

    def __init__(self, open_: Callable[[], Closing]) -> None:
        self._open = open_
        self._models: Closing | None = None

    def need(self, tier: Tier | None = None) -> Models:
        """The models, opened by now.

        Raises:
            PromiseError: they cannot be had, or none of them has the tier; the error says what to do.
        """
        if self._models is None:
            self._models = self._open()
        if tier is not None and tier not in self._models.tiers:
            raise PromiseError(
                f"no model has the tier {tier}", f"name one, such as ORCHESTRATOR_MODELS__TIERS__{tier.upper()}=name"
            )
        return self._models

    @property
    def tiers(self) -> Collection[str]:
        """The tiers that have a model. Raises PromiseError: there are no models."""
        self.need()
        assert self._models is not None, "opened by now"
        return self._models.tiers

    def routes(self, tier: Tier) -> "tuple[Route, ...]":
        """The models of a tier, in their order. Raises PromiseError: there are no models."""
        models = self.need(tier)
        return models.routes(tier) if isinstance(models, Routed) else ()

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
