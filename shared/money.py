"""Nano-dollars: the one unit of money, and the one rounding rule. No float touches an amount."""

from __future__ import annotations

from decimal import Decimal
from typing import Final, TypeAlias

NanoUsd: TypeAlias = int

NANO: Final = 1_000_000_000
TOKENS_PER_PRICE: Final = 1_000_000  # prices are nano-dollars per million tokens
# Of one call: ten million dollars. No price and no window make one so dear, and a thousand of what is dearer would
# burst a day's sum, and with it the recording of all that comes after them.
LARGEST_NANO_USD: Final = 10_000_000 * NANO


def nano_usd(usd: float | str | Decimal) -> NanoUsd:
    """An amount that a person wrote, in nano-dollars, rounded up. `0.005` means five thousandths exactly."""
    exact = Decimal(str(usd)) * NANO
    return int(exact.to_integral_value(rounding="ROUND_CEILING"))


def round_up(amount_times_million: int) -> NanoUsd:
    """Tokens times a price per million tokens, as nano-dollars: divided once, and upwards."""
    return -(-amount_times_million // TOKENS_PER_PRICE)


def decimal_usd(amount: NanoUsd) -> str:
    """`1_230_000` as `0.00123`: exact, without an exponent, for headers and people."""
    sign = "-" if amount < 0 else ""
    whole, fraction = divmod(abs(amount), NANO)
    digits = f"{fraction:09d}".rstrip("0")
    return f"{sign}{whole}.{digits}" if digits else f"{sign}{whole}"
