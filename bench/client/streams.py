"""Streams over so many connections: how many chunks, how soon the first, how long the longest silence between two."""

from __future__ import annotations

import asyncio
import time

from bench.client.connection import Connection, Job, quantile, say, until_over

# What is cut off from a stream's end by the end of the job is no error; but streams that were to end are waited for.
LAST_CHUNK_WITHIN_S = 20.0
STALLED_S = 1.0  # between two chunks: ten times the pace of the slow streams
_TAIL = 16  # bytes; more than `[DONE]` and its end of line


class _Tally:
    def __init__(self) -> None:
        self.counts = False  # is what comes now within the time that counts?
        self.chunks = 0
        self.first_s: list[float] = []
        self.gaps_s: list[float] = []
        self.ended = 0
        self.stalled = 0
        self.errors = 0


class _Stream(Connection):
    tally: _Tally

    def asked(self) -> None:
        self._asked_at = self._heard_at = time.perf_counter()
        self._chunks = 0
        self._tail = b""
        self._longest_s = 0.0

    def on_body(self, body: bytes) -> None:
        """Events may be cut anywhere; none is counted twice, since a tail is shorter than `data:`."""
        now, tally = time.perf_counter(), self.tally
        said = self._tail[-4:] + body
        chunks = said.count(b"data:")
        self._tail = (self._tail + body)[-_TAIL:]
        if not chunks:
            return
        if self._chunks:
            gap_s = now - self._heard_at
            self._longest_s = max(self._longest_s, gap_s)
            if tally.counts:
                tally.gaps_s.append(gap_s)
        elif tally.counts or not self.job.again:
            tally.first_s.append(now - self._asked_at)
        self._heard_at = now
        self._chunks += chunks
        if tally.counts:
            tally.chunks += chunks

    def answered(self, status: int) -> None:
        is_whole = self._chunks > self.job.pieces and b"[DONE]" in self._tail
        self.tally.ended += 1
        self.tally.stalled += self._longest_s > STALLED_S
        if status != 200 or not is_whole:
            self.tally.errors += 1
        if not self.job.again:
            self.end()

    def failed(self) -> None:
        self.tally.errors += 1
        if not self.job.again:
            self.end()


async def work(job: Job) -> dict[str, float]:
    loop, tally, request = asyncio.get_running_loop(), _Tally(), job.request()
    connections = [_Stream(job, request) for _ in range(job.connections)]
    for i, each in enumerate(connections):
        each.tally = tally
        loop.call_later(job.ramp_s * i / job.connections, each.start)
    await asyncio.sleep(job.ramp_s)
    say("begun")
    tally.counts = True
    began = time.perf_counter()
    await asyncio.sleep(job.seconds)
    tally.counts = False
    seconds = time.perf_counter() - began
    say("ended")
    if not job.again:
        await until_over(connections, LAST_CHUNK_WITHIN_S)
    unfinished = sum(not each.is_over for each in connections) if not job.again else 0
    for each in connections:
        each.stop()
    return {
        "chunks": tally.chunks,
        "seconds": seconds,
        "streams": tally.ended,
        "first_p50_ms": quantile(tally.first_s, 0.5) * 1000,
        "first_p99_ms": quantile(tally.first_s, 0.99) * 1000,
        "gap_p99_ms": quantile(tally.gaps_s, 0.99) * 1000,
        "gap_max_ms": max(tally.gaps_s, default=0.0) * 1000,
        "stalled": tally.stalled,
        "errors": tally.errors + unfinished,
    }
