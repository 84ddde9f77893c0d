"""Transfers and the days' sums, as the ledger writes them from records on the stream."""

import asyncio
from datetime import date
from decimal import Decimal

import asyncpg
import pytest

from services.ledger import core
from services.ledger.core import Verdict
from services.ledger.store import DataRefused, Store
from tests.support.ledger import database_settings, ledger
from tests.support.usage import NOON_US, message, usage, validation
from tests.support.wait import eventually

TODAY = date(2026, 9, 21)
TRANSFERS = """
    SELECT right(request_id, 1) AS id, send, attempt, cause, debit_account, credit_account, amount_nano_usd,
        amount_source, policy_version
    FROM tierwise.ledger_transfers ORDER BY request_id, send, cause, attempt
"""
FAILED_OVER = (
    {"backend": "small-2", "outcome": "timeout", "usage_source": "unknown", "cost_nano_usd": 5_000},
    {"backend": "small-3", "outcome": "refused", "usage_source": "none", "cost_nano_usd": 0},
    {"cost_nano_usd": 700, "is_cost_reported": True},
)
EVERYTHING = (
    usage(1),
    usage(2, calls=FAILED_OVER),
    usage(3, attempts=(), cost_nano_usd=0, cache="hit", cache_saved_nano_usd=750),
    usage(4, calls=({"is_batch": True, "cost_nano_usd": 375},), batch_saved_nano_usd=375, priority="bulk"),
    usage(5, reason="budget_downgrade,category"),
)


async def record(nats_url, database_url, dispatcher, *records, validations=(), zones=None):
    async with ledger(nats_url, database_url, zones) as one:
        await dispatcher.send(*records, validations=validations)
        await eventually(dispatcher.all_acked, "acks")
    return one


async def test_each_paid_call_is_one_transfer_and_what_cost_nothing_is_none(
    nats_url, database_url, dispatcher, query
):
    await record(nats_url, database_url, dispatcher, *EVERYTHING, validations=(validation(1),))
    assert [tuple(row) for row in await query(TRANSFERS)] == [
        ("1", 0, 1, "call", "billing", "backend:small-1", 750, "priced", 3),
        ("1", 0, 1, "validation", "billing:validation", "backend:ref-1", 9_000, "priced", 3),
        ("2", 0, 1, "call", "billing", "backend:small-2", 5_000, "assumed", 3),
        ("2", 0, 3, "call", "billing", "backend:small-1", 700, "reported", 3),
        ("4", 0, 1, "batch_line", "billing", "backend:small-1", 375, "priced", 3),
        ("5", 0, 1, "call", "billing:floor", "backend:small-1", 750, "priced", 3),
    ]


BALANCES = {
    "transfers": "SELECT sum(amount_nano_usd)::bigint FROM tierwise.ledger_transfers",
    "days": "SELECT sum(cost_nano_usd)::bigint FROM tierwise.spend_daily",
    "requests and validations": """
        SELECT (SELECT sum(cost_nano_usd) FROM tierwise.requests)::bigint
            + (SELECT coalesce(sum(cost_nano_usd), 0) FROM tierwise.ledger_pairs)::bigint
    """,
    "attempts and validations": """
        SELECT (SELECT sum(cost_nano_usd) FROM tierwise.attempts)::bigint
            + (SELECT coalesce(sum(cost_nano_usd), 0) FROM tierwise.ledger_pairs)::bigint
    """,
    "savings": "SELECT sum(cost_nano_usd + validation_nano_usd)::bigint FROM tierwise.savings_daily",
}
LATE = {"started_at_us": NOON_US + 9_000_000, "cost_nano_usd": 100}


async def test_all_that_tells_of_money_tells_the_same(nats_url, database_url, dispatcher, query):
    async with ledger(nats_url, database_url) as one:
        for _ in range(2):  # all of it twice, and the answer that counts comes last
            await dispatcher.send(*EVERYTHING, usage(6, calls=(LATE,)), validations=(validation(1), validation(2)))
            await dispatcher.send(usage(6, send=1), usage(5, reason="forged"), validations=(validation(2),))
        await dispatcher.send(usage(5, reason="budget_downgrade,category"), validations=(validation(2, agreement=0),))
        await eventually(dispatcher.all_acked, "acks")
        assert (one.counted("conflicts"), one.counted("poison"), one.counted("resends")) == (3, 0, 1)
    told = {name: (await query(balance))[0][0] for name, balance in BALANCES.items()}
    spent = 750 + 5_700 + 375 + 750 + 750 + 100 + 2 * 9_000
    assert told == dict.fromkeys(BALANCES, spent)
    (day,) = await query("SELECT * FROM tierwise.savings_daily")
    assert (day["requests"], day["baseline_nano_usd"]) == (6, 6 * 98_000)
    assert (day["cache_saved_nano_usd"], day["batch_saved_nano_usd"]) == (750, 375)
    assert day["validation_usd"] == Decimal("0.000018000")
    assert day["net_saved_nano_usd"] == 6 * 98_000 - spent
    assert len(await query("SELECT FROM tierwise.ledger_conflicts")) == 2


async def test_savings_that_are_none_are_shown_so(nats_url, database_url, dispatcher, query):
    await record(nats_url, database_url, dispatcher, usage(1, baseline_nano_usd=100), validations=(validation(1),))
    (day,) = await query("SELECT net_saved_nano_usd, net_saved_usd FROM tierwise.savings_daily")
    assert tuple(day) == (100 - 750 - 9_000, Decimal("-0.000009650"))


async def test_days_are_those_of_the_budget_in_every_view(nats_url, database_url, dispatcher, query):
    late = NOON_US + 11 * 3_600_000_000  # 23:00 UTC: tomorrow in Berlin, still today in New York
    zones = {"billing": "Europe/Berlin", "default": "America/New_York"}
    records = (usage(1, received_at_us=late), usage(2, service="legal", received_at_us=late))
    checked = (validation(1, received_at_us=late),)
    await record(nats_url, database_url, dispatcher, *records, validations=checked, zones=zones)
    expected = {("billing", date(2026, 9, 22)), ("legal", TODAY)}
    for view in ("spend_daily", "savings_daily", "ledger_requests"):
        assert {tuple(row) for row in await query(f"SELECT service, day FROM tierwise.{view}")} == expected
    for table in ("ledger_transfers", "ledger_pairs"):
        assert {row["day"] for row in await query(f"SELECT day FROM tierwise.{table}")} <= {TODAY, date(2026, 9, 22)}


async def test_a_time_zone_that_is_set_later_moves_nothing(nats_url, database_url, dispatcher, query):
    await record(nats_url, database_url, dispatcher, usage(1))
    await record(nats_url, database_url, dispatcher, usage(1), usage(2), zones={"billing": "Pacific/Kiritimati"})
    days = await query("SELECT day, requests FROM tierwise.spend_daily ORDER BY day")
    assert [tuple(row) for row in days] == [(TODAY, 1), (date(2026, 9, 22), 1)]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE tierwise.ledger_transfers SET amount_nano_usd = 1",
        "DELETE FROM tierwise.ledger_transfers",
        "TRUNCATE tierwise.ledger_transfers",
        "UPDATE tierwise.ledger_transfers_2026_09 SET amount_nano_usd = 1",
        "DELETE FROM tierwise.ledger_transfers_2026_09",
        "TRUNCATE tierwise.ledger_transfers_2026_09",
    ],
)
async def test_transfers_are_append_only(nats_url, database_url, dispatcher, query, change):
    await record(nats_url, database_url, dispatcher, usage(1))
    with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
        await query(change)
    assert len(await query(TRANSFERS)) == 1


@pytest.mark.parametrize(
    ("changed", "constraint"),
    [
        ("amount_nano_usd = 0", "ck_ledger_transfers_amount"),
        ("amount_nano_usd = -5", "ck_ledger_transfers_amount"),
        ("credit_account = 'billing'", "ck_ledger_transfers_accounts"),
    ],
)
async def test_a_transfer_moves_a_positive_amount_between_two_accounts(
    nats_url, database_url, dispatcher, query, changed, constraint
):
    await record(nats_url, database_url, dispatcher, usage(1))
    column, _, value = changed.partition(" = ")
    columns = (
        "request_id, send, attempt, cause, received_at, day, debit_account, credit_account, amount_nano_usd, "
        "amount_source, policy_version"
    )
    chosen = columns.replace("request_id", "request_id || 'x'").replace(column, value)
    with pytest.raises(asyncpg.CheckViolationError, match=constraint):
        await query(
            f"INSERT INTO tierwise.ledger_transfers ({columns}) SELECT {chosen} FROM tierwise.ledger_transfers"
        )


async def test_a_call_cannot_be_paid_twice(nats_url, database_url, dispatcher, query):
    """Were the request's row lost, the database would still know the transfer."""
    await record(nats_url, database_url, dispatcher, usage(1))
    await query("DELETE FROM tierwise.ledger_requests")
    store = Store(database_settings(database_url))
    try:
        with pytest.raises(DataRefused, match="pk_ledger_transfers"):
            await store.record(core.read([message(usage(1, cost_nano_usd=1))]).entries)
    finally:
        await store.aclose()
    assert [row["amount_nano_usd"] for row in await query(TRANSFERS)] == [750]


async def test_a_validation_is_recorded_once_with_all_that_it_says(nats_url, database_url, dispatcher, query):
    store = Store(database_settings(database_url))
    read = core.read([message(validations=(validation(1), validation(1), validation(2, agreement=-1)))]).validations
    try:
        assert [verdict for _, verdict in await store.record_validations(read)] == [Verdict.DUPLICATE]
        again = core.read([message(validations=(validation(1, agreement=0.5), validation(2, agreement=-1)))])
        verdicts = [verdict for _, verdict in await store.record_validations(again.validations)]
        assert verdicts == [Verdict.CONFLICT, Verdict.DUPLICATE]
    finally:
        await store.aclose()
    one, two = map(dict, await query("SELECT * FROM tierwise.ledger_pairs ORDER BY request_id"))
    assert one.pop("received_at").timestamp() * 1e6 == NOON_US
    del one["recorded_at"]
    assert one == {
        "request_id": validation(1).request_id,
        "day": TODAY,
        "service": "billing",
        "category": "extraction",
        "backend": "small-1",
        "policy_version": 3,
        "probability": 0.05,
        "baseline_nano_usd": 98_000,
        "paired_baseline_nano_usd": 120_000,
        "agreement": 1.0,
        "calls": 1,
        "cost_nano_usd": 9_000,
        "fingerprint": read[0].fingerprint,
    }
    assert two["agreement"] is None


async def test_two_ledgers_that_add_to_the_same_days_do_not_wait_for_each_other_for_ever(database_url, query):
    services = [f"s{number}" for number in range(8)]
    stores = [Store(database_settings(database_url)) for _ in range(3)]

    async def fill(store, part):
        for turn in range(12):
            first = part * 1000 + turn * 10
            order = services if (part + turn) % 2 else services[::-1]
            records = (usage(first + i, service=service) for i, service in enumerate(order))
            assert await store.record(core.read([message(*records)]).entries) == []

    try:
        await asyncio.gather(*(fill(store, part) for part, store in enumerate(stores)))
    finally:
        for store in stores:
            await store.aclose()
    days = await query("SELECT service, requests, cost_nano_usd FROM tierwise.spend_daily ORDER BY service")
    assert [tuple(row) for row in days] == [(service, 36, 36 * 750) for service in services]
