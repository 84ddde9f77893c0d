"""Starts processes of the bench, waits until they listen, and ends them."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

START_WITHIN_S = 60.0
END_WITHIN_S = 20.0
SAID_BYTES = 2000


class CannotRun(Exception):
    """A subject cannot be installed, or does not start, or does not answer as it should; says why."""


@dataclass(frozen=True)
class Server:
    port: int
    pid: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(
    command: list[str], log: Path | None = None, environment: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs while entered. Its words go to `log`, else nowhere."""
    with (log or Path("/dev/null")).open("ab") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=environment, cwd=cwd)
    with ended(process):
        yield process


@contextmanager
def ended(process: subprocess.Popen[Any], within_s: float = END_WITHIN_S) -> Iterator[None]:
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


@contextmanager
def listening(
    command: list[str], *ports: int, log: Path | None = None, environment: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """Runs while entered, and listens on all `ports`. Raises CannotRun."""
    with running(command, log, environment) as process:
        for port in ports:
            until_it_listens(process, port, log)
        yield Server(ports[0], process.pid)


def until_it_listens(process: subprocess.Popen[bytes], port: int, log: Path | None) -> None:
    deadline = time.monotonic() + START_WITHIN_S
    while time.monotonic() < deadline:
        check_alive(process, log)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise CannotRun(f"does not listen on port {port} after {START_WITHIN_S:g} s{last_words(log)}")


def check_alive(process: subprocess.Popen[bytes], log: Path | None) -> None:
    if process.poll() is not None:
        raise CannotRun(f"ended with {process.returncode} instead of starting{last_words(log)}")


def last_words(log: Path | None) -> str:
    if log is None or not log.exists():
        return ""
    return f"; it said:\n{log.read_text(errors='replace')[-SAID_BYTES:]}"
