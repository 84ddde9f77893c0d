"""One keep-alive connection to a backend, and the one exchange it carries at a time: bytes out, an answer in.

Which connection carries which exchange is upstream.py's. Callbacks only: no task, timer or future a request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol, cast

import httptools
import msgspec

from services.dispatcher.failures import CallbackRaised, Disconnected, ProtocolBroken, Unreadable, UpstreamFailure

if TYPE_CHECKING:
    from services.dispatcher.upstream import Origin

JOINED_BYTES: Final = 16 * 1024  # up to here, copying the body behind its head is cheaper than a second write

Headers = list[tuple[bytes, bytes]]

# The length of a header's name rules out most of those that nobody reads, without a look at their letters. Those
# that are read: content-type, retry-after, content-encoding, content-length, transfer-encoding.
_LENGTHS: Final = frozenset({12, 11, 14, 16, 17})


class Handle(Protocol):
    """A caller's hand on its exchange."""

    sent: bool  # a byte of it may have reached the backend, which may bill it
    silence_s: float | None  # how long the backend may send nothing while it has the call; None: as long as it likes

    def cancel(self) -> None:
        """Ends the call for both sides: the backend sees its connection close."""

    def pause(self) -> None:
        """Stops reading. What the read under way brought is still delivered (at most 256 KiB)."""

    def resume(self) -> None: ...


class Call:
    """Who asked. Told from the loop, never from inside `Origin.post`.

    Exactly one of `on_end` and `on_failure` is called, once, and nothing is after `exchange.cancel()`.
    """

    __slots__ = ("exchange",)

    def __init__(self) -> None:
        self.exchange: Handle | None = None  # set by `Origin.post`

    def on_head(self, status: int, headers: Headers) -> None:
        """The final answer's. Of its headers at least those that anybody reads; names are lower-case."""

    def on_body(self, data: bytes) -> None:
        """What one read brought, without its chunked framing."""

    def on_end(self) -> None:
        """The answer is whole."""

    def on_failure(self, failure: UpstreamFailure) -> None:
        """There is no answer, or no more of it."""


class Exchange(msgspec.Struct, eq=False):
    """One request and its answer."""

    origin: Origin
    call: Call | None  # None: it is over. Also cuts the cycle with the call, so that nothing waits for gc.
    head: bytes  # but the body's length
    body: bytes
    silence_s: float | None
    connection: Connection | None  # None: it waits for one, or has lost it
    sent: bool

    def go_by(self, connection: Connection) -> None:
        self.connection = connection
        self.sent = True
        connection.send(self)

    def cancel(self) -> None:
        if self.call is None:
            return
        self.call = None
        if self.connection is None:
            self.origin.forget(self)
        else:
            self.connection.throw_away()

    def pause(self) -> None:
        if self.connection is not None and self.call is not None:
            self.connection.pause()

    def resume(self) -> None:
        if self.connection is not None and self.call is not None:
            self.connection.resume()

    def fail(self, failure: UpstreamFailure) -> None:
        """Tells the call at the loop's next turn: nobody who fails it can be hurt by what the call does then."""
        self.connection = None
        self.origin.loop.call_soon(self._tell, failure)

    def _tell(self, failure: UpstreamFailure) -> None:
        call, self.call = self.call, None
        if call is not None:
            call.on_failure(failure)


# How far an answer's head is.
_AWAITED: Final = 0
_CAME: Final = 1
_TOLD: Final = 2


class Connection(asyncio.Protocol):
    __slots__ = (
        "_feed", "_head", "_headers", "_is_kept", "_is_large", "_keeps_alive", "_most", "_open",
        "_parts", "_room", "_status", "_status_code", "_until_closed", "_welcome", "_write", "exchange", "is_active",
        "is_fresh", "on_body", "on_message_begin", "on_message_complete", "origin", "paused",
        "quiet_since", "transport",
    )  # fmt: skip

    transport: asyncio.Transport

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.exchange: Exchange | None = None
        self.paused = False
        self.is_fresh = False  # its first exchange came with it: the server cannot have grown tired of it
        self.is_active = True  # it was used, or a byte came, since the sweeper last looked
        self.quiet_since = origin.sweeper.tick
        self._most = origin.limits.header_bytes
        self._is_large = False
        self._until_closed = False
        # What the parser calls are methods of C types: no Python runs for what is merely kept or counted.
        self._parts: list[bytes] = []
        self.on_body = self._parts.append
        self._headers: Headers = []
        # A token for each message that may begin, and for each that has to end. An answer nobody asked for finds
        # no token, and that stops the parser before anything of it gets into the one that was.
        self._welcome: list[None] = []
        self.on_message_begin = self._welcome.pop
        self._open: list[None] = []
        self.on_message_complete = self._open.pop
        parser = httptools.HttpResponseParser(self)
        self._feed: Callable[[bytes], None] = parser.feed_data
        self._status_code: Callable[[], int] = parser.get_status_code
        self._keeps_alive: Callable[[], bool] = parser.should_keep_alive

    def send(self, exchange: Exchange) -> None:
        """`exchange` names this connection already."""
        self.exchange = exchange
        self.is_active = True
        self._head = _AWAITED
        self._room = self._most
        self._welcome.append(None)
        self._open.append(None)
        self._headers = []
        body = exchange.body
        if len(body) <= JOINED_BYTES:
            self._write(b"%b%d\r\n\r\n%b" % (exchange.head, len(body), body))
        else:
            self._is_large = True
            self._write(b"%b%d\r\n\r\n" % (exchange.head, len(body)))
            self._write(body)

    @property
    def began(self) -> bool:
        """Has a byte of the answer come?"""
        return self._head != _AWAITED or self._room < self._most

    def pause(self) -> None:
        if not self.paused:
            self.paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        if self.paused:
            self.paused = False
            self.is_active = True
            self.transport.resume_reading()

    def throw_away(self, failure: UpstreamFailure | None = None) -> None:
        """Closes at once: a TLS farewell or a response nobody reads is not worth waiting for."""
        exchange, self.exchange = self.exchange, None
        if exchange is None:
            self.origin.leave(self)
        else:
            exchange.connection = None
            if failure is not None:
                exchange.fail(failure)
        self.transport.abort()

    # What the loop tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is one by its methods alone
        self._write: Callable[[bytes], None] = self.transport.write

    def data_received(self, data: bytes) -> None:
        exchange = self.exchange
        if exchange is None:  # Nobody asked: an answer out of turn must not become the next one's.
            self.throw_away()
            return
        self.is_active = True
        broken: Exception | None = None
        try:
            if self._head or len(data) <= self._room:
                self._feed(data)
            else:
                self._feed_long(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade, ProtocolBroken) as error:
            if self._open:
                broken = error
            else:
                self._is_kept = False  # the answer is whole; what came after it is not ours
        call = exchange.call
        assert call is not None, "an exchange that is over has left its connection"
        parts = self._parts
        try:
            # The call may cancel, post or raise in whatever it is told.
            if self._head == _CAME:
                self._head = _TOLD
                self._room = self._most
                if self._is_large:
                    exchange.body = b""  # it cannot be sent again from here
                call.on_head(self._status, self._headers)
                if exchange.call is None:
                    return
            elif not parts:
                self._room -= len(data)
            if parts:
                self._room = self._most
                body = parts[0] if len(parts) == 1 else b"".join(parts)
                parts.clear()
                call.on_body(body)
                if exchange.call is None:
                    return
            if not self._open:
                exchange.call = None
                call.on_end()
                self.exchange = None
                if self.paused or self._is_large:
                    self._recover()
                if self._is_kept:
                    self.origin.release(self)
                else:
                    self.transport.abort()
                return
        except Exception as error:  # noqa: BLE001 — handed to the loop; raised, an OSError would vanish in asyncio
            self._report(error)
            return
        if broken is not None:
            self.throw_away(self._failure_of(broken))
        elif self._room < 0:
            self._break(f"sent more than {self._most} bytes that are neither its body nor its end")

    def _feed_long(self, data: bytes) -> None:
        """A head must end within the limit, though what follows it in this read may not."""
        self._feed(data[: self._room])
        if not self._head:
            raise ProtocolBroken(self._says(f"sent more than {self._most} bytes of headers"))
        self._feed(data[self._room :])

    def eof_received(self) -> None:
        exchange = self.exchange
        if exchange is None:
            self.origin.leave(self)
        elif self._until_closed:
            call, exchange.call = exchange.call, None
            self.exchange = exchange.connection = None
            assert call is not None, "an exchange that is over has left its connection"
            try:
                call.on_end()
            except Exception as error:  # noqa: BLE001 — as above
                self._report(error)

    def connection_lost(self, _: Exception | None) -> None:
        del self._feed, self._status_code, self._keeps_alive  # the parser and we hold each other
        exchange, self.exchange = self.exchange, None
        if exchange is None:
            self.origin.lost(self)
            return
        exchange.connection = None
        # A server that closed while the request was on its way has not read it. One that closes later may have
        # begun the work, and sending it again could mean to pay twice.
        origin = self.origin
        ticks = 0 if self.is_active else origin.sweeper.tick - self.quiet_since
        if not (self.is_fresh or self.began) and ticks <= origin.stale_ticks:
            origin.lost(self, again=exchange)
            return
        origin.lost(self)
        what = (
            "closed the connection in the middle of its answer" if self.began else "closed the connection unanswered"
        )
        exchange.fail(Disconnected(self._says(what), began=self.began))

    # What the parser tells, while it is fed.

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(name) in _LENGTHS and not self._head:  # else it is a trailer: nobody asked for any
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        status = self._status = self._status_code()
        if status < 200:
            self._interim(status)
            return
        self._is_kept = self._keeps_alive()
        for name, value in self._headers:
            if name == b"content-encoding":
                self._refuse_encoding(value)
        if not self._is_kept:
            self._until_closed = not _has_length(self._headers)
        elif status in {204, 304}:
            self._is_kept = False  # some servers send a body with it, which would be taken for the next answer
        self._head = _CAME

    def _interim(self, status: int) -> None:
        """100, 103: another answer follows."""
        if status < 100 or status == 101:  # 101: it would speak something else from here on
            raise ProtocolBroken(self._says(f"answered with the status {status}"))
        self._headers = []
        self._welcome.append(None)
        self._open.append(None)

    def _refuse_encoding(self, encoding: bytes) -> None:
        """Identity was asked for. What came in another encoding nobody here can read; an error's status counts."""
        if encoding.lower() in {b"", b"identity"}:
            return
        exchange = self.exchange
        assert exchange is not None, "the parser is fed for an exchange alone"
        assert exchange.call is not None, "an exchange that is over has left its connection"
        if self._status < 400:
            shown = encoding[:40].decode("latin-1")
            raise Unreadable(self._says(f"sent an answer in the encoding {shown!r}, though none was asked for"))
        exchange.call = _HeadAlone(exchange.call)

    def _recover(self) -> None:
        """From what only some exchanges do to a connection."""
        if self.paused:
            self.resume()
        if self._is_large:
            self._is_large = False
            if self.transport.get_write_buffer_size():
                self._is_kept = False  # it answered before it had read the request

    def _report(self, error: Exception) -> None:
        """A call raised while it was told of its answer."""
        self.throw_away(CallbackRaised(f"{type(error).__name__} in our handling of {self.origin.name}'s answer"))
        self.origin.loop.call_exception_handler(
            {"message": "a call raised while it was told of its answer", "exception": error, "protocol": self}
        )

    def _failure_of(self, error: Exception) -> UpstreamFailure:
        cause = error.__context__ if isinstance(error, httptools.HttpParserCallbackError) else error
        if isinstance(cause, UpstreamFailure):
            return cause
        return ProtocolBroken(self._says(f"sent what is not HTTP/1.1: {error}"))

    def _break(self, what: str) -> None:
        self.throw_away(ProtocolBroken(self._says(what)))

    def _says(self, what: str) -> str:
        return f"{self.origin.name} {what}"


class _HeadAlone(Call):
    """Tells `call` all but the body."""

    def __init__(self, call: Call) -> None:
        super().__init__()
        self._call = call

    def on_head(self, status: int, headers: Headers) -> None:
        self._call.on_head(status, headers)

    def on_end(self) -> None:
        self._call.on_end()

    def on_failure(self, failure: UpstreamFailure) -> None:
        self._call.on_failure(failure)


def _has_length(headers: Headers) -> bool:
    """Is the body's end told, so that a connection that closes before it has cut the body off?"""
    chunked = False
    for name, value in headers:
        if name == b"content-length":
            return True
        if name == b"transfer-encoding":
            chunked = value.lower().endswith(b"chunked")  # the last of them counts
    return chunked
