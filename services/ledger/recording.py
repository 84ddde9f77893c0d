"""Requests into the books, in one transaction with all that follows: calls, transfers, days' sums, budgets."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Final

import asyncpg

from services.ledger import books, budgets, copying, core, day_sums, rows
from services.ledger.books import Answer, Sums
from services.ledger.copying import KEEP_CONFLICT, have, insert
from services.ledger.core import Entry, Standing, Verdict
from shared.budgets import Limits

_GIVEN_REQUESTS: Final = "given_requests"
_GIVEN_CALLS: Final = "given_calls"

COLUMNS: Final = ", ".join(rows.REQUEST_COLUMNS)
_CALL_COLUMNS: Final = ", ".join(rows.CALL_COLUMNS)

_HAVE_GIVEN: Final = ";".join(
    (
        have(_GIVEN_REQUESTS, COLUMNS, "ledger_requests"),
        have(_GIVEN_CALLS, _CALL_COLUMNS, "ledger_attempts"),
    )
)
_INSERT_REQUESTS: Final = insert("ledger_requests", COLUMNS, _GIVEN_REQUESTS)
_INSERT_RESENDS: Final = insert("ledger_resends", COLUMNS, _GIVEN_REQUESTS)
_INSERT_CALLS: Final = insert("ledger_attempts", _CALL_COLUMNS, _GIVEN_CALLS)

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
INSERT INTO tierwise.ledger_resends ({COLUMNS}, recorded_at) SELECT {COLUMNS}, recorded_at FROM old
RETURNING {", ".join(Answer.__struct_fields__)}
"""  # noqa: S608  # constants

_BEAR_RESENT_COST: Final = """
UPDATE tierwise.ledger_requests SET resent_cost_nano_usd =
    (SELECT coalesce(sum(cost_nano_usd), 0) FROM tierwise.ledger_resends WHERE request_id = $1)
WHERE request_id = $1
"""


async def record_as_new(connection: asyncpg.Connection, entries: Sequence[Entry], limits: Limits) -> None:
    """The usual way: each row is written once. Raises UniqueViolationError where a request is there already."""
    await copying.copy(connection, "ledger_requests", rows.REQUEST_COLUMNS, rows.requests(entries))
    await copying.copy(connection, "ledger_attempts", rows.CALL_COLUMNS, rows.calls(entries))
    await copying.copy(connection, "ledger_transfers", rows.TRANSFER_COLUMNS, rows.transfers(entries))
    sums: Sums = {}
    books.add(sums, entries)
    await day_sums.add(connection, sums)
    await budgets.settle(connection, entries, limits, time.time())  # last: no grant waits longer than for the commit


async def record(
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
    await copying.copy(connection, _GIVEN_CALLS, rows.CALL_COLUMNS, rows.calls(recorded), schema="pg_temp")
    await connection.execute(_INSERT_CALLS)
    await copying.copy(connection, "ledger_transfers", rows.TRANSFER_COLUMNS, rows.transfers(recorded))
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
            await connection.execute(KEEP_CONFLICT, request_id, entry.usage.send, entry.fingerprint, bytes(entry.raw))
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
    await copying.copy(connection, _GIVEN_REQUESTS, rows.REQUEST_COLUMNS, rows.requests(entries), schema="pg_temp")
