"""Keeps the months: makes the next one before it begins, drops those that are older than `retention.requests_days`.

The days' sums stay (services/ledger/books.py): what a month cost is known when its requests are gone.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Final

import asyncpg
import structlog

from services.ledger import partitions
from shared.database import connect
from shared.policy import Retention
from shared.settings import DatabaseSettings

LOOK_EVERY_S: Final = 3600.0
AGAIN_AFTER_S: Final = 60.0  # where PostgreSQL was away, or somebody was reading what is to be dropped
AHEAD: Final = timedelta(days=7)
# Longer than any time zone is behind UTC: a day of the books is never half gone.
SLACK: Final = timedelta(days=1)
LONGEST_DAYS: Final = 365 * 1000  # beyond it `datetime` ends
DROP_WAIT_S: Final = 1.0  # for readers; who comes behind a waiting drop waits with it, the ledger's own writes too

log = structlog.get_logger()


class Keeper:
    def __init__(self, settings: DatabaseSettings) -> None:
        self._settings = settings
        self._changed = asyncio.Event()
        self._retention: Retention | None = None  # before a policy is known nothing is dropped

    def use(self, retention: Retention | None) -> None:
        self._retention = retention or Retention()
        self._changed.set()

    async def run(self) -> None:
        """Until cancelled. Looks every hour, and whenever a policy comes."""
        while True:
            wait_s = LOOK_EVERY_S if await self._look() else AGAIN_AFTER_S
            try:
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()
            except TimeoutError:
                pass
            self._changed.clear()

    async def _look(self) -> bool:
        try:
            connection = await connect(self._settings, "ledger-months")
            try:
                await keep(connection, datetime.now(UTC), self._retention)
            finally:
                connection.terminate()
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            log.warning("months_not_kept", because=f"{type(error).__name__}: {error}", again_after_s=AGAIN_AFTER_S)
            return False
        return True


async def keep(connection: asyncpg.Connection, now: datetime, retention: Retention | None) -> None:
    """Raises what asyncpg raises, LockNotAvailableError where what is old is being read."""
    await partitions.make(connection, [now, now + AHEAD])
    if retention is None:
        return
    keep_from = now - timedelta(days=min(retention.requests_days, LONGEST_DAYS)) - SLACK
    for name in await partitions.drop(connection, keep_from, wait_s=DROP_WAIT_S):
        log.info("month_dropped", table=name, requests_days=retention.requests_days)
