"""The ingress: the HTTP doors. Composition only; the way of one request begins in fast.py."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterator
from typing import Final

import uvicorn

from services.ingress.api import CurrentPolicy, build_api
from services.ingress.api_budgets import budgets
from services.ingress.api_decisions import decisions
from services.ingress.api_money_reports import money_reports
from services.ingress.api_policy import policy_routes
from services.ingress.calls import Calls
from services.ingress.cors import Cors
from services.ingress.doors.chat import ChatDoor, new_ingress_id
from services.ingress.fast import protocol_for
from services.ingress.leadership import Leadership
from services.ingress.metrics import Counts
from services.ingress.publisher import Publisher
from services.ingress.questions import Questions
from services.ingress.settings import Settings
from shared.hot_service import HotService, hot_service
from shared.ops import Readiness
from shared.policy import Policy

FINISHING_S: Final = 3  # callers' answers after SIGTERM; the supervisor waits five seconds
WATCH_LIVING_EVERY_S: Final = 0.2


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
    parts = ("classifier", "dispatcher", *(("config",) if settings.config is not None else ()))
    async with hot_service("ingress", *parts, instance=ingress_id) as service:
        current = CurrentPolicy()
        counts = Counts()
        service.registry.register(counts)
        door = ChatDoor(ingress_id)
        questions = Questions()
        routers = (
            policy_routes(current, door.mint),
            decisions(door, questions),
            money_reports(questions, door.mint),
            budgets(questions, current, door.mint),
        )
        api = Cors(
            build_api(current, service.readiness, service.registry, door.mint, *routers),
            lambda: door.server.cors_origins,
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
            questions.client = bus.client

            def on_policy(policy: Policy, version: int) -> None:
                current.set(policy, version, watch.since)
                door.on_policy(policy)

            watch = service.follow_policy(on_policy)
            calls = Calls(bus, ingress_id, counts)
            await calls.start()
            door.calls = calls
            counts.gauges["tierwise_requests_waiting"] = (
                "Callers that wait for their answer", lambda: calls.in_flight,
            )  # fmt: skip
            service.beside(_follow_the_living(calls, service.readiness))
            current.leadership = Leadership(bus, ingress_id, eligible=settings.config is not None)
            service.beside(current.leadership.campaign())
            if settings.config is not None:
                publisher = Publisher(
                    settings.config, os.environ, bus, current.leadership, service.readiness, service.log
                )
                service.beside(publisher.run())
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


async def _follow_the_living(calls: Calls, readiness: Readiness) -> None:
    while True:
        for service in ("classifier", "dispatcher"):
            readiness.set(service, ready=bool(calls.liveness.living(service)))
        await asyncio.sleep(WATCH_LIVING_EVERY_S)
