"""The store alone, beside another that writes the same rows."""

import asyncio

import pytest

from services.ledger import core
from services.ledger.core import Verdict
from services.ledger.store import Store
from tests.support.ledger import database_settings, querying
from tests.support.usage import message, usage
from tests.support.wait import eventually

REQUESTS = "SELECT request_id FROM tierwise.ledger_requests ORDER BY request_id"
LEDGERS = "FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'tierwise-ledger'"
TAKE = "INSERT INTO tierwise.ledger_requests SELECT * FROM kept WHERE request_id = $1"


@pytest.fixture
async def store(database_url):
    one = Store(database_settings(database_url))
    yield one
    await one.aclose()


def entries(*records):
    return core.read([message(*records)]).entries


def unpaid(number):
    return usage(number, cost_nano_usd=0)


@pytest.mark.parametrize("there", [(), (unpaid(3),)])  # the batch is new as a whole, or has something known before
@pytest.mark.parametrize(("others_end", "duplicates"), [("COMMIT", 2), ("ROLLBACK", 0)])
async def test_a_ledger_that_deadlocks_with_another_begins_again_on_its_connection(
    database_url, query, store, there, others_end, duplicates
):
    batch = entries(*there, unpaid(1), unpaid(2))  # so that no transfer tells of what is deleted below
    (name,) = (await query("SELECT current_database()"))[0]
    await query(f"ALTER DATABASE {name} SET deadlock_timeout = '2s'")
    assert await store.record(batch) == []
    await query("CREATE TABLE kept AS SELECT * FROM tierwise.ledger_requests")
    await query("DELETE FROM tierwise.ledger_requests WHERE request_id <> $1", usage(3).request_id)
    connection = await query(f"SELECT pid {LEDGERS}")
    async with querying(database_url) as other:
        await other("SET deadlock_timeout = '1min'")  # so that it is the ledger whom PostgreSQL ends
        await other("BEGIN")
        await other(TAKE, usage(2).request_id)
        recording = asyncio.create_task(store.record(batch))
        await eventually(lambda: query(f"SELECT {LEDGERS} AND wait_event_type = 'Lock'"), "the ledger to wait")
        await other(TAKE, usage(1).request_id)
        await other(others_end)
    verdicts = [verdict for _, verdict in await recording]
    assert verdicts == [Verdict.DUPLICATE] * (len(there) + duplicates)
    assert len(await query(REQUESTS)) == len(batch)
    assert await query(f"SELECT pid {LEDGERS}") == connection
