"""What nats-py reads with on the hot bus: its parser and its transport, with a short way past both.

nats-py reads through a stream, a future and a task: three turns of the loop between a packet and its message.
Messages of hot subscriptions take none: they are handed over as the socket gives them. All else goes nats-py's way,
and what comes behind it too, until nats-py has caught up: so nothing is overtaken.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, TypeAlias, cast
from urllib.parse import ParseResult

from nats.aio.client import Client
from nats.aio.transport import TcpTransport
from nats.errors import ProtocolError
from nats.protocol.parser import Parser

# subject, reply subject or b"", payload, the status of a message without a body ("503": nobody is there) or b""
HotCallback: TypeAlias = Callable[[bytes, bytes, bytes, bytes], None]

_CRLF: Final = b"\r\n"
_STATUS_LINE: Final = b"NATS/1.0 "
_DONE: Final = -1


class HotParser(Parser):
    """nats-py's parser contract with one pass over the bytes."""

    def __init__(self, client: Client) -> None:
        self.callbacks: dict[bytes, HotCallback] = {}  # by subscription id, as it is written
        self.caught_up: Callable[[], None] | None = None  # told whenever nats-py has parsed what it had read
        super().__init__(client)

    def reset(self) -> None:
        """nats-py calls this as it reconnects: what was half received will never be whole."""
        super().reset()
        self._parts: list[bytes] = []
        self._received = 0  # in `_parts`
        self._needed = 0  # bytes until the message in `_parts` is whole; 0: a line is awaited
        self._epoch = getattr(self, "_epoch", 0) + 1

    async def parse(self, data: bytes = b"") -> None:
        """nats-py's way. Raises nats' ProtocolError for what no server sends; nats-py reconnects then."""
        data = self._whole(data)
        position, epoch = 0, self._epoch
        while (position := self._hear(data, position)) != _DONE:
            position = await self._parse_one(data, position)
            if self._epoch != epoch:
                return
        if self.caught_up is not None:
            self.caught_up()

    def hear(self, data: bytes) -> bytes:
        """The short way. Returns what is nats-py's to parse: the first thing that is not hot, and all behind it."""
        data = self._whole(data)
        position = self._hear(data, 0)
        return b"" if position == _DONE else data[position:]

    def _whole(self, data: bytes) -> bytes:
        """`data` with what was kept before it; nothing as long as that is not a message."""
        if not self._parts:
            return data
        self._parts.append(data)
        self._received += len(data)
        if self._received < self._needed:
            return b""
        data = b"".join(self._parts)
        self._parts = []
        return data

    def _hear(self, data: bytes, position: int) -> int:
        """Hands hot messages over, from `position` on. Where something else stands; _DONE at the end."""
        end, find, callbacks = len(data), data.find, self.callbacks
        while position < end:
            line_end = find(_CRLF, position)
            if line_end < 0:
                self._keep(data, position, 0)
                return _DONE
            first = data[position]
            if first not in (77, 72):  # neither MSG nor HMSG
                return position
            has_headers = first == 72
            arguments = data[position + 4 + has_headers : line_end].split()
            try:
                sid = arguments[1]
                size = int(arguments[-1])
                header_size = int(arguments[-2]) if has_headers else 0
            except (ValueError, IndexError):
                return position
            callback = callbacks.get(sid)
            if size < header_size or (callback is None and not sid.isdigit()):
                return position
            start = line_end + 2
            message_end = start + size
            if message_end + 2 > end:
                self._keep(data, position, message_end + 2 - position)
                return _DONE
            if callback is None:
                return position
            reply = arguments[2] if len(arguments) == 4 + has_headers else b""
            status = _status(data[start : start + header_size]) if has_headers else b""
            position = message_end + 2
            try:
                callback(arguments[0], reply, data[start + header_size : message_end], status)
            except Exception as error:  # noqa: BLE001 - one message's bug must not end the reading of all others
                asyncio.get_running_loop().call_exception_handler(
                    {"message": f"a callback of {arguments[0].decode()} failed", "exception": error}
                )
        return _DONE

    async def _parse_one(self, data: bytes, position: int) -> int:
        """One line or message that is not hot, as `_hear` found it: whole. Returns where it ends."""
        line_end = data.find(_CRLF, position)
        if data[position] not in (77, 72):
            if data.startswith(b"PONG", position):
                self._expect_pong()
            await super().parse(data[position : line_end + 2])
            return line_end + 2
        has_headers = data[position] == 72
        arguments = data[position + 4 + has_headers : line_end].split()
        try:
            sid, size = int(arguments[1]), int(arguments[-1])
            header_size = int(arguments[-2]) if has_headers else 0
        except (ValueError, IndexError):
            raise ProtocolError from None
        if size < header_size:
            raise ProtocolError
        start = line_end + 2
        reply = arguments[2] if len(arguments) == 4 + has_headers else b""
        headers = data[start : start + header_size] if has_headers else None
        payload = data[start + header_size : start + size]
        await self.nc._process_msg(sid, arguments[0], reply, payload, headers)
        return start + size + 2

    def _expect_pong(self) -> None:
        """The PONG of a flush that nobody waited for any longer would end nats-py's reading, without a word."""
        pongs = self.nc._pongs
        if pongs and pongs[0].done():
            pongs[0] = asyncio.get_running_loop().create_future()

    def _keep(self, data: bytes, position: int, needed: int) -> None:
        self._parts = [data[position:]]
        self._received = len(data) - position
        self._needed = needed


class HotTransport(TcpTransport):
    """nats-py's TCP connection; between its socket and its stream stands an `_Ear`. With TLS there is none.

    `heard` is called after each packet that came the short way.
    """

    def __init__(self, parser: HotParser, heard: Callable[[], None]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._parser = parser
        self._heard = heard
        self.is_hot = False
        parser.caught_up = self._caught_up

    def __bool__(self) -> bool:
        """Always: so nats-py makes no transport of its own in its place."""
        return True

    async def connect(self, uri: ParseResult, buffer_size: int, connect_timeout: int) -> None:
        self.is_hot = False
        await super().connect(uri, buffer_size, connect_timeout)
        assert self._io_writer is not None
        socket = self._io_writer.transport
        socket.set_protocol(_Ear(cast("asyncio.Protocol", socket.get_protocol()), self))

    def hear(self, data: bytes, stream: asyncio.Protocol) -> None:
        if self.is_hot:
            data = self._parser.hear(data)
            self._heard()
            if not data:
                return
            self.is_hot = False
        stream.data_received(data)

    def _caught_up(self) -> None:
        """Nothing waits in the stream: what comes next can be heard at once. (With TLS nothing comes here.)"""
        reader = self._io_reader
        self.is_hot = reader is self._bare_io_reader and not cast("Any", reader)._buffer


class _Ear(asyncio.Protocol):
    """Has `HotTransport` hear what comes before the stream's own protocol does."""

    def __init__(self, stream: asyncio.Protocol, transport: HotTransport) -> None:
        self._stream = stream
        self._transport = transport
        # All but `data_received` is the stream's alone.
        self.eof_received = stream.eof_received  # type: ignore[method-assign]
        self.connection_lost = stream.connection_lost  # type: ignore[method-assign]
        self.pause_writing = stream.pause_writing  # type: ignore[method-assign]
        self.resume_writing = stream.resume_writing  # type: ignore[method-assign]

    def data_received(self, data: bytes) -> None:
        self._transport.hear(data, self._stream)


def _status(headers: bytes) -> bytes:
    """`503` of `NATS/1.0 503`; nothing where there is no status."""
    return headers[9:12] if headers.startswith(_STATUS_LINE) and len(headers) > 12 else b""
