"""The ledger's store: one transaction a batch, in its months, and what PostgreSQL's refusals mean.

StoreFault
├── DatabaseAway    it does not answer, or not now: nothing is lost by asking again
└── DataRefused     it will never take this data
"""

from __future__ import annotations

import struct
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

import asyncpg

from services.ledger import pairing, partitions, recording
from services.ledger.core import Entry, Poison, Validation, Verdict
from services.ledger.line import CROSSED, Line, until_not_crossed
from shared.budgets import Limits
from shared.settings import DatabaseSettings

_BURY: Final = """
INSERT INTO tierwise.ledger_poison (digest, raw, reason) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING
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
                await connection.execute(f"SELECT {recording.COLUMNS} FROM tierwise.{table} LIMIT 0")  # noqa: S608
            await connection.execute("SELECT transfers FROM tierwise.budget_leases LIMIT 0")

    async def record(self, entries: Sequence[Entry]) -> list[tuple[Entry, Verdict]]:
        """Writes what is new, all or nothing, in one transaction. Returns the others: what was not plainly new."""

        async def write(connection: asyncpg.Connection) -> list[tuple[Entry, Verdict]]:
            try:
                async with connection.transaction():
                    await recording.record_as_new(connection, entries, self._limits)
            except (asyncpg.UniqueViolationError, *CROSSED):
                return await until_not_crossed(
                    connection, lambda: recording.record(connection, entries, self._limits)
                )
            return []

        return await self._in_its_months({entry.usage.received_at_us for entry in entries}, write)

    async def record_validations(self, validations: Sequence[Validation]) -> list[tuple[Validation, Verdict]]:
        """Likewise. Of one that is there already nothing is written: its verdict is DUPLICATE or CONFLICT."""

        async def write(connection: asyncpg.Connection) -> list[tuple[Validation, Verdict]]:
            return await until_not_crossed(connection, lambda: pairing.record_validations(connection, validations))

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


def _moment(at_us: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at_us)
