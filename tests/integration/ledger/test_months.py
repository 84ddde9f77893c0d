"""What is kept by the month: made when it is needed, dropped when it is old, and never half."""

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from services.ledger import core, partitions, retention
from services.ledger.store import Store
from shared.policy import Retention
from tests.support.ledger import alembic, database_settings, ledger, querying
from tests.support.usage import NOON_US, message, usage, validation
from tests.support.wait import eventually

MONTH_US = 31 * 86_400_000_000
NOON = datetime.fromtimestamp(NOON_US / 1e6, UTC)
MONTHS = """
    SELECT DISTINCT right(child.relname, 7) AS month FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid
    WHERE child.relname LIKE 'ledger_%' AND child.relkind = 'r' ORDER BY 1
"""


@pytest.fixture
async def store(database_url):
    one = Store(database_settings(database_url))
    yield one
    await one.aclose()


@pytest.fixture
async def connection(database_url):
    one = await asyncpg.connect(database_url)
    yield one
    await one.close()


def batch(*records, validations=()):
    return core.read([message(*records, validations=validations)])


async def months(query):
    return [row["month"] for row in await query(MONTHS)]


async def test_a_record_of_any_month_finds_its_place(store, query):
    long_ago, far_off = usage(2, received_at_us=0), usage(3, received_at_us=core.LAST_MOMENT_US)
    assert await store.record(batch(usage(1), long_ago, far_off).entries) == []
    assert await store.record_validations(batch(validations=(validation(1, received_at_us=1),)).validations) == []
    assert await months(query) == ["1970_01", "2026_09", "9999_01"]
    verdicts = await store.record(batch(usage(1), long_ago, far_off, usage(4)).entries)
    assert len(verdicts) == 3
    assert (await query("SELECT sum(requests) FROM tierwise.spend_daily"))[0][0] == 4


async def test_a_request_of_two_sends_across_the_end_of_a_month_stays_together(store, query):
    end = datetime(2026, 9, 30, 23, 59, 59, 999_000, UTC)
    at = round(end.timestamp() * 1e6)
    await store.record(batch(usage(1, received_at_us=at)).entries)
    resent = usage(1, send=1, received_at_us=at, calls=({"started_at_us": at + 2_000_000},))
    await store.record(batch(resent).entries)
    assert await months(query) == ["2026_09"]
    assert (await query("SELECT cost_nano_usd FROM tierwise.requests"))[0][0] == 1500


async def test_the_next_month_is_made_before_it_begins_and_an_old_one_goes_as_a_whole(store, query, connection):
    await store.record(batch(usage(1), usage(2, received_at_us=NOON_US + MONTH_US)).entries)
    await store.record_validations(batch(validations=(validation(1),)).validations)
    kept = await query("SELECT * FROM tierwise.spend_daily ORDER BY day")

    await retention.keep(connection, NOON + timedelta(days=4), None)
    assert await months(query) == ["2026_09", "2026_10"]
    await retention.keep(connection, datetime(2026, 10, 26, tzinfo=UTC), Retention(requests_days=25))
    assert await months(query) == ["2026_09", "2026_10", "2026_11"]  # September's last day is still to be kept
    await retention.keep(connection, datetime(2026, 10, 26, tzinfo=UTC), Retention(requests_days=24))
    assert await months(query) == ["2026_10", "2026_11"]

    assert [row["request_id"][-1] for row in await query("SELECT request_id FROM tierwise.requests")] == ["2"]
    for table in ("ledger_transfers", "ledger_pairs"):
        rows = await query(f"SELECT FROM tierwise.{table} WHERE received_at < '2026-10-01Z'")
        assert rows == []
    assert await query("SELECT * FROM tierwise.spend_daily ORDER BY day") == kept


@pytest.mark.parametrize("days", [0, 10**9])
async def test_any_number_of_days_can_be_kept(store, query, connection, days):
    await store.record(batch(usage(1)).entries)
    await retention.keep(connection, NOON + timedelta(days=70), Retention(requests_days=days))
    assert ("2026_09" in await months(query)) == (days > 0)


async def test_a_month_that_is_being_read_is_dropped_later_and_nobody_waits_for_long(
    store, query, connection, database_url, monkeypatch
):
    monkeypatch.setattr(retention, "DROP_WAIT_S", 0.1)
    await store.record(batch(usage(1)).entries)
    later = NOON + timedelta(days=200)
    async with querying(database_url) as reader:
        await reader("BEGIN")
        await reader("SELECT FROM tierwise.requests")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await retention.keep(connection, later, Retention(requests_days=1))
        assert "2026_09" in await months(query)
        await reader("COMMIT")
    await retention.keep(connection, later, Retention(requests_days=1))
    assert "2026_09" not in await months(query)


async def test_a_ledger_writes_while_somebody_reads_and_a_month_is_made(nats_url, database_url, dispatcher, query):
    async with querying(database_url) as reader, ledger(nats_url, database_url):
        await dispatcher.send(usage(1))
        await eventually(dispatcher.all_acked, "acks")
        await reader("BEGIN")
        await reader("SELECT FROM tierwise.requests")
        await dispatcher.send(usage(2, received_at_us=NOON_US + MONTH_US))
        await eventually(dispatcher.all_acked, "acks")
        await reader("COMMIT")
    assert await months(query) == ["2026_09", "2026_10"]


async def test_two_ledgers_that_need_a_month_make_it_once(store, database_url, connection):
    other = await asyncpg.connect(database_url)
    try:
        transaction = other.transaction()
        await transaction.start()
        assert await partitions.make(other, [NOON]) == len(partitions.KEYS)
        waiting = asyncio.create_task(partitions.make(connection, [NOON]))
        await transaction.commit()
        assert await waiting == 0
    finally:
        await other.close()


# The migration ----------------------------------------------------------------------------------------------

FAR_US = round(datetime(2031, 3, 5, tzinfo=UTC).timestamp() * 1e6)  # a clock was wrong
LATE = {"started_at_us": NOON_US + 9_000_000, "cost_nano_usd": 100}
FAILED = ({"outcome": "failed", "backend": "small-2", "usage_source": "unknown", "cost_nano_usd": 5_000}, {})
OF_BEFORE = (
    usage(1),
    usage(2, calls=FAILED),
    usage(3, received_at_us=0),
    usage(4, received_at_us=FAR_US, calls=FAILED),
    usage(5, reason="budget_downgrade"),
    usage(6, calls=(LATE,)),
    usage(6, send=1),
    usage(7, service="backend:small-1"),
    usage(8, attempts=(), cost_nano_usd=0, cache="hit"),
)
VIEWS = (
    "SELECT * FROM tierwise.requests ORDER BY request_id",
    "SELECT * FROM tierwise.attempts ORDER BY request_id, send, attempt",
    "SELECT * FROM tierwise.spend_daily ORDER BY day, service, tier, backend",
)
BOOKS = (
    """SELECT request_id, send, attempt, cause, received_at, day, debit_account, credit_account, amount_nano_usd,
        amount_source, policy_version FROM tierwise.ledger_transfers ORDER BY request_id, send, attempt""",
    "SELECT * FROM tierwise.ledger_days ORDER BY day, service, category, tier, backend, payer",
    "SELECT * FROM tierwise.savings_daily ORDER BY day, service, category",
)


async def test_rows_of_before_are_kept_and_get_their_transfers_and_days(database_url, store, query):
    await store.record(batch(*OF_BEFORE).entries)
    await store.aclose()
    views, booked = [[await query(each) for each in group] for group in (VIEWS, BOOKS)]

    assert (await alembic(database_url, "downgrade", "0003"))[0] == 0
    assert [await query(view) for view in VIEWS] == views
    began = datetime.now(UTC)
    code, output = await alembic(database_url, "upgrade", "head")
    assert code == 0, output
    assert [await query(view) for view in VIEWS] == views
    assert [await query(book) for book in BOOKS] == booked
    nexts = {partitions.after(began), partitions.after(datetime.now(UTC))}  # a month may have ended meanwhile
    assert await months(query) in [sorted({f"{after:%Y_%m}", "2031_03"}) for after in nexts]

    known = await store.record(batch(*OF_BEFORE, usage(9), usage(10, received_at_us=FAR_US)).entries)
    assert len(known) == len(OF_BEFORE)
    await store.aclose()
    assert (await alembic(database_url, "check"))[0] == 0
    views = [await query(view) for view in VIEWS]
    assert len(views[0]) == len({record.request_id for record in OF_BEFORE}) + 2
    assert (await alembic(database_url, "downgrade", "0001"))[0] == 0
    assert [await query(view) for view in VIEWS] == views
