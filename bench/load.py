"""Load in a process of its own: `wrk` for plain chat where it is installed, else `bench.client`.

Only answers with 2xx are counted as answered. (`wrk` sees an error from 400 on; nobody here answers with 1xx or 3xx.)
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

from bench.client.connection import Job
from bench.processes import CannotRun, ended

GRACE_S = 30.0

WRK = """
wrk.method = "POST"
wrk.body = io.open({body!r}):read("*a")
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\\n{{"requests": %d, "seconds": %f, "p50_ms": %f, "p99_ms": %f, "errors": %d}}\\n',
    summary.requests - e.status, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    e.connect + e.read + e.write + e.status + e.timeout))
end
"""


@dataclass(frozen=True)
class Door:
    """Where a subject is asked, under which name it knows the model, and with what headers."""

    url: str
    model: str
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Wanted:
    """A load, whoever bears it."""

    kind: str  # of bench.client: "plain", "streams", "together"
    connections: int
    seconds: float
    ramp_s: float = 0.0
    pieces: int = 0
    again: bool = True


class Loading:
    """A load under way. `until_begun`, `until_ended` and `figures`, in this order."""

    def __init__(self, process: subprocess.Popen[str], complaint: Path, *, tells: bool) -> None:
        assert process.stdout is not None
        self._process = process
        self._out = process.stdout
        self._complaint = complaint
        self._tells = tells  # says when what counts begins and ends; else that is its whole life

    @property
    def pid(self) -> int:
        return self._process.pid

    def until_begun(self) -> None:
        if self._tells:
            self._hear("begun")

    def until_ended(self) -> None:
        if self._tells:
            self._hear("ended")
        else:
            self._process.wait()

    def figures(self) -> dict[str, float]:
        """Raises CannotRun where the load itself failed."""
        said = self._out.read()
        if self._process.wait():
            self._fail()
        figures: dict[str, float] = json.loads(said.strip().rpartition("\n")[2])
        return figures

    def _hear(self, word: str) -> None:
        if self._out.readline().strip() != word:
            self._fail()

    def _fail(self) -> NoReturn:
        raise CannotRun(f"the load failed: {self._complaint.read_text()[-500:]}")


@contextmanager
def load(door: Door, body: bytes, wanted: Wanted) -> Iterator[Loading]:
    """Under way while entered."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        body_file = folder / "body.json"
        body_file.write_bytes(body)
        by_wrk = wanted.kind == "plain" and has_wrk()
        command = _wrk(door, body_file, wanted) if by_wrk else _client(door, body_file, wanted)
        complaint = folder / "complaint"
        with complaint.open("w") as errors:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        with process, ended(process, GRACE_S):
            yield Loading(process, complaint, tells=not by_wrk)


def has_wrk() -> bool:
    return shutil.which("wrk") is not None


def _wrk(door: Door, body_file: Path, wanted: Wanted) -> list[str]:
    script = body_file.with_name("post.lua")
    script.write_text(WRK.format(body=str(body_file)))
    headers = {"Content-Type": "application/json", **door.headers}
    return [
        "wrk",
        "-t1",
        f"-c{wanted.connections}",
        f"-d{max(1, round(wanted.seconds))}s",
        "--timeout",
        "30s",
        *(part for name, value in headers.items() for part in ("-H", f"{name}: {value}")),
        "-s",
        str(script),
        door.url,
    ]


def _client(door: Door, body_file: Path, wanted: Wanted) -> list[str]:
    job = Job(
        url=door.url,
        headers=dict(door.headers),
        body_file=str(body_file),
        connections=wanted.connections,
        seconds=wanted.seconds,
        ramp_s=wanted.ramp_s,
        pieces=wanted.pieces,
        again=wanted.again,
    )
    return [sys.executable, "-m", "bench.client", wanted.kind, json.dumps(asdict(job))]
