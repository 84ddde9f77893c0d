"""Runs one part without a supervisor, as the suite's own NATS and PostgreSQL do."""

import asyncio
import subprocess
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from tests.support.wait import PATIENCE_S
from tierwise.part import NotReady, Part, spawn_options

T = TypeVar("T")


def complete(work: Coroutine[Any, Any, T]) -> T:
    """On a loop of its own, so that the one that pytest-asyncio gives the tests stays as it is."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(work)
    finally:
        loop.close()


def start(part: Part, log: Path, within_s: float = PATIENCE_S) -> subprocess.Popen[bytes]:
    """Ready when it returns. Its process dies with ours."""
    complete(part.prepare())
    with log.open("ab") as out:
        process = subprocess.Popen(part.command, stdout=out, stderr=out, **spawn_options(part))
    deadline = time.monotonic() + within_s
    while True:
        try:
            complete(part.probe())
        except NotReady as waits:
            gone = process.poll()
            if gone is not None or time.monotonic() > deadline:
                stop(part, process)
                raise AssertionError(f"{part.name}: {waits}; exit code {gone}\n{log.read_text()[-3000:]}") from None
            time.sleep(0.02)
        else:
            return process


def stop(part: Part, process: subprocess.Popen[bytes], within_s: float = 30.0) -> int:
    process.send_signal(part.stop_signal)
    try:
        return process.wait(within_s)
    finally:
        process.kill()
        process.wait()


@contextmanager
def running(part: Part, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = start(part, log)
    try:
        yield process
    finally:
        stop(part, process)
