"""FastStream, for services off the hot path: the one place that knows its facts (shared/hotbus.py is the other bus).

* FastStream's default on NATS rejects a message whose handler failed, and a rejected message is gone. Brokers
  are built with `AckPolicy.NACK_ON_ERROR`. A plain nak comes back at once: to wait, raise `NackMessage(delay=…)`.
* The default serializer is pydantic's; `MsgSpecSerializer` lets handlers take our events.
* The access log is on unless `logger=None`, at 70 µs a message.
* nats-py gives up after 60 attempts unless it is told -1, and with -1 `connect` waits for a first server too.
* A pull subscriber without `max_workers` fetches again only when its slowest message is done.
* Draining a connection that is away raises, and waits 30 s by default: `stop` below does neither.
* A KV watch (FastStream's and nats-py's) falls silent for ever when the NATS server is restarted, without an
  error: `follow_policy` asks instead.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import TracebackType
from typing import Any, Final

import structlog
import uvloop
from fast_depends.msgspec import MsgSpecSerializer
from faststream import AckPolicy, FastStream
from faststream.nats import NatsBroker
from nats.aio.client import Client
from nats.errors import ConnectionClosedError, ConnectionReconnectingError
from nats.errors import Error as NatsError
from nats.js.errors import KeyNotFoundError
from nats.js.kv import KeyValue
from prometheus_client import CollectorRegistry

from shared.logs import set_up
from shared.ops import OpsServer, Readiness
from shared.policy import Policy, decode_published
from shared.settings import MissingSetting, NatsSettings, OpsSettings
from shared.streams import CURRENT, POLICY, ensure_bucket

RECONNECT_WAIT_S: Final = 0.25
FOLLOW_EVERY_S: Final = 0.5  # a changed policy is in force everywhere within 2 s
STOP_WITHIN_S: Final = 1.5

log = structlog.get_logger()

Work = Callable[[], Coroutine[Any, Any, None]]


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
        try:
            await super().stop(exc_type, exc_val, exc_tb)
        except (ConnectionReconnectingError, ConnectionClosedError):
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


async def follow_policy(broker: Broker, readiness: Readiness, on_policy: Callable[[Policy, int], None]) -> None:
    """Calls `on_policy` with each policy that is published and its version; keeps `readiness`' part "policy"."""
    bucket: KeyValue | None = None
    version = 0
    while True:
        client = broker.client
        if client is not None:
            try:
                bucket = bucket or await ensure_bucket(client.jetstream(), POLICY)
                entry = await bucket.get(CURRENT)
            except KeyNotFoundError:
                pass
            except (NatsError, OSError):  # JetStream is away, or its store was lost
                bucket = None
            else:
                revision = entry.revision or 0
                if revision != version and entry.value is not None:
                    version = revision
                    on_policy(decode_published(entry.value), revision)
                    readiness.done("policy")
        await asyncio.sleep(FOLLOW_EVERY_S)


def run(service: str, build_app: Callable[[], FastStream]) -> None:
    """A service's process, until SIGTERM or SIGINT."""
    set_up(service)
    try:
        app = build_app()
    except MissingSetting as missing:
        sys.exit(str(missing))
    uvloop.run(app.run(sleep_time=0.05))
