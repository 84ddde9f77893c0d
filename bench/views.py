"""`python -m bench.views`: how long a dashboard waits for a day's question, with ten million requests in the books.

A PostgreSQL of its own, filled by the ledger's own code. Then each view of docs/tables.md is asked about one day.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path

import asyncpg
from msgspec import Raw
from msgspec.structs import replace
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench.ledger import CALL, USAGE_RECORD, running_database
from services.ledger.core import Entry, Validation
from services.ledger.store import Store
from shared.contracts import AttemptUsage, RequestUsage, ValidationUsage
from shared.settings import DatabaseSettings

GOAL_S = 1.0
AT_ONCE = 20_000
TIMES = 5
BYTES_A_REQUEST = 900  # on disk, with its transfer and their indexes; and its share of the log
LAST_DAY = datetime(2026, 11, 26, tzinfo=UTC)
SERVICES = tuple(f"service-{number:02}" for number in range(40))
CATEGORIES = ("extraction", "summarisation", "classification", "reasoning", "code", "general")
BACKENDS = (("small", "small-1"), ("small", "small-2"), ("large", "large-1"), ("cloud", "cloud-1"))

QUESTIONS = (
    ("requests", "each service's day", """
        SELECT service, count(*), sum(cost_nano_usd) * 1e-9 AS cost_usd, sum(saved_nano_usd) * 1e-9 AS saved_usd
        FROM tierwise.requests WHERE received_at >= $1 AND received_at < $2 GROUP BY service
    """),
    ("requests", "the day's hundred dearest", """
        SELECT * FROM tierwise.requests WHERE received_at >= $1 AND received_at < $2
        ORDER BY cost_nano_usd DESC LIMIT 100
    """),
    ("requests", "the day's newest hundred", """
        SELECT * FROM tierwise.requests WHERE received_at >= $1 AND received_at < $2
        ORDER BY received_at DESC LIMIT 100
    """),
    ("attempts", "which backends failed that day", """
        SELECT backend, outcome, count(*), sum(cost_nano_usd) * 1e-9 AS cost_usd
        FROM tierwise.attempts WHERE started_at >= $1 AND started_at < $2 GROUP BY backend, outcome
    """),
    ("spend_daily", "the day by tier and backend", """
        SELECT tier, backend, sum(requests), sum(cost_usd) FROM tierwise.spend_daily WHERE day = $1
        GROUP BY tier, backend
    """),
    ("savings_daily", "what the day saved, by category", """
        SELECT category, sum(requests), sum(net_saved_usd) FROM tierwise.savings_daily WHERE day = $1
        GROUP BY category
    """),
    ("budget_status", "the hundred that have spent most", """
        SELECT * FROM tierwise.budget_status WHERE day = (now() AT TIME ZONE 'UTC')::date AND $1::date IS NOT NULL
        ORDER BY spent_nano_usd DESC LIMIT 100
    """),
)  # fmt: skip
# Any caller may make up a service's name; days are kept for two days.
BUDGETED_SERVICES = 10_000
FILL_BUDGETS = """
    INSERT INTO tierwise.budget_days
        (service, day, starts_at, resets_at, on_exhausted, limit_nano_usd, spent_nano_usd, held_nano_usd)
    SELECT 'made-up-' || number, day::date, day AT TIME ZONE 'UTC', (day + interval '1 day') AT TIME ZONE 'UTC',
        'downgrade', 50000000000, number * 1000000::bigint, number % 7 * 1000
    FROM generate_series(1, $1::int) AS number, generate_series(
        date_trunc('day', now() AT TIME ZONE 'UTC') - interval '2 days', now() AT TIME ZONE 'UTC', '1 day'
    ) AS day
"""


@dataclass(frozen=True)
class Timed:
    view: str
    question: str
    first_s: float
    median_s: float
    rows: int


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.views",
        description="Times a day's question to each view, on synthetic requests.",
        epilog="Example: python -m bench.views --requests 1000000 --days 3",
    )
    parser.add_argument("--requests", type=int, default=10_000_000, metavar="N", help="in all (10,000,000)")
    parser.add_argument("--days", type=int, default=30, metavar="N", help="over which they are spread (30)")
    parser.add_argument("--folder", type=Path, help="where PostgreSQL keeps its data (the system's temporary folder)")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="tierwise-bench-", dir=options.folder))
    folder.chmod(0o711)
    try:
        free = shutil.disk_usage(folder).free
        if free < options.requests * BYTES_A_REQUEST * 2:
            sys.exit(f"{folder} has {free >> 30} GiB left: give --folder one with more room, or fewer --requests")
        with running_database(folder) as (server, _):
            timed, size = asyncio.run(_measure(server.url, options.requests, options.days))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    Console(width=None if sys.stdout.isatty() else 140).print(_table(timed, options, size))
    if any(each.median_s > GOAL_S for each in timed):
        sys.exit(1)


async def _measure(url: str, requests: int, days: int) -> tuple[list[Timed], int]:
    store = Store(DatabaseSettings(url))
    try:
        await _fill(store, requests, days)
    finally:
        await store.aclose()
    connection = await asyncpg.connect(url, timeout=60)
    try:
        await connection.execute(FILL_BUDGETS, BUDGETED_SERVICES)
        await connection.execute("VACUUM (ANALYZE)")  # as autovacuum has by then
        size = await connection.fetchval("SELECT pg_database_size(current_database())")
        day = (LAST_DAY - timedelta(days=days // 2)).date()
        return [await _time(connection, *question, day) for question in QUESTIONS], size
    finally:
        await connection.close()


async def _fill(store: Store, requests: int, days: int) -> None:
    rng = random.Random(20_261_126)
    records = _records(rng, requests, days)
    for _ in track(range(0, requests, AT_ONCE), description=f"{requests:,} requests …"):
        entries = list(islice(records, AT_ONCE))
        known = await store.record([entry for entry, _ in entries])
        assert not known
        validations = [validation for _, validation in entries if validation is not None]
        assert not await store.record_validations(validations)


async def _time(connection: asyncpg.Connection, view: str, question: str, sql: str, day: date) -> Timed:
    begin = datetime.combine(day, datetime.min.time(), UTC)
    parameters = (begin, begin + timedelta(days=1)) if "$2" in sql else (day,)
    took = []
    for _ in range(TIMES):
        began = time.perf_counter()
        rows = await connection.fetch(sql, *parameters)
        took.append(time.perf_counter() - began)
    return Timed(view, question, took[0], statistics.median(took), len(rows))


# Synthetic records ------------------------------------------------------------------------------------------


def _records(rng: random.Random, requests: int, days: int) -> Iterator[tuple[Entry, Validation | None]]:
    """In the order of their time: nine in ten are answered by their first call, one in twenty fails over, one in
    twenty is the cache's; one in a hundred is validated.
    """
    begin_us = round((LAST_DAY - timedelta(days=days - 1)).timestamp() * 1e6)
    step = days * 86_400_000_000 / requests
    for number in range(requests):
        at = begin_us + int(number * step)
        usage = _usage(rng, number, at)
        day = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)).date()
        sole_call = usage.attempts[0] if len(usage.attempts) == 1 else None
        entry = Entry(usage, number, Raw(b""), 0, sole_call, day)
        yield entry, _validation(usage, day) if number % 100 == 0 else None


def _usage(rng: random.Random, number: int, at: int) -> RequestUsage:
    draw = rng.random()
    tier, backend = BACKENDS[int(draw * draw * len(BACKENDS))]
    tokens_in, tokens_out = 50 + int(draw * 3000), 10 + int(rng.expovariate(1 / 200))
    cost = tokens_in * 40 + tokens_out * 160
    call = AttemptUsage(
        1, backend, at + 200, "answered", 200, tokens_in, 0, tokens_out, "reported", cost, 300 + 900 * draw, tier
    )
    common = {
        "request_id": f"req_a1B2c3D4e5F6{number:08x}",
        "received_at_us": at,
        "service": SERVICES[int(draw * draw * len(SERVICES))],
        "category": CATEGORIES[number % len(CATEGORIES)],
        "tier": tier,
        "backend": backend,
        "input_tokens": tokens_in,
        "output_tokens": tokens_out,
        "latency_ms": 301 + 900 * draw,
        "baseline_nano_usd": cost * 20,
    }
    kind = number % 20
    if kind == 0:
        return replace(USAGE_RECORD, **common, cache="hit", cost_nano_usd=0, cache_saved_nano_usd=cost, attempts=())
    if kind == 1:
        failed = replace(
            CALL, backend="small-2", started_at_us=at + 100, outcome="failed", status=500, cost_nano_usd=90
        )
        calls = (failed, replace(call, attempt=2))
        return replace(USAGE_RECORD, **common, cost_nano_usd=cost + 90, attempts=calls)
    return replace(USAGE_RECORD, **common, cost_nano_usd=cost, attempts=(call,))


def _validation(usage: RequestUsage, day: date) -> Validation:
    call = replace(CALL, backend="reference-1", tier="reference", started_at_us=usage.received_at_us + 5_000_000)
    baseline = usage.baseline_nano_usd
    validation = ValidationUsage(
        usage.request_id, usage.received_at_us, usage.service, usage.category, usage.backend, 1, 0.01, baseline,
        baseline * 5 // 4, 1.0, (call,),
    )  # fmt: skip
    return Validation(validation, 1, Raw(b""), 0, day)


def _table(timed: list[Timed], options: argparse.Namespace, size: int) -> Table:
    table = Table(
        title=f"A day's question, {options.requests:,} requests in {options.days} days, {size / 2**30:.1f} GiB",
        caption=f"goal: ≤ {GOAL_S:g} s; the median of {TIMES}",
    )
    for column in ("view", "question", "rows", "first s", "median s"):
        table.add_column(column, justify="right" if column in {"rows", "first s", "median s"} else "left")
    for each in timed:
        is_missed = each.median_s > GOAL_S
        median = f"{each.median_s:.3f}{', missed' if is_missed else ''}"
        table.add_row(each.view, each.question, f"{each.rows:,}", f"{each.first_s:.3f}", median)
    return table


if __name__ == "__main__":
    main()
