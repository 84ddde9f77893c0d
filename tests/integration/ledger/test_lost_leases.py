"""What a lease was charged of which nobody told: in the books as in the budget, until somebody tells."""

import json
import random
from datetime import UTC, date, datetime

import asyncpg
import msgspec
import pytest

from services.ledger import budget_days, budgets, core, queries
from services.ledger.days import Days
from services.ledger.store import Store
from shared.budgets import Limits
from shared.contracts import Answered, GrantAsked, LeaseReported, SpendAsked, encode, unpack
from shared.database import disposing, make_engine
from shared.policy import Budget
from tests.support.ledger import alembic, database_settings
from tests.support.noon import ZONE, today
from tests.support.usage import message, usage

NOW = datetime.now(UTC).timestamp()
NOW_US = int(NOW * 1e6)
DAY = date.fromisoformat(today())
LONGEST_S = 600.0
SERVICES = ("billing", "team:lost", "büro")
LIMITS = Limits({"default": Budget(timezone=ZONE, daily_usd=0.01)})
TRANSFERS = """
    SELECT request_id, attempt, debit_account, credit_account, amount_nano_usd, amount_source, day, policy_version
    FROM tierwise.ledger_transfers WHERE cause = 'lost_lease' ORDER BY request_id, attempt
"""


@pytest.fixture
async def connection(database_url):
    one = await asyncpg.connect(database_url)
    yield one
    await one.close()


@pytest.fixture
async def store(database_url):
    one = Store(database_settings(database_url))
    one.use(LIMITS)
    yield one
    await one.aclose()


async def lease(connection, lease_id, amount, service="billing"):
    asked = GrantAsked(service, str(DAY), lease_id, amount, amount, 0)
    assert (await budgets.grant(connection, asked, LIMITS.of(service), NOW, LONGEST_S)).granted == amount


async def give_up(connection, until=NOW + 3600):
    async with connection.transaction():
        return await budgets.give_up(connection, until, NOW)


async def hear(connection, lease_id, kept):
    async with connection.transaction():
        await budgets.hear(connection, [LeaseReported(lease_id, kept, 0)], NOW, LONGEST_S)


async def record(store, *records):
    return await store.record(core.read([message(*records)], Days({"default": ZONE}).of).entries)


def paid(number, lease_id, reserved, cost, service="billing"):
    return usage(
        number, lease_id=lease_id, reserved_nano_usd=reserved, cost_nano_usd=cost, service=service,
        received_at_us=NOW_US,
    )  # fmt: skip


async def statement(database_url, day=DAY):
    async with disposing(make_engine(database_settings(database_url), "test")) as engine:
        head, body = unpack(await queries.answer(engine, encode(SpendAsked(day, day))))
    assert msgspec.msgpack.decode(head, type=Answered).refusal is None
    return {each["service"]: each for each in json.loads(body)["services"]}


async def spent(connection):
    return dict(await connection.fetch("SELECT service, spent_nano_usd FROM tierwise.budget_status"))


async def test_the_statement_of_a_day_is_what_its_budget_has_spent_before_and_after_a_late_word(
    database_url, connection, store
):
    await lease(connection, "c.1", 1000)
    await lease(connection, "c.2", 300)
    await record(store, paid(1, "c.1", 400, 150))
    assert (await statement(database_url))["billing"]["lost_nano_usd"] == 0
    await give_up(connection)
    told = (await statement(database_url))["billing"]
    assert (told["budget_nano_usd"], told["lost_nano_usd"], told["total_nano_usd"]) == (150, 900, 1050)
    assert await spent(connection) == {"billing": 1050}
    assert told["lines"][-1] == {
        "payer": "lost", "tier": "", "backend": "", "requests": 0, "input_tokens": 0, "output_tokens": 0,
        "cost_nano_usd": 900, "cost_usd": "0.0000009",
    }  # fmt: skip

    await record(store, paid(2, "c.1", 500, 70), paid(3, "c.1", 50, 20))
    await record(store, paid(2, "c.1", 500, 70))  # again, which changes nothing
    await hear(connection, "c.2", 120)
    told = (await statement(database_url))["billing"]
    assert (told["budget_nano_usd"], told["lost_nano_usd"]) == (240, 50 + 120)
    assert await spent(connection) == {"billing": 240 + 170}
    assert [tuple(row)[:6] for row in await connection.fetch(TRANSFERS)] == [
        ("c.1", 1, "billing", "billing:lost", 600, "assumed"),
        ("c.1", 2, "billing:lost", "billing", 550, "assumed"),
        ("c.2", 1, "billing", "billing:lost", 300, "assumed"),
        ("c.2", 2, "billing:lost", "billing", 180, "assumed"),
    ]

    await record(store, paid(4, "c.1", 50, 0))
    await hear(connection, "c.2", 0)
    told = (await statement(database_url))["billing"]
    assert (told["total_nano_usd"], await spent(connection)) == (240, {"billing": 240})
    assert [line["payer"] for line in told["lines"]] == ["budget"]
    balances = "SELECT sum(cost_nano_usd)::bigint FROM tierwise."
    for view in ("spend_daily", "savings_daily", "requests"):
        assert await connection.fetchval(balances + view) == 240


async def test_whatever_happens_to_leases_every_services_statement_is_its_budget(database_url, connection, store):
    chance = random.Random(5)
    leases = {}
    for number in range(120):
        what = chance.choice(["lease", "lease", "hear", "record", "record", "silence"])
        some = chance.choice(list(leases)) if leases else ""
        if what == "lease":
            leases[f"c.{number}"] = chance.choice(SERVICES)
            await lease(connection, f"c.{number}", chance.randint(1, 900), leases[f"c.{number}"])
        elif what == "silence" and chance.random() < 0.5:
            await give_up(connection)
        elif what == "hear" and some:
            await hear(connection, some, chance.randint(0, 500))
        elif what == "record" and some:
            reserved = chance.randint(1, 300)
            await record(store, paid(number, some, reserved, reserved // 2, leases[some]))
        told = await statement(database_url)
        assert await spent(connection) == {
            **dict.fromkeys(set(leases.values()), 0),
            **{service: each["total_nano_usd"] for service, each in told.items()},
        }
    named = {row["credit_account"] for row in await connection.fetch(TRANSFERS)}
    assert {"billing:lost", '"team:lost":lost', "büro:lost"} <= named


async def test_a_budget_that_is_set_again_counts_what_was_lost_too(connection, store):
    async def apply(**file):
        async with connection.transaction():
            await budget_days.apply(connection, file, NOW)

    await lease(connection, "c.1", 900)
    await give_up(connection)
    await apply()
    await record(store, paid(1, "", 0, 70))
    await apply(billing=Budget(timezone=ZONE, daily_usd=0.01))
    assert await spent(connection) == {"billing": 970}
    await connection.execute("DELETE FROM tierwise.budget_days")
    await apply(billing=Budget(timezone=ZONE, daily_usd=0.02))
    assert await spent(connection) == {"billing": 970}


async def test_a_correction_needs_no_month_to_be_there(connection, store):
    """A ledger that was away for a month reads first."""
    await lease(connection, "c.1", 900)
    await give_up(connection)
    (month,) = await connection.fetchrow("SELECT tableoid::regclass::text FROM tierwise.ledger_transfers LIMIT 1")
    await connection.execute(f"DROP TABLE {month}")
    assert await record(store, paid(1, "c.1", 900, 5)) == []
    assert await spent(connection) == {"billing": 5}


async def test_charges_of_before_get_their_transfers_and_lose_them_with_the_migration(
    database_url, connection, store
):
    for number, service in enumerate(SERVICES):
        await lease(connection, f"c.{number}", 900 + number, service)
    await lease(connection, "c.held", 50)
    await record(store, paid(1, "c.0", 400, 150))
    await give_up(connection, NOW)
    await connection.execute(
        "UPDATE tierwise.budget_leases SET due_at = to_timestamp($1) WHERE lease_id <> 'c.held'", NOW
    )
    await give_up(connection, NOW + 60)
    transfers, told = await connection.fetch(TRANSFERS), await statement(database_url)
    days = await connection.fetch("SELECT * FROM tierwise.ledger_days ORDER BY service, payer")
    assert [row["amount_nano_usd"] for row in transfers] == [500, 901, 902]

    code, output = await alembic(database_url, "downgrade", "0004")
    assert code == 0, output
    assert await connection.fetch(TRANSFERS) == []
    assert await connection.fetchval("SELECT count(*) FROM tierwise.ledger_transfers") == 1
    with pytest.raises(asyncpg.RestrictViolationError):
        await connection.execute("DELETE FROM tierwise.ledger_transfers")
    assert await connection.fetchval("SELECT count(*) FROM tierwise.ledger_days WHERE payer = 'lost'") == 0
    await connection.execute(
        "DO $$ DECLARE month text; BEGIN "
        "FOR month IN SELECT inhrelid::regclass FROM pg_inherits "
        "WHERE inhparent = 'tierwise.ledger_transfers'::regclass "
        "LOOP EXECUTE 'DROP TABLE ' || month; END LOOP; END $$"
    )

    for _ in range(2):  # without this month's partition, and with it
        code, output = await alembic(database_url, "upgrade", "head")
        assert code == 0, output
        assert await connection.fetch(TRANSFERS) == transfers
        assert await connection.fetch("SELECT * FROM tierwise.ledger_days ORDER BY service, payer") == days
        assert await statement(database_url) == told
        assert (await alembic(database_url, "check"))[0] == 0
        await alembic(database_url, "downgrade", "0004")
    await alembic(database_url, "upgrade", "head")
    await store.aclose()
    await record(store, paid(2, "c.0", 500, 10))
    assert (await statement(database_url))["billing"]["total_nano_usd"] == 160 == (await spent(connection))["billing"]
    with pytest.raises(asyncpg.RestrictViolationError):
        await connection.execute("TRUNCATE tierwise.ledger_transfers")
