"""What hosted models cost: from genai-prices, at once and through the providers' batch APIs.

It is 36 MB of pydantic, so it is imported only where there is something to look up.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final, NamedTuple

import msgspec

from services.ingress.model_facts import Known
from shared.policy import PriceSetting

# Prices that step up with a long context are taken at their first step: a thousand tokens stay on it.
_TOKENS: Final = 1000
_PROVIDER_IDS: Final = {"gemini": "google"}
# An alias that the library still takes for the model it named before: priced as what it names now.
_NAMES_NOW: Final = {("mistral", "mistral-large-latest"): "mistral-large-2512"}
# What genai-prices does not know of batch APIs: what share of the price a batch costs at these two providers.
_HALF: Final = Decimal("0.5")
_BATCH_SHARES: Final = {"fireworks": _HALF}
_TOGETHER_DISCOUNTED: Final = frozenset(
    {"meta-llama/Llama-3.3-70B-Instruct-Turbo"}
)  # Together lists it; all else: full


class Priced(msgspec.Struct, frozen=True):
    price: PriceSetting
    model: str  # as genai-prices calls it: a dated name's model
    context_window: int  # tokens; 0: not known


def look_up(provider: str, model: str) -> Priced | None:
    """US dollars per million tokens; None for a model that the library does not know."""
    try:
        return _look_up(provider, _NAMES_NOW.get((provider, model), model))
    except LookupError:
        return None


def as_known(provider: str, model: Known) -> PriceSetting | None:
    """The price in the library's table of models, for those that genai-prices does not know."""
    given = model.price
    if given.input_mtok is None or given.output_mtok is None:
        return None
    cached = given.cache_read_mtok
    per_million = _PerMillion(
        Decimal(str(given.input_mtok)),
        Decimal(str(given.output_mtok)),
        None if cached is None else Decimal(str(cached)),
    )
    return _setting(provider, model.id, per_million, per_million)


class _PerMillion(NamedTuple):
    input: Decimal
    output: Decimal
    cached_input: Decimal | None

    def times(self, share: Decimal) -> _PerMillion:
        cached = None if self.cached_input is None else self.cached_input * share
        return _PerMillion(self.input * share, self.output * share, cached)


def _look_up(provider: str, model: str) -> Priced:
    from genai_prices import Usage, calc_price
    from genai_prices.types import PriceCalculation

    def ask(usage: Usage, processing: str) -> PriceCalculation:
        asked_of = _PROVIDER_IDS.get(provider, provider)
        return calc_price(usage, model, provider_id=asked_of, price_context={"processing": processing})

    def per_million(processing: str) -> _PerMillion:
        return _PerMillion(
            *(
                Decimal(ask(usage, processing).total_price) * 1_000_000 / _TOKENS
                for usage in (
                    Usage(input_tokens=_TOKENS),
                    Usage(output_tokens=_TOKENS),
                    Usage(input_tokens=_TOKENS, cache_read_tokens=_TOKENS),
                )
            )
        )

    found = ask(Usage(input_tokens=_TOKENS), "standard").model
    price = _setting(provider, model, per_million("standard"), per_million("batch"))
    return Priced(price, found.id, found.context_window or 0)


def _setting(provider: str, model: str, standard: _PerMillion, batch: _PerMillion) -> PriceSetting:
    """`batch` as genai-prices has it: for a model without a batch price that is the standard one."""
    share = _BATCH_SHARES.get(provider, _HALF if model in _TOGETHER_DISCOUNTED else None)
    batch = batch if share is None else standard.times(share)
    discounted = batch != standard
    return PriceSetting(
        input_per_1m=float(standard.input),
        output_per_1m=float(standard.output),
        cached_input_per_1m=_float(standard.cached_input),
        batch_input_per_1m=float(batch.input) if discounted else None,
        batch_output_per_1m=float(batch.output) if discounted else None,
        batch_cached_input_per_1m=_float(batch.cached_input) if discounted else None,
    )


def _float(usd: Decimal | None) -> float | None:
    return None if usd is None else float(usd)
