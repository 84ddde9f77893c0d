import random
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo, available_timezones

import pytest

from services.ledger.days import Days, utc_day


def at_us(moment: str) -> int:
    return round(datetime.fromisoformat(moment).timestamp() * 1_000_000)


DAYS = Days(
    {
        "billing": "Europe/Berlin",
        "legal": "Asia/Kolkata",
        "island": "Pacific/Kiritimati",
        "lost": "Mars/Olympus_Mons",
        "odd": "../etc/passwd",
        "default": "America/New_York",
    }
)


@pytest.mark.parametrize(
    ("service", "moment", "day"),
    [
        ("billing", "2026-11-25T22:59:59.999999Z", date(2026, 11, 25)),
        ("billing", "2026-11-25T23:00:00Z", date(2026, 11, 26)),
        ("billing", "2026-07-25T22:00:00Z", date(2026, 7, 26)),  # in summer an hour earlier
        ("billing", "2026-03-29T00:59:59Z", date(2026, 3, 29)),  # the clock goes forward an hour
        ("billing", "2026-03-29T21:59:59Z", date(2026, 3, 29)),
        ("billing", "2026-03-29T22:00:00Z", date(2026, 3, 30)),
        ("legal", "2026-11-25T18:29:59Z", date(2026, 11, 25)),  # half an hour off
        ("legal", "2026-11-25T18:30:00Z", date(2026, 11, 26)),
        ("island", "2026-11-25T10:00:00Z", date(2026, 11, 26)),
        ("of nobody's budget", "2026-11-26T04:59:59Z", date(2026, 11, 25)),
        ("of nobody's budget", "2026-11-26T05:00:00Z", date(2026, 11, 26)),
        ("default", "2026-11-26T04:59:59Z", date(2026, 11, 25)),
    ],
)
def test_a_day_begins_at_midnight_where_its_budget_is(service, moment, day):
    assert DAYS.of(service, at_us(moment)) == day


@pytest.mark.parametrize("service", ["lost", "odd"])
def test_a_zone_that_nobody_knows_is_that_of_all_other_services(service):
    assert DAYS.of(service, at_us("2026-11-26T04:59:59Z")) == date(2026, 11, 25)


def test_without_budgets_days_are_utc_s():
    for moment in ("2026-11-25T23:59:59.999999Z", "2026-11-26T00:00:00Z", "1970-01-01T00:00:00Z"):
        day = date.fromisoformat(moment[:10])
        assert Days({}).of("any", at_us(moment)) == utc_day("any", at_us(moment)) == day


def test_a_quarter_of_an_hour_has_one_day_wherever_one_is():
    rng = random.Random(20_261_126)
    zones = sorted(available_timezones())
    for _ in range(20_000):
        zone = rng.choice(zones)
        moment = rng.randrange(at_us("2012-01-01T00:00:00Z"), at_us("2037-12-31T00:00:00Z"))
        told = datetime.fromtimestamp(moment / 1e6, UTC).astimezone(ZoneInfo(zone)).date()
        assert Days({"default": zone}).of("any", moment) == told, (zone, moment)
