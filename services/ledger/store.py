"""The ledger's SQL: one transaction a batch, and what PostgreSQL's refusals mean.

StoreFault
├── DatabaseAway    it does not answer, or not now: nothing is lost by asking again
└── DataRefused     it will never take this data
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import asyncpg

from services.ledger import core, rows
from services.ledger.core import Entry, Poison, Standing, Verdict
from shared.database import SCHEMA, connect
from shared.settings import DatabaseSettings

# Records that are not plainly new come into tables of the connection's own, and go on from there.
_GIVEN_REQUESTS: Final = "given_requests"
_GIVEN_CALLS: Final = "given_calls"

_COLUMNS: Final = ", ".join(rows.REQUEST_COLUMNS)
_CALL_COLUMNS: Final = ", ".join(rows.CALL_COLUMNS)


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

# Another ledger is at the same rows: PostgreSQL ended ours so that the other can go on.
_CROSSED: Final = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
_CROSSED_AT_MOST: Final = 3  # each costs `deadlock_timeout`, a second; by then the batch's messages are not due again

# Data exceptions, integrity violations, and limits such as the longest key of an index: the fault of this data.
_DATA_CLASSES: Final = frozenset({"22", "23", "54"})
_REASON_LENGTH: Final = 500


class StoreFault(Exception):
    pass


class DatabaseAway(StoreFault):
    pass


class DataRefused(StoreFault):
    pass


class Store:
    """One connection, made when it is needed and made anew after every fault."""

    def __init__(self, settings: DatabaseSettings) -> None:
        self._settings = settings
        self._connection: asyncpg.Connection | None = None

    async def aclose(self) -> None:
        self._drop()

    async def check(self) -> None:
        """Raises DatabaseAway where a batch could not be written now: no server, or no tables yet."""
        with self._faults():
            connection = await self._connected()
            for table in ("ledger_requests", "ledger_resends"):
                await connection.execute(f"SELECT {_COLUMNS} FROM tierwise.{table} LIMIT 0")  # noqa: S608

    async def record(self, entries: Sequence[Entry]) -> list[tuple[Entry, Verdict]]:
        """Writes what is new, all or nothing, in one transaction. Returns the others: what was not plainly new."""
        with self._faults():
            connection = await self._connected()
            try:
                async with connection.transaction():
                    await _record_as_new(connection, entries)
            except (asyncpg.UniqueViolationError, *_CROSSED):
                return await _record_until_not_crossed(connection, entries)
            return []

    async def bury(self, poison: Poison) -> None:
        """Keeps what can never be recorded. The same poison again changes nothing."""
        with self._faults():
            connection = await self._connected()
            reason = poison.reason.replace("\0", "")[:_REASON_LENGTH]
            await connection.execute(_BURY, poison.digest, poison.raw, reason)

    async def _connected(self) -> asyncpg.Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect(self._settings, "ledger")
        return self._connection

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except asyncpg.PostgresError as error:
            if (error.sqlstate or "")[:2] in _DATA_CLASSES:
                raise DataRefused(str(error)[:_REASON_LENGTH]) from error
            self._drop()
            raise DatabaseAway(f"{type(error).__name__}: {error}"[:_REASON_LENGTH]) from error
        except struct.error as error:  # before PostgreSQL has seen it
            raise DataRefused(f"a number is out of its column's range: {error}") from error
        except (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
            self._drop()
            raise DatabaseAway(f"{type(error).__name__}: {error}"[:_REASON_LENGTH]) from error


async def _record_as_new(connection: asyncpg.Connection, entries: Sequence[Entry]) -> None:
    """The usual way: each row is written once. Raises UniqueViolationError where a request is there already."""
    await _copy(connection, "ledger_requests", rows.REQUEST_COLUMNS, rows.requests(entries))
    calls = rows.calls(entries)
    if calls:
        await _copy(connection, "ledger_attempts", rows.CALL_COLUMNS, calls)


async def _record_until_not_crossed(
    connection: asyncpg.Connection, entries: Sequence[Entry]
) -> list[tuple[Entry, Verdict]]:
    crossed = 0
    while True:
        try:
            async with connection.transaction():
                return await _record(connection, entries)
        except _CROSSED:
            crossed += 1
            if crossed == _CROSSED_AT_MOST:
                raise


async def _record(connection: asyncpg.Connection, entries: Sequence[Entry]) -> list[tuple[Entry, Verdict]]:
    """The way that looks: some of `entries` are there already, or have one request twice among them."""
    first: dict[str, Entry] = {}
    rest = [entry for entry in entries if first.setdefault(entry.usage.request_id, entry) is not entry]

    await connection.execute(_ONE_AT_A_TIME)
    await connection.execute(_HAVE_GIVEN)
    await _give(connection, first.values())
    there = [first.pop(row[0]) for row in await connection.fetch(_INSERT_AND_TELL_WHAT_WAS_THERE)]
    others = await _settle(connection, there + rest) if there or rest else []
    recorded = [*first.values(), *(entry for entry, verdict in others if verdict in core.RECORDED)]
    calls = rows.calls(recorded)
    if calls:
        await _copy(connection, _GIVEN_CALLS, rows.CALL_COLUMNS, calls, schema="pg_temp")
        await connection.execute(_INSERT_CALLS)
    return others


async def _settle(connection: asyncpg.Connection, entries: list[Entry]) -> list[tuple[Entry, Verdict]]:
    """For requests that have a row already."""
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
                await connection.execute(_STEP_ASIDE, request_id)
            await connection.execute(f"TRUNCATE {_GIVEN_REQUESTS}")
            await _give(connection, [entry])
            await connection.execute(_INSERT_RESENDS if verdict is Verdict.RESEND else _INSERT_REQUESTS)
            await connection.execute(_BEAR_RESENT_COST, request_id)
    return verdicts


async def _give(connection: asyncpg.Connection, entries: Iterable[Entry]) -> None:
    await _copy(connection, _GIVEN_REQUESTS, rows.REQUEST_COLUMNS, rows.requests(entries), schema="pg_temp")


async def _copy(
    connection: asyncpg.Connection, table: str, columns: Sequence[str], data: bytes, schema: str = SCHEMA
) -> None:
    source = memoryview(data)  # asyncpg takes bytes for the name of a file
    await connection.copy_to_table(table, schema_name=schema, columns=columns, source=source, format="binary")
