"""The sums of days in PostgreSQL: what services/ledger/books.py adds up, onto the rows that are there."""

from __future__ import annotations

from typing import Final

import asyncpg

from services.ledger.books import KEY_COLUMNS, SUMMED, Sums

# In the order of their keys: of two ledgers that add to the same days, neither waits for the other's next row.
_ADD: Final = f"""
INSERT INTO tierwise.ledger_days AS sums ({", ".join((*KEY_COLUMNS, *SUMMED))})
SELECT * FROM unnest($1::date[], {", ".join(f"${i}::text[]" for i in range(2, 7))},
    {", ".join(f"${i}::bigint[]" for i in range(7, 7 + len(SUMMED)))})
ON CONFLICT ({", ".join(KEY_COLUMNS)}) DO UPDATE
SET {", ".join(f"{column} = sums.{column} + excluded.{column}" for column in SUMMED)}
"""  # noqa: S608  # constants


async def add(connection: asyncpg.Connection, sums: Sums) -> None:
    """In the transaction that writes what they are the sums of."""
    if sums:
        keyed = sorted(sums.items())
        columns = zip(*((*key, *added) for key, added in keyed), strict=True)
        await connection.execute(_ADD, *map(list, columns))
