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
ENOUGH = 5
CONNECTIONS = 64
SLICE_S = 2.0  # between two looks; the load stops for them, and the ledger takes in what waits
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
    def growth_mib(self) -> dict[str, float]:
        """By process, from a fifth of the requests on."""
        early = next(one for one in self.samples if one.requests >= self.requests * SETTLED_SHARE)
        last = self.samples[-1]
        return {name: last.memory_mib[name] - early.memory_mib[name] for name in last.memory_mib}

    @property
    def most_mib(self) -> float | None:
        """How much that process has grown which has grown most; PostgreSQL fills its buffers, and is left out.

        None: too short to tell.
        """
        if len(self.samples) < ENOUGH:
            return None
        return max(growth for name, growth in self.growth_mib.items() if name != "postgres")

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "growth_mib": self.growth_mib}


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
