"""Which connection carries a call: one pool of keep-alive HTTP/1.1 connections for each backend.

What travels on a connection is connection.py's; what an answer means is providers/'s. Written here because the
forwarding of HTTP is what this product exists for: aiohttp costs 100 µs a call, httpx 1,000, this under 10.
"""

from __future__ import annotations

import asyncio
import functools
import math
import re
import ssl
from collections import deque
from collections.abc import Mapping
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

import msgspec

from services.dispatcher.connection import Call, Connection, Exchange, Headers
from services.dispatcher.failures import (
    Busy,
    CallbackRaised,
    ConnectFailed,
    Disconnected,
    Phase,
    ProtocolBroken,
    TimedOut,
    UpstreamFailure,
)

__all__ = [
    "Busy",
    "Call",
    "CallbackRaised",
    "ConnectFailed",
    "Disconnected",
    "Exchange",
    "Headers",
    "Limits",
    "Origin",
    "Phase",
    "ProtocolBroken",
    "Sweeper",
    "TimedOut",
    "UpstreamFailure",
    "header_lines",
]

SWEEP_EVERY_S: Final = 0.2
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


class Limits(msgspec.Struct, frozen=True):
    """What a backend may take of us. Seconds are checked by the sweeper: never early, late by up to two sweeps."""

    connect_s: float = 5.0  # name, TCP and TLS together
    first_byte_s: float | None = None  # None: the flight's deadline rules
    between_bytes_s: float | None = None
    idle_s: float = 60.0
    stale_s: float = 1.0  # a pooled connection that closes this soon after a request had not read it
    header_bytes: int = 64 * 1024
    headers: int = 256
    waiting: int = 1024  # calls that wait for a connection beyond those that one is being opened for


DEFAULT_LIMITS: Final = Limits()


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
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("a backend's url begins with http:// or https:// and names a host")
        if parts.username is not None or parts.query or parts.fragment:
            raise ValueError("a backend's url has no user, query or fragment; keys belong in headers")
        if not _HEADER_LINES.fullmatch(headers):
            raise ValueError("headers are lines as header_lines() makes them")
        self.loop = asyncio.get_running_loop()
        self.limits = limits
        self.sweeper = sweeper or Sweeper.shared()
        self.stale_ticks = self.sweeper.ticks(limits.stale_s)
        self._tls = parts.scheme == "https"
        self._ssl_context = ssl_context
        self._host: str = parts.hostname
        self._port: int = parts.port or (443 if self._tls else 80)
        shown = f"[{self._host}]" if ":" in self._host else self._host.encode("idna").decode()
        self.name = f"{shown}:{self._port}"
        host = shown if self._port == (443 if self._tls else 80) else self.name
        agent = b"" if b"user-agent:" in headers.lower() else b"user-agent: tierwise\r\n"
        self._prefix = parts.path.rstrip("/").encode()
        self._lines = b"host: %b\r\n%b%b" % (host.encode(), agent, headers)
        self._heads: dict[tuple[bytes, bytes | None], bytes] = {}
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

    def post(self, path: bytes, body: bytes, call: Call, *, accept: bytes | None = None) -> None:
        """Begins a call and sets `call.exchange`. Whatever the network does is told to `call`, later.

        `path` is added to the url's. ValueError where `path` or `accept` would break out of its line.
        """
        head = self._heads.get((path, accept)) or self._head(path, accept)
        exchange = Exchange(self, call, b"%b%d\r\n\r\n" % (head, len(body)), body)
        call.exchange = exchange
        idle = self._idle
        while idle:
            connection = idle.pop()
            if not connection.transport.is_closing():
                connection.send(exchange, reused=True)
                return
        self._queue(exchange)

    def close_when_idle(self) -> None:
        """From now on no connection is kept after its call. Calls that are under way, or come late, are served."""
        self._keeps = False
        for connection in self._idle:
            connection.throw_away()

    async def close(self) -> None:
        """Ends everything at once: calls under way fail. Returns when no connection is left."""
        if self._closed is None:
            self._closed = self.loop.create_future()
            self.sweeper.remove(self)
            self._idle.clear()
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
        if self._waiting:
            connection.send(self._waiting.popleft(), reused=True)
        elif self._keeps and self._closed is None:
            self._idle.append(connection)
        else:
            connection.throw_away()

    def lost(self, connection: Connection, *, again: Exchange | None = None) -> None:
        """`connection` is closed. `again` goes out once more, on one that nobody has let lie."""
        self._connections.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        if self._closed is not None:
            if again is not None:
                again.fail(Disconnected(f"the pool of {self.name} was closed", began=False))
            if not self._connections and not self._closed.done():
                self._closed.set_result(None)
            return
        if again is not None:
            self._open(again)
        if len(self._waiting) > self._opening and self._has_room():
            self._open()

    def sweep(self) -> None:
        sweeper, limits = self.sweeper, self.limits
        if not self._connections and not self._attempts:
            sweeper.remove(self)
        for attempt in self._attempts:
            if sweeper.passed(attempt.since, limits.connect_s):
                attempt.time_out()
        for connection in tuple(self._connections):
            since = connection.quiet_since
            if connection.exchange is None:
                if sweeper.passed(since, limits.idle_s):
                    connection.throw_away()
            elif not connection.paused:
                limit_s = limits.between_bytes_s if connection.began else limits.first_byte_s
                if limit_s is not None and sweeper.passed(since, limit_s):
                    phase: Phase = "between_bytes" if connection.began else "first_byte"
                    connection.throw_away(TimedOut(f"{self.name} sent nothing for {limit_s:g} s", phase))

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

    def _open(self, exchange: Exchange | None = None) -> None:
        attempt = _Attempt(exchange, self.sweeper.tick)
        self._attempts.add(attempt)
        self.sweeper.add(self)
        self._opening += exchange is None
        attempt.task = self.loop.create_task(self._connect(attempt))

    async def _connect(self, attempt: _Attempt) -> None:
        options: dict[str, Any] = {}
        if self._tls:
            options = {"ssl": self._ssl_context or _default_context(), "server_hostname": self._host}
        if isinstance(self.loop, asyncio.BaseEventLoop):  # uvloop tries one address after the other
            options["happy_eyeballs_delay"] = 0.25
        failure: UpstreamFailure | None = None
        try:
            _, connection = await self.loop.create_connection(
                lambda: Connection(self), self._host, self._port, **options
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
        if exchange is None and self._waiting:
            exchange = self._waiting.popleft()
        if exchange is None or exchange.call is None:
            self.release(connection)
        else:
            connection.send(exchange, reused=False)

    def _connect_failed(self, exchange: Exchange | None, failure: UpstreamFailure) -> None:
        if exchange is not None:
            exchange.fail(failure)
        elif not self._connections and not self._opening:
            self._fail_waiting(failure)  # else they would wait for nothing
        elif len(self._waiting) > self._opening:
            self._waiting.popleft().fail(failure)

    def _fail_waiting(self, failure: UpstreamFailure) -> None:
        while self._waiting:
            self._waiting.popleft().fail(failure)

    def _head(self, path: bytes, accept: bytes | None) -> bytes:
        """All of a request's head but the body's length."""
        wanted = b"" if accept is None else b"accept: %b\r\n" % accept
        if not _PATH.fullmatch(path) or not _HEADER_LINES.fullmatch(wanted):
            raise ValueError("a request's path or accept header holds what HTTP does not allow")
        if len(self._heads) >= KNOWN_PATHS:
            self._heads.clear()
        head = self._heads[path, accept] = (
            b"POST %b%b HTTP/1.1\r\n%b%baccept-encoding: identity\r\n"
            b"content-type: application/json\r\ncontent-length: "
        ) % (self._prefix, path, self._lines, wanted)
        return head


class Sweeper:
    """The one clock of all pools: it counts its own turns, so a loop that was held up ends nothing too early."""

    _by_loop: ClassVar[WeakKeyDictionary[asyncio.AbstractEventLoop, Sweeper]] = WeakKeyDictionary()

    def __init__(self, every_s: float = SWEEP_EVERY_S) -> None:
        self.tick = 0
        self._every_s = every_s
        self._origins: set[Origin] = set()
        self._timer: asyncio.TimerHandle | None = None

    @classmethod
    def shared(cls) -> Sweeper:
        loop = asyncio.get_running_loop()
        sweeper = cls._by_loop.get(loop)
        if sweeper is None:
            sweeper = cls._by_loop[loop] = cls()
        return sweeper

    def add(self, origin: Origin) -> None:
        self._origins.add(origin)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._every_s, self._run)

    def remove(self, origin: Origin) -> None:
        self._origins.discard(origin)
        if not self._origins and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def ticks(self, seconds: float) -> int:
        """So many turns from now, `seconds` have passed for sure."""
        return math.ceil(seconds / self._every_s) + 1

    def passed(self, since: int, seconds: float) -> bool:
        return self.tick - since >= self.ticks(seconds)

    def sweep(self) -> None:
        self.tick += 1
        for origin in tuple(self._origins):
            origin.sweep()

    def _run(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._every_s, self._run)
        self.sweep()


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
def _default_context() -> ssl.SSLContext:
    return ssl.create_default_context()  # one for all: each takes a megabyte, and 20 ms to make


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS: {error.verify_message}"
    return str(error) or type(error).__name__
