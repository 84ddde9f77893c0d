"""What a call costs. Pure; hosted prices are looked up in ingress/catalogue.py when a policy is published."""

from __future__ import annotations

import msgspec

from shared.money import NanoUsd, round_up


class Price(msgspec.Struct, frozen=True, gc=False):
    """Nano-dollars per million tokens. Cached input that has no price of its own costs as much as other input."""

    input: NanoUsd
    output: NanoUsd
    cached_input: NanoUsd


def cost(price: Price, input_tokens: int, cached_input_tokens: int, output_tokens: int) -> NanoUsd:
    """The whole call, rounded up once. `input_tokens` includes the cached ones, as providers count."""
    return round_up(
        (input_tokens - cached_input_tokens) * price.input
        + cached_input_tokens * price.cached_input
        + output_tokens * price.output
    )
