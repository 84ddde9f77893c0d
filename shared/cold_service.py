"""What the processes of the services off the hot path have in common: FastStream's app, what works beside it, and the
operators' door. (shared/hot_service.py is for those that are to stay small.)
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any, Final

import msgspec
import structlog
import uvloop
from faststream import FastStream
from prometheus_client import CollectorRegistry

from shared.bus import make_broker
from shared.database import disposing, make_engine, watch
from shared.logs import set_up
from shared.ops import OpsServer, Readiness
from shared.policy import Policy
from shared.policy_watch import PolicyWatch
from shared.settings import DatabaseSettings, MissingSetting, NatsSettings, OpsSettings

STOP_WITHIN_S: Final = 1.5

log = structlog.get_logger()

Work = Callable[[], Coroutine[Any, Any, None]]


class Settings(msgspec.Struct, frozen=True):
    """What a service can be told that has the bus and the database."""

    nats: NatsSettings
    database: DatabaseSettings
    ops: OpsSettings

    @classmethod
    def read(cls) -> Settings:
        return cls(NatsSettings.read(), DatabaseSettings.read(), OpsSettings.read())


@contextmanager
def operated(
    settings: OpsSettings, service: str, readiness: Readiness, registry: CollectorRegistry
) -> Iterator[None]:
    """The operators' door, open for as long as the block runs, while the service waits for its parts too."""
    server = OpsServer(settings, service, readiness, registry)
    log.info("listening", ops_port=server.port)
    try:
        yield
    finally:
        server.close()


@asynccontextmanager
async def beside(app: FastStream, *works: Work) -> AsyncIterator[None]:
    """Runs `works` until `app` stops, before its broker does. One that raises ends the process."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work()) for work in works]

        @app.on_shutdown
        async def end() -> None:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=STOP_WITHIN_S)

        yield


def policy_app(service: str, settings: Settings) -> FastStream:
    """An app with the database and the policy, for a service that has no work of its own yet."""
    readiness = Readiness("nats", "database", "policy")
    broker = make_broker(service, settings.nats, readiness)
    engine = make_engine(settings.database, service)

    def on_policy(policy: Policy, version: int) -> None:
        readiness.done("policy")
        log.info("policy", version=version, backends=len(policy.backends))

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        with operated(settings.ops, service, readiness, CollectorRegistry()):
            async with (
                disposing(engine),
                beside(app, partial(watch, engine, readiness), PolicyWatch(broker, on_policy).follow),
            ):
                yield

    app = FastStream(broker, lifespan=lifespan, logger=None)
    return app


def run(service: str, build_app: Callable[[], FastStream]) -> None:
    """A service's process, until SIGTERM or SIGINT. One that cannot start for a missing setting says so in a
    sentence, with exit code 1.
    """
    set_up(service)
    try:
        app = build_app()
    except MissingSetting as missing:
        sys.exit(f"{service}: {missing}")
    uvloop.run(app.run(sleep_time=0.05))
