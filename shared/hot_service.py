"""What the processes of the three hot services have in common: settings, logs, the operators' door, signals, the bus
and the policy; opened in this order, closed in reverse. No FastStream (shared/cold_service.py is for those on it).
"""

from __future__ import annotations

import asyncio
import gc
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, Final, TypeVar

import uvloop
from prometheus_client import CollectorRegistry

from shared import logs
from shared.hotbus import HotBus
from shared.memory import give_large_blocks_back
from shared.ops import OpsServer, Readiness
from shared.policy import Policy
from shared.policy_watch import PolicyWatch
from shared.settings import MissingSetting, NatsSettings, OpsSettings

POLICY_WAITS_S: Final = 2.0  # then a refusal that says what is missing is better than silence
CANCEL_AGAIN_S: Final = 0.5

T = TypeVar("T")


class Stopped(Exception):
    """The stop came while the service was still waiting for something; `hot_service` ends quietly."""


class HotService:
    """One process. What it opens, `hot_service` closes."""

    bus: HotBus  # from `connect` on

    def __init__(self, name: str, instance: str, nats: NatsSettings, readiness: Readiness) -> None:
        self.instance = instance
        self.log = logs.set_up(name)
        self.readiness = readiness
        self.registry = CollectorRegistry()
        self.stopped = asyncio.Event()
        self.closing = AsyncExitStack()
        self._nats = nats
        self._has_policy = asyncio.Event()

    async def connect(self) -> HotBus:
        """Waits for NATS, however long that takes. Raises Stopped."""
        self.bus = bus = await self.unless_stopped(HotBus.connect(self._nats.url, self.instance))
        self.closing.push_async_callback(bus.close)
        bus.on_lost(lambda: self.readiness.lost("nats"))
        bus.on_back(lambda: self.readiness.done("nats"))
        self.readiness.done("nats")
        return bus

    def follow_policy(self, on_policy: Callable[[Policy, int], None], *, with_earlier: bool = False) -> PolicyWatch:
        """Calls it with the policy in force and its version, and with every later one; `with_earlier`: and first with
        the one before.
        """

        def heard(policy: Policy, version: int) -> None:
            on_policy(policy, version)
            self.readiness.done("policy")
            self._has_policy.set()

        watch = PolicyWatch(self.bus, heard, with_earlier=with_earlier)
        self.beside(watch.follow())
        return watch

    async def first_policy(self) -> None:
        """Waits a little: one that joins others without a policy would refuse what they can do. Raises Stopped."""
        with suppress(TimeoutError):
            await self.unless_stopped(asyncio.wait_for(self._has_policy.wait(), POLICY_WAITS_S))

    def beside(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs `work` until the stop. One that raises ends the process."""
        task = asyncio.get_running_loop().create_task(work)

        def ended(_: object) -> None:
            if not task.cancelled() and task.exception() is not None:
                self.stopped.set()

        task.add_done_callback(ended)
        self.closing.push_async_callback(end, task)

    async def unless_stopped(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` returns or raises. Raises Stopped, with `work` cancelled, where the stop comes first."""
        loop = asyncio.get_running_loop()
        working, stopping = loop.create_task(work), loop.create_task(self.stopped.wait())
        try:
            await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                raise Stopped
            return await working
        finally:
            working.cancel()
            stopping.cancel()

    async def serve(self, **said: object) -> None:
        """Until SIGTERM or SIGINT. `said` goes into the log's line."""
        gc.freeze()  # what is here, stays: no collection need look at it again
        self.log.info("serving", instance=self.instance, **said)
        await self.stopped.wait()


async def end(task: asyncio.Task[Any]) -> None:
    """Cancels it until it has ended: Python 3.11's `asyncio.wait_for` forgets a cancellation that meets an answer."""
    while not task.done():
        task.cancel()
        await asyncio.wait((task,), timeout=CANCEL_AGAIN_S)
    with suppress(asyncio.CancelledError):
        task.result()


@asynccontextmanager
async def hot_service(name: str, *waits_for: str, instance: str = "") -> AsyncIterator[HotService]:
    """A process that answers its operators, and takes signals as a wish to stop. It is not ready before it has NATS,
    a policy and what else it `waits_for`. Raises MissingSetting.
    """
    nats, ops = NatsSettings.read(), OpsSettings.read()
    readiness = Readiness("nats", "policy", *waits_for)
    service = HotService(name, instance or f"{name}-{secrets.token_hex(6)}", nats, readiness)
    async with service.closing as closing:
        server = OpsServer(ops, name, readiness, service.registry)
        closing.callback(server.close)
        service.log.info("listening", ops_port=server.port)
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, service.stopped.set)
        with suppress(Stopped):
            yield service


def run(name: str, serve: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """A service's process. One that cannot start for a missing setting says so in a sentence, with exit code 1."""
    give_large_blocks_back()
    try:
        uvloop.run(serve())
    except MissingSetting as missing:
        sys.exit(f"{name}: {missing}")
