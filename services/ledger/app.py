"""The ledger, put together: usage from its stream into PostgreSQL, and answers about it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

from faststream import FastStream

from services.ledger import queries
from services.ledger.consumer import Consumer
from services.ledger.metrics import Metrics
from services.ledger.store import Store
from shared.bus import make_broker
from shared.cold_service import Settings, beside, operated
from shared.database import disposing, make_engine
from shared.ops import Readiness


def build_app(settings: Settings | None = None) -> FastStream:
    settings = settings or Settings.read()
    readiness = Readiness("nats", "database", "usage-stream")
    metrics = Metrics()
    store = Store(settings.database)
    broker = make_broker("ledger", settings.nats, readiness)
    consumer = Consumer(settings.nats, store, readiness, metrics)
    engine = make_engine(settings.database, "ledger-queries")
    queries.register(broker, engine)

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        with operated(settings.ops, "ledger", readiness, metrics.registry):
            async with aclosing(store), disposing(engine), beside(app, consumer.run):
                yield

    app = FastStream(broker, lifespan=lifespan, logger=None)
    return app
