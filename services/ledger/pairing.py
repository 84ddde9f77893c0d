"""Validations into the books: an answer and the reference's, once each, and what the comparison cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import asyncpg

from services.ledger import books, copying, day_sums, rows
from services.ledger.books import Sums
from services.ledger.copying import KEEP_CONFLICT, have, insert
from services.ledger.core import Validation, Verdict

_GIVEN_PAIRS: Final = "given_pairs"
_PAIR_COLUMNS: Final = ", ".join(rows.PAIR_COLUMNS)

_HAVE_GIVEN_PAIRS: Final = have(_GIVEN_PAIRS, _PAIR_COLUMNS, "ledger_pairs")
_INSERT_PAIRS: Final = f"{insert('ledger_pairs', _PAIR_COLUMNS, _GIVEN_PAIRS)} RETURNING request_id"
_PAIR_STANDINGS: Final = """
SELECT request_id, fingerprint FROM tierwise.ledger_pairs WHERE request_id = ANY($1::text[])
"""


async def record_validations(
    connection: asyncpg.Connection, validations: Sequence[Validation]
) -> list[tuple[Validation, Verdict]]:
    """Those that have no row yet, once each; the others are told."""
    first: dict[str, Validation] = {}
    rest = [one for one in validations if first.setdefault(one.usage.request_id, one) is not one]

    await connection.execute(_HAVE_GIVEN_PAIRS)
    await copying.copy(connection, _GIVEN_PAIRS, rows.PAIR_COLUMNS, rows.pairs(first.values()), schema="pg_temp")
    new = [first.pop(row[0]) for row in await connection.fetch(_INSERT_PAIRS)]
    await copying.copy(connection, "ledger_transfers", rows.TRANSFER_COLUMNS, rows.validation_transfers(new))
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
            await connection.execute(KEEP_CONFLICT, one.usage.request_id, -1, one.fingerprint, bytes(one.raw))
    return verdicts
