import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.money import decimal_usd, nano_usd, round_up
from shared.prices import Price, cost


@pytest.mark.parametrize(
    ("written", "nano"),
    [(0.005, 5_000_000), ("0.0000000001", 1), (10, 10_000_000_000), ("0", 0), (0.1, 100_000_000), ("1e-9", 1)],
)
def test_an_amount_that_a_person_wrote_is_exact_or_rounded_up(written, nano):
    assert nano_usd(written) == nano


@pytest.mark.parametrize(
    ("nano", "text"),
    [(0, "0"), (1, "0.000000001"), (1_230_000, "0.00123"), (-5_000_000_000, "-5"), (2_500_000_000, "2.5")],
)
def test_an_amount_reads_without_exponent_and_without_loss(nano, text):
    assert decimal_usd(nano) == text
    assert nano_usd(text) == nano


@given(st.integers(0, 10**24))
def test_rounding_goes_up_and_by_less_than_one(amount):
    assert 0 <= round_up(amount) * 1_000_000 - amount < 1_000_000


def test_a_call_is_multiplied_first_and_rounded_once():
    price = Price(input=1, output=1, cached_input=1)
    assert cost(price, 1, 0, 1) == 1  # two roundings would have made it 2


def test_cached_input_is_part_of_the_input_and_has_its_own_price():
    price = Price(input=1_000_000, output=2_000_000, cached_input=100_000)
    assert cost(price, 100, 40, 10) == 60 * 1 + 40 * 100_000 // 1_000_000 + 20
