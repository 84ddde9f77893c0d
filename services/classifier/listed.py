"""A backend as decisions see it, and what a call of it may cost. Pure."""

from __future__ import annotations

from typing import Final

import msgspec

from services.classifier.measured import Measured
from shared.money import TOKENS_PER_PRICE, NanoUsd
from shared.prices import Price, cost

UNKNOWN_OUTPUT_CAP: Final = 4096  # reserved where neither the caller nor the model says how long an answer gets
LARGEST_AMOUNT: Final = 2**63 - 1  # what a message and a column can hold
# Put in at most: a provider refuses a cap above the model's own maximum, which we need not know. Most allow so much.
LARGEST_CAP: Final = 16_384

# What an answer comes to, in tokens, for comparing prices: round guesses, until the ledger's own figures are used.
USUAL_OUTPUT: Final = {
    "extraction": 150,
    "summarisation": 200,
    "classification": 20,
    "reasoning": 800,
    "code": 800,
    "general": 400,
}
# The length that one answer in a hundred exceeds, likewise; and below four times that nobody's answer is cut.
P99_OUTPUT: Final = {
    "extraction": 600,
    "summarisation": 600,
    "classification": 100,
    "reasoning": 4000,
    "code": 4000,
    "general": 1500,
}
LEAST_CAP: Final = {category: max(1024, 4 * tokens) for category, tokens in P99_OUTPUT.items()}


class Listed(msgspec.Struct, frozen=True, gc=False):
    name: str
    tier: int  # its place, the cheapest is 0
    price: Price
    context_window: int  # tokens; 0: not known
    capabilities: frozenset[str] | None  # None: not known, so nothing is ruled out
    provider: str = ""
    not_heeded: int = 0  # fields.py's bits
    longest_answer: int = 0  # tokens at which the model itself stops; 0: not known
    unfit: str = ""  # why nobody can be sent there under this policy; empty: they can


def usual_output(measured: Measured) -> int:
    """Tokens that an answer of this category usually has, within the caller's cap. An estimate."""
    usual = USUAL_OUTPUT[measured.category]
    return (min(usual, measured.output_cap) if measured.output_cap else usual) * measured.choices


def usual_price(one: Listed, measured: Measured) -> int:
    """What the task usually comes to there: nano-dollars times a million, for comparing. No tool's result counts."""
    return measured.task_tokens * one.price.input + usual_output(measured) * one.price.output


def longest(one: Listed) -> int:
    """Tokens that an answer of it may have: as many as the model gives, else as fit into its window. 0: not known."""
    return one.longest_answer or one.context_window


def worst_case(one: Listed, measured: Measured, output_cap: int = 0) -> NanoUsd:
    """What a call may cost at most, as far as lengths can be known: what is reserved for it."""
    cap = output_cap or measured.output_cap or longest(one) or UNKNOWN_OUTPUT_CAP
    return min(cost(one.price, measured.input_tokens, 0, cap * measured.choices), LARGEST_AMOUNT)


def cap_within(one: Listed, measured: Measured, limit: NanoUsd) -> int:
    """The longest answer of it that `limit` pays for, as a cap to put in; 0: none that is long enough.

    A cap of the caller's own is not touched.
    """
    if measured.output_cap:
        return 0
    spare = limit * TOKENS_PER_PRICE - measured.input_tokens * one.price.input
    a_token = one.price.output * measured.choices
    if spare < 0:
        return 0
    most = largest_cap(one, measured)
    cap = min(spare // a_token, most) if a_token else most
    return cap if cap == most or cap >= LEAST_CAP[measured.category] else 0


def largest_cap(one: Listed, measured: Measured) -> int:
    """The largest that it takes: servers refuse one beyond the model's own maximum, or what the prompt leaves."""
    most = min(one.longest_answer or LARGEST_CAP, LARGEST_CAP)
    if not one.context_window:
        return most
    return min(most, max(1, one.context_window - measured.input_tokens * 9 // 8))  # our count is an estimate
