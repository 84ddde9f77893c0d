"""A connection to PostgreSQL that is made when it is needed, and a write that meets another ledger's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import asyncpg

from shared.database import connect
from shared.settings import DatabaseSettings

# Another ledger is at the same rows: PostgreSQL ended ours so that the other can go on.
CROSSED: Final = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
CROSSED_AT_MOST: Final = 3  # each costs `deadlock_timeout`, a second; by then a batch's messages are not due again

T = TypeVar("T")


class Line:
    """One connection at a time. After a fault it is dropped, and made anew for whoever asks next."""

    def __init__(self, settings: DatabaseSettings, name: str) -> None:
        self._settings = settings
        self._name = name
        self._connection: asyncpg.Connection | None = None

    async def connected(self) -> asyncpg.Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect(self._settings, self._name)
        return self._connection

    def drop(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None


async def until_not_crossed(connection: asyncpg.Connection, write: Callable[[], Awaitable[T]]) -> T:
    """What `write` returns, in a transaction, and again where another ledger was at the same rows."""
    crossed = 0
    while True:
        try:
            async with connection.transaction():
                return await write()
        except CROSSED:
            crossed += 1
            if crossed == CROSSED_AT_MOST:
                raise
