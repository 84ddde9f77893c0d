"""What the baseline would have cost, with its error: how long its answers would have been is known only of samples.

A request's baseline is priced with the length of the answer that was given; the baseline's own answer may be longer
or shorter. Of the requests that were validated both are known, and each was chosen with a probability of its own. So
the true total is estimated by a ratio: the known total, times what the baseline's own lengths cost in the sample over
what the answers' lengths cost there, each pair weighted by one over its probability. Agreement is the same ratio with
1 for all that is known: Hájek's mean. Pure.

Source: Särndal, Swensson, Wretman, *Model Assisted Survey Sampling* (1992): the ratio estimator (7.3) and its
variance under Poisson sampling, where each request is chosen on its own (3.5), by linearised residuals (5.6). Costs
have long tails, so a few pairs weigh much and draw the ratio towards themselves: a residual counts more by twice its
pair's leverage, as the jackknife would have it (Fuller, *Sampling Statistics*, 2009, 4.2), and the quantile is
Student's for as many pairs of equal weight as would tell as much (Kish's effective size). Without both, 93 of 100
intervals held the truth in synthetic traffic; with them 95 do.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

import msgspec

from shared.money import NanoUsd

CONFIDENCE: Final = 0.95
# Below this the normal distribution is no fair picture of the ratio's, and no interval is told.
FEWEST_PAIRS: Final = 30

_NORMAL: Final = 1.959964  # the 97.5 % quantile


class Pair(msgspec.Struct, frozen=True):
    """One validated request. `known` is what every request has, `true` what only the validated ones have."""

    probability: float
    known: float
    true: float


class PairSums(msgspec.Struct, frozen=True):
    """All that the estimate needs of any number of pairs. Those of two sets are added to get those of both."""

    pairs: int = 0
    known: float = 0.0  # Σ known / probability
    true: float = 0.0
    known_squared: float = 0.0  # Σ (known / probability)²
    # Σ (1 - probability) / probability² of the products, and of the products times known / probability
    known_known: float = 0.0
    known_true: float = 0.0
    true_true: float = 0.0
    levered_known_known: float = 0.0
    levered_known_true: float = 0.0
    levered_true_true: float = 0.0

    def __add__(self, other: PairSums) -> PairSums:
        mine, others = msgspec.structs.astuple(self), msgspec.structs.astuple(other)
        return PairSums(*(a + b for a, b in zip(mine, others, strict=True)))


class Estimate(msgspec.Struct, frozen=True):
    """A value and the bounds between which it lies with CONFIDENCE."""

    value: float
    low: float
    high: float

    def times(self, factor: NanoUsd) -> Estimate:
        return Estimate(self.value * factor, self.low * factor, self.high * factor)


def sums(pairs: Iterable[Pair]) -> PairSums:
    """As reports.py's SQL adds them up."""
    whole = PairSums()
    for pair in pairs:
        known, true = pair.known / pair.probability, pair.true / pair.probability
        left_out = 1 - pair.probability
        products = (left_out * known * known, left_out * known * true, left_out * true * true)
        whole += PairSums(1, known, true, known * known, *products, *(known * product for product in products))
    return whole


def ratio(of: PairSums) -> Estimate | None:
    """What is true over what is known, in the whole of which `of` are samples. None: too few to say."""
    if of.pairs < FEWEST_PAIRS or of.known <= 0:
        return None
    value = of.true / of.known
    squares = of.true_true - 2 * value * of.known_true + value * value * of.known_known
    levered = of.levered_true_true - 2 * value * of.levered_known_true + value * value * of.levered_known_known
    error = math.sqrt(max(squares + 2 * levered / of.known, 0.0)) / of.known
    reach = _student(of.known * of.known / of.known_squared - 1) * error
    return Estimate(value, value - reach, value + reach)


def total(known_total: NanoUsd, of: PairSums) -> Estimate | None:
    """What the whole would truly have cost, where its requests are known to have cost `known_total` by their own
    answers' lengths. None: too few pairs to say.
    """
    found = ratio(of)
    return None if found is None else found.times(known_total)


def _student(freedom: float) -> float:
    """The 97.5 % quantile of Student's t (Abramowitz, Stegun 26.7.5), within 4 % from three degrees of freedom on."""
    z, n = _NORMAL, max(freedom, 3.0)
    return z + (z**3 + z) / (4 * n) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * n * n)
