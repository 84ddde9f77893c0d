"""Budgets on real PostgreSQL: that one statement decides, and that the rows do as services/ledger/leases.py does."""

import asyncio
import random
from collections import Counter
from datetime import UTC, date, datetime

import asyncpg
import pytest

from services.ledger import budget_days, budgets, core, leases
from services.ledger.days import Days
from services.ledger.leases import Day
from services.ledger.store import Store
from shared.budgets import Limit, Limits
from shared.contracts import GrantAsked, LeaseReported
from shared.policy import Budget
from tests.support.ledger import database_settings
from tests.support.noon import ZONE, today
from tests.support.usage import message, usage

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC).timestamp()
NOW_US = int(NOW * 1e6)
DAY = "2026-11-25"
LONGEST_S = 600.0
LIMIT = Limit(10_000)
LIMITS = {"billing": Budget(daily_usd=0.00001)}
TODAYS = {"billing": Budget(timezone=ZONE, daily_usd=0.00001)}


def wish(lease_id, need=10, waiting=10, ahead=0, day=DAY, service="billing"):
    return GrantAsked(service, day, lease_id, need, waiting, ahead)


async def ask(connection, asked, limit=LIMIT, now=NOW):
    return await budgets.grant(connection, asked, limit, now, LONGEST_S)


LOST_BY_TRANSFERS = """
    SELECT coalesce(sum(CASE debit_account WHEN 'billing' THEN amount_nano_usd ELSE -amount_nano_usd END), 0)::bigint
    FROM tierwise.ledger_transfers WHERE cause = 'lost_lease'
"""
LOST_BY_DAYS = "SELECT coalesce(sum(cost_nano_usd), 0)::bigint FROM tierwise.ledger_days WHERE payer = 'lost'"


async def standing(connection, service="billing", day=DAY):
    row = await connection.fetchrow(
        "SELECT limit_nano_usd, spent_nano_usd, held_nano_usd, floor_nano_usd FROM tierwise.budget_days "
        "WHERE service = $1 AND day = $2",
        service,
        date.fromisoformat(day),
    )
    return Day(*row)


@pytest.fixture
async def connection(database_url):
    one = await asyncpg.connect(database_url)
    yield one
    await one.close()


async def test_many_who_ask_at_once_are_never_granted_more_than_the_limit(database_url):
    connections = [await asyncpg.connect(database_url) for _ in range(8)]
    try:

        async def asks(number, connection):
            granted = []
            for i in range(60):
                lease_id = f"c{number}.{i}"
                granted.append(await ask(connection, wish(lease_id, 70, 70 + 10 * number, 400)))
                if i % 3 == 0:
                    report = LeaseReported(lease_id, granted[-1].granted // 2, 0)
                    async with connection.transaction():
                        await budgets.hear(connection, [report], NOW, LONGEST_S)
                assert granted[-1].spent + granted[-1].held <= 10_000
            return sum(one.granted - (one.granted // 2 if i % 3 == 0 else 0) for i, one in enumerate(granted))

        await asyncio.gather(*(asks(number, connection) for number, connection in enumerate(connections)))
        day = await standing(connections[0])
        leased = await connections[0].fetchval("SELECT sum(kept_nano_usd) FROM tierwise.budget_leases")
        assert day.held == leased
        assert 10_000 - 140 < day.held <= 10_000
    finally:
        for one in connections:
            await one.close()


async def test_asking_again_for_the_same_lease_debits_once(connection):
    first = await ask(connection, wish("c.1", 100, 100))
    again = await ask(connection, wish("c.1", 100, 100))
    assert (first.granted, again.granted, again.held) == (100, 100, 100)


async def test_a_lease_that_was_given_back_before_it_was_asked_for_is_never_granted(connection):
    async with connection.transaction():
        await budgets.hear(connection, [LeaseReported("c.1", 0, 0)], NOW, LONGEST_S)
    granted = await ask(connection, wish("c.1", 100, 100))
    assert (granted.granted, granted.held) == (0, 0)


async def test_a_lease_that_is_given_back_while_it_is_granted_is_given_back(connection, database_url):
    """The report waits for the grant's transaction, and must see what it did."""
    other = await asyncpg.connect(database_url)
    try:
        await ask(connection, wish("c.0"))
        granting = other.transaction()
        await granting.start()
        await ask(other, wish("c.1", 100, 100))

        async def report():
            async with connection.transaction():
                await budgets.hear(connection, [LeaseReported("c.1", 0, 0)], NOW, LONGEST_S)

        reporting = asyncio.create_task(report())
        await asyncio.sleep(0)
        while not await other.fetchval("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"):
            assert not reporting.done()
        await granting.commit()
        await reporting
        assert (await standing(connection)).held == 10
    finally:
        await other.close()


async def test_another_day_begins_with_nothing_spent_and_a_day_that_is_not_today_is_todays(connection):
    midnight = datetime(2026, 11, 26, tzinfo=UTC).timestamp()
    await ask(connection, wish("c.1", 10_000, 10_000))
    assert (await ask(connection, wish("c.2", day="2026-11-26"), now=midnight - 30)).granted == 10
    assert (await ask(connection, wish("c.3", day="2026-11-25"), now=midnight + 30)).granted == 0
    assert (await ask(connection, wish("c.4", day="2031-01-01"), now=midnight)).held == 20
    rows = await connection.fetch("SELECT day, held_nano_usd FROM tierwise.budget_days ORDER BY day")
    assert [(str(day), held) for day, held in rows] == [("2026-11-25", 10_000), ("2026-11-26", 20)]


async def test_a_batch_settles_its_reservations_in_the_transaction_of_its_rows(database_url, connection):
    await ask(connection, wish("c.1", 1000, 1000))
    store = Store(database_settings(database_url))
    store.use(Limits(LIMITS))
    records = [
        usage(1, lease_id="c.1", reserved_nano_usd=300, cost_nano_usd=200, received_at_us=NOW_US),
        usage(2, lease_id="c.1", reserved_nano_usd=300, cost_nano_usd=300, received_at_us=NOW_US),
        usage(3, lease_id="", reason="budget_downgrade,category", cost_nano_usd=40, received_at_us=NOW_US),
        usage(4, lease_id="", reason="category", cost_nano_usd=5, received_at_us=NOW_US),
        usage(5, lease_id="", service="unlimited", cost_nano_usd=7, received_at_us=NOW_US),
        usage(6, lease_id="never-heard-of", reserved_nano_usd=300, cost_nano_usd=6, received_at_us=NOW_US),
    ]
    try:
        for _ in range(2):  # a replay changes nothing
            reading = core.read([message(*records)], Days({}).of)
            await store.record(reading.entries)
            assert await standing(connection) == Day(10_000, spent=200 + 300 + 5 + 6, held=400, floor=40)
        late = core.read([message(usage(7, lease_id="c.1", reserved_nano_usd=100, cost_nano_usd=1), *records)])
        await store.record(late.entries)
        assert await standing(connection) == Day(10_000, spent=512, held=300, floor=40)
        second = usage(1, send=1, lease_id="c.1", reserved_nano_usd=50, cost_nano_usd=20, received_at_us=NOW_US)
        await store.record(core.read([message(second)]).entries)
        assert await standing(connection) == Day(10_000, spent=532, held=250, floor=40)
        other_content = usage(2, lease_id="c.1", reserved_nano_usd=250, cost_nano_usd=1, received_at_us=NOW_US)
        await store.record(core.read([message(other_content)]).entries)
        assert (await standing(connection)).held == 250
    finally:
        await store.aclose()


async def test_a_budget_that_begins_in_the_middle_of_a_day_binds_all_of_it(database_url, connection):
    """Else what it says is spent would not be what the books say of the same day."""
    now = datetime.now(UTC)

    def paid(number, cost, reason="category", service="billing"):
        at_us = int(now.timestamp() * 1e6)
        record = usage(number, cost_nano_usd=cost, reason=reason, service=service, received_at_us=at_us)
        return core.read([message(record)], Days({"default": ZONE}).of).entries

    store = Store(database_settings(database_url))
    try:
        await store.record(paid(1, 30))
        await store.record(paid(2, 500, service="another"))
        limits, _ = await apply(connection, **TODAYS)
        day = today()
        assert await standing(connection, day=day) == Day(10_000, spent=30)
        store.use(limits)
        await store.record(paid(3, 5))
        assert await standing(connection, day=day) == Day(10_000, spent=35)
        store.use((await apply(connection))[0])
        await store.record(paid(4, 100))
        store.use((await apply(connection, **TODAYS))[0])
        assert await standing(connection, day=day) == Day(10_000, spent=135), "and it was without one for a while"
        store.use((await apply(connection, **TODAYS, another=Budget(timezone=ZONE, daily_usd=0.00001)))[0])
        await connection.execute("DELETE FROM tierwise.budget_days")
        await store.record(paid(5, 3, service="another") + paid(6, 2, "budget_downgrade", "another"))
        assert await standing(connection, "another", day) == Day(10_000, spent=503, floor=2), "each once"
    finally:
        await store.aclose()


async def test_rows_do_as_the_protocol_does(connection):
    """The same wishes, reports, records and silences, in any order, on both."""
    chance = random.Random(7)
    day = Day(LIMIT.daily_nano_usd)
    model = {}
    now = NOW
    happened = Counter()
    for number in range(400):
        now += 1
        what = chance.choice(["ask", "ask", "report", "report", "settle", "settle", "silence"])
        happened[what] += 1
        some = chance.choice(list(model)) if model else "c.none"
        amount = chance.randint(1, 400)
        if what == "ask":
            asked = wish(f"c.{number}", amount, chance.choice([0, amount, 3 * amount]), 20 * amount)
            lease = leases.grant(day, asked, now, LONGEST_S)
            if lease is not None:
                model[asked.lease_id] = lease
            answer = await ask(connection, asked, now=now)
            assert answer.granted == (lease.kept if lease else 0)
        elif what == "silence":
            until = now + chance.choice([0, 700])
            expected = {
                lease_id: leases.give_up(day, lease)
                for lease_id, lease in model.items()
                if lease.due_at <= until and lease.outstanding and not lease.charged
            }
            async with connection.transaction():
                charged = await budgets.give_up(connection, until, now)
            assert {lease_id: paid for lease_id, (_, paid) in charged.items()} == expected
        elif some in model and what == "report":
            report = LeaseReported(some, max(model[some].kept - chance.randint(-5, 50), 0), chance.choice([-1, 9]))
            leases.hear(day, model[some], report, now, LONGEST_S)
            async with connection.transaction():
                await budgets.hear(connection, [report], now, LONGEST_S)
        elif some in model:
            leases.settle(day, model[some], amount, amount // 2)
            record = usage(number, lease_id=some, reserved_nano_usd=amount, cost_nano_usd=amount // 2)
            async with connection.transaction():
                await budgets.settle(connection, core.read([message(record)]).entries, Limits(LIMITS), now)
        if await connection.fetchval("SELECT count(*) FROM tierwise.budget_days"):
            assert await standing(connection) == day
            lost = sum(lease.lost for lease in model.values())
            assert await connection.fetchval(LOST_BY_TRANSFERS) == await connection.fetchval(LOST_BY_DAYS) == lost
    rows = await connection.fetch(
        "SELECT lease_id, kept_nano_usd, settled_nano_usd, charged FROM tierwise.budget_leases"
    )
    assert {row[0]: tuple(row)[1:] for row in rows} == {
        lease_id: (lease.kept, lease.settled, lease.charged) for lease_id, lease in model.items()
    }
    assert min(happened.values()) > 30


async def test_what_nobody_speaks_of_any_more_is_forgotten(connection):
    for lease_id in ("settled", "charged", "outstanding"):
        await ask(connection, wish(lease_id, 100, 100))
    async with connection.transaction():
        await budgets.hear(connection, [LeaseReported("settled", 0, 0), LeaseReported("tomb", 0, 0)], NOW, LONGEST_S)
    await connection.execute("UPDATE tierwise.budget_leases SET charged = true WHERE lease_id = 'charged'")
    for ago, left in [("2 hours", {"charged", "outstanding"}), ("8 days", {"outstanding"})]:
        await connection.execute(f"UPDATE tierwise.budget_leases SET due_at = now() - interval '{ago}'")
        await budgets.forget(connection)
        rows = await connection.fetch("SELECT lease_id FROM tierwise.budget_leases")
        assert {row[0] for row in rows} == left


# Limits -----------------------------------------------------------------------------------------------------


async def limits_today(connection):
    rows = await connection.fetch("SELECT service, limit_usd, on_exhausted FROM tierwise.budget_status ORDER BY 1")
    return [(row[0], float(row[1]), row[2]) for row in rows]


async def apply(connection, **file):
    async with connection.transaction():
        return await budget_days.apply(connection, file, datetime.now(UTC).timestamp())


async def test_the_view_has_every_named_budget_today_and_the_others_once_they_ask(connection):
    file = {
        "default": Budget(timezone=ZONE, daily_usd=50),
        "billing": Budget(timezone=ZONE, daily_usd=1, on_exhausted="reject"),
    }
    limits, _ = await apply(connection, **file)
    assert await limits_today(connection) == [("billing", 1, "reject")]
    now = datetime.now(UTC)
    limit = limits.of("legal")
    await budgets.grant(connection, wish("c.1", day=today(), service="legal"), limit, now.timestamp(), 600)
    assert await limits_today(connection) == [("billing", 1, "reject"), ("legal", 50, "downgrade")]
    await apply(connection, default=Budget(timezone=ZONE, daily_usd=60))
    assert await limits_today(connection) == [("billing", 60, "downgrade"), ("legal", 60, "downgrade")]
    await apply(connection)
    assert await limits_today(connection) == []
    await apply(connection, legal=Budget(timezone=ZONE, daily_usd=7))
    assert await limits_today(connection) == [("legal", 7, "downgrade")]
    assert (await standing(connection, "legal", today())).held == 10, "it is the day that it was"


async def test_an_operators_word_is_stronger_than_the_file_until_it_is_taken_back(connection):
    file = {"billing": Budget(timezone=ZONE, daily_usd=1)}
    await budget_days.set_budget(connection, "billing", Budget(timezone=ZONE, daily_usd=2))
    await budget_days.set_budget(connection, "billing", Budget(timezone=ZONE, daily_usd=3, on_exhausted="reject"))
    limits, words = await apply(connection, **file)
    assert words == {"billing": Budget(timezone=ZONE, daily_usd=3, on_exhausted="reject")}
    assert limits.of("billing").daily_nano_usd == 3_000_000_000
    assert await limits_today(connection) == [("billing", 3, "reject")]
    await budget_days.set_budget(connection, "billing", None)
    await apply(connection, **file)
    assert await limits_today(connection) == [("billing", 1, "downgrade")]


async def test_the_moment_of_exhaustion_is_kept_until_the_limit_is_raised(connection):
    now = datetime.now(UTC)
    await apply(connection, billing=Budget(timezone=ZONE, daily_usd=0.00001))
    asked = wish("c.1", 10_001, 10_001, day=today())
    assert (await budgets.grant(connection, asked, Limit(10_000, timezone=ZONE), now.timestamp(), 600)).granted == 0
    [(exhausted_at, remaining)] = await connection.fetch(
        "SELECT exhausted_at, remaining_nano_usd FROM tierwise.budget_status"
    )
    assert abs((exhausted_at - now).total_seconds()) < 60
    assert remaining == 10_000
    await apply(connection, billing=Budget(timezone=ZONE, daily_usd=0.00002))
    assert await connection.fetchval("SELECT exhausted_at FROM tierwise.budget_status") is None
