"""Work in a thread and a loop of its own, for what must not wait for the process' loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final

import uvloop

CANCEL_AGAIN_S: Final = 0.2


async def apart(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Runs `work` in a thread, on a loop of its own, until cancelled. Raises what it raises.

    A cancellation is told again until it is heard: Python 3.11's `asyncio.wait_for`, which nats-py waits by, forgets
    one that meets an answer.
    """
    loop = asyncio.get_running_loop()
    ended = loop.create_future()
    begun = threading.Event()
    inner: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[None]]] = []

    async def main() -> None:
        task = asyncio.ensure_future(work())
        inner.append((asyncio.get_running_loop(), task))
        begun.set()
        with suppress(asyncio.CancelledError):
            await task

    def end(error: BaseException | None) -> None:
        if ended.done():
            return
        if error is None:
            ended.set_result(None)
        else:
            ended.set_exception(error)

    def thread() -> None:
        error: BaseException | None = None
        try:
            uvloop.run(main())
        except BaseException as raised:  # noqa: BLE001 - it is raised again by whoever waits
            error = raised
        finally:
            begun.set()
            with suppress(RuntimeError):  # the outer loop is closed: nobody waits any more
                loop.call_soon_threadsafe(end, error)

    threading.Thread(target=thread, name="lender", daemon=True).start()
    try:
        await asyncio.shield(ended)
    except asyncio.CancelledError:
        begun.wait()
        while not ended.done():
            for inner_loop, task in inner:
                with suppress(RuntimeError):  # it has ended, and its loop with it
                    inner_loop.call_soon_threadsafe(task.cancel)
            await asyncio.wait((ended,), timeout=CANCEL_AGAIN_S)
        ended.result()
        raise
