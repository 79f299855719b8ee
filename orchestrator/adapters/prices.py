"""Prices from the snapshot that the installed genai-prices carries; nothing is fetched."""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from importlib.metadata import version

from genai_prices import Usage
from genai_prices.data_snapshot import DataSnapshot
from genai_prices.types import ModelInfo, Provider
from genai_prices.types import ModelPrice as TablePrice

_VERSION = f"genai-prices {version('genai-prices')}"
_LINEAR = frozenset({"input_mtok", "output_mtok", "cache_read_mtok"})  #: the units that a chat without media has
_MILLION = Decimal(1_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearPrice:
    """So much per million tokens; three multiplications instead of the table's quarter of a millisecond."""

    version: str
    usd_per_million_in: Decimal
    usd_per_million_out: Decimal
    usd_per_million_cached: Decimal

    def usd(self, tokens_in: int, tokens_out: int, tokens_cached: int = 0) -> float:
        return float(
            (
                self.usd_per_million_in * (tokens_in - tokens_cached)
                + self.usd_per_million_cached * tokens_cached
                + self.usd_per_million_out * tokens_out
            )
            / _MILLION
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SteppedPrice:
    """A price with steps (long prompts cost more) or hours, worked out by the table itself."""

    version: str
    provider: Provider
    model: ModelInfo
    at: datetime

    def usd(self, tokens_in: int, tokens_out: int, tokens_cached: int = 0) -> float:
        usage = Usage(input_tokens=tokens_in, output_tokens=tokens_out, cache_read_tokens=tokens_cached)
        return float(self.model.calc_price(usage, self.provider, genai_request_timestamp=self.at).total_price)


class GenaiPrices:
    """The table of genai-prices."""

    def __init__(self) -> None:
        from genai_prices.data import providers

        # Not the module's own snapshot, which a host may have replaced by one of unknown age.
        self._table = DataSnapshot(providers=providers, from_auto_update=False)
        self._linear: dict[tuple[str, str | None, str | None], LinearPrice] = {}

    def price_of(self, model: str, provider: str | None, base_url: str | None) -> LinearPrice | SteppedPrice | None:
        known = self._linear.get((model, provider, base_url))
        if known is not None:
            return known
        try:
            found, info = self._table.find_provider_model(model, None, provider, None if provider else base_url)
        except LookupError:
            return None
        linear = _linear(info)
        if linear is not None:
            self._linear[model, provider, base_url] = linear
            return linear
        return SteppedPrice(version=_VERSION, provider=found, model=info, at=datetime.now(UTC))


def _linear(info: ModelInfo) -> LinearPrice | None:
    prices = info.prices
    if not isinstance(prices, TablePrice):
        return None
    known = {key: price for key, price in prices.__dict__.items() if key in _LINEAR and price is not None}
    per_request = prices.__dict__.get("requests_kcount")
    numbers = {key: price for key, price in known.items() if isinstance(price, Decimal)}
    if len(numbers) != len(known) or per_request is not None or not {"input_mtok", "output_mtok"} <= numbers.keys():
        return None
    return LinearPrice(
        version=_VERSION,
        usd_per_million_in=numbers["input_mtok"],
        usd_per_million_out=numbers["output_mtok"],
        usd_per_million_cached=numbers.get("cache_read_mtok", numbers["input_mtok"]),
    )
