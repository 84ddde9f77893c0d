"""Usage on a real stream into real tables."""

import asyncio
import random
from contextlib import asynccontextmanager

import pytest
from nats.js.errors import NoStreamResponseError

from shared.contracts import encode
from shared.streams import USAGE
from tests.support.folders import passable_folder
from tests.support.ledger import Running, alembic, dispatcher_at, ledger, querying, serving
from tests.support.own_nats import own_nats
from tests.support.usage import NOON_US, message, usage
from tests.support.wait import eventually
from tierwise.embedded.nats import nats_part
from tierwise.embedded.postgres import PostgresServer, postgres_part
from tierwise.embedded.postgres_place import find_place
from tierwise.ports import FreePorts

SOON_S = 8.0  # two, where nobody else uses the machine; what was lost on the way comes again after ten
REQUESTS = "SELECT request_id, cost_nano_usd FROM tierwise.requests ORDER BY request_id"


async def test_a_row_is_there_soon(nats_url, database_url, dispatcher, query):
    async with ledger(nats_url, database_url) as running_ledger:
        await eventually(lambda: running_ledger.readiness.ready, "the ledger to be ready")
        for number in (1, 2, 3):
            await dispatcher.send(usage(number))
            await eventually(lambda n=number: has_rows(query, n), "the row", within_s=SOON_S)
        await eventually(dispatcher.all_acked, "acks")


async def has_rows(query, number):
    return len(await query(REQUESTS)) == number


async def test_what_is_delivered_twice_is_one_row(nats_url, database_url, dispatcher, query):
    for _ in range(2):
        await dispatcher.send(usage(1), usage(2))
        await dispatcher.send(usage(2), usage(3))
    async with ledger(nats_url, database_url) as one:
        await eventually(dispatcher.all_acked, "acks")
        assert [row["request_id"][-1] for row in await query(REQUESTS)] == ["1", "2", "3"]
        assert len(await query("SELECT FROM tierwise.attempts")) == 3
        assert one.counted("records") == 3
        assert one.counted("duplicates") == 5
        assert one.counted("conflicts") == one.counted("poison") == 0


async def test_other_content_under_the_same_key_is_kept_aside(nats_url, database_url, dispatcher, query):
    async with ledger(nats_url, database_url) as one:
        await dispatcher.send(usage(1))
        await eventually(dispatcher.all_acked, "acks")
        for _ in range(2):
            await dispatcher.send(usage(1, cost_nano_usd=1), usage(2))
        await eventually(dispatcher.all_acked, "acks")
        rows = await query(REQUESTS)
        assert [row["cost_nano_usd"] for row in rows] == [750, 750]
        (conflict,) = await query("SELECT request_id, send, raw FROM tierwise.ledger_conflicts")
        assert tuple(conflict) == (usage(1).request_id, 0, encode(usage(1, cost_nano_usd=1)))
        assert one.counted("conflicts") == 2


POISON = [
    b"no message of ours",
    message(usage(7, service="a\0b")),
    message(usage(7, cost_nano_usd=2**63)),
    message(usage(7, send=40_000)),
    message(usage(7, request_id=random.Random(1).randbytes(6000).hex())),
    message(usage(7, calls=({"started_at_us": 2**62},))),
    message(usage(7, attempts=(usage(7).attempts[0], usage(7).attempts[0]))),
]


async def test_poison_is_recorded_and_ended_and_its_neighbours_survive(nats_url, database_url, dispatcher, query):
    ended = await dispatcher.client.subscribe(f"$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.{USAGE}.>")
    for number, poison in enumerate(POISON):
        await dispatcher.send(usage(10 + number))
        await dispatcher.send_raw(poison)
    await dispatcher.send(usage(1), usage(2, model="\0"), usage(3))
    async with ledger(nats_url, database_url) as one:
        await eventually(dispatcher.all_acked, "acks")
        assert one.counted("poison") == len(POISON) + 1
        expected = {usage(number).request_id for number in (1, 3, *range(10, 10 + len(POISON)))}
        assert {row["request_id"] for row in await query(REQUESTS)} == expected
        buried = await query("SELECT raw, reason FROM tierwise.ledger_poison")
        assert encode(usage(2, model="\0")) in {row["raw"] for row in buried}
        assert POISON[0] in {row["raw"] for row in buried}
        assert all(row["reason"] for row in buried)
        for _ in range(len(POISON) + 1):
            await ended.next_msg(timeout=5)


async def test_poison_that_comes_again_is_one_row(nats_url, database_url, dispatcher, query):
    for _ in range(3):
        await dispatcher.send_raw(b"again and again")
    async with ledger(nats_url, database_url):
        await eventually(dispatcher.all_acked, "acks")
    assert len(await query("SELECT FROM tierwise.ledger_poison")) == 1


LATER = {"started_at_us": NOON_US + 9_000_000, "cost_nano_usd": 100}


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
@pytest.mark.parametrize("together", [True, False])
async def test_a_request_that_was_sent_twice_shows_the_answer_that_was_first_and_the_cost_of_both(
    nats_url, database_url, dispatcher, query, order, together
):
    sends = [usage(1, calls=(LATER,), backend="late"), usage(1, send=1, backend="early")]
    async with ledger(nats_url, database_url) as one:
        for records in [[sends[i] for i in order]] if together else [[sends[i]] for i in order]:
            await dispatcher.send(*records)
            await eventually(dispatcher.all_acked, "acks")
        await dispatcher.send(*sends)
        await eventually(dispatcher.all_acked, "acks")
        (row,) = await query("SELECT backend, cost_nano_usd, saved_nano_usd FROM tierwise.requests")
        assert tuple(row) == ("early", 850, 98_000 - 850)
        attempts = await query("SELECT send, attempt FROM tierwise.attempts ORDER BY send")
        assert [tuple(attempt) for attempt in attempts] == [(0, 1), (1, 1)]
        (resend,) = await query("SELECT backend, lease_id FROM tierwise.ledger_resends")
        assert resend["backend"] == "late"
        assert (await query("SELECT sum(cost_nano_usd) AS sum FROM tierwise.spend_daily"))[0]["sum"] == 850
        assert one.counted("resends") == 1
        assert one.counted("duplicates") == 2


async def test_many_records_in_many_messages(nats_url, database_url, dispatcher, query):
    async with ledger(nats_url, database_url):
        for first in range(1, 3001, 10):
            await dispatcher.send(*(usage(number) for number in range(first, first + 10)))
        await eventually(dispatcher.all_acked, "acks")
    rows = await query("SELECT count(*), sum(cost_nano_usd) FROM tierwise.requests")
    assert tuple(rows[0]) == (3000, 3000 * 750)


async def test_two_ledgers_share_the_work(nats_url, database_url, dispatcher, query):
    async with ledger(nats_url, database_url) as one, ledger(nats_url, database_url) as two:
        for number in range(1, 1001):
            await dispatcher.send(usage(number), usage(max(1, number - 1)))
        await eventually(dispatcher.all_acked, "acks")
        assert one.counted("records") + two.counted("records") == 1000
    assert len(await query(REQUESTS)) == 1000


async def test_postgresql_away_loses_nothing_and_acks_nothing(nats_url, dispatcher):
    with passable_folder() as folder:
        server = PostgresServer(
            place=find_place(folder), port=FreePorts().take(), password="tests", log=folder / "log", durable=False
        )
        part = postgres_part(server)
        async with ledger(nats_url, server.url) as one:
            async with serving(part, server.log):
                # No tables yet: it waits for them too.
                await eventually(
                    lambda: one.readiness.waiting_for == ["database"], "the ledger to wait for its tables"
                )
                await dispatcher.send(usage(1))
                assert (await alembic(server.url, "upgrade", "head"))[0] == 0
                await eventually(dispatcher.all_acked, "the first ack")
                assert one.readiness.ready
                for number in range(2, 50):
                    await dispatcher.send(usage(number))
            await eventually(lambda: "database" in one.readiness.waiting_for, "the ledger to notice")
            waiting = await dispatcher.unacked()
            for number in range(50, 100):
                await dispatcher.send(usage(number))
            assert await dispatcher.unacked() == waiting + 50
            async with serving(part, server.log):
                await eventually(dispatcher.all_acked, "acks after the return")
                await eventually(lambda: one.readiness.ready, "readiness")
                async with querying(server.url) as query:
                    assert len(await query(REQUESTS)) == 99
                    assert await query("SELECT FROM tierwise.ledger_poison") == []


async def test_nats_away_and_back(database_url, query):
    with passable_folder() as folder:
        server = own_nats(folder)
        part = nats_part(server)
        async with serving(part, folder / "log"), dispatcher_at(server.url) as dispatcher:
            await dispatcher.send(usage(1))
        async with ledger_that_waits(server.url, database_url) as (one, begun):
            await eventually(lambda: "database" not in one.readiness.waiting_for, "the database")
            assert one.readiness.waiting_for == ["nats", "usage-stream"]
            for number in (2, 3):
                async with serving(part, folder / "log"):
                    await eventually(lambda: one.readiness.ready, "the ledger to go on")
                    async with dispatcher_at(server.url) as dispatcher:
                        await dispatcher.send(usage(number))
                        await eventually(dispatcher.all_acked, "acks")
                await eventually(lambda: "nats" in one.readiness.waiting_for, "the ledger to notice")
            assert begun.done()
        assert len(await query(REQUESTS)) == 3


async def test_what_comes_after_two_outages_is_received_once(database_url, query):
    """Not twice, by a subscription that nats-py renews and by another of ours."""
    with passable_folder() as folder:
        server = own_nats(folder)
        part = nats_part(server)
        async with ledger_that_waits(server.url, database_url) as (one, _):
            for first in (1, 11, 21):
                async with serving(part, folder / "log"):
                    await eventually(lambda: one.readiness.ready, "the ledger to go on")
                    async with dispatcher_at(server.url) as dispatcher:
                        for number in range(first, first + 10):
                            await dispatcher.send(usage(number))
                        await eventually(dispatcher.all_acked, "acks")
                await eventually(lambda: "usage-stream" in one.readiness.waiting_for, "the ledger to begin anew")
            assert one.counted("records") == 30
            assert one.counted("duplicates") == 0
        assert len(await query(REQUESTS)) == 30


@asynccontextmanager
async def ledger_that_waits(nats_url, database_url):
    """As `ledger`, but without waiting for NATS at start."""
    one = Running(nats_url, database_url)
    tasks = [asyncio.create_task(one.consumer.run()), asyncio.create_task(one.broker.start())]
    try:
        yield one, tasks[1]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await one.broker.stop()
        await one.store.aclose()


async def test_a_stream_that_was_deleted_is_made_anew(nats_url, database_url, dispatcher, query):
    async with ledger(nats_url, database_url) as one:
        await dispatcher.send(usage(1))
        await eventually(dispatcher.all_acked, "acks")
        await dispatcher.js.delete_stream(USAGE)
        await eventually(lambda: dispatcher_can_send(dispatcher), "the stream to be there again")
        await eventually(lambda: has_rows(query, 2), "the row")
        await eventually(lambda: one.readiness.ready, "readiness")


async def dispatcher_can_send(dispatcher):
    try:
        await dispatcher.send(usage(2))
    except NoStreamResponseError:
        return False
    return True


FAILED_OVER = ({"outcome": "failed"}, {})


async def test_a_batch_is_written_whole_or_not_at_all(nats_url, database_url, dispatcher, query):
    """Attempts cannot be written: then the request is not there either, and nothing is acked."""
    await query("ALTER TABLE tierwise.ledger_attempts RENAME TO elsewhere")
    async with ledger(nats_url, database_url) as one:
        await dispatcher.send(usage(1, calls=FAILED_OVER))
        await eventually(lambda: "usage-stream" not in one.readiness.waiting_for, "the stream")
        await eventually(lambda: "database" in one.readiness.waiting_for, "the ledger to notice")
        assert await query("SELECT FROM tierwise.ledger_requests") == []
        assert await dispatcher.unacked() == 1
        await query("ALTER TABLE tierwise.elsewhere RENAME TO ledger_attempts")
        await eventually(dispatcher.all_acked, "acks")
    assert len(await query(REQUESTS)) == 1
