"""The batcher, put together. Here will live bulk work: requests that can wait, gathered into jobs of the providers'
batch APIs, at half the price.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import structlog
from faststream import FastStream
from prometheus_client import CollectorRegistry

from services.batcher.settings import Settings
from shared.bus import beside, follow_policy, make_broker, operated
from shared.database import disposing, make_engine, watch
from shared.ops import Readiness
from shared.policy import Policy

log = structlog.get_logger()


def build_app(settings: Settings | None = None) -> FastStream:
    settings = settings or Settings.read()
    readiness = Readiness("nats", "database", "policy")
    broker = make_broker("batcher", settings.nats, readiness)
    engine = make_engine(settings.database, "batcher")

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        with operated(settings.ops, "batcher", readiness, CollectorRegistry()):
            async with (
                disposing(engine),
                beside(
                    app,
                    partial(watch, engine, readiness),
                    partial(follow_policy, broker, readiness, on_policy),
                ),
            ):
                yield

    app = FastStream(broker, lifespan=lifespan, logger=None)
    return app


def on_policy(policy: Policy, version: int) -> None:
    log.info("policy", version=version, backends=len(policy.backends))
