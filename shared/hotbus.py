"""The hot subjects' NATS client: nats-py's connection with a synchronous parser and callbacks on top.

nats-py keeps what it is good at: connecting, reconnecting, JetStream, KV. For the subjects subscribed here a
message costs no queue, no task and no timer (5 µs instead of 23), and whatever is published within one turn of
the loop leaves in one write. It leans on nats-py's private parser and transport, hence the pin to 2.16.

What it does not do: queue while NATS is away. What is published then is dropped, and `on_lost` has told everyone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, TypeAlias

from nats.aio.client import Client
from nats.aio.subscription import Subscription
from nats.errors import ProtocolError
from nats.protocol.parser import Parser

# subject, reply subject or b"", payload, the status of a message without a body ("503": nobody is there) or b""
HotCallback: TypeAlias = Callable[[bytes, bytes, bytes, bytes], None]
Listener: TypeAlias = Callable[[], None]

NO_RESPONDERS: Final = b"503"
RECONNECT_EVERY_S: Final = 0.1
_CRLF: Final = b"\r\n"
_STATUS_LINE: Final = b"NATS/1.0 "


class HotBus:
    """One connection. Subjects and payloads are bytes; whoever publishes keeps to NATS' `max_payload`.

    Subjects come from our own ids, never from a caller's text, so they are not validated here.
    """

    def __init__(self, client: Client) -> None:
        self.client = client
        self._loop = asyncio.get_running_loop()
        self.time: Callable[[], float] = self._loop.time  # seconds, monotonic
        self._parser = HotParser(client)
        self._out: list[bytes] = []
        self._flush_is_due = False
        self._lost: list[Listener] = []
        self._back: list[Listener] = []
        # Called as a write begins; what it returns goes out ahead of all else in it (usage before the answer).
        self.before_write: Callable[[], list[bytes]] | None = None

    @classmethod
    async def connect(cls, url: str, name: str) -> HotBus:
        """Waits until NATS is there, however long that takes; afterwards reconnects for ever."""
        client = Client()
        bus = cls(client)

        async def lost() -> None:
            bus._tell(bus._lost)

        async def back() -> None:
            bus._tell(bus._back)

        async def error(_: Exception) -> None:
            """Reconnecting is the answer to every error here, and `lost` has told of it."""

        client._ps = bus._parser
        await client.connect(
            url,
            name=name,
            allow_reconnect=True,
            max_reconnect_attempts=-1,
            reconnect_time_wait=RECONNECT_EVERY_S,  # type: ignore[arg-type]  # asyncio.sleep takes it
            connect_timeout=2,
            ping_interval=10,
            disconnected_cb=lost,
            reconnected_cb=back,
            error_cb=error,
        )
        return bus

    @property
    def connected(self) -> bool:
        return self.client.is_connected

    def on_lost(self, listener: Listener) -> None:
        self._lost.append(listener)

    def on_back(self, listener: Listener) -> None:
        self._back.append(listener)

    async def subscribe(self, subject: str, callback: HotCallback, queue: str = "") -> Subscription:
        """`callback` is called from the parser: it must not block, and what it raises goes to the loop's handler."""
        subscription = await self.client.subscribe(subject, queue=queue, cb=_cold)
        self._parser.callbacks[subscription._id] = callback
        await self.client.flush()  # NATS knows of it from here on
        return subscription

    async def unsubscribe(self, subscription: Subscription) -> None:
        await subscription.unsubscribe()
        await self.client.flush()  # what NATS had sent before it heard of this has been handled
        self._parser.callbacks.pop(subscription._id, None)

    def publish(self, subject: bytes, payload: bytes, reply: bytes = b"") -> None:
        """Leaves with the other messages of this turn of the loop, in the order of the calls."""
        self._out += (b"PUB %b %b %d\r\n" % (subject, reply, len(payload)), payload, _CRLF)
        if not self._flush_is_due:
            self._flush_is_due = True
            self._loop.call_soon(self._flush)

    def write(self, wire: bytes) -> None:
        """A whole protocol message of the caller's making, such as one with headers."""
        self._out.append(wire)
        self.wake()

    def wake(self) -> None:
        """Makes a write of this turn, for what `before_write` has."""
        if not self._flush_is_due:
            self._flush_is_due = True
            self._loop.call_soon(self._flush)

    async def close(self) -> None:
        self._flush()
        if not self.client.is_closed:
            await self.client.close()

    def _flush(self) -> None:
        self._flush_is_due = False
        out = self._out
        self._out = []
        if self.before_write is not None:
            try:
                out = self.before_write() + out
            except Exception as error:  # noqa: BLE001 - whoever adds to a write must not take the others' messages along
                self._loop.call_exception_handler({"message": "before_write failed", "exception": error})
        client = self.client
        if out and client.is_connected and client._transport is not None:
            client._transport.write(b"".join(out))

    def _tell(self, listeners: list[Listener]) -> None:
        for listener in listeners:
            listener()


class HotParser(Parser):
    """nats-py's parser contract with one pass over the bytes.

    Messages of hot subscriptions are handed over at once; all others go to nats-py, as does every line that is
    no message.
    """

    def __init__(self, client: Client) -> None:
        super().__init__(client)
        self.callbacks: dict[int, HotCallback] = {}

    def reset(self) -> None:
        """nats-py calls this as it reconnects: what was half received will never be whole."""
        super().reset()
        self._parts: list[bytes] = []
        self._received = 0  # in `_parts`
        self._needed = 0  # bytes until the message in `_parts` is whole; 0: a line is awaited
        self._epoch = getattr(self, "_epoch", 0) + 1

    async def parse(self, data: bytes = b"") -> None:
        """Raises nats' ProtocolError for what no server sends; nats-py reconnects then."""
        if self._parts:
            self._parts.append(data)
            self._received += len(data)
            if self._received < self._needed:
                return
            data = b"".join(self._parts)
            self._parts = []
        position, end, epoch = 0, len(data), self._epoch
        find, callbacks = data.find, self.callbacks
        while position < end:
            line_end = find(_CRLF, position)
            if line_end < 0:
                self._keep(data, position, 0)
                return
            first = data[position]
            if first not in (77, 72):  # neither MSG nor HMSG
                await super().parse(data[position : line_end + 2])
                if self._epoch != epoch:
                    return
                position = line_end + 2
                continue
            has_headers = first == 72
            arguments = data[position + 4 + has_headers : line_end].split()
            try:
                sid, size = int(arguments[1]), int(arguments[-1])
                header_size = int(arguments[-2]) if has_headers else 0
            except (ValueError, IndexError):
                raise ProtocolError from None
            start = line_end + 2
            message_end = start + size
            if message_end + 2 > end:
                self._keep(data, position, message_end + 2 - position)
                return
            reply = arguments[2] if len(arguments) == 4 + has_headers else b""
            payload = data[start + header_size : message_end]
            position = message_end + 2
            callback = callbacks.get(sid)
            if callback is None:
                headers = data[start : start + header_size] if has_headers else None
                await self.nc._process_msg(sid, arguments[0], reply, payload, headers)
                if self._epoch != epoch:
                    return
                continue
            status = _status(data[start : start + header_size]) if has_headers else b""
            try:
                callback(arguments[0], reply, payload, status)
            except Exception as error:  # noqa: BLE001 - one message's bug must not end the reading of all others
                asyncio.get_running_loop().call_exception_handler(
                    {"message": f"a callback of {arguments[0].decode()} failed", "exception": error}
                )

    def _keep(self, data: bytes, position: int, needed: int) -> None:
        self._parts = [data[position:]]
        self._received = len(data) - position
        self._needed = needed


def _status(headers: bytes) -> bytes:
    """`503` of `NATS/1.0 503`; nothing where there is no status."""
    return headers[9:12] if headers.startswith(_STATUS_LINE) and len(headers) > 12 else b""


async def _cold(_: object) -> None:
    """Never called: the parser hands a hot subscription's messages to its callback."""
