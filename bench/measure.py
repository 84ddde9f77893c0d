"""One run: one case on one subject."""

from __future__ import annotations

import time
from collections.abc import Collection
from contextlib import nullcontext
from dataclasses import dataclass, replace

from bench.cases import Case
from bench.load import load
from bench.noise import Disturbance, disturbance, settle
from bench.processes import CannotRun
from bench.router import FRAME, Stores
from bench.subject import Running
from bench.taken import Snapshot, cpu_by_name, cpu_of_others, memory_by_name, snapshot
from bench.watch import Pace, Peak

DRAINED_WITHIN_S = 120.0


@dataclass(frozen=True)
class Run:
    """`figures` are the load's own, and with usage recorded:

    `records`, `ledger_us` and `postgres_us` a record, from the load's beginning until the ledger has taken in all,
    `behind_s` how long that took after the load's end, `drained` 1 if it came to an end, `slow_consumers`.
    """

    figures: dict[str, float]
    cpu_us: dict[str, float]  # a request, or a chunk; by process
    cores: dict[str, float]
    memory_mib: dict[str, float]
    pace_ms: float  # of the machine: see watch.Pace
    others: Disturbance


def warm_up(case: Case, running: Running) -> None:
    if case.warm_up_s:
        door = running.doors[case.door]
        wanted = replace(case.wanted, seconds=case.warm_up_s)
        with load(door, case.body(door.model), wanted) as loading:
            loading.until_begun()
            loading.until_ended()
            loading.figures()


def run(case: Case, running: Running, backends: Collection[int]) -> Run:
    """`backends` are PIDs. Raises CannotRun where the load fails or one of the subject's processes has died."""
    stores = Stores(running.state) if running.state else None
    if stores:
        stores.until_drained(DRAINED_WITHIN_S)
    settle()
    records, slow = (stores.records(), stores.slow_consumers()) if stores else (0, 0)
    door = running.doors[case.door]
    frame = {name: running.processes[name] for name in FRAME} if running.state else dict(running.processes)
    peak = Peak(lambda: memory_by_name(frame)) if case.watches_peak and frame else None
    pace = Pace()
    with pace, peak or nullcontext(), load(door, case.body(door.model), case.wanted) as loading:
        loading.until_begun()
        before, began = snapshot(), time.monotonic()
        loading.until_ended()
        after, seconds = snapshot(), time.monotonic() - began
        memory = memory_by_name(running.processes)
        figures = loading.figures()
    _check_alive(running, after)
    taken = cpu_by_name(before, after, running.processes)
    count = max(figures[case.per], 1)
    figures["per_second"] = figures[case.per] / figures["seconds"]
    if peak:
        figures["peak_mib"] = sum(peak.by_name.values())
    if stores:
        figures |= _books(stores, running, before, records)
        figures["slow_consumers"] = stores.slow_consumers() - slow
    return Run(
        figures=figures,
        cpu_us={name: cpu_s * 1e6 / count for name, cpu_s in taken.items()},
        cores={name: cpu_s / seconds for name, cpu_s in taken.items()},
        memory_mib=dict(peak.by_name) if peak else memory,
        pace_ms=pace.ms,
        others=disturbance(
            cpu_of_others(before, after, [*running.processes.values(), *backends, loading.pid]), seconds
        ),
    )


def _books(stores: Stores, running: Running, before: Snapshot, records_before: int) -> dict[str, float]:
    began = time.monotonic()
    drained = stores.until_drained(DRAINED_WITHIN_S)
    behind_s = time.monotonic() - began
    taken = cpu_by_name(before, snapshot(), running.processes)
    records = stores.records() - records_before
    return {
        "records": records,
        "ledger_us": taken["ledger"] * 1e6 / max(records, 1),
        "postgres_us": taken["postgres"] * 1e6 / max(records, 1),
        "behind_s": behind_s,
        "drained": float(drained),
    }


def _check_alive(running: Running, now: Snapshot) -> None:
    dead = [name for name, pid in running.processes.items() if pid not in now.processes]
    if dead:
        raise CannotRun(f"{', '.join(dead)} died during the run")
