"""Leases in PostgreSQL: what services/ledger/leases.py decides, on rows. Transactions are the callers'.

One conditional statement decides a grant. All else locks leases before days, and each in the order of their keys, so
that no two ledgers wait for each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from typing import Any, Final, TypeAlias

import asyncpg

from services.ledger import books, budget_days, day_sums, leases, partitions
from services.ledger.books import AmountSource, Cause, Sums
from services.ledger.core import Entry
from services.ledger.leases import AHEAD_SHARE, Day, Lease
from shared.budgets import Limit, Limits, calendar_day
from shared.contracts import Grant, GrantAsked, LeaseReported
from shared.money import NanoUsd

Account: TypeAlias = tuple[str, date]  # service and day

FORGOTTEN_AFTER: Final = "1 hour"  # a lease of which nothing is outstanding; a message that late is none
CHARGED_FORGOTTEN_AFTER: Final = "7 days"  # one whose charge a late record may still correct


# Grants -----------------------------------------------------------------------------------------------------

# leases.offer, in SQL.
_FREE: Final = "(limit_nano_usd - spent_nano_usd - held_nano_usd)"
_OFFER: Final = f"least({_FREE}, greatest($5::bigint, least($6::bigint, {_FREE} / {AHEAD_SHARE})))"

# The condition is looked at again on the row as another ledger left it: PostgreSQL's READ COMMITTED. A name that was
# used already violates the key of leases, and undoes the debit with it.
_GRANT: Final = f"""
WITH debited AS (
    UPDATE tierwise.budget_days SET held_nano_usd = held_nano_usd + {_OFFER}, granted_nano_usd_last = {_OFFER}
    WHERE service = $1 AND day = $2 AND {_OFFER} >= greatest($4::bigint, 1)
    RETURNING limit_nano_usd, spent_nano_usd, held_nano_usd, granted_nano_usd_last
), leased AS (
    INSERT INTO tierwise.budget_leases (lease_id, service, day, kept_nano_usd, due_at)
    SELECT $3, $1, $2, granted_nano_usd_last, $7 FROM debited
)
SELECT * FROM debited
"""  # noqa: S608  # constants

_STANDING: Final = """
SELECT limit_nano_usd, spent_nano_usd, held_nano_usd FROM tierwise.budget_days WHERE service = $1 AND day = $2
"""
_STANDINGS: Final = """
SELECT service, day, limit_nano_usd, spent_nano_usd, held_nano_usd FROM tierwise.budget_days
JOIN unnest($1::text[], $2::date[]) AS asked(service, day) USING (service, day)
"""
_KEPT: Final = "SELECT kept_nano_usd FROM tierwise.budget_leases WHERE lease_id = $1"
_EXHAUST: Final = """
UPDATE tierwise.budget_days SET exhausted_at = now() WHERE service = $1 AND day = $2 AND exhausted_at IS NULL
"""


async def grant(
    connection: asyncpg.Connection, asked: GrantAsked, limit: Limit, now: float, longest_s: float
) -> Grant:
    """The answer to a wish for a lease, on a connection that is in no transaction."""
    service, day = asked.service, date.fromisoformat(leases.lent_day(asked.day, limit.timezone, now))
    due_at = _time(leases.due_at(-1, now, longest_s))
    wish = (service, day, asked.lease_id, asked.need, asked.waiting, asked.ahead, due_at)
    row = await _granted(connection, wish)
    if row is None and await connection.fetchrow(_STANDING, service, day) is None:
        await budget_days.open_day(connection, service, limit, calendar_day(limit.timezone, day))
        row = await _granted(connection, wish)
    if row is not None:
        daily, spent, held, granted = row
        return Grant(service, asked.day, asked.lease_id, granted, daily, spent, held)
    daily, spent, held = await connection.fetchrow(_STANDING, service, day) or (limit.daily_nano_usd, 0, 0)
    if daily - spent < asked.need:
        await connection.execute(_EXHAUST, service, day)
    return Grant(service, asked.day, asked.lease_id, 0, daily, spent, held)


async def stand(connection: asyncpg.Connection, asked: Sequence[tuple[GrantAsked, Limit]], now: float) -> list[Grant]:
    """How days stand, of those who ask for no lease: in one query, for they may be a thousand a second."""
    days = [date.fromisoformat(leases.lent_day(one.day, limit.timezone, now)) for one, limit in asked]
    rows = await connection.fetch(_STANDINGS, [one.service for one, _ in asked], days)
    standing = {(service, day): amounts for service, day, *amounts in rows}
    return [
        Grant(one.service, one.day, "", 0, *standing.get((one.service, day), (limit.daily_nano_usd, 0, 0)))
        for (one, limit), day in zip(asked, days, strict=True)
    ]


async def _granted(connection: asyncpg.Connection, wish: tuple[Any, ...]) -> tuple[int, int, int, int] | None:
    """Limit, spent, held and granted; None: too little is free, or there is no such day yet."""
    service, day, lease_id = wish[:3]
    try:
        row = await connection.fetchrow(_GRANT, *wish)
    except asyncpg.UniqueViolationError:  # asked for before, or given back already: the same lease, granted once
        kept = await connection.fetchval(_KEPT, lease_id)
        row = (*await connection.fetchrow(_STANDING, service, day), kept or 0)
    return None if row is None else tuple(row)


# What comes back --------------------------------------------------------------------------------------------

_LEASES: Final = """
SELECT lease_id, transfers, service, day, kept_nano_usd, extract(epoch FROM due_at)::float8, settled_nano_usd, charged
FROM tierwise.budget_leases WHERE lease_id = ANY($1::text[]) ORDER BY lease_id FOR UPDATE
"""
_DUE_LEASES: Final = """
SELECT lease_id, transfers, service, day, kept_nano_usd, extract(epoch FROM due_at)::float8, settled_nano_usd, charged
FROM tierwise.budget_leases WHERE due_at <= $1 AND NOT charged AND kept_nano_usd > settled_nano_usd
ORDER BY lease_id LIMIT 1000 FOR UPDATE SKIP LOCKED
"""
_SAVE_LEASES: Final = """
UPDATE tierwise.budget_leases AS old
SET kept_nano_usd = new.kept, settled_nano_usd = new.settled, charged = new.charged, due_at = new.due_at
FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::boolean[], $5::timestamptz[])
    AS new(lease_id, kept, settled, charged, due_at)
WHERE old.lease_id = new.lease_id
"""
# Each of a lease's transfers has the next number as its attempt. No call, and no policy whose prices it has.
_POST_LOST: Final = f"""
WITH posted AS (
    INSERT INTO tierwise.ledger_transfers (request_id, send, attempt, cause, received_at, day, debit_account,
        credit_account, amount_nano_usd, amount_source, policy_version)
    SELECT lease_id, 0, number, '{Cause.LOST_LEASE}', $1, day, debit, credit, amount, '{AmountSource.ASSUMED}', 0
    FROM unnest($2::text[], $3::smallint[], $4::date[], $5::text[], $6::text[], $7::bigint[])
        AS lost(lease_id, number, day, debit, credit, amount)
    RETURNING request_id, attempt
)
UPDATE tierwise.budget_leases SET transfers = attempt FROM posted WHERE lease_id = request_id
"""  # noqa: S608  # constants
_NEVER_GRANTED: Final = """
INSERT INTO tierwise.budget_leases (lease_id, service, kept_nano_usd, due_at)
SELECT lease_id, '', 0, now() FROM unnest($1::text[]) AS lease_id ON CONFLICT DO NOTHING
RETURNING lease_id
"""
_ADD_TO_DAYS: Final = """
WITH added AS (
    SELECT * FROM unnest($1::text[], $2::date[], $3::bigint[], $4::bigint[], $5::bigint[])
        AS new(service, day, spent, held, floor)
), locked AS MATERIALIZED (
    SELECT service, day FROM tierwise.budget_days JOIN added USING (service, day) ORDER BY service, day FOR UPDATE
)
UPDATE tierwise.budget_days AS old
SET spent_nano_usd = old.spent_nano_usd + added.spent, held_nano_usd = old.held_nano_usd + added.held,
    floor_nano_usd = old.floor_nano_usd + added.floor
FROM locked JOIN added USING (service, day)
WHERE old.service = locked.service AND old.day = locked.day
"""
_FORGET: Final = f"""
DELETE FROM tierwise.budget_leases WHERE due_at < now() - interval '{FORGOTTEN_AFTER}'
    AND (kept_nano_usd = settled_nano_usd OR charged AND due_at < now() - interval '{CHARGED_FORGOTTEN_AFTER}')
"""  # noqa: S608  # constants
_FORGET_DAYS: Final = """
DELETE FROM tierwise.budget_days WHERE resets_at < now() - interval '2 days'
    AND spent_nano_usd = 0 AND held_nano_usd = 0 AND floor_nano_usd = 0
"""


class _Change:
    """What leases do to days, until it is saved: each day's difference is a Day that begins at nought."""

    def __init__(self) -> None:
        self._days: dict[Account, Day] = {}
        self._leases: dict[str, Lease] = {}
        self._posted: dict[str, tuple[int, NanoUsd]] = {}  # by lease: transfers, and what is lost of it by them

    def day(self, account: Account) -> Day:
        return self._days.setdefault(account, Day(0))

    def day_of(self, lease: Lease) -> Day:
        return self.day((lease.service, date.fromisoformat(lease.day)))

    def has(self, lease_id: str) -> bool:
        return lease_id in self._leases

    async def load(self, connection: asyncpg.Connection, query: str, *arguments: object) -> dict[str, Lease]:
        """Those that were granted; locked until the transaction's end."""
        for lease_id, transfers, service, day, *fields in await connection.fetch(query, *arguments):
            lease = Lease(service, "" if day is None else day.isoformat(), *fields)
            self._leases[lease_id] = lease
            self._posted[lease_id] = (transfers, lease.lost)
        return {lease_id: lease for lease_id, lease in self._leases.items() if lease.service}

    async def save(self, connection: asyncpg.Connection, now: float) -> None:
        saved = [
            (lease_id, lease.kept, lease.settled, lease.charged, _time(lease.due_at))
            for lease_id, lease in self._leases.items()
            if lease.service
        ]
        if saved:
            await connection.execute(_SAVE_LEASES, *map(list, zip(*saved, strict=True)))
        added = [
            (*account, day.spent, day.held, day.floor)
            for account, day in sorted(self._days.items())
            if day.spent or day.held or day.floor
        ]
        if added:
            await connection.execute(_ADD_TO_DAYS, *map(list, zip(*added, strict=True)))
        await self._post(connection, now)

    async def _post(self, connection: asyncpg.Connection, now: float) -> None:
        """What leases lost, and what was told of it since, into the books: a day's spending is the sum of theirs."""
        transfers, sums = [], Sums()
        for lease_id, lease in self._leases.items():
            number, before = self._posted[lease_id]
            amount = lease.lost - before
            if amount:
                day = date.fromisoformat(lease.day)
                accounts = books.lost_posting(lease.service, amount)
                transfers.append((lease_id, number + 1, day, *accounts, abs(amount)))
                books.add_lost(sums, day, lease.service, amount)
        if transfers:
            await partitions.make(connection, [_time(now)])
            await connection.execute(_POST_LOST, _time(now), *map(list, zip(*transfers, strict=True)))
            await day_sums.add(connection, sums)


async def hear(
    connection: asyncpg.Connection, reported: Sequence[LeaseReported], now: float, longest_s: float
) -> None:
    """Holders' words. A lease that is not there was given back before it was asked for: it never will be granted."""
    if not reported:
        return
    change = _Change()
    known = await change.load(connection, _LEASES, [report.lease_id for report in reported])
    unknown = [report.lease_id for report in reported if report.ends_in_ms >= 0 and not change.has(report.lease_id)]
    if unknown:
        made = {row[0] for row in await connection.fetch(_NEVER_GRANTED, unknown)}
        late = [lease_id for lease_id in unknown if lease_id not in made]  # another ledger has just granted them
        if late:
            known = await change.load(connection, _LEASES, late)
    for report in reported:
        lease = known.get(report.lease_id)
        if lease is not None:
            leases.hear(change.day_of(lease), lease, report, now, longest_s)
    await change.save(connection, now)


async def settle(connection: asyncpg.Connection, entries: Iterable[Entry], limits: Limits, now: float) -> None:
    """Records that are in the books as of this transaction, each once: its reservation goes, its cost stays.

    What was paid without a lease counts all the same, on the day on which its request was received.
    """
    leased: dict[str, list[Entry]] = {}
    loose: list[Entry] = []
    for entry in entries:
        if entry.usage.lease_id:
            leased.setdefault(entry.usage.lease_id, []).append(entry)
        elif entry.usage.cost_nano_usd:
            loose.append(entry)
    change = _Change()
    known = await change.load(connection, _LEASES, list(leased)) if leased else {}
    for lease_id, those in leased.items():
        lease = known.get(lease_id)
        if lease is None:
            loose += those
            continue
        day = change.day_of(lease)
        for entry in those:
            leases.settle(day, lease, entry.usage.reserved_nano_usd, entry.usage.cost_nano_usd)
    opened: dict[Account, bool] = {}
    for entry in loose:
        usage = entry.usage
        limit = limits.of(usage.service)
        if limit is None:
            continue
        account = (usage.service, entry.day)
        if account not in opened:
            day_of = calendar_day(limit.timezone, entry.day)
            opened[account] = await budget_days.open_day(connection, usage.service, limit, day_of)
        if opened[account]:
            continue  # these are in the books as well
        if books.payer(usage.reason) is books.Payer.FLOOR:
            change.day(account).floor += usage.cost_nano_usd
        else:
            change.day(account).spent += usage.cost_nano_usd
    await change.save(connection, now)


async def give_up(connection: asyncpg.Connection, until: float, now: float) -> dict[str, tuple[Lease, NanoUsd]]:
    """Charges the leases that were due by then and of which nobody has told what became of them."""
    change = _Change()
    due = await change.load(connection, _DUE_LEASES, _time(until))
    charged = {lease_id: (lease, leases.give_up(change.day_of(lease), lease)) for lease_id, lease in due.items()}
    await change.save(connection, now)
    return charged


async def forget(connection: asyncpg.Connection) -> None:
    """Leases that nobody will speak of again, and past days of services that spent nothing: callers make up names."""
    await connection.execute(_FORGET)
    await connection.execute(_FORGET_DAYS)


def _time(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
