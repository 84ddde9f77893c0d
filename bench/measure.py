"""One subject, measured: at 64 connections what it does and takes, at one what it adds to an answer's time."""

from __future__ import annotations

from dataclasses import dataclass

from bench.load import Load, load
from bench.processes import cpu_s, rss_mib
from bench.subjects import FRAME, Running


@dataclass(frozen=True)
class Lengths:
    warm_up_s: float = 2.0
    run_s: float = 5.0
    repeats: int = 3


QUICK = Lengths(warm_up_s=1.0, run_s=2.0, repeats=1)


@dataclass(frozen=True)
class Measured:
    subject: str
    many: Load  # at 64 connections: the run in the middle of `repeats`, by requests a second
    one: Load  # at one connection
    cpu_us: dict[str, float]  # a request, by process, in the same run as `many`
    rss_mib: dict[str, float]

    @property
    def frame_us(self) -> float | None:
        """What DESIGN's budget for the frame is about; None for a subject that has no such parts."""
        if not all(name in self.cpu_us for name in FRAME):
            return None
        return sum(self.cpu_us[name] for name in FRAME)


def measure(subject: str, running: Running, connections: int, lengths: Lengths) -> Measured:
    load(running.url, connections, lengths.warm_up_s)
    runs = sorted((_run(running, connections, lengths.run_s) for _ in range(lengths.repeats)), key=_per_second)
    many, cpu_us = runs[len(runs) // 2]
    one = load(running.url, 1, lengths.run_s)
    return Measured(subject, many, one, cpu_us, {name: rss_mib(pid) for name, pid in running.pids.items()})


def _run(running: Running, connections: int, seconds: float) -> tuple[Load, dict[str, float]]:
    before = {name: cpu_s(pid) for name, pid in running.pids.items()}
    done = load(running.url, connections, seconds)
    after = {name: cpu_s(pid) for name, pid in running.pids.items()}
    return done, {name: (after[name] - before[name]) * 1e6 / max(done.requests, 1) for name in before}


def _per_second(run: tuple[Load, dict[str, float]]) -> float:
    return run[0].per_second
