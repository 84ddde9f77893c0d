"""The ingress: the HTTP doors. Composition only; the way of one request begins in fast.py."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Final

import uvicorn
from nats.errors import Error as NatsError

from services.ingress import publisher
from services.ingress.api import CurrentPolicy, build_api
from services.ingress.calls import Calls
from services.ingress.cors import Cors
from services.ingress.doors.chat import ChatDoor, new_ingress_id
from services.ingress.fast import protocol_for
from services.ingress.metrics import Counts
from services.ingress.settings import Settings
from shared.hot_service import HotService, hot_service
from shared.hotbus import HotBus
from shared.ops import Readiness
from shared.policy import Policy, PolicyFault, written_out_keys
from shared.streams import POLICY, ensure_bucket

if TYPE_CHECKING:
    from structlog.stdlib import BoundLogger

FINISHING_S: Final = 3  # callers' answers after SIGTERM; the supervisor waits five seconds
WATCH_LIVING_EVERY_S: Final = 0.2
PUBLISH_RETRY_S: Final = 1.0


class Server(uvicorn.Server):
    """uvicorn, with the signals left to us: it would end the process before NATS hears of it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve() -> None:
    """Until SIGTERM or SIGINT. Raises RefusedToListen, MissingSetting."""
    settings = Settings.read()
    settings.refuse_strangers()
    ingress_id = new_ingress_id()
    async with hot_service("ingress", "classifier", "dispatcher", instance=ingress_id) as service:
        current = CurrentPolicy()
        counts = Counts()
        service.registry.register(counts)
        door = ChatDoor(ingress_id)
        api = Cors(
            build_api(current, service.readiness, service.registry, door.mint), lambda: door.server.cors_origins
        )
        config = uvicorn.Config(
            api,
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
        async with _answering(Server(config), service):
            bus = await service.connect()

            def on_policy(policy: Policy, version: int) -> None:
                current.set(policy, version)
                door.on_policy(policy)

            service.follow_policy(on_policy)
            calls = Calls(bus, ingress_id, counts)
            await calls.start()
            door.calls = calls
            counts.gauges["tierwise_requests_waiting"] = (
                "Callers that wait for their answer", lambda: calls.in_flight,
            )  # fmt: skip
            service.beside(_follow_the_living(calls, service.readiness))
            policy = _read_policy(settings, service.log)
            if policy is not None:
                service.beside(_publish(policy, bus, service.log))
            await service.serve(host=settings.host, port=settings.port)
        calls.stop()


@contextlib.asynccontextmanager
async def _answering(server: Server, service: HotService) -> AsyncIterator[None]:
    """HTTP is answered from the first moment, before NATS is there, and until the last caller has an answer."""
    serving = asyncio.get_running_loop().create_task(server.serve(), name="http")
    serving.add_done_callback(lambda _: service.stopped.set())  # the port is taken, for one
    try:
        yield
    finally:
        server.should_exit = True
        await serving


def _read_policy(settings: Settings, log: BoundLogger) -> Policy | None:
    """The file's. A faulty one is refused with its reasons, and what stands in KV stays in force."""
    if settings.config is None:
        return None
    try:
        policy, idle = publisher.load(settings.config, os.environ)
    except PolicyFault as fault:
        log.error("the policy is refused", file=str(settings.config), faults=fault.faults)
        return None
    for section in idle:
        log.warning("this section is not acted on yet", section=section)
    for told in written_out_keys(policy):
        log.warning("a key is written out in the file", where=told)
    return policy


async def _publish(policy: Policy, bus: HotBus, log: BoundLogger) -> None:
    while True:
        try:
            version = await publisher.publish(await ensure_bucket(bus.client.jetstream(), POLICY), policy)
        except (NatsError, OSError, TimeoutError) as error:
            log.warning("the policy cannot be published yet", error=type(error).__name__)
            await asyncio.sleep(PUBLISH_RETRY_S)
        else:
            log.info("the policy is published", policy_version=version)
            return


async def _follow_the_living(calls: Calls, readiness: Readiness) -> None:
    while True:
        for service in ("classifier", "dispatcher"):
            readiness.set(service, ready=bool(calls.liveness.living(service)))
        await asyncio.sleep(WATCH_LIVING_EVERY_S)
