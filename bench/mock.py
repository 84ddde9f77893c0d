"""Our own backend: plain answers, and streams at the pace that the request names. `python -m bench.mock PORT`.

It reads bodies of any size whole before it answers, as a model server does, and keeps only their beginning.
"""

from __future__ import annotations

import asyncio
import re
import sys
from dataclasses import dataclass
from functools import cache
from typing import Any

import httptools

from bench import traffic

KEPT_BYTES = 64 * 1024  # a streamed request is smaller than that
BACKLOG = 4096
_STREAM = re.compile(rb'"stream"\s*:\s*true')
_USAGE = re.compile(rb'"include_usage"\s*:\s*true')
_PACE = re.compile(traffic.STREAMED_PATTERN)

PLAIN = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
    len(traffic.ANSWER),
    traffic.ANSWER,
)
# `x-accel-buffering` is for nginx in front of us: it shall pass on each piece as it comes.
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n"
    b"x-accel-buffering: no\r\ntransfer-encoding: chunked\r\n\r\n"
)


@dataclass(frozen=True)
class Script:
    """How a streamed answer is to be given."""

    pieces: int
    pause_s: float
    with_usage: bool


def script_of(body: bytes) -> Script | None:
    """None: a plain answer."""
    pace = _PACE.search(body)
    if pace is None or not _STREAM.search(body):
        return None
    return Script(int(pace[1]), int(pace[2]) / 1000, _USAGE.search(body) is not None)


@cache
def lines_of(script: Script) -> tuple[bytes, ...]:
    """The pieces, and what ends the stream as the last of them, in HTTP's chunked coding."""
    first = traffic.chunk({"role": "assistant", "content": "Dear"})
    events = [first, *[traffic.chunk({"content": " customer,"})] * (script.pieces - 2)]
    events.append(traffic.chunk({}, finish_reason="stop"))
    end = (traffic.usage_chunk() if script.with_usage else b"") + b"data: [DONE]\n\n"
    return (*(_coded(event) for event in events), _coded(end) + b"0\r\n\r\n")


def _coded(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Backend(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: Any) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport = transport
        self._parser = httptools.HttpRequestParser(self)
        self._kept = b""
        self._timer: asyncio.TimerHandle | None = None

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"expect" and value.lower() == b"100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        if len(self._kept) < KEPT_BYTES:
            self._kept += body

    def on_message_complete(self) -> None:
        script = script_of(self._kept)
        self._kept = b""
        if script is None:
            self._transport.write(PLAIN)
            return
        lines = lines_of(script)
        self._transport.write(STREAM_HEAD)
        if script.pause_s:
            self._speak(lines, 0, script.pause_s, self._loop.time())
        else:
            for line in lines:  # not joined: a stream that comes with one read is easier to forward than a real one
                self._transport.write(line)

    def _speak(self, lines: tuple[bytes, ...], place: int, pause_s: float, began: float) -> None:
        """One piece each `pause_s` since it `began`: a late one does not make the next ones late."""
        self._transport.write(lines[place])
        place += 1
        if place + 1 == len(lines):  # nothing comes between the last piece and the end
            self._transport.write(lines[place])
        else:
            self._timer = self._loop.call_at(began + place * pause_s, self._speak, lines, place, pause_s, began)


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Backend, "127.0.0.1", port, backlog=BACKLOG)
    await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    uvloop.run(_serve(int(sys.argv[1])))
