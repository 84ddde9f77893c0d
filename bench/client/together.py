"""Requests that are all sent at once, each on a connection of its own: how many are answered, and how soon."""

from __future__ import annotations

import time

from bench.client.connection import Connection, Job, quantile, say, until_over


class _Once(Connection):
    took_s = 0.0
    status = 0

    def asked(self) -> None:
        self._asked_at = time.perf_counter()

    def answered(self, status: int) -> None:
        self.status = status
        self._end()

    def failed(self) -> None:
        self._end()

    def _end(self) -> None:
        self.took_s = time.perf_counter() - self._asked_at
        self.end()


async def work(job: Job) -> dict[str, float]:
    """`job.seconds` is how long answers are waited for."""
    request = job.request()
    connections = [_Once(job, request) for _ in range(job.connections)]
    say("begun")
    began = time.perf_counter()
    for each in connections:
        each.start()
    await until_over(connections, job.seconds)
    seconds = time.perf_counter() - began
    say("ended")
    for each in connections:
        each.stop()
    times_s = [each.took_s for each in connections if 200 <= each.status < 300]
    return {
        "requests": len(times_s),
        "seconds": seconds,
        "p50_ms": quantile(times_s, 0.5) * 1000,
        "p99_ms": quantile(times_s, 0.99) * 1000,
        "errors": len(connections) - len(times_s),
    }
