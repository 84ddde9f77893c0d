"""The policy in force, as KV has it, for every service: a watch tells of a new one at once.

nats-py's watch (FastStream's too) falls silent for ever, without an error, when NATS is restarted or its bucket is
lost. So the bucket is looked at as well, and a watch that missed something is opened anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from typing import Final, Protocol

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NatsTimeout
from nats.js import JetStreamContext
from nats.js.errors import KeyNotFoundError
from nats.js.kv import KeyValue

from shared.policy import Policy, decode_published
from shared.streams import CURRENT, POLICY, ensure_bucket

log = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 0.5  # a changed policy is in force everywhere within 2 s, after a NATS restart too


class Bus(Protocol):
    """The hot bus, and FastStream's broker."""

    @property
    def client(self) -> Client | None:
        """None: not connected yet."""


class PolicyWatch:
    """Calls `on_policy(policy, version)` for the policy that stands in KV and for every later one.

    `with_earlier`: at first also for the one before it, as far as KV still has it.
    """

    def __init__(self, bus: Bus, on_policy: Callable[[Policy, int], None], *, with_earlier: bool = False) -> None:
        self._bus = bus
        self._on_policy = on_policy
        self._with_earlier = with_earlier
        self._version = 0
        self.since: datetime | None = None  # when the version was put into KV, by NATS' clock

    async def follow(self) -> None:
        """Until cancelled: NATS and JetStream may come and go."""
        while True:
            client = self._bus.client
            if client is not None:
                try:
                    await self._watch_until_it_fails(client.jetstream())
                except (NatsError, OSError):  # JetStream is away, or its store was lost
                    pass
                else:
                    continue
            await asyncio.sleep(LOOK_EVERY_S)

    async def _watch_until_it_fails(self, js: JetStreamContext) -> None:
        bucket = await ensure_bucket(js, POLICY)
        watcher = await bucket.watch(CURRENT, include_history=self._with_earlier and not self._version)
        try:
            while True:
                try:
                    entry = await watcher.updates(timeout=LOOK_EVERY_S)  # type: ignore[no-untyped-call]
                except NatsTimeout:
                    if await self._missed_something(bucket):
                        return
                    continue
                if entry is not None and entry.value is not None and entry.revision != self._version:
                    self._take(entry.value, entry.revision, entry.created)
        finally:
            client = self._bus.client
            if client is not None and client.is_connected:
                await watcher.stop()  # type: ignore[no-untyped-call]

    async def _missed_something(self, bucket: KeyValue) -> bool:
        try:
            return (await bucket.get(CURRENT)).revision != self._version
        except KeyNotFoundError:
            return False

    def _take(self, payload: bytes, version: int, since: datetime | None = None) -> None:
        """One that cannot be read, say a later Tierwise's, is left: an old policy is better than no service."""
        self._version = version
        try:
            policy = decode_published(payload)
        except ValueError as error:
            log.error("policy version %d cannot be read, the last one stays in force: %s", version, error)
            return
        self.since = since
        self._on_policy(policy, version)
