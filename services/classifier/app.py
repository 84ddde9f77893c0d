"""The classifier: decides which backend may answer a request. Composition only; the decision is in core.py."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import secrets
import signal
from typing import Final

from prometheus_client import CollectorRegistry

from services.classifier.handlers import Handlers
from services.classifier.metrics import Counts
from shared import logs
from shared.hotbus import HotBus
from shared.ops import OpsServer, Readiness
from shared.policy import Policy
from shared.policy_watch import PolicyWatch
from shared.pulse import Pulse
from shared.settings import NatsSettings, OpsSettings

POLICY_WAITS_S: Final = 2.0  # then a refusal that says what is missing is better than silence


async def serve() -> None:
    """Until SIGTERM or SIGINT."""
    nats, ops = NatsSettings.read(), OpsSettings.read()
    log = logs.set_up("classifier")
    readiness = Readiness("nats", "policy")
    registry = CollectorRegistry()
    server = OpsServer(ops, "classifier", readiness, registry)
    stopped = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stopped.set)

    instance = f"classifier-{secrets.token_hex(6)}"
    bus = await HotBus.connect(nats.url, instance)
    bus.on_lost(lambda: readiness.lost("nats"))
    bus.on_back(lambda: readiness.done("nats"))
    readiness.done("nats")

    counts = Counts()
    registry.register(counts)
    handlers = Handlers(bus, instance, counts)

    can_decide = asyncio.Event()

    def on_policy(policy: Policy, version: int) -> None:
        handlers.on_policy(policy, version)
        readiness.done("policy")
        can_decide.set()

    watch = PolicyWatch(bus, on_policy)
    watch.start(on_end=stopped.set)
    # One that joins others without a policy would refuse what they can plan.
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(can_decide.wait(), POLICY_WAITS_S)
    await handlers.start()
    pulse = Pulse(bus, "classifier", instance, tuple)  # it decides within one turn of the loop, and holds nothing
    await pulse.start()
    gc.freeze()
    log.info("serving", instance=instance, ops_port=server.port)

    await stopped.wait()
    await handlers.stop()
    pulse.stop()
    await watch.stop()
    await bus.close()
    server.close()
