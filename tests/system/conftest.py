"""One router a module for the tests that break nothing; the others start their own with `running_router`."""

from collections.abc import Iterator

import pytest

from tests.support.router import Router, running_router


@pytest.fixture(scope="module")
def shared_router() -> Iterator[Router]:
    with running_router() as router:
        yield router


@pytest.fixture
def router(shared_router: Router) -> Router:
    """With nothing written for its backends yet."""
    shared_router.first.reset()
    shared_router.second.reset()
    return shared_router
