"""What processes take of the machine, read from Linux' /proc.

CPU time is the `utime` and `stime` of /proc/<pid>/stat: user and system time of all threads, ended ones included,
exact but for its unit of 10 ms; with `cutime` and `cstime`, those of children that have ended. Memory is PSS (each
shared page divided among those who share it), where the kernel does not tell it RSS. A process without a name counts
as part of the nearest of its ancestors that has one.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
KERNEL = 2  # kthreadd: its children are the kernel's, and work for whoever is measured


@dataclass(frozen=True)
class Process:
    parent: int
    name: str
    cpu_s: float


@dataclass(frozen=True)
class Snapshot:
    processes: dict[int, Process]  # by PID
    stolen_s: float  # what the host kept from this machine


def snapshot() -> Snapshot:
    found = {}
    for folder in PROC.iterdir():
        if folder.name.isdigit() and (process := _process(folder)):
            found[int(folder.name)] = process
    return Snapshot(found, _stolen_s())


def cpu_by_name(before: Snapshot, after: Snapshot, named: Mapping[str, int]) -> dict[str, float]:
    """Seconds between two snapshots, by the names of `named`."""
    names = {pid: name for name, pid in named.items()}
    taken = dict.fromkeys(named, 0.0)
    for sign, taking in ((-1, before), (1, after)):
        for pid, process in taking.processes.items():
            owner = _nearest(pid, taking, names)
            if owner is not None:
                taken[names[owner]] += sign * process.cpu_s
    return {name: max(0.0, cpu_s) for name, cpu_s in taken.items()}


def cpu_of_others(before: Snapshot, after: Snapshot, ours: Collection[int]) -> dict[str, float]:
    """Seconds by program's name, of all that are neither in `ours`, nor below one of them, nor the kernel's.

    `ours` may name processes that have ended, and their parents: what a child of this process used is its own once it
    has ended. Time that the host has stolen comes as "(stolen by the host)".
    """
    own = {*ours, KERNEL}
    taken: dict[str, float] = {"(stolen by the host)": after.stolen_s - before.stolen_s}
    for sign, taking in ((-1, before), (1, after)):
        for pid, process in taking.processes.items():
            if pid != os.getpid() and _nearest(pid, taking, own) is None:
                taken[process.name] = taken.get(process.name, 0.0) + sign * process.cpu_s
    return taken


def memory_by_name(named: Mapping[str, int]) -> dict[str, float]:
    """MiB now."""
    names = {pid: name for name, pid in named.items()}
    taken = dict.fromkeys(named, 0.0)
    now = snapshot()
    for pid in now.processes:
        owner = _nearest(pid, now, names)
        if owner is not None:
            taken[names[owner]] += _pages_kib(pid) / 1024
    return taken


def cpu_s(pid: int) -> float:
    """Since its start, of `pid` and all below it."""
    now = snapshot()
    return sum(process.cpu_s for each, process in now.processes.items() if _nearest(each, now, (pid,)) is not None)


def memory_mib(pid: int) -> float:
    """Of `pid` and all below it."""
    return memory_by_name({"": pid})[""]


def _nearest(pid: int, taking: Snapshot, among: Collection[int]) -> int | None:
    while pid not in among:
        process = taking.processes.get(pid)
        if process is None:
            return None
        pid = process.parent
    return pid


def _process(folder: Path) -> Process | None:
    """None where it is gone. The fields are those of proc_pid_stat(5), from the third on after the name."""
    try:
        text = (folder / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    name, fields = text[text.index("(") + 1 : text.rindex(")")], text[text.rindex(")") + 1 :].split()
    return Process(int(fields[1]), name, sum(map(int, fields[11:15])) / TICKS_A_SECOND)


def _stolen_s() -> float:
    fields = (PROC / "stat").read_text().split("\n", 1)[0].split()
    return int(fields[8]) / TICKS_A_SECOND if len(fields) > 8 else 0.0


def _pages_kib(pid: int) -> int:
    for name, field in (("smaps_rollup", "Pss:"), ("status", "VmRSS:")):
        try:
            lines = (PROC / str(pid) / name).read_text().splitlines()
        except OSError:
            continue
        for line in lines:
            if line.startswith(field):
                return int(line.split()[1])
    return 0
