"""Rows into tables: PostgreSQL's COPY, and what stands between it and rows that may be there already.

COPY knows no `ON CONFLICT`. So records that are not plainly new come into tables of the connection's own, and go on
from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import asyncpg

from shared.database import SCHEMA

# A record whose key is taken by one with other content: somebody must look at it.
KEEP_CONFLICT: Final = """
INSERT INTO tierwise.ledger_conflicts (request_id, send, fingerprint, raw) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING
"""


def have(given: str, columns: str, table: str) -> str:
    """A table of the connection's own, empty again after each transaction."""
    return f"""
    CREATE TEMPORARY TABLE IF NOT EXISTS {given} ON COMMIT DELETE ROWS
    AS SELECT {columns} FROM tierwise.{table} WITH NO DATA
    """  # noqa: S608  # constants


def insert(table: str, columns: str, given: str) -> str:
    return f"INSERT INTO tierwise.{table} ({columns}) SELECT {columns} FROM {given} ON CONFLICT DO NOTHING"  # noqa: S608


async def copy(
    connection: asyncpg.Connection, table: str, columns: Sequence[str], data: bytes, schema: str = SCHEMA
) -> None:
    if not data:
        return
    source = memoryview(data)  # asyncpg takes bytes for the name of a file
    await connection.copy_to_table(table, schema_name=schema, columns=columns, source=source, format="binary")
