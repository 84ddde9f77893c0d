"""`python -m bench.ledger`: what a usage record costs the ledger, PostgreSQL and NATS, in CPU.

A NATS, a PostgreSQL and a ledger of its own. First a backlog, published before the ledger starts; then a steady rate.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import msgspec
import nats
from nats.aio.client import Client
from rich.console import Console
from rich.table import Table

from bench.processes import ended
from bench.taken import cpu_s, memory_mib
from shared.contracts import AttemptUsage, Features, RequestUsage, UsageRecorded, encode
from shared.policy import Backend, Budget, Policy, encode_published
from shared.streams import CURRENT, POLICY, USAGE, ensure_bucket, ensure_stream
from tierwise.embedded.nats import NatsServer, nats_part
from tierwise.embedded.postgres import PostgresServer, postgres_part
from tierwise.embedded.postgres_place import find_place
from tierwise.part import NotReady, Part, spawn_options
from tierwise.ports import FreePorts

ROOT = Path(__file__).parents[1]
INGRESSES = ("a1B2c3D4e5F6", "Zy9Xw8Vu7Ts6")
SERVICES = ("billing", "legal", "default", "support")
START_WITHIN_S = 30.0
STORED_AT_ONCE = 500  # messages: JetStream drops what it cannot buffer


@dataclass(frozen=True)
class Taken:
    name: str
    records: int
    seconds: float
    cpu_us: dict[str, float]  # a record, by process
    ledger_mib: float


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.ledger",
        description="CPU a usage record costs: a backlog drained, then a steady rate.",
        epilog="Example: python -m bench.ledger --backlog 100000 --rate 5000 --seconds 15",
    )
    parser.add_argument(
        "--backlog", type=int, default=200_000, metavar="N", help="records that wait (200000; 0: none)"
    )
    parser.add_argument(
        "--rate", type=int, default=5000, metavar="N", help="records a second (5000; 0: not measured)"
    )
    parser.add_argument("--seconds", type=float, default=20, help="at that rate (20)")
    parser.add_argument("--batch", type=int, default=8, help="records in one message (8)")
    parser.add_argument(
        "--folder", type=Path, help="where the servers keep their data (the system's temporary folder)"
    )
    options = parser.parse_args()
    console = Console()
    folder = Path(tempfile.mkdtemp(prefix="tierwise-bench-", dir=options.folder))
    folder.chmod(0o711)
    try:
        with _servers(folder) as servers:
            taken = asyncio.run(_measure(servers, folder, options))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    console.print(_table(taken, options.batch))


@dataclass(frozen=True)
class Servers:
    nats_url: str
    database_url: str
    pids: dict[str, int]


@contextmanager
def _servers(folder: Path) -> Iterator[Servers]:
    ports = FreePorts()
    bus = NatsServer(
        server_name="bench",
        port=ports.take(),
        monitor_port=ports.take(),
        user="bench",
        password="bench",
        folder=folder / "nats",
    )
    with (
        _running(nats_part(bus), folder / "nats.log") as nats_process,
        running_database(folder) as (database, postgres_process),
    ):
        yield Servers(bus.url, database.url, {"nats": nats_process.pid, "postgres": postgres_process.pid})


@contextmanager
def running_database(folder: Path) -> Iterator[tuple[PostgresServer, subprocess.Popen[bytes]]]:
    """A PostgreSQL with the tables in it."""
    port = FreePorts().take()
    database = PostgresServer(place=find_place(folder), port=port, password="bench", log=folder / "postgres.log")
    with _running(postgres_part(database), database.log) as process:
        subprocess.run(
            [sys.executable, "-m", "alembic", "-c", ROOT / "migrations/alembic.ini", "upgrade", "head"],
            env={**os.environ, "TIERWISE_DATABASE_URL": database.url},
            cwd=ROOT,
            check=True,
            capture_output=True,
        )
        yield database, process


@contextmanager
def _running(part: Part, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    asyncio.run(_prepare(part))
    with log.open("ab") as out:
        process = subprocess.Popen(part.command, stdout=out, stderr=out, **spawn_options(part))
    try:
        asyncio.run(_until_ready(part))
        yield process
    finally:
        process.send_signal(part.stop_signal)
        process.wait(START_WITHIN_S)


async def _prepare(part: Part) -> None:
    await part.prepare()


async def _until_ready(part: Part) -> None:
    deadline = time.monotonic() + START_WITHIN_S
    while True:
        try:
            await part.probe()
        except NotReady:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.05)
        else:
            return


async def _measure(servers: Servers, folder: Path, options: argparse.Namespace) -> list[Taken]:
    taken = []
    async with _publisher(servers.nats_url) as publisher:
        await publisher.store_at_once(options.backlog, options.batch)
        with _ledger(servers, folder) as ledger:
            if options.backlog:
                taken.append(await _backlog(publisher, ledger))
            if options.rate:
                await _until(ledger.is_ready, ledger.process)
                await publisher.store_at_rate(options.rate, 3, options.batch)
                taken.append(await _steady(publisher, ledger, options))
    await _check_books(servers.database_url, publisher.published)
    return taken


async def _backlog(publisher: Publisher, ledger: Ledger) -> Taken:
    await _until(ledger.has_begun, ledger.process)
    done = ledger.recorded()
    began, before = time.monotonic(), ledger.cpu()
    await _until(publisher.is_drained, ledger.process)
    return _taken("backlog", publisher.published - done, time.monotonic() - began, before, ledger)


async def _steady(publisher: Publisher, ledger: Ledger, options: argparse.Namespace) -> Taken:
    began, before = time.monotonic(), ledger.cpu()
    records = await publisher.store_at_rate(options.rate, options.seconds, options.batch)
    seconds = time.monotonic() - began
    await _until(publisher.is_drained, ledger.process)
    return _taken(f"{options.rate:,} a second", records, seconds, before, ledger)


def _taken(name: str, records: int, seconds: float, before: dict[str, float], ledger: Ledger) -> Taken:
    after = ledger.cpu()
    cpu_us = {process: (after[process] - before[process]) * 1e6 / records for process in before}
    return Taken(name, records, seconds, cpu_us, memory_mib(ledger.process.pid))


@dataclass(frozen=True)
class Ledger:
    process: subprocess.Popen[bytes]
    ops_url: str
    servers: Servers

    def cpu(self) -> dict[str, float]:
        return {"ledger": cpu_s(self.process.pid), **{name: cpu_s(pid) for name, pid in self.servers.pids.items()}}

    def recorded(self) -> int:
        for line in self._get("/metrics").splitlines():
            if line.startswith("tierwise_ledger_records_total "):
                return int(float(line.split()[1]))
        return 0

    async def has_begun(self) -> bool:
        return self.recorded() > 0

    async def is_ready(self) -> bool:
        return bool(self._get("/readyz"))

    def _get(self, path: str) -> str:
        """Nothing where it is not there yet, or not ready."""
        try:
            with urllib.request.urlopen(self.ops_url + path, timeout=5) as answer:
                return str(answer.read(), "utf-8")
        except OSError:
            return ""


@contextmanager
def _ledger(servers: Servers, folder: Path) -> Iterator[Ledger]:
    port = FreePorts().take()
    environment = {
        **os.environ,
        "TIERWISE_NATS_URL": servers.nats_url,
        "TIERWISE_DATABASE_URL": servers.database_url,
        "TIERWISE_OPS_PORT": str(port),
    }
    with (folder / "ledger.log").open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.ledger"], cwd=ROOT, env=environment, stdout=out, stderr=out
        )
    with ended(process):
        yield Ledger(process, f"http://127.0.0.1:{port}", servers)


class Publisher:
    """Fills the stream as a dispatcher does: the requests of one turn of its loop in one message."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._js = client.jetstream()
        self.published = 0

    async def store_at_once(self, records: int, batch: int) -> None:
        async def are_stored() -> bool:
            return await self._waiting() * batch >= self.published

        while self.published < records:
            for _ in range(STORED_AT_ONCE):
                await self._publish(batch)
            await _until(are_stored)

    async def store_at_rate(self, rate: int, seconds: float, batch: int) -> int:
        began, first = time.monotonic(), self.published
        while (passed := time.monotonic() - began) < seconds:
            while self.published - first < passed * rate:
                await self._publish(batch)
            await asyncio.sleep(batch / rate)
        return self.published - first

    async def is_drained(self) -> bool:
        return await self._waiting() == 0

    async def _waiting(self) -> int:
        return (await self._js.stream_info(USAGE)).state.messages

    async def _publish(self, batch: int) -> None:
        numbers = range(self.published, self.published + batch)
        records = tuple(_usage(number) for number in numbers)
        await self._client.publish(UsageRecorded.subject, encode(UsageRecorded(f"bench.{self.published}", records)))
        self.published += batch


async def _until(true: Callable[[], Awaitable[bool]], process: subprocess.Popen[bytes] | None = None) -> None:
    while not await true():
        if process is not None and process.poll() is not None:
            raise SystemExit(f"the ledger ended with {process.returncode}")
        await asyncio.sleep(0.02)


@asynccontextmanager
async def _publisher(url: str) -> AsyncIterator[Publisher]:
    client = await nats.connect(url)
    try:
        await ensure_stream(client.jetstream(), USAGE)
        bucket = await ensure_bucket(client.jetstream(), POLICY)
        await bucket.put(CURRENT, encode_published(POLICY_IN_FORCE))
        yield Publisher(client)
    finally:
        await client.close()


POLICY_IN_FORCE = Policy(
    tiers=("small",),
    backends=(Backend(name="mock", tier="small", provider="vllm", model="mock", base_url="http://127.0.0.1:1/v1"),),
    budgets={
        "default": Budget(daily_usd=50),
        "billing": Budget(daily_usd=1, timezone="Europe/Berlin"),
        "legal": Budget(daily_usd=1, timezone="Asia/Kolkata"),
    },
)
CALL = AttemptUsage(1, "mock", 0, "answered", 200, 152, 0, 48, "reported", 34_400, 0, "small")
USAGE_RECORD = RequestUsage(
    request_id="",
    send=0,
    received_at_us=0,
    service="",
    priority="normal",
    category="general",
    tier="small",
    backend="mock",
    model="mock",
    reason="category",
    cache="miss",
    status=200,
    input_tokens=152,
    cached_input_tokens=0,
    output_tokens=48,
    usage_source="reported",
    latency_ms=0,
    first_token_ms=-1,
    cost_nano_usd=34_400,
    baseline_nano_usd=34_400,
    policy_version=1,
    lease_id="",
    reserved_nano_usd=1_234_567,
    features=msgspec.Raw(encode(Features(("question", "short"), (0, 0, 12, 0, 0, 80), "auto", 150, 0, (), 2))),
    attempts=(CALL,),
)


def _usage(number: int) -> RequestUsage:
    at = time.time_ns() // 1000
    ingress = INGRESSES[number % len(INGRESSES)]
    took_ms = 1.0 + number % 997 / 91
    return msgspec.structs.replace(
        USAGE_RECORD,
        request_id=f"req_{ingress}{number:08x}",
        received_at_us=at,
        service=SERVICES[number // 3 % len(SERVICES)],
        latency_ms=took_ms + 0.25,
        attempts=(msgspec.structs.replace(CALL, started_at_us=at + 180, latency_ms=took_ms),),
    )


async def _check_books(database_url: str, published: int) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        rows = await connection.fetchval("SELECT count(*) FROM tierwise.requests")
        calls = await connection.fetchval("SELECT count(*) FROM tierwise.attempts")
        transfers = await connection.fetchval("SELECT count(*) FROM tierwise.ledger_transfers")
        days = await connection.fetchval("SELECT sum(requests) FROM tierwise.spend_daily")
    finally:
        await connection.close()
    recorded = {"requests": rows, "attempts": calls, "transfers": transfers, "requests of days": days}
    if set(recorded.values()) != {published}:
        raise SystemExit(f"{published} records were published, but {recorded} are recorded")


def _table(taken: list[Taken], batch: int) -> Table:
    table = Table(title=f"CPU µs a usage record, {batch} records a message")
    for column in ("", "records", "records/s", "ledger", "postgres", "nats", "ledger MiB"):
        table.add_column(column, justify="left" if not column else "right")
    for each in taken:
        table.add_row(
            each.name,
            f"{each.records:,}",
            f"{each.records / each.seconds:,.0f}",
            *(f"{each.cpu_us[process]:.1f}" for process in ("ledger", "postgres", "nats")),
            f"{each.ledger_mib:.0f}",
        )
    return table


if __name__ == "__main__":
    main()
