"""The ledger's SQL: one transaction a batch, and what PostgreSQL's refusals mean.

StoreFault
├── DatabaseAway    it does not answer, or not now: nothing is lost by asking again
└── DataRefused     it will never take this data
"""

from __future__ import annotations

import struct
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

import asyncpg

from services.ledger import books, budgets, core, day_sums, partitions, rows
from services.ledger.books import Answer, Sums
from services.ledger.core import Entry, Poison, Standing, Validation, Verdict
from services.ledger.line import CROSSED, Line, until_not_crossed
from shared.budgets import Limits
from shared.database import SCHEMA
from shared.settings import DatabaseSettings

# Records that are not plainly new come into tables of the connection's own, and go on from there.
_GIVEN_REQUESTS: Final = "given_requests"
_GIVEN_CALLS: Final = "given_calls"
_GIVEN_PAIRS: Final = "given_pairs"

_COLUMNS: Final = ", ".join(rows.REQUEST_COLUMNS)
_CALL_COLUMNS: Final = ", ".join(rows.CALL_COLUMNS)
_PAIR_COLUMNS: Final = ", ".join(rows.PAIR_COLUMNS)


def _have(given: str, columns: str, table: str) -> str:
    return f"""
    CREATE TEMPORARY TABLE IF NOT EXISTS {given} ON COMMIT DELETE ROWS
    AS SELECT {columns} FROM tierwise.{table} WITH NO DATA
    """  # noqa: S608  # constants


def _insert(table: str, columns: str, given: str) -> str:
    return f"INSERT INTO tierwise.{table} ({columns}) SELECT {columns} FROM {given} ON CONFLICT DO NOTHING"  # noqa: S608


_HAVE_GIVEN: Final = ";".join(
    (
        _have(_GIVEN_REQUESTS, _COLUMNS, "ledger_requests"),
        _have(_GIVEN_CALLS, _CALL_COLUMNS, "ledger_attempts"),
    )
)
_INSERT_REQUESTS: Final = _insert("ledger_requests", _COLUMNS, _GIVEN_REQUESTS)
_INSERT_RESENDS: Final = _insert("ledger_resends", _COLUMNS, _GIVEN_REQUESTS)
_INSERT_CALLS: Final = _insert("ledger_attempts", _CALL_COLUMNS, _GIVEN_CALLS)

_INSERT_AND_TELL_WHAT_WAS_THERE: Final = f"""
WITH inserted AS ({_INSERT_REQUESTS} RETURNING request_id)
SELECT request_id FROM {_GIVEN_REQUESTS} WHERE request_id NOT IN (SELECT request_id FROM inserted)
"""  # noqa: S608  # constants

# Of two ledgers that settle one request, the second must see what the first has made of it.
_ONE_AT_A_TIME: Final = "SELECT pg_advisory_xact_lock(8602917354410276015)"

_STANDINGS: Final = """
SELECT request_id, send, fingerprint, status, (extract(epoch FROM answered_at) * 1000000)::bigint AS answered_at_us
FROM tierwise.ledger_requests WHERE request_id = ANY($1::text[])
"""
_RESENT_STANDINGS: Final = _STANDINGS.replace("ledger_requests", "ledger_resends")

_STEP_ASIDE: Final = f"""
WITH old AS (DELETE FROM tierwise.ledger_requests WHERE request_id = $1 RETURNING *)
INSERT INTO tierwise.ledger_resends ({_COLUMNS}, recorded_at) SELECT {_COLUMNS}, recorded_at FROM old
RETURNING {", ".join(Answer.__struct_fields__)}
"""  # noqa: S608  # constants

_BEAR_RESENT_COST: Final = """
UPDATE tierwise.ledger_requests SET resent_cost_nano_usd =
    (SELECT coalesce(sum(cost_nano_usd), 0) FROM tierwise.ledger_resends WHERE request_id = $1)
WHERE request_id = $1
"""

_KEEP_CONFLICT: Final = """
INSERT INTO tierwise.ledger_conflicts (request_id, send, fingerprint, raw) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING
"""

_BURY: Final = """
INSERT INTO tierwise.ledger_poison (digest, raw, reason) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING
"""

_HAVE_GIVEN_PAIRS: Final = _have(_GIVEN_PAIRS, _PAIR_COLUMNS, "ledger_pairs")
_INSERT_PAIRS: Final = f"{_insert('ledger_pairs', _PAIR_COLUMNS, _GIVEN_PAIRS)} RETURNING request_id"
_PAIR_STANDINGS: Final = """
SELECT request_id, fingerprint FROM tierwise.ledger_pairs WHERE request_id = ANY($1::text[])
"""

# Data exceptions, integrity violations, and limits such as the longest key of an index: the fault of this data.
_DATA_CLASSES: Final = frozenset({"22", "23", "54"})
_REASON_LENGTH: Final = 500


T = TypeVar("T")


class StoreFault(Exception):
    pass


class DatabaseAway(StoreFault):
    pass


class DataRefused(StoreFault):
    pass


class Store:
    """On one line, which is dropped after every fault."""

    def __init__(self, settings: DatabaseSettings) -> None:
        self._line = Line(settings, "ledger")
        self._limits = Limits()

    def use(self, limits: Limits) -> None:
        """Of whose service there is no budget, nothing is settled."""
        self._limits = limits

    async def aclose(self) -> None:
        self._line.drop()

    async def check(self) -> None:
        """Raises DatabaseAway where a batch could not be written now: no server, or not this release's tables."""
        with self._faults():
            connection = await self._line.connected()
            for table in ("ledger_requests", "ledger_resends"):
                await connection.execute(f"SELECT {_COLUMNS} FROM tierwise.{table} LIMIT 0")  # noqa: S608
            await connection.execute("SELECT FROM tierwise.ledger_days LIMIT 0")

    async def record(self, entries: Sequence[Entry]) -> list[tuple[Entry, Verdict]]:
        """Writes what is new, all or nothing, in one transaction. Returns the others: what was not plainly new."""

        async def write(connection: asyncpg.Connection) -> list[tuple[Entry, Verdict]]:
            try:
                async with connection.transaction():
                    await _record_as_new(connection, entries, self._limits)
            except (asyncpg.UniqueViolationError, *CROSSED):
                return await until_not_crossed(connection, lambda: _record(connection, entries, self._limits))
            return []

        return await self._in_its_months({entry.usage.received_at_us for entry in entries}, write)

    async def record_validations(self, validations: Sequence[Validation]) -> list[tuple[Validation, Verdict]]:
        """Likewise. Of one that is there already nothing is written: its verdict is DUPLICATE or CONFLICT."""

        async def write(connection: asyncpg.Connection) -> list[tuple[Validation, Verdict]]:
            return await until_not_crossed(connection, lambda: _record_validations(connection, validations))

        return await self._in_its_months({one.usage.received_at_us for one in validations}, write)

    async def bury(self, poison: Poison) -> None:
        """Keeps what can never be recorded. The same poison again changes nothing."""
        with self._faults():
            connection = await self._line.connected()
            reason = poison.reason.replace("\0", "")[:_REASON_LENGTH]
            await connection.execute(_BURY, poison.digest, poison.raw, reason)

    async def _in_its_months(
        self, received_at_us: Iterable[int], write: Callable[[asyncpg.Connection], Awaitable[T]]
    ) -> T:
        """What `write` returns. Where there is no partition for what it writes, one is made, or another ledger was
        faster; a row that breaks another constraint does so again.
        """
        with self._faults():
            connection = await self._line.connected()
            try:
                return await write(connection)
            except asyncpg.CheckViolationError:
                await partitions.make(connection, map(_moment, received_at_us))
                return await write(connection)

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except asyncpg.PostgresError as error:
            if (error.sqlstate or "")[:2] in _DATA_CLASSES:
                raise DataRefused(str(error)[:_REASON_LENGTH]) from error
            self._line.drop()
            raise DatabaseAway(f"{type(error).__name__}: {error}"[:_REASON_LENGTH]) from error
        except struct.error as error:  # before PostgreSQL has seen it
            raise DataRefused(f"a number is out of its column's range: {error}") from error
        except (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
            self._line.drop()
            raise DatabaseAway(f"{type(error).__name__}: {error}"[:_REASON_LENGTH]) from error


async def _record_as_new(connection: asyncpg.Connection, entries: Sequence[Entry], limits: Limits) -> None:
    """The usual way: each row is written once. Raises UniqueViolationError where a request is there already."""
    await _copy(connection, "ledger_requests", rows.REQUEST_COLUMNS, rows.requests(entries))
    await _copy(connection, "ledger_attempts", rows.CALL_COLUMNS, rows.calls(entries))
    await _copy(connection, "ledger_transfers", rows.TRANSFER_COLUMNS, rows.transfers(entries))
    sums: Sums = {}
    books.add(sums, entries)
    await day_sums.add(connection, sums)
    await budgets.settle(connection, entries, limits, time.time())  # last: no grant waits longer than for the commit


async def _record(
    connection: asyncpg.Connection, entries: Sequence[Entry], limits: Limits
) -> list[tuple[Entry, Verdict]]:
    """The way that looks: some of `entries` are there already, or have one request twice among them."""
    first: dict[str, Entry] = {}
    rest = [entry for entry in entries if first.setdefault(entry.usage.request_id, entry) is not entry]

    await connection.execute(_ONE_AT_A_TIME)
    await connection.execute(_HAVE_GIVEN)
    await _give(connection, first.values())
    there = [first.pop(row[0]) for row in await connection.fetch(_INSERT_AND_TELL_WHAT_WAS_THERE)]
    sums: Sums = {}
    books.add(sums, first.values())
    others = await _settle(connection, there + rest, sums) if there or rest else []
    recorded = [*first.values(), *(entry for entry, verdict in others if verdict in core.RECORDED)]
    await _copy(connection, _GIVEN_CALLS, rows.CALL_COLUMNS, rows.calls(recorded), schema="pg_temp")
    await connection.execute(_INSERT_CALLS)
    await _copy(connection, "ledger_transfers", rows.TRANSFER_COLUMNS, rows.transfers(recorded))
    await day_sums.add(connection, sums)
    await budgets.settle(connection, recorded, limits, time.time())
    return others


async def _settle(connection: asyncpg.Connection, entries: list[Entry], sums: Sums) -> list[tuple[Entry, Verdict]]:
    """For requests that have a row already. What this changes of their days goes into `sums`."""
    ids = list({entry.usage.request_id for entry in entries})
    known: dict[str, list[Standing]] = {}
    for query in (_STANDINGS, _RESENT_STANDINGS):
        for request_id, *fields in await connection.fetch(query, ids):
            known.setdefault(request_id, []).append(Standing(*fields))
    verdicts = core.settle(known, entries)
    for entry, verdict in verdicts:
        request_id = entry.usage.request_id
        if verdict is Verdict.CONFLICT:
            await connection.execute(
                _KEEP_CONFLICT, request_id, entry.usage.send, entry.fingerprint, bytes(entry.raw)
            )
        elif verdict in core.RECORDED:
            if verdict is Verdict.INSTEAD:
                (old,) = await connection.fetch(_STEP_ASIDE, request_id)
                books.take_back(sums, Answer(*old))
            books.add(sums, [entry], answers=verdict is Verdict.INSTEAD)
            await connection.execute(f"TRUNCATE {_GIVEN_REQUESTS}")
            await _give(connection, [entry])
            await connection.execute(_INSERT_RESENDS if verdict is Verdict.RESEND else _INSERT_REQUESTS)
            await connection.execute(_BEAR_RESENT_COST, request_id)
    return verdicts


async def _give(connection: asyncpg.Connection, entries: Iterable[Entry]) -> None:
    await _copy(connection, _GIVEN_REQUESTS, rows.REQUEST_COLUMNS, rows.requests(entries), schema="pg_temp")


async def _record_validations(
    connection: asyncpg.Connection, validations: Sequence[Validation]
) -> list[tuple[Validation, Verdict]]:
    """Those that have no row yet, once each; the others are told."""
    first: dict[str, Validation] = {}
    rest = [one for one in validations if first.setdefault(one.usage.request_id, one) is not one]

    await connection.execute(_HAVE_GIVEN_PAIRS)
    await _copy(connection, _GIVEN_PAIRS, rows.PAIR_COLUMNS, rows.pairs(first.values()), schema="pg_temp")
    new = [first.pop(row[0]) for row in await connection.fetch(_INSERT_PAIRS)]
    await _copy(connection, "ledger_transfers", rows.TRANSFER_COLUMNS, rows.validation_transfers(new))
    sums: Sums = {}
    books.add_validations(sums, new)
    await day_sums.add(connection, sums)

    others = [*first.values(), *rest]
    there = dict(await connection.fetch(_PAIR_STANDINGS, [one.usage.request_id for one in others])) if others else {}
    verdicts = []
    for one in others:
        is_same = there[one.usage.request_id] == one.fingerprint
        verdicts.append((one, Verdict.DUPLICATE if is_same else Verdict.CONFLICT))
        if not is_same:
            await connection.execute(_KEEP_CONFLICT, one.usage.request_id, -1, one.fingerprint, bytes(one.raw))
    return verdicts


def _moment(at_us: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at_us)


async def _copy(
    connection: asyncpg.Connection, table: str, columns: Sequence[str], data: bytes, schema: str = SCHEMA
) -> None:
    if not data:
        return
    source = memoryview(data)  # asyncpg takes bytes for the name of a file
    await connection.copy_to_table(table, schema_name=schema, columns=columns, source=source, format="binary")
