"""Load of so many connections for so long: `wrk` where it is installed, else a client of ours in its own process."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httptools

from bench.traffic import PATH, REQUEST

GRACE_S = 30.0

WRK = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = io.open({body!r}):read("*a")
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\\nRESULT {{"requests": %d, "seconds": %f, "p50_ms": %f, "p99_ms": %f, "bad": %d}}\\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    e.connect + e.read + e.write + e.status + e.timeout))
end
"""


@dataclass(frozen=True)
class Load:
    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    bad: int  # not 2xx, or not answered

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds


def load(url: str, connections: int, seconds: float) -> Load:
    """Blocks for `seconds`."""
    wrk = shutil.which("wrk")
    if wrk is None:
        command = [sys.executable, "-m", "bench.load", url, str(connections), str(seconds)]
        return Load(**json.loads(_output(command, seconds)))
    with tempfile.TemporaryDirectory() as folder:
        body, script = Path(folder) / "body.json", Path(folder) / "post.lua"
        body.write_bytes(REQUEST)
        script.write_text(WRK.format(body=str(body)))
        command = [
            wrk,
            "-t1",
            f"-c{connections}",
            f"-d{seconds:.0f}s",
            "--timeout",
            "10s",
            "-s",
            str(script),
            url + PATH,
        ]
        said = _output(command, seconds)
    return Load(**json.loads(said.partition("RESULT ")[2]))


def _output(command: list[str], seconds: float) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=seconds + GRACE_S).stdout


class _Client(asyncio.Protocol):
    """One connection that asks again as soon as it is answered."""

    def __init__(self, request: bytes, times_s: list[float], bad: list[int]) -> None:
        self._request = request
        self._times_s = times_s
        self._bad = bad
        self._parser = httptools.HttpResponseParser(self)

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self._times_s.append(time.perf_counter() - self._asked_at)
        status = self._parser.get_status_code()
        if not 200 <= status < 300:
            self._bad.append(status)
        self._ask()

    def connection_lost(self, _: Exception | None) -> None:
        self._bad.append(0)

    def _ask(self) -> None:
        self._asked_at = time.perf_counter()
        self._transport.write(self._request)


async def _ask_for(url: str, connections: int, seconds: float) -> Load:
    parts = urlsplit(url)
    head = f"POST {PATH} HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-type: application/json\r\n"
    request = f"{head}content-length: {len(REQUEST)}\r\n\r\n".encode() + REQUEST
    times_s: list[float] = []
    bad: list[int] = []
    loop = asyncio.get_running_loop()
    assert parts.hostname is not None
    assert parts.port is not None
    began = time.perf_counter()
    for _ in range(connections):
        await loop.create_connection(lambda: _Client(request, times_s, bad), parts.hostname, parts.port)
    await asyncio.sleep(seconds)
    took_s, answered, failed = time.perf_counter() - began, sorted(times_s), len(bad)
    if not answered:
        return Load(0, took_s, 0.0, 0.0, failed or connections)
    p50, p99 = answered[len(answered) // 2], answered[len(answered) * 99 // 100]
    return Load(len(answered), took_s, p50 * 1000, p99 * 1000, failed)


if __name__ == "__main__":
    import uvloop

    print(json.dumps(asdict(uvloop.run(_ask_for(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))))))
