from datetime import UTC, datetime

import pytest

from shared.budgets import Limits, budget_day
from shared.policy import Budget


def at_us(*moment):
    return int(datetime(*moment, tzinfo=UTC).timestamp()) * 1_000_000


HOUR_US = 3_600_000_000


@pytest.mark.parametrize(
    ("timezone", "moment", "day", "hours"),
    [
        ("UTC", (2026, 11, 25, 23, 59, 59), "2026-11-25", 24),
        ("Europe/Berlin", (2026, 11, 25, 23, 0, 0), "2026-11-26", 24),
        ("Europe/Berlin", (2026, 11, 25, 22, 59, 59), "2026-11-25", 24),
        ("Europe/Berlin", (2026, 3, 29, 12), "2026-03-29", 23),
        ("Europe/Berlin", (2026, 10, 25, 12), "2026-10-25", 25),
        ("America/Havana", (2026, 3, 8, 12), "2026-03-08", 23),
        ("America/Havana", (2026, 11, 1, 12), "2026-11-01", 25),
        ("Asia/Kolkata", (2026, 11, 25, 18, 30), "2026-11-26", 24),
        ("America/Asuncion", (2023, 3, 26, 2, 30), "2023-03-25", 25),
    ],
    ids=[
        "utc", "midnight", "before it", "an hour less", "an hour more", "left out at midnight", "twice after it",
        "half hours", "twice before it",
    ],
)  # fmt: skip
def test_a_day_is_from_midnight_to_midnight_of_its_time_zone(timezone, moment, day, hours):
    found = budget_day(timezone, at_us(*moment))
    assert found.day == day
    assert found.starts_us <= at_us(*moment) < found.ends_us
    assert found.ends_us - found.starts_us == hours * HOUR_US


@pytest.mark.parametrize("timezone", ["America/Havana", "America/Asuncion", "Europe/Berlin", "Pacific/Apia"])
def test_every_moment_is_within_its_day(timezone):
    for moment in range(at_us(2011, 12, 1), at_us(2012, 12, 1), HOUR_US // 2):
        day = budget_day(timezone, moment)
        assert day.starts_us <= moment < day.ends_us


def test_what_an_operator_set_is_stronger_than_the_file_and_the_default_is_for_the_rest():
    limits = Limits(
        {"default": Budget(daily_usd=50), "billing": Budget(daily_usd=1, downgrade_to="small")},
        {"billing": Budget(daily_usd=0.000_000_000_1, on_exhausted="reject")},
    )
    billing, other = limits.of("billing"), limits.of("legal")
    assert billing is not None
    assert other is not None
    assert (billing.daily_nano_usd, billing.on_exhausted, billing.downgrade_to) == (1, "reject", "")
    assert other.daily_nano_usd == 50_000_000_000
    assert limits.named == ("default", "billing")
    assert limits.zones == {"default": "UTC", "billing": "UTC"}


def test_without_a_default_the_rest_has_no_limit():
    assert Limits({"billing": Budget(daily_usd=1)}).of("legal") is None
    assert Limits().of("default") is None
