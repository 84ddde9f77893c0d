"""One keep-alive connection to a backend, and the one exchange it carries at a time: bytes out, an answer in.

Which connection carries which exchange is upstream.py's. Callbacks only: no task, timer or future a request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, cast

import httptools

from services.dispatcher.failures import CallbackRaised, Disconnected, ProtocolBroken, UpstreamFailure

if TYPE_CHECKING:
    from services.dispatcher.upstream import Origin

JOINED_BYTES: Final = 16 * 1024  # up to here, copying the body behind its head is cheaper than a second write

Headers = list[tuple[bytes, bytes]]


class Call:
    """Who asked. Told from the loop, never from inside `Origin.post`.

    Exactly one of `on_end` and `on_failure` is called, once, and nothing is after `exchange.cancel()`.
    """

    __slots__ = ("exchange",)

    def __init__(self) -> None:
        self.exchange: Exchange | None = None  # set by `Origin.post`

    def on_head(self, status: int, headers: Headers) -> None:
        """The final answer's; names are lower-case."""

    def on_body(self, data: bytes) -> None:
        """What one read brought, without its chunked framing."""

    def on_end(self) -> None:
        """The answer is whole."""

    def on_failure(self, failure: UpstreamFailure) -> None:
        """There is no answer, or no more of it."""


class Exchange:
    """One request and its answer: the caller's handle on it."""

    __slots__ = ("body", "call", "connection", "head", "origin", "sent")

    def __init__(self, origin: Origin, call: Call, head: bytes, body: bytes) -> None:
        self.origin = origin
        # None: it is over. Also cuts the cycle with the call, so that nothing waits for gc.
        self.call: Call | None = call
        self.sent = False  # a byte of it may have reached the backend, which may bill it
        self.head = head
        self.body = body
        self.connection: Connection | None = None

    def cancel(self) -> None:
        """Ends the call for both sides: the backend sees its connection close."""
        if self.call is None:
            return
        self.call = None
        if self.connection is None:
            self.origin.forget(self)
        else:
            self.connection.throw_away()

    def pause(self) -> None:
        """Stops reading. What the read under way brought is still delivered (at most 256 KiB)."""
        if self.connection is not None:
            self.connection.pause()

    def resume(self) -> None:
        if self.connection is not None:
            self.connection.resume()

    def fail(self, failure: UpstreamFailure) -> None:
        """Tells the call at the loop's next turn: nobody who fails it can be hurt by what the call does then."""
        self.connection = None
        self.origin.loop.call_soon(self._tell, failure)

    def _tell(self, failure: UpstreamFailure) -> None:
        call, self.call = self.call, None
        if call is not None:
            call.on_failure(failure)


class Connection(asyncio.Protocol):
    __slots__ = (
        "_complete",
        "_headers",
        "_headers_complete",
        "_parser",
        "_parts",
        "_reusable",
        "_reused",
        "_sent_at",
        "_status",
        "_told_head",
        "_unproductive_bytes",
        "_until_closed",
        "exchange",
        "on_body",
        "origin",
        "paused",
        "quiet_since",
        "transport",
    )

    transport: asyncio.Transport

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.exchange: Exchange | None = None
        self.paused = False
        self.quiet_since = origin.sweeper.tick  # when it was used, or a byte came
        self._parts: list[bytes] = []
        self.on_body: Callable[[bytes], None] = self._parts.append  # the parser calls it without Python between
        self._parser = httptools.HttpResponseParser(self)

    def send(self, exchange: Exchange, *, reused: bool) -> None:
        """`reused`: the connection has lain open, so that the server may be closing it just now."""
        self.exchange = exchange
        exchange.connection = self
        exchange.sent = True
        self.quiet_since = self._sent_at = self.origin.sweeper.tick
        self._reused = reused
        self._headers: Headers = []
        self._headers_complete = self._told_head = self._complete = self._until_closed = False
        self._reusable = True
        self._unproductive_bytes = 0
        head, body = exchange.head, exchange.body
        if len(body) <= JOINED_BYTES:
            self.transport.write(head + body)
        else:
            self.transport.write(head)
            self.transport.write(body)

    @property
    def began(self) -> bool:
        """Has a byte of the answer come?"""
        return self._told_head or self._unproductive_bytes > 0

    def pause(self) -> None:
        if not self.paused:
            self.paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        if self.paused:
            self.paused = False
            self.quiet_since = self.origin.sweeper.tick
            self.transport.resume_reading()

    def throw_away(self, failure: UpstreamFailure | None = None) -> None:
        """Closes at once: a TLS farewell or a response nobody reads is not worth waiting for."""
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.connection = None
            if failure is not None:
                exchange.fail(failure)
        self.transport.abort()

    # What the loop tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is one by its methods alone

    def data_received(self, data: bytes) -> None:
        exchange = self.exchange
        if exchange is None:  # Nobody asked: an answer out of turn must not become the next one's.
            self.transport.abort()
            return
        self.quiet_since = self.origin.sweeper.tick
        self._unproductive_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self._complete:
                self._break(f"sent what is not HTTP/1.1: {error}")
                return
            self._reusable = False  # the answer is whole; what came after it is not ours
        if self._headers_complete:
            self._tell(exchange)
        if self._unproductive_bytes > self.origin.limits.header_bytes and self.exchange is exchange:
            self._break(f"sent more than {self.origin.limits.header_bytes} bytes of headers")

    def eof_received(self) -> None:
        exchange = self.exchange
        if exchange is not None and self._until_closed:
            self._complete = True
            self._reusable = False
            self._tell(exchange)

    def connection_lost(self, _: Exception | None) -> None:
        exchange, self.exchange = self.exchange, None
        if exchange is None:
            self.origin.lost(self)
            return
        exchange.connection = None
        # A server that closed while the request was on its way has not read it. One that closes later may have
        # begun the work, and sending it again could mean to pay twice.
        ticks = self.origin.sweeper.tick - self._sent_at
        if self._reused and not self.began and ticks <= self.origin.stale_ticks:
            self.origin.lost(self, again=exchange)
            return
        self.origin.lost(self)
        what = "in the middle of its answer" if self.began else "without an answer"
        exchange.fail(Disconnected(f"{self.origin.name} closed the connection {what}", began=self.began))

    # What the parser tells, while it is fed.

    def on_message_begin(self) -> None:
        if self._complete:
            raise _NobodyAsked  # stops the parser, so that nothing of it gets into this answer

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._headers_complete:  # else a trailer: nobody asked for any
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        status = self._status = self._parser.get_status_code()
        if status < 200:
            self._headers = []
            return
        self._headers_complete = True
        if not self._parser.should_keep_alive():
            self._reusable = False
            self._until_closed = not _has_length(self._headers)

    def on_message_complete(self) -> None:
        if self._headers_complete:
            self._complete = True

    # What the call is told, after the parser is done with a read: the call may cancel, post or raise in it.

    def _tell(self, exchange: Exchange) -> None:
        call = exchange.call
        assert call is not None, "an exchange that is over has left its connection"
        try:
            if not self._told_head:
                if self._too_large():
                    return
                self._told_head = True
                exchange.body = b""  # cannot be sent again from here
                call.on_head(self._status, self._headers)
            parts = self._parts
            if parts:
                if exchange.call is None:
                    return
                self._unproductive_bytes = 0
                data = parts[0] if len(parts) == 1 else b"".join(parts)
                parts.clear()
                call.on_body(data)
            if self._complete and exchange.call is not None:
                exchange.call = exchange.connection = None
                call.on_end()
                self.exchange = None
                self._rest()
        except Exception as error:  # noqa: BLE001 — handed to the loop; raised, an OSError would vanish in asyncio
            self.throw_away(CallbackRaised(f"{type(error).__name__} in our handling of {self.origin.name}'s answer"))
            self.origin.loop.call_exception_handler(
                {"message": "a call raised while it was told of its answer", "exception": error, "protocol": self}
            )

    def _rest(self) -> None:
        if self.paused:
            self.resume()
        if not self._reusable or self.transport.is_closing() or self.transport.get_write_buffer_size():
            self.transport.abort()  # Bytes still to be written: it answered before it had read the request.
        else:
            self.quiet_since = self.origin.sweeper.tick
            self.origin.release(self)

    def _too_large(self) -> bool:
        limits = self.origin.limits
        if len(self._headers) > limits.headers:
            self._break(f"sent more than {limits.headers} headers")
            return True
        # The exact sum is worth its time only where the whole read could be over the limit.
        if self._unproductive_bytes > limits.header_bytes:
            if sum(len(name) + len(value) + 4 for name, value in self._headers) > limits.header_bytes:
                self._break(f"sent more than {limits.header_bytes} bytes of headers")
                return True
            self._unproductive_bytes = 0
        return False

    def _break(self, what: str) -> None:
        self.throw_away(ProtocolBroken(f"{self.origin.name} {what}"))


class _NobodyAsked(Exception):
    """A second answer to one request."""


def _has_length(headers: Headers) -> bool:
    """Is the body's end told, so that a connection that closes before it has cut the body off?"""
    for name, value in headers:
        if name == b"content-length":
            return True
        if name == b"transfer-encoding" and value.lower().endswith(b"chunked"):
            return True
    return False
