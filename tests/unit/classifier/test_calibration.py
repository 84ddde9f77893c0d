"""Whatever a provider counts, soon so many tokens are reserved for, and not many more."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.classifier.calibration import Calibration
from shared.contracts import TokensCounted

ESTIMATES = st.integers(1, 200_000)


def learned(*counts):
    one = Calibration()
    one.learn(TokensCounted("small-1", estimated, reported) for estimated, reported in counts)
    return one


def test_what_nothing_is_known_of_is_as_it_was_estimated():
    assert learned((10, 500)).input_tokens("other", 10) == 10


def test_one_count_tells_what_a_template_adds():
    one = learned((10, 1_000))
    assert one.input_tokens("small-1", 10) == 1_000
    assert one.input_tokens("small-1", 50) == 1_040


@given(st.lists(ESTIMATES, min_size=1, max_size=60), st.integers(1, 5000))
def test_a_provider_that_says_the_same_of_everything_is_reserved_for(estimates, says):
    one = learned(*[(estimated, says) for estimated in estimates])
    assert one.input_tokens("small-1", estimates[-1]) >= says


@given(st.lists(st.tuples(ESTIMATES, st.integers(0, 10**7)), max_size=80), ESTIMATES)
def test_no_count_makes_it_less_than_the_estimate_or_fail(counts, estimated):
    assert learned(*counts).input_tokens("small-1", estimated) >= estimated


@pytest.mark.parametrize(
    ("added", "slope", "spread"), [(0, 1.3, 0.1), (40, 1.0, 0.05), (900, 0.2, 0.0), (12, 2.2, 0.3), (0, 0.8, 0.1)]
)
def test_of_texts_that_vary_few_are_counted_for_more_than_is_reserved(added, slope, spread):
    rng = random.Random(7)
    one, short, reserved, counted = Calibration(), 0, 0, 0
    for number in range(2_000):
        estimated = int(rng.lognormvariate(5, 1)) + 1
        reported = round(added + slope * estimated * rng.uniform(1 - spread, 1 + spread))
        if number >= 20:
            told = one.input_tokens("small-1", estimated)
            short += told < reported
            reserved, counted = reserved + told, counted + reported
        one.learn([TokensCounted("small-1", estimated, reported)])
    assert short <= 0.04 * 2_000
    assert reserved <= 1.5 * counted


def test_what_was_counted_once_and_never_again_is_forgotten():
    one = learned((100, 5_000), *[(100, 120)] * 500)
    assert one.input_tokens("small-1", 100) <= 125


def test_one_absurd_count_does_not_lock_a_budget():
    assert learned((10, 10**9)).input_tokens("small-1", 10) <= 10_000
