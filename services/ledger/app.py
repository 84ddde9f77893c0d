"""The ledger, put together: usage from its stream into PostgreSQL by the days of the policy, answers about it, and
budgets lent.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import Final

import structlog
from faststream import FastStream

from services.ledger import queries
from services.ledger.apart import apart
from services.ledger.consumer import Consumer
from services.ledger.days import Days
from services.ledger.lender import Lender
from services.ledger.metrics import Metrics
from services.ledger.retention import Keeper
from services.ledger.store import Store
from shared.budgets import Limits
from shared.bus import make_broker
from shared.cold_service import Settings, beside, operated
from shared.database import disposing, make_engine
from shared.ops import Readiness
from shared.policy import Policy
from shared.policy_watch import PolicyWatch

SWITCH_S: Final = 0.0005  # between threads: of a grant's five milliseconds the usual five would leave nothing

log = structlog.get_logger()


def build_app(settings: Settings | None = None) -> FastStream:
    settings = settings or Settings.read()
    sys.setswitchinterval(SWITCH_S)
    readiness = Readiness("nats", "database", "policy", "usage-stream", "budgets")
    metrics = Metrics()
    store = Store(settings.database)
    broker = make_broker("ledger", settings.nats, readiness)
    consumer = Consumer(settings.nats, store, readiness, metrics)
    keeper = Keeper(settings.database)
    lender = Lender(settings.nats, settings.database, readiness, metrics)
    engine = make_engine(settings.database, "ledger-queries")
    queries.register(broker, engine)

    def on_policy(policy: Policy, version: int) -> None:
        keeper.use(policy.retention)
        lender.use(policy)
        readiness.done("policy")
        log.info("policy", version=version)

    def on_limits(limits: Limits) -> None:
        """The policy's, and operators' over it. Usage is not fetched before they are known."""
        store.use(limits)
        consumer.use(Days(limits.zones))

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        lender.on_limits = lambda limits: loop.call_soon_threadsafe(on_limits, limits)
        with operated(settings.ops, "ledger", readiness, metrics.registry):
            async with (
                aclosing(store),
                disposing(engine),
                beside(
                    app, consumer.run, keeper.run, partial(apart, lender.run), PolicyWatch(broker, on_policy).follow
                ),
            ):
                yield

    app = FastStream(broker, lifespan=lifespan, logger=None)
    return app
