from collections.abc import AsyncIterator

import pytest

from tests.support.ledger import Dispatcher, Query, dispatcher_at, querying


@pytest.fixture
async def dispatcher(nats_url: str) -> AsyncIterator[Dispatcher]:
    async with dispatcher_at(nats_url) as one:
        yield one


@pytest.fixture
async def query(database_url: str) -> AsyncIterator[Query]:
    async with querying(database_url) as fetch:
        yield fetch
