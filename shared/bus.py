"""FastStream, for services off the hot path: the one place that knows its facts (shared/hotbus.py is the other bus).

* FastStream's default on NATS rejects a message whose handler failed, and a rejected message is gone. Brokers
  are built with `AckPolicy.NACK_ON_ERROR`. A plain nak comes back at once: to wait, raise `NackMessage(delay=…)`.
* The default serializer is pydantic's; `MsgSpecSerializer` lets handlers take our events.
* The access log is on unless `logger=None`, at 70 µs a message.
* nats-py gives up after 60 attempts unless it is told -1, and with -1 `connect` waits for a first server too.
* A pull subscriber without `max_workers` fetches again only when its slowest message is done.
* Draining a connection that is away raises, and waits 30 s by default; one whose server is silent, or dies meanwhile,
  takes 10 s more, and after its own limit raises CancelledError where nobody cancelled. `stop` below does none of it.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Final

import structlog
from fast_depends.msgspec import MsgSpecSerializer
from faststream import AckPolicy
from faststream.nats import NatsBroker
from nats.aio.client import Client
from nats.errors import Error as NatsError

from shared.ops import Readiness
from shared.settings import NatsSettings

RECONNECT_WAIT_S: Final = 0.25
STOP_WITHIN_S: Final = 2.0  # a handler has one second of these to end; the supervisor waits five

log = structlog.get_logger()


class Broker(NatsBroker):
    """A NatsBroker that stops at once, whether its server is there or not."""

    readiness: Readiness
    stopping = False

    @property
    def client(self) -> Client | None:
        """nats-py's, or None while there is no connection."""
        client = self._connection
        return client if client is not None and client.is_connected else None

    async def start(self) -> None:
        await super().start()
        self.readiness.set("nats", ready=self.client is not None)

    async def stop(
        self,
        exc_type: type[BaseException] | None = None,
        exc_val: BaseException | None = None,
        exc_tb: TracebackType | None = None,
    ) -> None:
        self.stopping = True
        client = self._connection
        task = asyncio.current_task()
        assert task is not None
        try:
            async with asyncio.timeout(STOP_WITHIN_S):
                await super().stop(exc_type, exc_val, exc_tb)
        except (NatsError, OSError, TimeoutError, asyncio.CancelledError):
            if task.cancelling():
                raise
            assert client is not None
            await client.close()
            self._connection = None


def make_broker(service: str, settings: NatsSettings, readiness: Readiness) -> Broker:
    """A broker that waits for its first server and reconnects for ever; keeps `readiness`' part "nats"."""

    async def lost() -> None:
        readiness.lost("nats")
        if not broker.stopping:
            log.warning("nats_lost", hint="waiting for it to come back")

    async def returned() -> None:
        readiness.done("nats")
        log.info("nats_returned")

    async def silent(_: Exception) -> None:
        """Every failed attempt comes here, four a second; `lost` has said it once."""

    broker = Broker(
        settings.url,
        name=f"tierwise-{service}",
        serializer=MsgSpecSerializer(),
        ack_policy=AckPolicy.NACK_ON_ERROR,
        logger=None,
        max_reconnect_attempts=-1,
        reconnect_time_wait=RECONNECT_WAIT_S,  # type: ignore[arg-type]  # it sleeps this long; a float will do
        drain_timeout=1,
        disconnected_cb=lost,
        reconnected_cb=returned,
        error_cb=silent,
    )
    broker.readiness = readiness
    return broker
