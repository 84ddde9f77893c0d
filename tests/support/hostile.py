"""A server that does to the pool whatever a test says, byte by byte; and a call that notes what it is told."""

import asyncio
import functools
import inspect
import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Self

import pytest
import uvloop

from services.dispatcher.connection import Call, Headers
from services.dispatcher.failures import UpstreamFailure
from services.dispatcher.sweeper import Sweeper
from services.dispatcher.upstream import Limits, Origin, Outlet

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"
SWEEP_S = 3600.0  # a sweeper of the tests turns only when they turn it


def on_both_loops(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """uvloop is the loop in production; asyncio is what TLS and EOF are told apart by."""

    @functools.wraps(test)
    def run(new_loop: Callable[[], asyncio.AbstractEventLoop], **arguments: Any) -> None:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(asyncio.wait_for(test(**arguments), 60))

    signature = inspect.signature(test)
    first = inspect.Parameter("new_loop", inspect.Parameter.KEYWORD_ONLY)
    run.__signature__ = signature.replace(parameters=[*signature.parameters.values(), first])  # type: ignore[attr-defined]
    del run.__wrapped__  # else pytest takes it for a coroutine function
    return pytest.mark.parametrize(
        "new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
    )(run)


class Noted(Call):
    """`told` is everything the call heard, bodies joined."""

    def __init__(self) -> None:
        super().__init__()
        self.status = 0
        self.headers: Headers = []
        self.body = bytearray()
        self.failure: UpstreamFailure | None = None
        self.ends = 0
        self.head_came = asyncio.Event()
        self.over = asyncio.Event()

    def on_head(self, status: int, headers: Headers) -> None:
        assert not self.status, "a second head"
        self.status, self.headers = status, headers
        self.head_came.set()

    def on_body(self, data: bytes) -> None:
        assert self.status, "a body before its head"
        assert not self.ends
        self.body += data

    def on_end(self) -> None:
        self.ends += 1
        self.over.set()

    def on_failure(self, failure: UpstreamFailure) -> None:
        self.ends += 1
        self.failure = failure
        self.over.set()

    async def answer(self) -> bytes:
        await self.over.wait()
        assert self.ends == 1
        assert self.failure is None, self.failure
        return bytes(self.body)

    async def fault(self) -> UpstreamFailure:
        await self.over.wait()
        assert self.ends == 1
        assert self.failure is not None, "it was answered"
        return self.failure


class PausesAtOnce(Noted):
    def on_head(self, status, headers):
        super().on_head(status, headers)
        assert self.exchange is not None
        self.exchange.pause()


class Peer:
    """The server's side of one connection. `number` counts them from 1."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        self.number = number
        self._reader = reader
        self._writer = writer

    async def request(self) -> tuple[bytes, bytes]:
        """Head and body of the next request; EOFError where the client is gone."""
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        return head, await self._reader.readexactly(length)

    async def byte(self) -> bytes:
        return await self._reader.readexactly(1)

    def say(self, data: bytes) -> None:
        self._writer.write(data)

    def end(self) -> None:
        self._writer.close()

    def reset(self) -> None:
        self._writer.transport.abort()

    def cut(self) -> None:
        """Ends the TCP connection in order, without a word of TLS."""
        with socket.socket(fileno=os.dup(self._writer.get_extra_info("socket").fileno())) as raw:
            raw.shutdown(socket.SHUT_WR)

    async def gone(self) -> None:
        """Returns when the client has closed."""
        while await self._reader.read(65536):
            pass


async def answering(peer: Peer) -> None:
    while True:
        await peer.request()
        peer.say(OK)


class Hostile:
    """Plays `script` on each connection. What a script raises, other than that the client left, fails the test."""

    def __init__(self, script: Callable[[Peer], Awaitable[None]], tls: ssl.SSLContext | None = None) -> None:
        self._script = script
        self._tls = tls
        self._tasks: list[asyncio.Task[None]] = []
        self.connections = 0
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        for outcome in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(outcome, BaseException) and not isinstance(
                outcome, (EOFError, ConnectionError, asyncio.CancelledError)
            ):
                raise outcome

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._tasks.append(asyncio.ensure_future(self._play(Peer(reader, writer, self.connections))))
        self._tasks[-1].add_done_callback(lambda _: writer.close())

    async def _play(self, peer: Peer) -> None:
        await self._script(peer)
        await peer.gone()


def origin(url: str, *, limits: Limits | None = None, **options: Any) -> Origin:
    """One whose sweeper turns by `turn` alone."""
    return Origin(url, limits=limits or Limits(), sweeper=Sweeper(SWEEP_S), **options)


def turn(pool: Origin, times: int = 1) -> None:
    for _ in range(times):
        pool.sweeper.sweep()


def post(pool: Outlet, body: bytes = b"{}", *, silence_s: float | None = None) -> Noted:
    call = Noted()
    pool.post(b"/chat/completions", body, call, silence_s)
    return call
