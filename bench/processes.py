"""What processes take: CPU time and memory of each with all its threads and children, from /proc. And their ends."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROC = Path("/proc")
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
START_WITHIN_S = 10.0


def cpu_s(pid: int) -> float:
    """User and system time of `pid` and its living children, reaped ones included."""
    return sum(sum(map(int, _stat(each)[11:15])) for each in _family(pid)) * TICK_S


def rss_mib(pid: int) -> float:
    """Each shared page divided among those who share it, where the kernel tells (PSS); else RSS."""
    return sum(map(_pages_kib, _family(pid))) / 1024


def until_it_listens(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_WITHIN_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode} instead of listening")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise TimeoutError(f"{process.args!r} does not listen on port {port}")


@contextmanager
def ended(process: subprocess.Popen[bytes], within_s: float = 20.0) -> Iterator[None]:
    """`process` is over when this is left."""
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(within_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _family(pid: int) -> list[int]:
    parents: dict[int, list[int]] = {}
    for folder in PROC.iterdir():
        if folder.name.isdigit() and (stat := _stat(int(folder.name))):
            parents.setdefault(int(stat[1]), []).append(int(folder.name))
    family = [pid] if _stat(pid) else []
    for each in family:
        family += parents.get(each, [])
    return family


def _stat(pid: int) -> list[str]:
    """The fields from `state` on (the third of proc_pid_stat(5)); none where the process is gone."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


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
