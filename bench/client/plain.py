"""Plain chat over so many connections, each of which asks again as soon as it is answered: where `wrk` is missing."""

from __future__ import annotations

import asyncio
import time

from bench.client.connection import Connection, Job, quantile, say


class _Tally:
    def __init__(self) -> None:
        self.times_s: list[float] = []
        self.errors = 0


class _Plain(Connection):
    tally: _Tally

    def asked(self) -> None:
        self._asked_at = time.perf_counter()

    def answered(self, status: int) -> None:
        if 200 <= status < 300:
            self.tally.times_s.append(time.perf_counter() - self._asked_at)
        else:
            self.tally.errors += 1

    def failed(self) -> None:
        self.tally.errors += 1


async def work(job: Job) -> dict[str, float]:
    tally, request = _Tally(), job.request()
    connections = [_Plain(job, request) for _ in range(job.connections)]
    for each in connections:
        each.tally = tally
        each.start()
    say("begun")
    began = time.perf_counter()
    await asyncio.sleep(job.seconds)
    seconds, times_s, errors = time.perf_counter() - began, list(tally.times_s), tally.errors
    say("ended")
    for each in connections:
        each.stop()
    return {
        "requests": len(times_s),
        "seconds": seconds,
        "p50_ms": quantile(times_s, 0.5) * 1000,
        "p99_ms": quantile(times_s, 0.99) * 1000,
        "errors": errors,
    }
