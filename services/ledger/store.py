"""The ledger's SQL: one transaction a batch, and what PostgreSQL's refusals mean.

StoreFault
├── DatabaseAway    it does not answer, or not now: nothing is lost by asking again
└── DataRefused     it will never take this data
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import asyncpg

from services.ledger import core
from services.ledger.core import Entry, Poison, Row, Standing, Verdict
from shared.database import connect
from shared.settings import DatabaseSettings

MICROSECOND: Final = "timestamptz 'epoch' + interval '1 microsecond' * {}"

# Column, type of the parameter, and how the parameter becomes the column. In the order of the core's rows.
REQUEST_COLUMNS: Final = (
    ("request_id", "text", "{}"),
    ("send", "smallint", "{}"),
    ("received_at", "bigint", MICROSECOND),
    ("day", "date", "{}"),
    ("answered_at", "bigint", MICROSECOND),
    ("service", "text", "{}"),
    ("priority", "text", "{}"),
    ("category", "text", "{}"),
    ("tier", "text", "{}"),
    ("backend", "text", "{}"),
    ("model", "text", "{}"),
    ("reason", "text", "{}"),
    ("cache", "text", "{}"),
    ("status", "integer", "{}"),
    ("attempts", "integer", "{}"),
    ("input_tokens", "bigint", "{}"),
    ("cached_input_tokens", "bigint", "{}"),
    ("output_tokens", "bigint", "{}"),
    ("usage_source", "text", "{}"),
    ("latency_ms", "float8", "{}"),
    ("first_token_ms", "float8", "{}"),
    ("cost_nano_usd", "bigint", "{}"),
    ("baseline_nano_usd", "bigint", "{}"),
    ("policy_version", "bigint", "{}"),
    ("lease_id", "text", "{}"),
    ("reserved_nano_usd", "bigint", "{}"),
    ("features", "bytea", "{}"),
    ("fingerprint", "bigint", "{}"),
)
ATTEMPT_COLUMNS: Final = (
    ("request_id", "text", "{}"),
    ("send", "smallint", "{}"),
    ("attempt", "smallint", "{}"),
    ("received_at", "bigint", MICROSECOND),
    ("day", "date", "{}"),
    ("service", "text", "{}"),
    ("tier", "text", "{}"),
    ("backend", "text", "{}"),
    ("started_at", "bigint", MICROSECOND),
    ("outcome", "text", "{}"),
    ("status", "integer", "{}"),
    ("input_tokens", "bigint", "{}"),
    ("cached_input_tokens", "bigint", "{}"),
    ("output_tokens", "bigint", "{}"),
    ("usage_source", "text", "{}"),
    ("cost_nano_usd", "bigint", "{}"),
    ("latency_ms", "float8", "{}"),
)


def _given(name: str, columns: Sequence[tuple[str, str, str]]) -> str:
    fields = ", ".join(f"{field} {kind}" for field, kind, _ in columns)
    return f"CREATE TEMPORARY TABLE {name} ({fields}) ON COMMIT DELETE ROWS"


def _insert(table: str, columns: Sequence[tuple[str, str, str]], given: str) -> str:
    names = ", ".join(name for name, _, _ in columns)
    values = ", ".join(how.format(name) for name, _, how in columns)
    return f"INSERT INTO tierwise.{table} ({names}) SELECT {values} FROM {given} ON CONFLICT DO NOTHING"  # noqa: S608  # constants


# Rows come by COPY into a table of the connection's own: 3 µs of Python a record, where arrays for `unnest` took 21.
_GIVEN_REQUESTS: Final = "given_requests"
_GIVEN_ATTEMPTS: Final = "given_attempts"
_PREPARE: Final = ";".join((_given(_GIVEN_REQUESTS, REQUEST_COLUMNS), _given(_GIVEN_ATTEMPTS, ATTEMPT_COLUMNS)))
_INSERT_REQUESTS: Final = _insert("ledger_requests", REQUEST_COLUMNS, _GIVEN_REQUESTS)
_INSERT_RESENDS: Final = _insert("ledger_resends", REQUEST_COLUMNS, _GIVEN_REQUESTS)
_INSERT_ATTEMPTS: Final = _insert("ledger_attempts", ATTEMPT_COLUMNS, _GIVEN_ATTEMPTS)

_INSERT_AND_TELL_WHAT_WAS_THERE: Final = f"""
WITH inserted AS ({_INSERT_REQUESTS} RETURNING request_id)
SELECT request_id FROM {_GIVEN_REQUESTS} WHERE request_id NOT IN (SELECT request_id FROM inserted)
"""  # noqa: S608  # constants

_STANDINGS: Final = """
SELECT request_id, send, fingerprint, status, (extract(epoch FROM answered_at) * 1000000)::bigint AS answered_at_us
FROM tierwise.ledger_requests WHERE request_id = ANY($1::text[]) FOR UPDATE
"""
_RESENT_STANDINGS: Final = _STANDINGS.replace("ledger_requests", "ledger_resends")

_STEP_ASIDE: Final = """
WITH old AS (DELETE FROM tierwise.ledger_requests WHERE request_id = $1 RETURNING *)
INSERT INTO tierwise.ledger_resends ({columns}, recorded_at) SELECT {columns}, recorded_at FROM old
""".format(columns=", ".join(name for name, _, _ in REQUEST_COLUMNS))  # noqa: S608  # constants of this module

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
            await connection.execute("SELECT FROM tierwise.ledger_requests, tierwise.ledger_resends LIMIT 0")

    async def record(self, entries: Sequence[Entry]) -> list[tuple[Entry, Verdict]]:
        """Writes what is new, all or nothing, in one transaction. Returns the others: what was not plainly new."""
        with self._faults():
            connection = await self._connected()
            async with connection.transaction():
                return await _record(connection, entries)

    async def bury(self, poison: Poison) -> None:
        """Keeps what can never be recorded. The same poison again changes nothing."""
        with self._faults():
            connection = await self._connected()
            reason = poison.reason.replace("\0", "")[:_REASON_LENGTH]
            await connection.execute(_BURY, poison.digest, poison.raw, reason)

    async def _connected(self) -> asyncpg.Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect(self._settings, "ledger")
            await self._connection.execute(_PREPARE)
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
        except (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
            self._drop()
            raise DatabaseAway(f"{type(error).__name__}: {error}"[:_REASON_LENGTH]) from error


async def _record(connection: asyncpg.Connection, entries: Sequence[Entry]) -> list[tuple[Entry, Verdict]]:
    first: dict[str, Entry] = {}
    rest = [entry for entry in entries if first.setdefault(entry.usage.request_id, entry) is not entry]

    await _give(connection, _GIVEN_REQUESTS, REQUEST_COLUMNS, map(core.request_row, first.values()))
    there = [first.pop(row[0]) for row in await connection.fetch(_INSERT_AND_TELL_WHAT_WAS_THERE)]
    others = await _settle(connection, there + rest) if there or rest else []
    recorded = [*first.values(), *(entry for entry, verdict in others if verdict in core.RECORDED)]
    calls = [row for entry in recorded for row in core.attempt_rows(entry)]
    if calls:
        await _give(connection, _GIVEN_ATTEMPTS, ATTEMPT_COLUMNS, calls)
        await connection.execute(_INSERT_ATTEMPTS)
    return others


async def _settle(connection: asyncpg.Connection, entries: list[Entry]) -> list[tuple[Entry, Verdict]]:
    """The rare way, for requests that have a row already."""
    ids = list({entry.usage.request_id for entry in entries})
    known: dict[str, list[Standing]] = {}
    for query in (_STANDINGS, _RESENT_STANDINGS):
        for request_id, *fields in await connection.fetch(query, ids):
            known.setdefault(request_id, []).append(Standing(*fields))
    verdicts = core.settle(known, entries)
    for entry, verdict in verdicts:
        request_id = entry.usage.request_id
        if verdict is Verdict.CONFLICT:
            await connection.execute(_KEEP_CONFLICT, request_id, entry.usage.send, entry.fingerprint, entry.raw)
        elif verdict in core.RECORDED:
            if verdict is Verdict.INSTEAD:
                await connection.execute(_STEP_ASIDE, request_id)
            await connection.execute(f"TRUNCATE {_GIVEN_REQUESTS}")
            await _give(connection, _GIVEN_REQUESTS, REQUEST_COLUMNS, [core.request_row(entry)])
            await connection.execute(_INSERT_RESENDS if verdict is Verdict.RESEND else _INSERT_REQUESTS)
            await connection.execute(_BEAR_RESENT_COST, request_id)
    return verdicts


async def _give(
    connection: asyncpg.Connection, table: str, columns: Sequence[tuple[str, str, str]], rows: Iterable[Row]
) -> None:
    try:
        await connection.copy_records_to_table(
            table, schema_name="pg_temp", records=rows, columns=[name for name, _, _ in columns]
        )
    except (OverflowError, ValueError) as error:  # asyncpg's encoders, before PostgreSQL has seen it
        raise DataRefused(f"it cannot be sent: {error}") from error
