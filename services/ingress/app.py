"""The ingress: the HTTP doors. Composition only; the way of one request begins in fast.py."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import uvicorn
from nats.errors import Error as NatsError
from prometheus_client import CollectorRegistry

from services.ingress import publisher
from services.ingress.api import CurrentPolicy, build_api
from services.ingress.calls import Calls
from services.ingress.doors.chat import ChatDoor, new_ingress_id
from services.ingress.fast import protocol_for
from services.ingress.metrics import Counts
from services.ingress.settings import Settings
from shared import logs
from shared.hotbus import HotBus
from shared.ops import OpsServer, Readiness
from shared.policy import Policy, PolicyFault
from shared.policy_watch import PolicyWatch
from shared.settings import NatsSettings, OpsSettings
from shared.streams import POLICY, ensure_bucket

if TYPE_CHECKING:
    import structlog

FINISHING_S: Final = 3  # callers' answers after SIGTERM; the supervisor waits five seconds
WATCH_LIVING_EVERY_S: Final = 0.2


class Server(uvicorn.Server):
    """uvicorn, with the signals left to us: it would end the process before NATS hears of it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve() -> None:
    """Until SIGTERM or SIGINT. Raises RefusedToListen, MissingSetting."""
    settings, nats, ops = Settings.read(), NatsSettings.read(), OpsSettings.read()
    settings.refuse_strangers()
    log = logs.set_up("ingress")
    readiness = Readiness("nats", "policy", "classifier", "dispatcher")
    registry = CollectorRegistry()
    counts = Counts()
    registry.register(counts)
    ops_server = OpsServer(ops, "ingress", readiness, registry)

    current = CurrentPolicy()
    ingress_id = new_ingress_id()
    door = ChatDoor(ingress_id)
    server = Server(
        uvicorn.Config(
            build_api(current, readiness, registry, door.mint),
            host=settings.host,
            port=settings.port,
            http=protocol_for(door),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            headers=[("server", "tierwise")],
            timeout_graceful_shutdown=FINISHING_S,
        )
    )
    loop = asyncio.get_running_loop()
    serving = loop.create_task(server.serve(), name="http")
    stopped = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stopped.set)
    serving.add_done_callback(lambda _: stopped.set())  # the port is taken, for one

    connecting = loop.create_task(HotBus.connect(nats.url, ingress_id))
    stopping = loop.create_task(stopped.wait())
    await asyncio.wait((connecting, stopping), return_when=asyncio.FIRST_COMPLETED)
    if not connecting.done():
        connecting.cancel()
        server.should_exit = True
        await serving
        return
    bus = await connecting
    bus.on_lost(lambda: readiness.lost("nats"))
    bus.on_back(lambda: readiness.done("nats"))
    readiness.done("nats")

    def on_policy(policy: Policy, version: int) -> None:
        current.set(policy, version)
        door.on_policy(policy)
        readiness.done("policy")

    watch = PolicyWatch(bus, on_policy)
    watch.start(on_end=stopped.set)
    calls = Calls(bus, ingress_id, counts)
    await calls.start()
    door.calls = calls
    counts.gauges["tierwise_requests_waiting"] = ("Callers that wait for their answer", lambda: calls.in_flight)
    living = loop.create_task(_follow_the_living(calls, readiness))
    await _publish(settings, bus, log)
    gc.freeze()
    log.info("serving", host=settings.host, port=settings.port, ops_port=ops_server.port)

    await stopped.wait()
    server.should_exit = True
    await serving
    calls.stop()
    living.cancel()
    await watch.stop()
    await bus.close()
    ops_server.close()


async def _publish(settings: Settings, bus: HotBus, log: structlog.stdlib.BoundLogger) -> None:
    """The file's policy into KV. A faulty file is refused with its reasons, and what stands in KV stays in force."""
    if settings.config is None:
        return
    try:
        policy, idle = publisher.load(settings.config, os.environ)
    except PolicyFault as fault:
        log.error("the policy is refused", file=str(settings.config), faults=fault.faults)
        return
    for section in idle:
        log.warning("this section is not acted on yet", section=section)
    while True:
        try:
            version = await publisher.publish(await ensure_bucket(bus.client.jetstream(), POLICY), policy)
        except (NatsError, OSError, TimeoutError) as error:
            log.warning("the policy cannot be published yet", error=type(error).__name__)
            await asyncio.sleep(1)
        else:
            log.info("the policy is published", policy_version=version)
            return


async def _follow_the_living(calls: Calls, readiness: Readiness) -> None:
    while True:
        for service in ("classifier", "dispatcher"):
            readiness.set(service, ready=bool(calls.liveness.living(service)))
        await asyncio.sleep(WATCH_LIVING_EVERY_S)
