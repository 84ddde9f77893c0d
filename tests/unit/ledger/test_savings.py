"""The savings estimator on synthetic traffic whose truth is known."""

import random

import pytest

from services.ledger.savings import FEWEST_PAIRS, Pair, PairSums, ratio, sums, total

RUNS = 2000
REQUESTS = 2500
# Of each kind of request: with what probability it is validated, and how much longer than the answer the baseline's
# is, in the mean. Kinds that are watched more differ most, so that unweighted pairs would mislead.
KINDS = [(0.04, 1.0), (0.10, 1.4), (0.35, 2.2)]
SHARES = [0.5, 0.3, 0.2]


def traffic(rng):
    """Requests as (probability, known, true): costs have a long tail, and so have the lengths' ratios."""
    for _ in range(REQUESTS):
        ((chance, longer),) = rng.choices(KINDS, SHARES)
        known = rng.lognormvariate(13, 0.9)
        yield chance * rng.uniform(0.5, 1.5), known, known * longer * rng.lognormvariate(-0.125, 0.5)


def coverage(*, weighted):
    """In how many of the runs, one by one sampled from one day's requests, the interval holds the truth."""
    rng = random.Random(20_261_126)
    day = list(traffic(rng))
    truth, known_total = sum(true for _, _, true in day), round(sum(known for _, known, _ in day))
    draw = rng.random
    covered = 0
    for _ in range(RUNS):
        pairs = [Pair(p if weighted else 0.1, known, true) for p, known, true in day if draw() < p]
        estimate = total(known_total, sums(pairs))
        covered += estimate.low <= truth <= estimate.high
    return covered / RUNS


def test_the_interval_holds_the_truth_in_95_of_100_runs():
    assert 0.93 <= coverage(weighted=True) <= 0.97


def test_without_the_weights_it_would_not():
    assert coverage(weighted=False) < 0.5


def test_where_every_request_was_validated_nothing_is_uncertain():
    estimate = total(600, sums([Pair(1.0, 10, 20), Pair(1.0, 20, 10), Pair(1.0, 30, 90)] * 10))
    assert estimate.value == pytest.approx(1200)
    assert estimate.low == estimate.high == estimate.value


def test_few_pairs_tell_nothing():
    one = Pair(0.5, 10, 12)
    assert ratio(sums([one] * (FEWEST_PAIRS - 1))) is None
    assert ratio(sums([one] * FEWEST_PAIRS)) is not None
    assert ratio(sums([Pair(0.5, 0, 0)] * FEWEST_PAIRS)) is None


def test_sums_of_two_sets_are_the_sums_of_both():
    rng = random.Random(1)
    pairs = [Pair(p, known, true) for p, known, true in traffic(rng)]
    both = sums(pairs[:700]) + sums(pairs[700:])
    assert both.pairs == len(pairs)
    assert ratio(both).low == pytest.approx(ratio(sums(pairs)).low)
    assert PairSums() + both == both


def test_a_longer_baseline_makes_the_estimate_larger_and_a_shorter_one_smaller():
    rng = random.Random(2)
    longer = [Pair(0.2, known, 2 * known * rng.uniform(0.9, 1.1)) for _, known, _ in traffic(rng)]
    shorter = [Pair(pair.probability, pair.true, pair.known) for pair in longer]
    assert total(1000, sums(longer)).low > 1000 > total(1000, sums(shorter)).high
