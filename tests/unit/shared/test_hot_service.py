import asyncio
from contextlib import suppress

from shared.hot_service import end


async def test_a_task_that_forgets_a_cancellation_ends_all_the_same():
    async def forgetful() -> None:
        begun.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.Event().wait()

    begun = asyncio.Event()
    task = asyncio.create_task(forgetful())
    await begun.wait()
    await end(task)
    assert task.cancelled()
