"""The dispatcher: carries plans out. Composition only; the way of one request is in flight.py."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Final

from nats.errors import Error as NatsError

from services.dispatcher.backends import Backends
from services.dispatcher.journal import UsageJournal
from services.dispatcher.metrics import Counts
from services.dispatcher.tower import Tower
from shared.hot_service import hot_service
from shared.hotbus import HotBus
from shared.policy import Policy
from shared.pulse import Pulse
from shared.streams import USAGE, ensure_stream

if TYPE_CHECKING:
    from structlog.stdlib import BoundLogger

LANDING_S: Final = 3.0  # the supervisor waits five seconds, compose ten
SETTLING_S: Final = 1.0
STREAM_RETRY_S: Final = 0.5


async def serve() -> None:
    """Until SIGTERM or SIGINT. Raises MissingSetting."""
    async with hot_service("dispatcher", "usage-stream") as service:
        bus = await service.connect()
        counts = Counts()
        backends = Backends(os.environ)
        service.closing.push_async_callback(backends.close)
        journal = UsageJournal(bus, service.instance)
        tower = Tower(bus, service.instance, backends, journal, counts)
        counts.gauges |= {
            "tierwise_requests_in_flight": ("Requests in hand", lambda: tower.in_flight),
            "tierwise_usage_unacked_messages": (
                "Usage messages that JetStream has not acknowledged", lambda: journal.unacked,
            ),
            "tierwise_usage_sent_again_messages": (
                "Usage messages sent again, for want of an acknowledgement", lambda: journal.sent_again,
            ),
        }  # fmt: skip
        service.registry.register(counts)

        def on_policy(policy: Policy, version: int) -> None:
            tower.on_policy(policy, version)
            for fault in backends.faults:
                service.log.warning("a backend cannot be called", fault=fault, policy_version=version)

        # Plans of the version before may be under way when this begins.
        service.follow_policy(on_policy, with_earlier=True)
        await service.unless_stopped(_usage_stream(bus, service.log))
        service.readiness.done("usage-stream")
        await service.first_policy()

        pulse = Pulse(bus, "dispatcher", service.instance, tower.held)
        await pulse.listen()
        await journal.start()
        await tower.start()
        pulse.start()
        await service.serve()
        await tower.stop(LANDING_S)
        await _settle(bus, journal, service.log)
        pulse.stop()


async def _usage_stream(bus: HotBus, log: BoundLogger) -> None:
    while True:
        try:
            await ensure_stream(bus.client.jetstream(), USAGE)
        except (NatsError, OSError) as error:  # JetStream starts after NATS itself, or has no room
            log.warning("the usage stream is not there yet", because=f"{type(error).__name__}: {error}")
            await asyncio.sleep(STREAM_RETRY_S)
        else:
            return


async def _settle(bus: HotBus, journal: UsageJournal, log: BoundLogger) -> None:
    deadline = bus.time() + SETTLING_S
    while not journal.settled and (left := deadline - bus.time()) > 0:
        if not await bus.flush(left):
            await asyncio.sleep(min(left, SETTLING_S / 10))
    if not journal.settled:
        log.error("usage was not acknowledged before the stop", messages=journal.unacked)
