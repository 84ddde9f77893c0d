from datetime import UTC, datetime

import pytest

from services.ledger import partitions
from services.ledger.partitions import KEYS, Partition


def month(year, number):
    return datetime(year, number, 1, tzinfo=UTC)


FIRST = [Partition(table, f"{table}_before", None, month(2026, 9)) for table in KEYS]
SEPTEMBER = [Partition(table, f"{table}_2026_09", month(2026, 9), month(2026, 10)) for table in KEYS]


@pytest.mark.parametrize(
    ("moment", "begin", "end"),
    [
        ("2026-11-30T23:59:59.999999+00:00", month(2026, 11), month(2026, 12)),
        ("2026-12-01T00:30:00+02:00", month(2026, 11), month(2026, 12)),
        ("2026-12-31T00:00:00+00:00", month(2026, 12), month(2027, 1)),
        ("2028-02-29T12:00:00+00:00", month(2028, 2), month(2028, 3)),
    ],
)
def test_a_month_is_utc_s(moment, begin, end):
    assert partitions.month_of(datetime.fromisoformat(moment)) == begin
    assert partitions.after(begin) == end


def test_what_is_missing_is_made_for_each_table_once():
    there = [*FIRST, *SEPTEMBER[1:]]
    wanted = [month(2026, 9), month(2020, 1), month(2026, 9), month(2026, 10)]
    lacking = partitions.missing(there, wanted)
    assert len(lacking) == 1 + len(KEYS)
    assert set(lacking) == {("ledger_requests", month(2026, 9)), *((table, month(2026, 10)) for table in KEYS)}
    assert partitions.missing([*FIRST, *SEPTEMBER], [month(2026, 9), month(1970, 1)]) == []


def test_old_is_what_has_no_row_that_is_to_be_kept():
    there = [*FIRST, *SEPTEMBER]
    assert partitions.old(there, datetime(2026, 8, 31, 23, 59, tzinfo=UTC)) == []
    assert partitions.old(there, month(2026, 9)) == FIRST
    assert partitions.old(there, datetime(2026, 9, 30, 23, 59, tzinfo=UTC)) == FIRST
    assert partitions.old(there, month(2026, 10)) == there
