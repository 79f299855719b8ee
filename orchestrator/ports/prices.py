"""The prices port: what tokens of a model cost."""

from typing import Protocol


class ModelPrice(Protocol):
    """The price of one model, fixed when it was looked up."""

    @property
    def version(self) -> str:
        """Which table it comes from; empty for a model that is free by settings."""
        ...

    def usd(self, tokens_in: int, tokens_out: int, tokens_cached: int = 0) -> float:
        """What so many tokens cost, in USD; `tokens_cached` of `tokens_in` came from the provider's prompt cache."""
        ...


class Prices(Protocol):
    """A table of prices."""

    def price_of(self, model: str, provider: str | None, base_url: str | None) -> ModelPrice | None:
        """The price of a model at a provider (its name, or else the address it is served at); None when unknown."""
        ...
