"""Is memory flat? Plain chat at 64 connections for so many requests, and Tierwise's memory by process on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from bench import traffic
from bench.load import Wanted, load
from bench.router import Stores
from bench.subject import FAST, Running
from bench.taken import memory_by_name

SAMPLES = 20
CONNECTIONS = 64
SLICE_S = 5.0  # between two looks; the load stops for them, and the ledger takes in what waits
DRAINED_WITHIN_S = 300.0
SETTLED_SHARE = 0.2  # of the requests; until then a process may still be filling its buffers and caches


@dataclass(frozen=True)
class Sample:
    requests: int
    memory_mib: dict[str, float]  # by process


@dataclass(frozen=True)
class Soak:
    requests: int
    errors: int
    samples: list[Sample]

    @property
    def growth(self) -> dict[str, float]:
        """By process: its memory at the end, in times of what it was after a fifth of the requests."""
        early = next(one for one in self.samples if one.requests >= self.requests * SETTLED_SHARE)
        last = self.samples[-1]
        return {name: last.memory_mib[name] / max(early.memory_mib[name], 1.0) for name in last.memory_mib}

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "growth": self.growth}


def soak(running: Running, requests: int, on_sample: Callable[[int], None]) -> Soak:
    assert running.state is not None
    stores, door = Stores(running.state), running.doors[FAST]
    body = traffic.request(door.model)
    done, errors, every = 0, 0, requests / SAMPLES
    samples: list[Sample] = []
    while done < requests:
        with load(door, body, Wanted("plain", CONNECTIONS, SLICE_S)) as loading:
            loading.until_begun()
            loading.until_ended()
            figures = loading.figures()
        done += int(figures["requests"])
        errors += int(figures["errors"])
        if done >= every * (len(samples) + 1) or done >= requests:
            stores.until_drained(DRAINED_WITHIN_S)
            samples.append(Sample(done, memory_by_name(running.processes)))
        on_sample(min(done, requests))
    return Soak(done, errors, samples)
