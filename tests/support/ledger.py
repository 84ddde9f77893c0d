"""Ledgers in this process and in their own, and what tests ask of them and of their stream."""

import asyncio
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import asyncpg
import nats
from nats.aio.client import Client

from services.ledger.consumer import Consumer
from services.ledger.days import Days
from services.ledger.metrics import Metrics
from services.ledger.store import Store
from shared.bus import make_broker
from shared.contracts import RequestUsage, UsageRecorded, ValidationUsage
from shared.ops import Readiness
from shared.settings import DatabaseSettings, NatsSettings
from shared.streams import USAGE, ensure_stream
from tests.support.running import start, stop
from tests.support.usage import message
from tierwise.part import Part

ROOT = Path(__file__).parents[2]


class Running:
    """A ledger in this process, whose policy gives these time zones to the budgets of services."""

    def __init__(self, nats_url: str, database_url: str, zones: Mapping[str, str] | None = None) -> None:
        self.readiness = Readiness("nats", "database", "usage-stream")
        self.metrics = Metrics()
        self.broker = make_broker("ledger", NatsSettings(nats_url), self.readiness)
        self.store = Store(database_settings(database_url))
        self.consumer = Consumer(NatsSettings(nats_url), self.store, self.readiness, self.metrics)
        self.consumer.use(Days(zones or {}))

    def counted(self, name: str) -> float:
        return self.metrics.registry.get_sample_value(f"tierwise_ledger_{name}_total") or 0


@asynccontextmanager
async def ledger(nats_url: str, database_url: str, zones: Mapping[str, str] | None = None) -> AsyncIterator[Running]:
    running = Running(nats_url, database_url, zones)
    task = asyncio.create_task(running.consumer.run())
    try:
        await running.broker.start()
        yield running
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await running.broker.stop()
        await running.store.aclose()


def database_settings(url: str) -> DatabaseSettings:
    return DatabaseSettings.read({"TIERWISE_DATABASE_URL": url})


class Dispatcher:
    """Sends usage as a dispatcher does, and looks at its stream."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.js = client.jetstream()
        self.sent = 0

    async def send(self, *records: RequestUsage, validations: tuple[ValidationUsage, ...] = ()) -> None:
        await self.send_raw(message(*records, batch_id=f"test.{self.sent}", validations=validations))

    async def send_raw(self, payload: bytes) -> None:
        self.sent += 1
        await self.js.publish(UsageRecorded.subject, payload, timeout=30)

    async def unacked(self) -> int:
        return (await self.js.stream_info(USAGE)).state.messages

    async def all_acked(self) -> bool:
        return await self.unacked() == 0


@asynccontextmanager
async def dispatcher_at(url: str) -> AsyncIterator[Dispatcher]:
    async def silent(_: Exception) -> None: ...

    client = await nats.connect(url, max_reconnect_attempts=-1, reconnect_time_wait=0.1, error_cb=silent)
    await ensure_stream(client.jetstream(), USAGE)
    try:
        yield Dispatcher(client)
    finally:
        await client.close()


Query = Callable[..., Awaitable[list[Any]]]


@asynccontextmanager
async def querying(url: str) -> AsyncIterator[Query]:
    connection = await asyncpg.connect(url)
    try:
        yield connection.fetch
    finally:
        await connection.close()


@contextmanager
def process(service: str, nats_url: str, database_url: str, ops_port: int) -> Iterator[subprocess.Popen[bytes]]:
    """`python -m services.<service>`, killed when left."""
    environment = {
        **os.environ,
        "TIERWISE_NATS_URL": nats_url,
        "TIERWISE_DATABASE_URL": database_url,
        "TIERWISE_OPS_PORT": str(ops_port),
    }
    started = subprocess.Popen([sys.executable, "-m", f"services.{service}"], cwd=ROOT, env=environment)
    try:
        yield started
    finally:
        started.send_signal(signal.SIGKILL)
        started.wait()


async def get(url: str) -> tuple[int, str]:
    """Status and body; (0, "") where nobody answers."""

    def ask() -> tuple[int, str]:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    return await asyncio.to_thread(ask)


async def is_ready(ops_port: int) -> bool:
    return (await get(f"http://127.0.0.1:{ops_port}/readyz"))[0] == 200


async def alembic(database_url: str, *arguments: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "alembic", "-c", ROOT / "migrations/alembic.ini", *arguments,
        env={**os.environ, "TIERWISE_DATABASE_URL": database_url}, cwd="/",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    return process.returncode, output.decode()


@asynccontextmanager
async def serving(part: Part, log: Path) -> AsyncIterator[None]:
    """A server of the test's own, for as long as the block runs."""
    process = await asyncio.to_thread(start, part, log)  # on a thread: it has a loop of its own
    try:
        yield
    finally:
        await asyncio.to_thread(stop, part, process)
