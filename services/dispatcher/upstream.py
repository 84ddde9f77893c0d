"""Which connection carries a call: one pool of keep-alive HTTP/1.1 connections for each backend.

What travels on a connection is connection.py's; what an answer means is providers/'s. Written here because the
forwarding of HTTP is what this product exists for: aiohttp costs 100 µs a call, httpx 1,000, this under 10.
"""

from __future__ import annotations

import asyncio
import functools
import re
import ssl
from collections import deque
from collections.abc import Mapping
from typing import Final, Protocol
from urllib.parse import SplitResult, urlsplit

import msgspec

from services.dispatcher.connection import Call, Connection, Exchange
from services.dispatcher.dialling import dial
from services.dispatcher.failures import Busy, ConnectFailed, Disconnected, Phase, TimedOut, UpstreamFailure
from services.dispatcher.sweeper import Sweeper

KNOWN_PATHS: Final = 1024  # request heads kept ready; a path may hold a caller's model name, so there is a bound

_HEADER_LINES = re.compile(rb"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+: [^\x00-\x08\x0a-\x1f\x7f]*\r\n)*")
_OURS = frozenset({"host", "connection", "content-length", "content-type", "transfer-encoding", "expect", "upgrade"})
_PATH = re.compile(rb"[!-~]*")


def header_lines(headers: Mapping[str, str]) -> bytes:
    """Header lines for an `Origin`. ValueError, without the value, where one would break out of its line."""
    lines = bytearray()
    for name, value in headers.items():
        if name.lower() in _OURS:
            raise ValueError(f"the header {name!r} is set by the connection pool; leave it out")
        try:
            line = f"{name.lower()}: {value}\r\n".encode("latin-1")
        except UnicodeEncodeError:
            line = b""
        if line.count(b"\n") != 1 or not _HEADER_LINES.fullmatch(line):
            raise ValueError(f"the header {name!r} has a name or a value that HTTP does not allow")
        lines += line
    return bytes(lines)


def split_url(url: str) -> SplitResult:
    """Raises ValueError where `url` is none of a backend."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("a backend's url begins with http:// or https:// and names a host")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("a backend's url has no user, query or fragment; keys belong in headers")
    return parts


class Limits(msgspec.Struct, frozen=True):
    """What a backend may take of us. Seconds are checked by the sweeper: never early, late by up to two sweeps."""

    connect_s: float = 5.0  # name, TCP and TLS together, all of a name's addresses
    idle_s: float = 60.0
    stale_s: float = 1.0  # a pooled connection that closes this soon after a request had not read it
    header_bytes: int = 64 * 1024
    waiting: int = 1024  # calls in hand beyond `max_connections`; those beyond these are `Busy`


DEFAULT_LIMITS: Final = Limits()


class Outlet(Protocol):
    """What calls of one backend go out by: an `Origin`, or proxied.py's."""

    def post(self, path: bytes, body: bytes, call: Call, silence_s: float | None = None) -> None: ...
    def close_when_idle(self) -> None: ...
    async def close(self) -> None: ...


class Origin:
    """One scheme://host:port with its pool. Made while the loop runs. `post` begins a call."""

    def __init__(
        self,
        url: str,
        *,
        headers: bytes = b"",
        max_connections: int = 256,
        ssl_context: ssl.SSLContext | None = None,
        limits: Limits = DEFAULT_LIMITS,
        sweeper: Sweeper | None = None,
    ) -> None:
        parts = split_url(url)
        if not _HEADER_LINES.fullmatch(headers):
            raise ValueError("headers are lines as header_lines() makes them")
        self.loop = asyncio.get_running_loop()
        self.limits = limits
        self.sweeper = sweeper or Sweeper.shared()
        self.stale_ticks = self.sweeper.ticks(limits.stale_s)
        self._tls = parts.scheme == "https"
        self._ssl_context = ssl_context
        self._host = parts.hostname or ""
        self._port: int = parts.port or (443 if self._tls else 80)
        shown = f"[{self._host}]" if ":" in self._host else self._host.encode("idna").decode()
        self.name = f"{shown}:{self._port}"
        host = shown if self._port == (443 if self._tls else 80) else self.name
        agent = b"" if b"user-agent:" in headers.lower() else b"user-agent: tierwise\r\n"
        self._prefix = parts.path.rstrip("/").encode()
        self._lines = b"host: %b\r\n%b%b" % (host.encode(), agent, headers)
        self._heads: dict[bytes, bytes] = {}
        self._max_connections = max_connections
        self._connections: set[Connection] = set()
        self._idle: list[Connection] = []  # the last one used is used first: the others may go
        self._attempts: set[_Attempt] = set()
        self._opening = 0  # attempts for whoever waits longest; the others are for one exchange each
        self._waiting: deque[Exchange] = deque()
        self._closed: asyncio.Future[None] | None = None
        self._keeps = True

    @property
    def open(self) -> int:
        return len(self._connections)

    @property
    def idle(self) -> int:
        return len(self._idle)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def post(self, path: bytes, body: bytes, call: Call, silence_s: float | None = None) -> None:
        """Begins a call and sets `call.exchange`. Whatever the network does is told to `call`, later.

        `path` is added to the url's. ValueError where it would break out of its line. The backend may send nothing
        for `silence_s`, first or later; None: the caller ends the call when it has waited enough.
        """
        head = self._heads.get(path) or self._head(path)
        if self._idle:
            connection = self._idle.pop()
            exchange = call.exchange = Exchange(self, call, head, body, silence_s, connection, True)
            connection.send(exchange)
        else:
            exchange = call.exchange = Exchange(self, call, head, body, silence_s, None, False)
            self._queue(exchange)

    def close_when_idle(self) -> None:
        """From now on no connection is kept after its call. Calls that are under way, or come late, are served."""
        self._keeps = False
        for connection in tuple(self._idle):
            connection.throw_away()

    async def close(self) -> None:
        """Ends everything at once: calls under way fail. Returns when no connection is left."""
        if self._closed is None:
            self._closed = self.loop.create_future()
            self._keeps = False
            self.sweeper.remove(self)
            self._fail_waiting(ConnectFailed(f"the pool of {self.name} was closed"))
            for connection in tuple(self._connections):
                began = connection.exchange is not None and connection.began
                connection.throw_away(Disconnected(f"the pool of {self.name} was closed", began=began))
        tasks = [attempt.cancel() for attempt in self._attempts]
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._connections:
            await asyncio.shield(self._closed)

    # What exchanges, connections and the sweeper tell.

    def forget(self, exchange: Exchange) -> None:
        if exchange in self._waiting:
            self._waiting.remove(exchange)

    def release(self, connection: Connection) -> None:
        """`connection` is free: whoever waits longest gets it."""
        connection.is_fresh = False
        if self._waiting:
            self._waiting.popleft().go_by(connection)
        elif self._keeps:
            self._idle.append(connection)
        else:
            connection.throw_away()

    def leave(self, connection: Connection) -> None:
        """`connection` is about to close: no more exchanges for it."""
        if connection in self._idle:
            self._idle.remove(connection)

    def lost(self, connection: Connection, *, again: Exchange | None = None) -> None:
        """`connection` is closed. `again` goes out once more, on one that nobody has let lie."""
        self._connections.discard(connection)
        self.leave(connection)
        if self._closed is not None:
            if again is not None:
                again.fail(Disconnected(f"the pool of {self.name} was closed", began=False))
            if not self._connections and not self._closed.done():
                self._closed.set_result(None)
            return
        if again is not None:
            self._open(again)
        self._open_for_waiting()

    def sweep(self) -> None:
        sweeper, limits = self.sweeper, self.limits
        if not self._connections and not self._attempts:
            sweeper.remove(self)
        for attempt in self._attempts:
            if sweeper.passed(attempt.since, limits.connect_s):
                attempt.time_out()
        for connection in tuple(self._connections):
            if connection.is_active:
                connection.is_active = False
                connection.quiet_since = sweeper.tick - 1
            elif connection.exchange is None:
                if sweeper.passed(connection.quiet_since, limits.idle_s):
                    connection.throw_away()
            elif not connection.paused:
                silence_s = connection.exchange.silence_s
                if silence_s is not None and sweeper.passed(connection.quiet_since, silence_s):
                    phase: Phase = "between_bytes" if connection.began else "first_byte"
                    connection.throw_away(TimedOut(f"{self.name} sent nothing for {silence_s:g} s", phase))

    # Opening connections.

    def _queue(self, exchange: Exchange) -> None:
        if self._closed is not None:
            exchange.fail(ConnectFailed(f"the pool of {self.name} was closed"))
        elif self._has_room():
            self._waiting.append(exchange)
            if len(self._waiting) > self._opening:
                self._open()
        elif len(self._waiting) - self._opening >= self.limits.waiting:
            exchange.fail(Busy(f"{self.name} has {self.open} calls under way and {self.waiting} waiting"))
        else:
            self._waiting.append(exchange)

    def _has_room(self) -> bool:
        return len(self._connections) + len(self._attempts) < self._max_connections

    def _open_for_waiting(self) -> None:
        """Who waits for a connection that has gone, or never came, waits for another."""
        if len(self._waiting) > self._opening and self._has_room():
            self._open()

    def _open(self, exchange: Exchange | None = None) -> None:
        attempt = _Attempt(exchange, self.sweeper.tick)
        self._attempts.add(attempt)
        self.sweeper.add(self)
        self._opening += exchange is None
        attempt.task = self.loop.create_task(self._connect(attempt))

    async def _connect(self, attempt: _Attempt) -> None:
        failure: UpstreamFailure | None = None
        context = (self._ssl_context or default_context()) if self._tls else None
        try:
            opened = await dial(self._host, self._port)
            _, connection = await self.loop.create_connection(
                lambda: Connection(self), sock=opened, ssl=context, server_hostname=self._host if context else None
            )
            if connection.transport.is_closing():
                failure = ConnectFailed(f"{self.name} closed the connection as soon as it was open")
        except asyncio.CancelledError:
            if not attempt.timed_out:
                raise
            failure = TimedOut(f"{self.name} took no connection within {self.limits.connect_s:g} s", "connect")
        except (OSError, UnicodeError) as error:
            failure = ConnectFailed(f"cannot connect to {self.name}: {_reason(error)}")
        finally:
            self._attempts.discard(attempt)
            self._opening -= attempt.exchange is None
        if failure is not None:
            self._connect_failed(attempt.exchange, failure)
            return
        self._connections.add(connection)
        exchange = attempt.exchange
        if exchange is None or exchange.call is None:
            exchange = self._waiting.popleft() if self._waiting else None
        if exchange is None:
            self.release(connection)
        else:
            connection.is_fresh = True
            exchange.go_by(connection)

    def _connect_failed(self, exchange: Exchange | None, failure: UpstreamFailure) -> None:
        if exchange is not None:
            exchange.fail(failure)
            self._open_for_waiting()
        elif not self._connections and not self._opening:
            self._fail_waiting(failure)  # else they would wait for nothing
        elif len(self._waiting) > self._opening:
            self._waiting.popleft().fail(failure)

    def _fail_waiting(self, failure: UpstreamFailure) -> None:
        while self._waiting:
            self._waiting.popleft().fail(failure)

    def _head(self, path: bytes) -> bytes:
        """All of a request's head but the body's length."""
        if not _PATH.fullmatch(path):
            raise ValueError("a request's path holds what HTTP does not allow")
        if len(self._heads) >= KNOWN_PATHS:
            self._heads.clear()
        head = self._heads[path] = (
            b"POST %b%b HTTP/1.1\r\n%baccept-encoding: identity\r\ncontent-type: application/json\r\ncontent-length: "
        ) % (self._prefix, path, self._lines)
        return head


class _Attempt:
    """A connection that is being opened: for one exchange, or for whoever waits longest."""

    __slots__ = ("exchange", "since", "task", "timed_out")

    task: asyncio.Task[None]

    def __init__(self, exchange: Exchange | None, since: int) -> None:
        self.exchange = exchange
        self.since = since
        self.timed_out = False

    def time_out(self) -> None:
        self.timed_out = True
        self.task.cancel()

    def cancel(self) -> asyncio.Task[None]:
        self.task.cancel()
        return self.task


@functools.cache
def default_context() -> ssl.SSLContext:
    """The system's authorities. One for all: each takes a megabyte, and 20 ms to make."""
    return ssl.create_default_context()


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS: {error.verify_message}"
    return str(error) or type(error).__name__
