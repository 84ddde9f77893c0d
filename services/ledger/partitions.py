"""The tables that are kept by the month, and their months: made before they are needed, dropped when they are old.

A month is UTC's, by `received_at`. Every copy of a record has the same one, so that each partition's own key, which
does without `received_at`, finds a duplicate. A month is made apart and then attached: that waits for nobody, and
nobody waits for it. It is dropped whole: no row of the books is ever deleted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

import asyncpg
import msgspec

# What is known of a request by one key, in the order in which they are made.
KEYS: Final = {
    "ledger_requests": "request_id",
    "ledger_resends": "request_id, send",
    "ledger_attempts": "request_id, send, attempt",
    "ledger_transfers": "request_id, send, attempt, cause",
    "ledger_pairs": "request_id",
}

_ONE_AT_A_TIME: Final = "SELECT pg_advisory_xact_lock(6120448315093672241)"
_THERE: Final = """
SELECT parent.relname AS of, child.relname AS name, pg_get_expr(child.relpartbound, child.oid) AS bounds
FROM pg_inherits JOIN pg_class parent ON parent.oid = inhparent JOIN pg_class child ON child.oid = inhrelid
WHERE parent.relnamespace = 'tierwise'::regnamespace AND parent.relname = ANY($1)
"""
_BOUNDS: Final = re.compile(r"FOR VALUES FROM \((MINVALUE|'.*')\) TO \('(.*)'\)")


class Partition(msgspec.Struct, frozen=True):
    """One table's rows of `begin` ≤ received_at < `end`; None: of all before `end`, from before there were months."""

    table: str
    name: str
    begin: datetime | None
    end: datetime

    def holds(self, month: datetime) -> bool:
        return (self.begin is None or self.begin <= month) and month < self.end


def month_of(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def after(month: datetime) -> datetime:
    return month_of(month + timedelta(days=31))


def missing(there: Iterable[Partition], months: Iterable[datetime]) -> list[tuple[str, datetime]]:
    """Of each table, the months that no partition holds, in the order of KEYS."""
    known = list(there)
    wanted = sorted(set(months))
    return [
        (table, month)
        for table in KEYS
        for month in wanted
        if not any(partition.table == table and partition.holds(month) for partition in known)
    ]


def old(there: Iterable[Partition], keep_from: datetime) -> list[Partition]:
    """Those of which every row was received before `keep_from`."""
    return [partition for partition in there if partition.end <= keep_from]


async def found(connection: asyncpg.Connection) -> list[Partition]:
    """In a transaction. The bounds are read in UTC, whatever the connection's time zone."""
    await connection.execute("SET LOCAL timezone = 'UTC'; SET LOCAL datestyle = 'ISO'")
    return [_read(row) for row in await connection.fetch(_THERE, list(KEYS))]


async def make(connection: asyncpg.Connection, moments: Iterable[datetime]) -> int:
    """The partitions for these moments. Returns how many tables there were to make. Where all are there, nobody waits
    for anybody.
    """
    months = {month_of(moment) for moment in moments}
    async with connection.transaction():
        if not missing(await found(connection), months):
            return 0
        await connection.execute(_ONE_AT_A_TIME)
        lacking = missing(await found(connection), months)
        for table, month in lacking:
            await connection.execute(_made(table, month))
        return len(lacking)


async def drop(connection: asyncpg.Connection, keep_from: datetime, *, wait_s: float) -> list[str]:
    """All partitions that are older, or none where somebody reads them for longer than `wait_s`: whoever comes behind
    us waits with us. Returns their names.
    """
    async with connection.transaction():
        await connection.execute(_ONE_AT_A_TIME)
        gone = [partition.name for partition in old(await found(connection), keep_from)]
        if gone:
            await connection.execute(f"SET LOCAL lock_timeout = {int(wait_s * 1000)}")
            await connection.execute(f"DROP TABLE {', '.join(f'tierwise.{name}' for name in gone)}")
        return gone


def _made(table: str, month: datetime) -> str:
    name = f"{table}_{month:%Y_%m}"
    own = f"""
        CREATE TABLE tierwise.{name} (LIKE tierwise.{table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS,
            CONSTRAINT pk_{name} PRIMARY KEY ({KEYS[table]}));
        ALTER TABLE tierwise.{table} ATTACH PARTITION tierwise.{name}
            FOR VALUES FROM ('{month:%Y-%m-%d} 00:00+00') TO ('{after(month):%Y-%m-%d} 00:00+00');
    """
    if table != "ledger_transfers":
        return own
    return f"""{own}
        CREATE TRIGGER never_emptied BEFORE TRUNCATE ON tierwise.{name} EXECUTE FUNCTION tierwise.refuse_change();
    """


def _read(row: asyncpg.Record) -> Partition:
    bounds = _BOUNDS.fullmatch(row["bounds"])
    assert bounds is not None, row["bounds"]
    begin, end = bounds.groups()
    return Partition(
        row["of"],
        row["name"],
        None if begin == "MINVALUE" else datetime.fromisoformat(begin.strip("'")),
        datetime.fromisoformat(end),
    )
