"""The classifier: decides which backend may answer a request. Composition only; the decision is in core.py."""

from __future__ import annotations

from typing import Final

from services.classifier.handlers import Handlers
from services.classifier.metrics import Counts
from services.classifier.purser import Purser
from shared.hot_service import hot_service
from shared.pulse import Pulse

LANDING_S: Final = 3.0  # who waits for money waits two seconds at most; the supervisor waits five, compose ten


async def serve() -> None:
    """Until SIGTERM or SIGINT. Raises MissingSetting."""
    async with hot_service("classifier") as service:
        bus = await service.connect()
        counts = Counts()
        service.registry.register(counts)
        purser = Purser(bus, service.instance)
        handlers = Handlers(bus, service.instance, counts, purser)
        service.follow_policy(handlers.on_policy)
        await service.first_policy()
        service.beside(purser.follow())

        # It decides within one turn of the loop, and holds only who waits for money.
        pulse = Pulse(bus, "classifier", service.instance, handlers.held)
        await pulse.listen()
        await purser.start()
        await handlers.start()
        pulse.start()
        await service.serve()
        await handlers.stop(LANDING_S)
        purser.stop()
        pulse.stop()
