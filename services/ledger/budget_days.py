"""Budgets' days and limits in PostgreSQL: the file's, and operators' words over it. Transactions are the callers'."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Final

import asyncpg
import msgspec

from shared.budgets import DEFAULT, BudgetDay, Limit, Limits, budget_day, calendar_day
from shared.money import NanoUsd
from shared.policy import Budget

_budget = msgspec.json.Decoder(Budget)

# What every limit is computed from must not change between the reading and the writing.
_ONE_AT_A_TIME: Final = "SELECT pg_advisory_xact_lock(5561170293830242911)"

# A budget that begins in the middle of a day binds all of it: what is in the books already is spent.
_OPEN_DAY: Final = """
INSERT INTO tierwise.budget_days
    (service, day, starts_at, resets_at, on_exhausted, limit_nano_usd, spent_nano_usd, floor_nano_usd)
SELECT $1, $2, $3, $4, $5, $6, coalesce(sum(cost_nano_usd) FILTER (WHERE payer IN ('budget', 'lost')), 0),
    coalesce(sum(cost_nano_usd) FILTER (WHERE payer = 'floor'), 0)
FROM tierwise.ledger_days WHERE service = $1 AND day = $2
ON CONFLICT DO NOTHING RETURNING true
"""

_LATE_DAYS: Final = "SELECT service, day FROM tierwise.budget_days WHERE resets_at > now() - interval '1 day'"

# A day that no budget stands over any more ends at once; one that has a budget again goes on.
_SET_LIMITS: Final = """
UPDATE tierwise.budget_days AS old
SET limit_nano_usd = new.amount, on_exhausted = new.on_exhausted,
    starts_at = new.starts_at, resets_at = new.resets_at,
    spent_nano_usd = CASE WHEN old.resets_at > now() THEN old.spent_nano_usd ELSE greatest(old.spent_nano_usd, (
        SELECT sum(cost_nano_usd) FROM tierwise.ledger_days AS sums
        WHERE sums.day = old.day AND sums.service = old.service AND payer IN ('budget', 'lost'))) END,
    exhausted_at = CASE WHEN new.amount > old.limit_nano_usd THEN NULL ELSE old.exhausted_at END
FROM unnest($1::text[], $2::date[], $3::timestamptz[], $4::timestamptz[], $5::text[], $6::bigint[])
    AS new(service, day, starts_at, resets_at, on_exhausted, amount)
WHERE old.service = new.service AND old.day = new.day AND (old.limit_nano_usd, old.on_exhausted, old.resets_at)
    IS DISTINCT FROM (new.amount, new.on_exhausted, new.resets_at)
"""
_END_DAYS: Final = """
UPDATE tierwise.budget_days SET resets_at = now()
WHERE resets_at > now() AND (service, day) IN (SELECT * FROM unnest($1::text[], $2::date[]))
"""


async def open_day(connection: asyncpg.Connection, service: str, limit: Limit, day: BudgetDay) -> bool:
    """Where it is not there yet: whether it was not. What the books say of it is counted then."""
    return await connection.fetchval(_OPEN_DAY, service, *_day_row(limit, day)) is not None


def _day_row(limit: Limit, day: BudgetDay) -> tuple[date, datetime, datetime, str, NanoUsd]:
    return (
        date.fromisoformat(day.day), _time(day.starts_us / 1e6), _time(day.ends_us / 1e6), limit.on_exhausted,
        limit.daily_nano_usd,
    )  # fmt: skip


async def operators_words(connection: asyncpg.Connection) -> dict[str, Budget]:
    """What has been set over the file, by service."""
    rows = await connection.fetch("SELECT service, budget FROM tierwise.budgets ORDER BY service")
    return {service: _budget.decode(text) for service, text in rows}


async def set_budget(connection: asyncpg.Connection, service: str, budget: Budget | None) -> None:
    """An operator's word, which holds until it is taken back (None)."""
    await connection.execute(_ONE_AT_A_TIME)
    if budget is None:
        await connection.execute("DELETE FROM tierwise.budgets WHERE service = $1", service)
        return
    await connection.execute(
        "INSERT INTO tierwise.budgets (service, budget) VALUES ($1, $2) "
        "ON CONFLICT (service) DO UPDATE SET budget = excluded.budget, set_at = now()",
        service,
        msgspec.json.encode(budget).decode(),
    )


async def apply(
    connection: asyncpg.Connection, file: Mapping[str, Budget], now: float
) -> tuple[Limits, dict[str, Budget]]:
    """Brings the days that are not over to what holds now: the file, and operators' words over it. Returns both."""
    await connection.execute(_ONE_AT_A_TIME)
    words = await operators_words(connection)
    limits = Limits(file, words)
    for service in limits.named:
        limit = limits.of(service)
        if limit is not None and service != DEFAULT:
            await open_day(connection, service, limit, budget_day(limit.timezone, int(now * 1e6)))
    kept, ended = [], []
    for service, day in await connection.fetch(_LATE_DAYS):
        limit = limits.of(service)
        if limit is None:
            ended.append((service, day))
            continue
        found = calendar_day(limit.timezone, day)
        if found.ends_us > now * 1e6:
            kept.append((service, *_day_row(limit, found)))
    if kept:
        await connection.execute(_SET_LIMITS, *map(list, zip(*kept, strict=True)))
    if ended:
        await connection.execute(_END_DAYS, *map(list, zip(*ended, strict=True)))
    return limits, words


def _time(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
