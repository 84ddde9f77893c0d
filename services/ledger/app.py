"""The ledger, put together: usage from its stream into PostgreSQL by the days of the policy, and answers about it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import structlog
from faststream import FastStream

from services.ledger import queries
from services.ledger.consumer import Consumer
from services.ledger.days import Days
from services.ledger.metrics import Metrics
from services.ledger.retention import Keeper
from services.ledger.store import Store
from shared.bus import make_broker
from shared.cold_service import Settings, beside, operated
from shared.database import disposing, make_engine
from shared.ops import Readiness
from shared.policy import Policy
from shared.policy_watch import PolicyWatch

log = structlog.get_logger()


def build_app(settings: Settings | None = None) -> FastStream:
    settings = settings or Settings.read()
    readiness = Readiness("nats", "database", "policy", "usage-stream")
    metrics = Metrics()
    store = Store(settings.database)
    broker = make_broker("ledger", settings.nats, readiness)
    consumer = Consumer(settings.nats, store, readiness, metrics)
    keeper = Keeper(settings.database)
    engine = make_engine(settings.database, "ledger-queries")
    queries.register(broker, engine)

    def on_policy(policy: Policy, version: int) -> None:
        consumer.use(Days({service: budget.timezone for service, budget in policy.budgets.items()}))
        keeper.use(policy.retention)
        readiness.done("policy")
        log.info("policy", version=version)

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        with operated(settings.ops, "ledger", readiness, metrics.registry):
            async with (
                aclosing(store),
                disposing(engine),
                beside(app, consumer.run, keeper.run, PolicyWatch(broker, on_policy).follow),
            ):
                yield

    app = FastStream(broker, lifespan=lifespan, logger=None)
    return app
