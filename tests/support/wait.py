"""Wait for what must come true, with a deadline: never a bare sleep."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")
PAUSE_S = 0.02
# What comes true ends its wait at once, so patience costs only the test that fails; and a busy machine needs some.
PATIENCE_S = 60.0


def wait_until(condition: Callable[[], T], what: str, within_s: float = PATIENCE_S) -> T:
    """The first truthy answer of `condition`; fails with `what` when none came in time."""
    deadline = time.monotonic() + within_s
    while True:
        if answer := condition():
            return answer
        assert time.monotonic() < deadline, f"waited {within_s:g} s in vain: {what}"
        time.sleep(PAUSE_S)


async def eventually(condition: Callable[[], T | Awaitable[T]], what: str, within_s: float = PATIENCE_S) -> T:
    """The same for tests that have a loop, which goes on running meanwhile."""
    deadline = time.monotonic() + within_s
    while True:
        answer = condition()
        if inspect.isawaitable(answer):
            answer = await answer
        if answer:
            return answer
        assert time.monotonic() < deadline, f"waited {within_s:g} s in vain: {what}"
        await asyncio.sleep(PAUSE_S)
