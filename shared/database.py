"""PostgreSQL: the engine, the metadata that every table belongs to, and a bare connection for bulk writing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import structlog
from sqlalchemy import MetaData, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from shared.ops import Readiness
from shared.settings import DatabaseSettings

SCHEMA: Final = "tierwise"

CONNECT_TIMEOUT_S: Final = 5.0
COMMAND_TIMEOUT_S: Final = 8.0  # a batch takes milliseconds; what takes this long is a server that hangs
WATCH_EVERY_S: Final = 2.0

log = structlog.get_logger()

metadata = MetaData(
    schema=SCHEMA,
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    },
)


def make_engine(settings: DatabaseSettings, application: str) -> AsyncEngine:
    """An engine that checks a connection before it lends it, so that a restarted server costs no query."""
    return create_async_engine(
        settings.url,
        pool_size=2,
        max_overflow=0,
        pool_pre_ping=True,
        connect_args={
            "timeout": CONNECT_TIMEOUT_S,
            "command_timeout": COMMAND_TIMEOUT_S,
            "server_settings": {"application_name": f"tierwise-{application}"},
        },
    )


@asynccontextmanager
async def disposing(engine: AsyncEngine) -> AsyncIterator[AsyncEngine]:
    try:
        yield engine
    finally:
        await engine.dispose()


async def watch(engine: AsyncEngine, readiness: Readiness) -> None:
    """Keeps `readiness`' part "database" true, until cancelled."""
    while True:
        try:
            async with engine.connect() as connection:
                await connection.execute(text("SELECT 1"))
        except (OSError, SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            if "database" not in readiness.waiting_for:
                log.warning("waiting_for", part="database", because=f"{type(error).__name__}: {error}")
            readiness.lost("database")
            await asyncio.sleep(WATCH_EVERY_S / 4)
        else:
            readiness.done("database")
            await asyncio.sleep(WATCH_EVERY_S)


async def connect(settings: DatabaseSettings, application: str) -> asyncpg.Connection:
    """One connection without SQLAlchemy, for writes of thousands of rows. Raises what asyncpg raises."""
    parts = urlsplit(settings.url)
    return await asyncpg.connect(
        urlunsplit(parts._replace(scheme="postgresql")),
        timeout=CONNECT_TIMEOUT_S,
        command_timeout=COMMAND_TIMEOUT_S,
        # Compiling a statement over one batch would take longer than running it.
        server_settings={"application_name": f"tierwise-{application}", "jit": "off"},
    )
