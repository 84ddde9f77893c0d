"""The policy in force, as KV has it: read at start, followed by a watch, opened anew after every reconnect."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NatsTimeout

from shared.hotbus import HotBus
from shared.policy import Policy, decode_published
from shared.streams import CURRENT, POLICY, ensure_bucket

log = logging.getLogger(__name__)

_RETRY_AFTER_S = 0.5


class PolicyWatch:
    """Calls `on_policy(policy, version)` for the policy that stands in KV and for every later one."""

    def __init__(self, bus: HotBus, on_policy: Callable[[Policy, int], None]) -> None:
        self._bus = bus
        self._on_policy = on_policy
        self._version = 0
        self._reconnected = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        bus.on_back(self._reconnected.set)

    def start(self, on_end: Callable[[], object]) -> None:
        """`on_end` is called when the watch ends, which before `stop` only a bug can make it do."""
        self._task = asyncio.get_running_loop().create_task(self._follow(), name="policy watch")
        self._task.add_done_callback(lambda _: on_end())

    async def stop(self) -> None:
        """Raises what ended the watch before its time: a process that no longer hears of policies must not live."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _follow(self) -> None:
        while True:
            self._reconnected.clear()
            try:
                await self._watch_until_reconnect()
            except (NatsError, OSError):
                await asyncio.sleep(_RETRY_AFTER_S)

    async def _watch_until_reconnect(self) -> None:
        bucket = await ensure_bucket(self._bus.client.jetstream(), POLICY)
        watcher = await bucket.watch(CURRENT)
        try:
            while not self._reconnected.is_set():
                try:
                    entry = await watcher.updates(timeout=1)  # type: ignore[no-untyped-call]
                except NatsTimeout:
                    continue
                if entry is not None and entry.value is not None and entry.revision != self._version:
                    self._take(entry.value, entry.revision)
        finally:
            if self._bus.connected:
                await watcher.stop()  # type: ignore[no-untyped-call]

    def _take(self, payload: bytes, version: int) -> None:
        """One that cannot be read, say a later Tierwise's, is left: an old policy is better than no service."""
        self._version = version
        try:
            policy = decode_published(payload)
        except ValueError as error:
            log.error("policy version %d cannot be read, the last one stays in force: %s", version, error)
            return
        self._on_policy(policy, version)
