"""Services as processes: killed, stopped, and started before what they need."""

import asyncio
import json
import signal
import time

import nats
import pytest

from shared.contracts import BudgetChangeRequested, encode
from shared.streams import CURRENT, POLICY, ensure_bucket
from tests.support.folders import passable_folder
from tests.support.ledger import get, is_ready, process, querying, serving
from tests.support.own_nats import own_nats
from tests.support.usage import usage
from tests.support.wait import eventually
from tierwise.embedded.nats import nats_part
from tierwise.ports import FreePorts

BATCHES = 120
ENDS_WITHIN_S = 8.0  # whoever waits for an answer of NATS waits for ten seconds
HANDED_BACK_WITHIN_S = 7.0  # what is not comes again after ten


async def test_a_ledger_that_is_killed_records_every_request_once(nats_url, database_url, dispatcher, query):
    """It is killed in the middle of a transaction: another's lock holds it there."""
    port = FreePorts().take()

    async def rows():
        return (await query("SELECT count(*) AS n FROM tierwise.ledger_requests"))[0]["n"]

    async def send(batches):
        for first in batches:
            await dispatcher.send(*(usage(first * 10 + i) for i in range(10)))

    await publish(nats_url)
    with process("ledger", nats_url, database_url, port) as first:
        await send(range(20))
        await eventually(rows, "the first rows")
        async with querying(database_url) as hold:
            await hold("BEGIN")
            await hold("LOCK TABLE tierwise.ledger_requests IN SHARE MODE")
            await send(range(20, BATCHES))
            await eventually(lambda: one_waits(query), "the ledger to write")
            first.send_signal(signal.SIGKILL)
            first.wait()
    assert await dispatcher.unacked() > 0
    with process("ledger", nats_url, database_url, port) as second:
        await eventually(dispatcher.all_acked, "acks")
        began = time.monotonic()
        second.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(second.wait, 60) == 0
        assert time.monotonic() - began < ENDS_WITHIN_S
    (sums,) = await query("SELECT count(*), count(DISTINCT request_id), sum(cost_nano_usd) FROM tierwise.requests")
    assert tuple(sums) == (BATCHES * 10, BATCHES * 10, BATCHES * 10 * 750)
    assert (await query("SELECT sum(cost_nano_usd) AS paid FROM tierwise.attempts"))[0]["paid"] == BATCHES * 7500
    assert await query("SELECT FROM tierwise.ledger_conflicts") == []


async def one_waits(query):
    mine = "datname = current_database() AND wait_event_type = 'Lock'"
    return await query(f"SELECT FROM pg_stat_activity WHERE {mine}")


async def test_a_ledger_that_is_stopped_hands_back_what_it_holds(nats_url, database_url, dispatcher, query):
    """Frozen tables: the batch is in hand when SIGTERM comes, and the next ledger has it at once."""
    port = FreePorts().take()
    await publish(nats_url)
    with process("ledger", nats_url, database_url, port) as first:
        await eventually(lambda: is_ready(port), "the ledger to be ready")
        await query("ALTER TABLE tierwise.ledger_attempts RENAME TO elsewhere")
        await dispatcher.send(usage(1, calls=({"outcome": "failed"}, {})))
        await eventually(lambda: not_ready(port), "the ledger to wait for the table")
        first.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(first.wait, 60) == 0
    await query("ALTER TABLE tierwise.elsewhere RENAME TO ledger_attempts")
    info = await dispatcher.js.consumer_info("USAGE", "ledger")
    assert info.num_ack_pending == 1
    with process("ledger", nats_url, database_url, port):
        await eventually(lambda: is_ready(port), "the next ledger to be ready")
        await eventually(dispatcher.all_acked, "the ack", within_s=HANDED_BACK_WITHIN_S)


async def test_a_ledger_stores_nothing_before_it_knows_in_whose_time_zone_a_day_begins(
    nats_url, database_url, dispatcher, query
):
    port = FreePorts().take()
    with process("ledger", nats_url, database_url, port):
        await dispatcher.send(usage(1))
        await eventually(lambda: waits_for_a_policy(port), "the ledger to wait for a policy")
        assert await query("SELECT FROM tierwise.ledger_requests") == []
        assert await dispatcher.unacked() == 1
        await publish(nats_url, budgets={"default": {"daily_usd": 1, "timezone": "Pacific/Kiritimati"}})
        await eventually(dispatcher.all_acked, "the ack")
        await eventually(lambda: is_ready(port), "readiness")
    (row,) = await query("SELECT day::text FROM tierwise.spend_daily")
    assert row["day"] == "2026-09-22"  # noon in Greenwich is two in the night there


async def test_a_ledger_stores_nothing_before_it_knows_every_budget(nats_url, database_url, dispatcher, query):
    """Else what was spent without a lease would be in the books, and in no budget."""
    port = FreePorts().take()
    async with querying(database_url) as hold:
        await hold("BEGIN")
        await hold("LOCK TABLE tierwise.budgets IN ACCESS EXCLUSIVE MODE")
        with process("ledger", nats_url, database_url, port):
            await dispatcher.send(usage(1, reason="budget_downgrade"))
            await publish(nats_url, budgets={"default": {"daily_usd": 1}})
            await eventually(lambda: one_waits(query), "the ledger to ask for operators' budgets")
            with pytest.raises(AssertionError):
                await eventually(dispatcher.all_acked, "the ack", within_s=1)
            await hold("COMMIT")
            await eventually(dispatcher.all_acked, "the ack")
    (day,) = await query("SELECT floor_nano_usd FROM tierwise.budget_days")
    assert day["floor_nano_usd"] == 750


async def test_a_day_is_that_of_an_operators_budget_too(nats_url, database_url, dispatcher, query):
    port = FreePorts().take()
    await publish(nats_url, budgets={"default": {"daily_usd": 1}})
    with process("ledger", nats_url, database_url, port):
        await eventually(lambda: is_ready(port), "the ledger to be ready")
        word = BudgetChangeRequested("billing", '{"daily_usd": 1, "timezone": "Pacific/Kiritimati"}')
        await dispatcher.client.request(word.subject, encode(word), timeout=30)
        await dispatcher.send(usage(1), usage(2, service="legal"))
        await eventually(dispatcher.all_acked, "the ack")
    days = await query("SELECT service, day::text FROM tierwise.spend_daily ORDER BY service")
    assert [tuple(row) for row in days] == [("billing", "2026-09-22"), ("legal", "2026-09-21")]


async def waits_for_a_policy(port):
    _, body = await get(f"http://127.0.0.1:{port}/readyz")
    waits_for = json.loads(body or '{"waiting_for": []}')["waiting_for"]
    return "policy" in waits_for and not {"nats", "database"} & set(waits_for)


async def not_ready(port):
    return (await get(f"http://127.0.0.1:{port}/readyz"))[0] == 503


NOBODY = "postgresql://nobody:x@127.0.0.1:1/none"
POLICY_TEXT = {
    "tiers": ["small"],
    "backends": [
        {
            "name": "small-1", "tier": "small", "provider": "vllm", "model": "m", "base_url": "http://127.0.0.1:1/v1",
            "price": {"input_per_1m": 1, "output_per_1m": 1},
        }
    ],
    "retention": {"requests_days": 36_500},  # the tests' records are of one day, whenever they run
}  # fmt: skip


@pytest.mark.parametrize(
    ("service", "waits_for"),
    [
        ("ledger", ["nats", "database", "policy", "usage-stream", "budgets"]),
        ("validator", ["nats", "database", "policy"]),
        ("batcher", ["nats", "database", "policy"]),
    ],
)
async def test_a_service_waits_for_what_is_away_and_says_for_what(service, waits_for):
    port = FreePorts().take()
    with process(service, "nats://127.0.0.1:1", NOBODY, port) as started:
        await eventually(lambda: not_ready(port), "the ops port")
        _, body = await get(f"http://127.0.0.1:{port}/readyz")
        assert sorted(json.loads(body)["waiting_for"]) == sorted(waits_for)
        assert (await get(f"http://127.0.0.1:{port}/healthz"))[0] == 200
        assert (await get(f"http://127.0.0.1:{port}/metrics"))[0] == 200
        began = time.monotonic()
        started.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(started.wait, 60) == 0
        assert time.monotonic() - began < ENDS_WITHIN_S


@pytest.mark.parametrize("service", ["validator", "batcher"])
async def test_a_service_is_ready_with_a_policy_and_survives_nats(service, database_url):
    ports = FreePorts()
    port = ports.take()
    with passable_folder() as folder:
        server = own_nats(folder, ports)
        part = nats_part(server)
        with process(service, server.url, database_url, port) as started:
            async with serving(part, folder / "log"):
                await eventually(lambda: says(port, ["policy"]), "only the policy to be missing")
                await publish(server.url)
                await eventually(lambda: is_ready(port), "readiness")
            await eventually(lambda: says(port, ["nats"]), "the loss of NATS to be noticed")
            async with serving(part, folder / "log"):
                await eventually(lambda: is_ready(port), "NATS to be found again")
            await eventually(lambda: not_ready(port), "the loss of NATS to be noticed again")
            began = time.monotonic()
            started.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(started.wait, 60) == 0
            assert time.monotonic() - began < ENDS_WITHIN_S


async def says(port, waits_for):
    status, body = await get(f"http://127.0.0.1:{port}/readyz")
    return bool(status) and json.loads(body).get("waiting_for") == waits_for


async def publish(url, **sections):
    client = await nats.connect(url)
    try:
        bucket = await ensure_bucket(client.jetstream(), POLICY)
        await bucket.put(CURRENT, json.dumps({**POLICY_TEXT, **sections}).encode())
    finally:
        await client.close()
