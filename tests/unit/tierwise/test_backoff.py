import pytest

from tierwise.backoff import next_delay


@pytest.mark.parametrize(
    ("previous_s", "alive_s", "expected"),
    [
        (None, 0.0, 0.1),
        (0.1, 0.0, 0.2),
        (3.2, 0.0, 5.0),
        (5.0, 29.9, 5.0),
        (5.0, 30.0, 0.1),
    ],
)
def test_the_delay_doubles_to_its_roof_and_a_long_life_clears_it(previous_s, alive_s, expected):
    assert next_delay(previous_s, alive_s) == expected


def test_a_part_that_dies_at_once_is_tried_seven_times_in_the_first_seven_seconds():
    waited = 0.0
    delay = None
    for _ in range(6):
        delay = next_delay(delay, 0.0)
        waited += delay
    assert waited < 7
