"""The suite's own promise: no test sees another's rows."""

import asyncpg
import pytest


@pytest.mark.parametrize("time", ["first", "second"])
async def test_each_test_has_a_migrated_database_of_its_own(database_url, time):
    connection = await asyncpg.connect(database_url, ssl=False)
    assert await connection.fetchval("SELECT count(*) FROM alembic_version") == 1
    await connection.execute("CREATE TABLE left_behind ()")  # fails the second time, were it the same database
    await connection.close()
