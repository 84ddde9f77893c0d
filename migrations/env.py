"""Alembic's environment: one transaction for all that is to be done, and one run at a time."""

import asyncio
import importlib
import re
from pathlib import Path

from alembic import context
from sqlalchemy import text
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from shared.database import SCHEMA, metadata
from shared.settings import DatabaseSettings

ONE_AT_A_TIME = 7_232_846_950_018_463_091  # the advisory lock's key; any number, the same in every release
LOCK_TIMEOUT = "5s"  # a migration that waits for a long query makes everybody behind it wait

for tables in sorted((Path(__file__).parents[1] / "services").glob("*/tables.py")):
    importlib.import_module(f"services.{tables.parent.name}.tables")


MONTH = re.compile(r"ledger_\w+?_(before_)?\d{4}_\d{2}")


def is_month(table: str | None) -> bool:
    """A partition: the ledger makes and drops them (services/ledger/partitions.py)."""
    return table is not None and MONTH.fullmatch(table) is not None


def migrate(connection: Connection) -> None:
    connection.execute(text(f"SELECT pg_advisory_lock({ONE_AT_A_TIME})"))  # gone with the connection
    connection.execute(text(f"SET lock_timeout = '{LOCK_TIMEOUT}'"))
    connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
    connection.commit()
    context.configure(
        connection=connection,
        target_metadata=metadata,
        version_table_schema=SCHEMA,
        include_schemas=True,
        include_name=lambda name, kind, _: kind != "schema" or name == SCHEMA,
        include_object=lambda _item, name, kind, _reflected, _: kind != "table" or not is_month(name),
        compare_server_default=True,
    )
    with context.begin_transaction():
        context.run_migrations()


async def main() -> None:
    # A role that is called as the schema has it in its search path, and alembic would take it for the nameless one.
    engine = create_async_engine(
        DatabaseSettings.read().url, poolclass=NullPool, connect_args={"server_settings": {"search_path": "public"}}
    )
    try:
        async with engine.connect() as connection:
            await connection.run_sync(migrate)
    finally:
        await engine.dispose()


if context.is_offline_mode():
    raise SystemExit("migrations run against a database only; set TIERWISE_DATABASE_URL")
asyncio.run(main())
