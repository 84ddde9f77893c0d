"""What dashboards read, against INTERFACE: columns, amounts, days. And the migrations below it."""

import asyncio
import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import asyncpg
import pytest

from services.ledger import core
from shared.contracts import encode
from tests.support.ledger import alembic, ledger, querying
from tests.support.usage import FEATURES, NOON_US, usage
from tests.support.wait import eventually

MIDNIGHT_US = NOON_US + 43_200_000_000

DOCUMENTED = {
    "requests": "request_id, received_at, service, priority, category, tier, backend, model, reason, cache, status, "
    "attempts, input_tokens, cached_input_tokens, output_tokens, usage_source, latency_ms, first_token_ms, cost_usd, "
    "baseline_usd, saved_usd, policy_version",
    "attempts": "request_id, send, attempt, backend, started_at, outcome, status, input_tokens, output_tokens, "
    "cost_usd, latency_ms",
    "spend_daily": "day, service, tier, backend, requests, input_tokens, output_tokens, cost_usd",
    "savings_daily": "day, service, category, requests, cost_usd, baseline_usd, cache_saved_usd, batch_saved_usd, "
    "validation_usd, net_saved_usd",
}


@pytest.mark.parametrize("view", DOCUMENTED)
async def test_a_view_has_exactly_the_documented_columns(query, view):
    expected = []
    for column in DOCUMENTED[view].split(", "):
        if column.endswith("_usd"):
            expected.append((column.replace("_usd", "_nano_usd"), "bigint"))
            expected.append((column, "numeric"))
        else:
            expected.append((column, None))
    found = await query(
        "SELECT column_name, data_type FROM information_schema.columns "
        "WHERE table_schema = 'tierwise' AND table_name = $1 ORDER BY ordinal_position",
        view,
    )
    assert [row["column_name"] for row in found] == [name for name, _ in expected]
    types = {row["column_name"]: row["data_type"] for row in found}
    assert all(types[name] == kind for name, kind in expected if kind)
    for time in {"received_at", "started_at"} & set(types):
        assert types[time] == "timestamp with time zone"
    assert types.get("day", "date") == "date"


async def test_rows_as_a_dashboard_sees_them(nats_url, database_url, dispatcher, query):
    async with ledger(nats_url, database_url):
        await dispatcher.send(usage(1, first_token_ms=12.5, cost_nano_usd=750, baseline_nano_usd=98_000))
        await eventually(dispatcher.all_acked, "acks")
    (row,) = await query("SELECT * FROM tierwise.requests")
    assert row["received_at"].timestamp() * 1_000_000 == NOON_US
    assert (row["cost_usd"], row["baseline_usd"]) == (Decimal("0.000000750"), Decimal("0.000098000"))
    assert (row["saved_nano_usd"], row["saved_usd"]) == (97_250, Decimal("0.000097250"))
    assert (row["first_token_ms"], row["attempts"], row["policy_version"]) == (12.5, 1, 3)
    (call,) = await query("SELECT * FROM tierwise.attempts")
    assert call["started_at"].timestamp() * 1_000_000 == NOON_US + 1_000
    assert (call["outcome"], call["cost_usd"], call["send"]) == ("answered", Decimal("0.000000750"), 0)


async def test_savings_may_be_negative(nats_url, database_url, dispatcher, query):
    async with ledger(nats_url, database_url):
        await dispatcher.send(usage(1, baseline_nano_usd=100))
        await eventually(dispatcher.all_acked, "acks")
    assert (await query("SELECT saved_usd FROM tierwise.requests"))[0]["saved_usd"] == Decimal("-0.000000650")


async def test_daily_spend_is_what_was_paid_where_it_was_paid(nats_url, database_url, dispatcher, query):
    failed_over = (
        {"backend": "small-1", "outcome": "timeout", "input_tokens": 7, "output_tokens": 1, "cost_nano_usd": 40},
        {"backend": "small-2", "input_tokens": 100, "output_tokens": 10, "cost_nano_usd": 500},
    )
    async with ledger(nats_url, database_url):
        await dispatcher.send(
            usage(1),
            usage(2, calls=failed_over, backend="small-2"),
            usage(3, attempts=(), cost_nano_usd=0, cache="hit"),
            usage(4, received_at_us=MIDNIGHT_US - 1),
            usage(5, received_at_us=MIDNIGHT_US),
            usage(6, service="legal"),
            usage(7, calls=({"outcome": "refused", "input_tokens": 0, "output_tokens": 0, "cost_nano_usd": 0},),
                  backend="", status=503, tier="large"),
        )  # fmt: skip
        await eventually(dispatcher.all_acked, "acks")
    rows = await query(
        "SELECT day, service, tier, backend, requests, input_tokens, output_tokens, cost_nano_usd, cost_usd "
        "FROM tierwise.spend_daily ORDER BY day, service, tier DESC, backend"
    )
    today, tomorrow = date(2026, 9, 21), date(2026, 9, 22)
    assert [tuple(row)[:8] for row in rows] == [
        (today, "billing", "small", "small-1", 3, 247, 61, 1540),
        (today, "billing", "small", "small-2", 1, 100, 10, 500),
        (today, "billing", "large", "", 1, 0, 0, 0),
        (today, "legal", "small", "small-1", 1, 120, 30, 750),
        (tomorrow, "billing", "small", "small-1", 1, 120, 30, 750),
    ]
    assert all(row["cost_usd"] == row["cost_nano_usd"] * Decimal("1e-9") for row in rows)
    (sums,) = await query("SELECT sum(cost_nano_usd) AS paid, count(*) FROM tierwise.requests")
    assert tuple(sums) == (sum(row["cost_nano_usd"] for row in rows), sum(row["requests"] for row in rows))


async def test_the_day_does_not_depend_on_the_database_s_time_zone(nats_url, database_url, dispatcher, query):
    name = database_url.rpartition("/")[2]
    await query(f"ALTER DATABASE {name} SET timezone = 'Pacific/Kiritimati'")
    async with ledger(nats_url, database_url):
        await dispatcher.send(usage(1, received_at_us=MIDNIGHT_US - 1))
        await eventually(dispatcher.all_acked, "acks")
    assert [row["day"] for row in await query("SELECT day FROM tierwise.spend_daily")] == [date(2026, 9, 21)]


UNLIKE = {
    "received_at_us": NOON_US + 1,
    "service": "s",
    "priority": "p",
    "category": "c",
    "tier": "t",
    "backend": "b",
    "model": "m",
    "reason": "r,r",
    "cache": "x",
    "status": 201,
    "input_tokens": 11,
    "cached_input_tokens": 12,
    "output_tokens": 13,
    "usage_source": "counted",
    "latency_ms": 14.5,
    "first_token_ms": 15.5,
    "cost_nano_usd": 774,
    "baseline_nano_usd": 17,
    "policy_version": 18,
    "lease_id": "l",
    "reserved_nano_usd": -19,
    "cache_saved_nano_usd": 20,
    "batch_saved_nano_usd": -21,
}
CALLS = (
    {
        "backend": "b1",
        "started_at_us": NOON_US + 2,
        "outcome": "failed",
        "status": 500,
        "input_tokens": 21,
        "cached_input_tokens": 22,
        "output_tokens": 23,
        "usage_source": "unknown",
        "cost_nano_usd": 24,
        "latency_ms": 25.5,
        "tier": "t1",
    },
    {"started_at_us": NOON_US + 3, "latency_ms": 1.25},
)


async def test_every_column_has_what_the_record_says(nats_url, database_url, dispatcher, query):
    async with ledger(nats_url, database_url):
        await dispatcher.send(usage(1, calls=CALLS, **UNLIKE))
        await dispatcher.send(usage(2, service="größer \U0001f600"))
        await eventually(dispatcher.all_acked, "acks")
    row, other = map(dict, await query("SELECT * FROM tierwise.ledger_requests ORDER BY request_id"))
    assert row.pop("recorded_at") == other["recorded_at"]
    assert isinstance(row.pop("fingerprint"), int)
    assert row == {
        "request_id": usage(1).request_id,
        "send": 0,
        "received_at": moment(NOON_US + 1),
        "day": date(2026, 9, 21),
        "answered_at": moment(NOON_US + 3 + 1250),
        "service": "s",
        "priority": "p",
        "category": "c",
        "tier": "t",
        "backend": "b",
        "model": "m",
        "reason": "r,r",
        "cache": "x",
        "status": 201,
        "attempts": 2,
        "input_tokens": 11,
        "cached_input_tokens": 12,
        "output_tokens": 13,
        "usage_source": "counted",
        "latency_ms": 14.5,
        "first_token_ms": 15.5,
        "cost_nano_usd": 774,
        "baseline_nano_usd": 17,
        "policy_version": 18,
        "lease_id": "l",
        "reserved_nano_usd": -19,
        "cache_saved_nano_usd": 20,
        "batch_saved_nano_usd": -21,
        "features": encode(FEATURES),
        "call_started_at": None,
        "call_latency_ms": None,
        "resent_cost_nano_usd": 0,
    }
    assert other["service"] == "größer \U0001f600"
    assert other["first_token_ms"] is None
    assert (other["call_started_at"], other["call_latency_ms"]) == (moment(NOON_US + 1_000), 412.5)
    call, _ = map(dict, await query("SELECT * FROM tierwise.ledger_attempts ORDER BY attempt"))
    assert call == {
        "request_id": usage(1).request_id,
        "send": 0,
        "attempt": 1,
        "received_at": moment(NOON_US + 1),
        "day": date(2026, 9, 21),
        "service": "s",
        "tier": "t1",
        "backend": "b1",
        "started_at": moment(NOON_US + 2),
        "outcome": "failed",
        "status": 500,
        "input_tokens": 21,
        "cached_input_tokens": 22,
        "output_tokens": 23,
        "usage_source": "unknown",
        "cost_nano_usd": 24,
        "latency_ms": 25.5,
    }


def moment(at_us):
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=at_us)


async def test_the_dashboards_role_reads_every_view_and_nothing_else(database_url, query):
    views = [row["viewname"] for row in await query("SELECT viewname FROM pg_views WHERE schemaname = 'tierwise'")]
    tables = [
        row["tablename"] for row in await query("SELECT tablename FROM pg_tables WHERE schemaname = 'tierwise'")
    ]
    assert set(DOCUMENTED) <= set(views)
    async with querying(database_url) as as_dashboard:
        await as_dashboard("SET ROLE tierwise_dashboards")
        for view in views:
            await as_dashboard(f"SELECT * FROM tierwise.{view}")
            with pytest.raises(asyncpg.PostgresError):
                await as_dashboard(f"DELETE FROM tierwise.{view}")
        for table in tables:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await as_dashboard(f"SELECT * FROM tierwise.{table}")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await as_dashboard("CREATE TABLE tierwise.mine ()")


async def test_a_user_who_may_not_create_roles_can_migrate(database_url, query):
    (name,) = (await query("SELECT current_database()"))[0]
    assert (await alembic(database_url, "downgrade", "base"))[0] == 0
    await query("DROP SCHEMA tierwise CASCADE")
    await query(f"CREATE ROLE owner_of_{name} LOGIN PASSWORD 'x'")
    await query(f"GRANT CREATE ON DATABASE {name} TO owner_of_{name}")
    try:
        code, output = await alembic(re.sub(r"//.*@", f"//owner_of_{name}:x@", database_url), "upgrade", "head")
        assert code == 0, output
    finally:
        await query(f"DROP OWNED BY owner_of_{name} CASCADE")
        await query(f"DROP ROLE owner_of_{name}")


async def relations(query):
    rows = await query("SELECT table_name FROM information_schema.tables WHERE table_schema = 'tierwise'")
    return {row["table_name"] for row in rows} - {"alembic_version"}


async def test_migrations_go_down_and_up_again_and_two_at_once(database_url, query):
    before = await relations(query)
    assert {*DOCUMENTED, "ledger_requests", "ledger_transfers"} <= before
    assert (await alembic(database_url, "downgrade", "base"))[0] == 0
    assert await relations(query) == set()
    async with querying(database_url) as hold:  # so that neither is done before both have begun
        await hold("BEGIN")
        await hold("LOCK TABLE tierwise.alembic_version IN SHARE MODE")
        both = asyncio.gather(*(alembic(database_url, "upgrade", "head") for _ in range(2)))
        await eventually(lambda: two_wait(query), "both to wait")
    both = await both
    assert [code for code, _ in both] == [0, 0], both
    assert await relations(query) == before


async def two_wait(query):
    mine = "datname = current_database() AND wait_event_type = 'Lock'"
    return (await query(f"SELECT count(*) AS n FROM pg_stat_activity WHERE {mine}"))[0]["n"] == 2


OF_THE_FIRST_RELEASE = """
    INSERT INTO tierwise.ledger_requests (request_id, send, received_at, day, answered_at, service, priority,
        category, tier, backend, model, reason, cache, status, attempts, input_tokens, cached_input_tokens,
        output_tokens, usage_source, latency_ms, cost_nano_usd, baseline_nano_usd, policy_version, lease_id,
        reserved_nano_usd, features, fingerprint)
    VALUES ($1, 0, '2026-09-21 12:00Z', '2026-09-21', '2026-09-21 12:00:01Z', 'billing', 'normal', 'extraction',
        'small', 'small-1', 'qwen-9b', 'category', 'miss', 200, 1, 120, 20, 30, 'reported', 413, 750, 98000, 3, '', 0,
        '', $2)
"""
ITS_CALL = """
    INSERT INTO tierwise.ledger_attempts
    SELECT request_id, send, 1, received_at, day, service, tier, backend, received_at, 'answered', status,
        input_tokens, cached_input_tokens, output_tokens, usage_source, cost_nano_usd, latency_ms
    FROM tierwise.ledger_requests
"""
VIEWS = (
    "SELECT * FROM tierwise.requests ORDER BY request_id",
    "SELECT * FROM tierwise.attempts ORDER BY request_id, send, attempt",
    "SELECT * FROM tierwise.spend_daily",
)


async def test_rows_of_the_first_release_are_kept_and_known(nats_url, database_url, dispatcher, query):
    assert (await alembic(database_url, "downgrade", "0001"))[0] == 0
    await query(OF_THE_FIRST_RELEASE, usage(1).request_id, core.fingerprint(encode(usage(1))))
    await query(ITS_CALL)
    before = [await query(view) for view in VIEWS]
    assert (await alembic(database_url, "upgrade", "head"))[0] == 0
    assert [await query(view) for view in VIEWS] == before

    async with ledger(nats_url, database_url) as one:
        await dispatcher.send(usage(1), usage(2))
        await dispatcher.send(usage(2, send=1, calls=({"started_at_us": NOON_US + 9_000_000},)))
        await eventually(dispatcher.all_acked, "acks")
        assert (one.counted("duplicates"), one.counted("records"), one.counted("conflicts")) == (1, 2, 0)
    after = [await query(view) for view in VIEWS]
    assert after[0][0] == before[0][0]
    assert [(call["request_id"][-1], call["send"]) for call in after[1]] == [("1", 0), ("2", 0), ("2", 1)]
    assert [call["outcome"] for call in after[1]] == ["answered"] * 3
    assert [(row["requests"], row["cost_nano_usd"]) for row in after[2]] == [(2, 3 * 750)]

    assert (await alembic(database_url, "downgrade", "0001"))[0] == 0
    assert [await query(view) for view in VIEWS] == after


async def test_migrations_make_the_tables_that_the_services_describe(database_url):
    code, output = await alembic(database_url, "check")
    assert code == 0, output
