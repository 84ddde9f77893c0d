"""The dispatcher: carries plans out. Composition only; the way of one request is in flight.py."""

from __future__ import annotations

import asyncio
import gc
import os
import secrets
import signal
from typing import Final

from nats.errors import Error as NatsError
from prometheus_client import CollectorRegistry

from services.dispatcher.backends import Backends
from services.dispatcher.journal import UsageJournal
from services.dispatcher.metrics import Counts
from services.dispatcher.tower import Tower
from shared import logs
from shared.hotbus import HotBus
from shared.ops import OpsServer, Readiness
from shared.policy import Policy
from shared.policy_watch import PolicyWatch
from shared.pulse import Pulse
from shared.settings import NatsSettings, OpsSettings
from shared.streams import USAGE, ensure_stream

LANDING_S: Final = 3.0  # the supervisor waits five seconds, compose ten
SETTLING_S: Final = 1.0
STREAM_RETRY_S: Final = 0.5


async def serve() -> None:
    """Until SIGTERM or SIGINT."""
    nats, ops = NatsSettings.read(), OpsSettings.read()
    log = logs.set_up("dispatcher")
    readiness = Readiness("nats", "usage-stream", "policy")
    registry = CollectorRegistry()
    server = OpsServer(ops, "dispatcher", readiness, registry)
    stopped = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stopped.set)

    instance = f"dispatcher-{secrets.token_hex(6)}"
    bus = await HotBus.connect(nats.url, instance)
    bus.on_lost(lambda: readiness.lost("nats"))
    bus.on_back(lambda: readiness.done("nats"))
    readiness.done("nats")
    while not stopped.is_set():
        try:
            await ensure_stream(bus.client.jetstream(), USAGE)
        except (NatsError, OSError) as error:  # JetStream starts after NATS itself, or has no room
            log.warning("the usage stream is not there yet", because=f"{type(error).__name__}: {error}")
            await asyncio.sleep(STREAM_RETRY_S)
        else:
            readiness.done("usage-stream")
            break

    counts = Counts()
    backends = Backends(os.environ)
    journal = UsageJournal(bus, instance)
    tower = Tower(bus, instance, backends, journal, counts)
    counts.gauges["tierwise_usage_unacked_messages"] = (
        "Usage messages that JetStream has not acknowledged", lambda: journal.unacked,
    )  # fmt: skip
    counts.gauges["tierwise_requests_in_flight"] = ("Requests in hand", lambda: sum(1 for _ in tower.held()))
    registry.register(counts)

    def on_policy(policy: Policy, version: int) -> None:
        tower.on_policy(policy, version)
        readiness.done("policy")
        for fault in backends.faults:
            log.warning("a backend cannot be called", fault=fault, policy_version=version)

    watch = PolicyWatch(bus, on_policy)
    watch.start(on_end=stopped.set)
    await journal.start()
    await tower.start()
    pulse = Pulse(bus, "dispatcher", instance, tower.held)
    await pulse.start()
    gc.freeze()
    log.info("serving", instance=instance, ops_port=server.port)

    await stopped.wait()
    await tower.stop(LANDING_S)
    deadline = bus.time() + SETTLING_S
    while not journal.settled and bus.time() < deadline:
        await bus.client.flush() if bus.connected else await asyncio.sleep(SETTLING_S / 10)
    if not journal.settled:
        log.error("usage was not acknowledged before the stop", messages=journal.unacked)
    pulse.stop()
    await watch.stop()
    await bus.close()
    await backends.close()
    server.close()
