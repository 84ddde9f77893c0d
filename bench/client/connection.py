"""One connection that asks, hears the answer, and asks again: what all our loads are made of."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httptools


@dataclass(frozen=True)
class Job:
    url: str
    headers: dict[str, str]
    body_file: str
    connections: int
    seconds: float  # what counts, after `ramp_s`
    ramp_s: float = 0.0  # over which the connections begin, evenly
    pieces: int = 0  # of a streamed answer
    again: bool = True  # ask again when answered

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        assert parts.hostname is not None
        assert parts.port is not None
        return parts.hostname, parts.port

    def request(self) -> bytes:
        body, parts = Path(self.body_file).read_bytes(), urlsplit(self.url)
        fields = {
            "host": parts.netloc,
            "content-type": "application/json",
            "content-length": str(len(body)),
            **self.headers,
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        return f"POST {parts.path} HTTP/1.1\r\n{lines}\r\n".encode() + body


class Connection(asyncio.Protocol):
    """Asks as soon as it is connected. What becomes of it, a subclass says: `asked`, `answered`, `failed`.

    It connects anew where it was closed between two answers, or failed in one.
    """

    def __init__(self, job: Job, request: bytes) -> None:
        self.job = job
        self.loop = asyncio.get_running_loop()
        self.is_over = False  # asks no more
        self.over = asyncio.Event()
        self._request = request
        self._is_asked = False
        self._connecting: asyncio.Task[Any] | None = None
        self._transport: Any = None

    def start(self) -> None:
        self._connecting = asyncio.ensure_future(self._connect())

    def end(self) -> None:
        """After the answer that is being heard."""
        self.is_over = True
        self.over.set()

    def stop(self) -> None:
        self.end()
        if self._transport is not None:
            self._transport.abort()

    def asked(self) -> None: ...

    def answered(self, status: int) -> None: ...

    def failed(self) -> None: ...

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._parser = httptools.HttpResponseParser(self)
        self._ask()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        self._transport = None
        if self.is_over:
            return
        if self._is_asked:
            self._is_asked = False
            self.failed()
        if not self.is_over:
            self.start()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self._is_asked = False
        self.answered(self._parser.get_status_code())
        if self.is_over:
            self._transport.close()
        elif self._parser.should_keep_alive():
            self._ask()
        else:
            self._transport.close()

    def _ask(self) -> None:
        self._is_asked = True
        self.asked()
        self._transport.write(self._request)

    async def _connect(self) -> None:
        try:
            await self.loop.create_connection(lambda: self, *self.job.address)
        except OSError:
            if not self.is_over:
                self.failed()
                self.loop.call_later(0.1, self.start)


async def until_over(connections: Sequence[Connection], within_s: float) -> None:
    """Until all have come to their end, or the time has."""
    ends = asyncio.gather(*(each.over.wait() for each in connections))
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(ends, within_s)


def quantile(values: list[float], share: float) -> float:
    """The value that so many lie below; 0 where there are none."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0


def say(word: str) -> None:
    print(word, flush=True)
