from datetime import date

import pytest

from services.ingress.api_money_reports import between
from shared.contracts import Refusal

TODAY = date(2026, 11, 26)
YESTERDAY = date(2026, 11, 25)


@pytest.mark.parametrize(
    ("first", "last", "day", "days"),
    [
        ("", "", "", (TODAY, TODAY)),
        ("", "", "2026-11-25", (YESTERDAY, YESTERDAY)),
        ("2026-11-25", "", "", (YESTERDAY, TODAY)),
        ("", "2026-11-25", "", (YESTERDAY, YESTERDAY)),
        ("2026-11-25", "2026-11-26", "", (YESTERDAY, TODAY)),
    ],
)
def test_which_days_are_asked_for(first, last, day, days):
    assert between(first, last, day, TODAY) == days


@pytest.mark.parametrize(
    ("first", "last", "day", "param"),
    [
        ("2026-11-25", "", "2026-11-25", "day"),
        ("", "", "yesterday", "day"),
        ("", "", "2026-02-30", "day"),
        ("26.11.2026", "", "", "from"),
        ("", "2026-13-01", "", "to"),
        ("2026-11-27", "2026-11-26", "", "from"),
        ("2026-11-27", "", "", "from"),
    ],
)
def test_days_that_cannot_be_are_refused_with_what_to_send(first, last, day, param):
    refusal = between(first, last, day, TODAY)
    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.param) == (400, param)
