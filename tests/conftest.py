"""One real NATS and one real PostgreSQL for the whole run, from the same wheels as `tierwise up`.

Each test that asks for `nats_url` has an account of its own (subjects, streams, buckets), and for `database_url` a
database of its own, copied from a migrated template. Tests that kill a server start their own (tests/support).
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import asyncpg
import pytest
from hypothesis import HealthCheck, settings

from tests.support.folders import passable_folder
from tests.support.running import complete, running
from tierwise.embedded.nats import NatsServer, nats_part
from tierwise.embedded.postgres import PostgresServer, postgres_part
from tierwise.embedded.postgres_place import find_place
from tierwise.ports import FreePorts

ROOT = Path(__file__).parents[1]
ACCOUNTS = 1000
TEMPLATE = "migrated_template"

# A run on a busy machine, and the next run, must find what this one finds: no clock and no chance. Others are drawn
# with `--hypothesis-profile=search`, and any of them again with `--hypothesis-seed`.
settings.register_profile("search", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.register_profile("suite", settings.get_profile("search"), derandomize=True)
settings.load_profile("suite")


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    with passable_folder() as folder:
        yield folder


@pytest.fixture(scope="session")
def nats_server(server_folder: Path) -> Iterator[NatsServer]:
    ports = FreePorts()
    server = NatsServer(
        server_name=f"tierwise-tests-{os.getpid()}",
        port=ports.take(),
        monitor_port=ports.take(),
        user="",
        password="tests",
        folder=server_folder / "nats",
        accounts=ACCOUNTS,
    )
    with running(nats_part(server), server_folder / "nats.log"):
        yield server


@pytest.fixture(scope="session")
def _account_numbers() -> Iterator[int]:
    return count()


@pytest.fixture
def nats_url(nats_server: NatsServer, _account_numbers: Iterator[int]) -> str:
    return nats_server.account_url(next(_account_numbers))


@pytest.fixture(scope="session")
def postgres_server(server_folder: Path) -> Iterator[PostgresServer]:
    server = PostgresServer(
        place=find_place(server_folder),
        port=FreePorts().take(),
        password="tests",
        log=server_folder / "postgres.log",
        durable=False,
        settings={"max_connections": "300", "timezone": "UTC"},
    )
    with running(postgres_part(server), server.log):
        yield server


@pytest.fixture(scope="session")
def _migrated_template(postgres_server: PostgresServer) -> str:
    complete(_command(postgres_server, f"CREATE DATABASE {TEMPLATE}"))
    done = subprocess.run(
        [sys.executable, "-m", "alembic", "-c", str(ROOT / "migrations/alembic.ini"), "upgrade", "head"],
        env={**os.environ, "TIERWISE_DATABASE_URL": postgres_server.url_of(TEMPLATE)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"the migrations failed:\n{done.stdout}\n{done.stderr}"
    return TEMPLATE


@pytest.fixture(scope="session")
def _database_numbers() -> Iterator[int]:
    return count()


@pytest.fixture
def database_url(
    postgres_server: PostgresServer, _migrated_template: str, _database_numbers: Iterator[int]
) -> Iterator[str]:
    """`postgresql://…`, migrated and empty."""
    name = f"test_{next(_database_numbers)}"
    complete(_command(postgres_server, f"CREATE DATABASE {name} TEMPLATE {_migrated_template}"))
    yield postgres_server.url_of(name)
    complete(_command(postgres_server, f"DROP DATABASE {name} WITH (FORCE)"))


async def _command(server: PostgresServer, sql: str) -> None:
    connection = await asyncpg.connect(server.url, ssl=False)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()
