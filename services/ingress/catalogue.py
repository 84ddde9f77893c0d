"""Prices of hosted models that tierwise.yaml leaves out, looked up as the policy is published.

genai-prices knows them. It is 36 MB of pydantic, so it is imported only where there is something to look up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

import msgspec

from shared.policy import Backend, Policy, PolicyFault, PriceSetting

# Prices that step up with a long context are taken at their first step: a thousand tokens stay on it.
_TOKENS: Final = 1000
_PROVIDER_IDS: Final = {"gemini": "google"}


def with_prices(policy: Policy) -> Policy:
    """`policy` with a price on every backend. Raises PolicyFault for those that nobody knows."""
    if all(backend.price is not None for backend in policy.backends):
        return policy
    priced, faults = [], []
    for i, backend in enumerate(policy.backends):
        price = backend.price or _look_up(backend)
        if price is None:
            faults.append(
                f"backends[{i}] ({backend.name}).price: no price is known for {backend.provider}'s model "
                f"{backend.model!r}; give it: price: {{input_per_1m: …, output_per_1m: …}}"
            )
        priced.append(msgspec.structs.replace(backend, price=price))
    if faults:
        raise PolicyFault(faults)
    return msgspec.structs.replace(policy, backends=tuple(priced))


def _look_up(backend: Backend) -> PriceSetting | None:
    from genai_prices import Usage, calc_price

    def per_million(usage: Usage) -> float:
        found = calc_price(
            usage, backend.model, provider_id=_PROVIDER_IDS.get(backend.provider, backend.provider)
        ).total_price
        return float(Decimal(found) * 1_000_000 / _TOKENS)

    try:
        return PriceSetting(
            input_per_1m=per_million(Usage(input_tokens=_TOKENS)),
            output_per_1m=per_million(Usage(output_tokens=_TOKENS)),
            cached_input_per_1m=per_million(Usage(input_tokens=_TOKENS, cache_read_tokens=_TOKENS)),
        )
    except LookupError:
        return None


class Completed(msgspec.Struct, frozen=True):
    """A policy with all that could be found out about its backends, and those that gave no answer."""

    policy: Policy
    unanswered: tuple[str, ...] = ()


async def completed(policy: Policy, _environment: Mapping[str, str]) -> Completed:
    """`policy` with a price on every backend. Raises PolicyFault for those that nobody knows."""
    return Completed(await asyncio.to_thread(with_prices, policy))
