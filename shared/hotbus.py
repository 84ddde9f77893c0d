"""The hot subjects' NATS client: nats-py's connection, with callbacks in place of queues and tasks.

nats-py keeps what it is good at: connecting, reconnecting, JetStream, KV. For the subjects subscribed here a
message costs no queue, no task and no timer (5 µs instead of 23; hot_wire.py), and what is published while one packet
is handled, or else within one turn of the loop, leaves in one write. It leans on nats-py's private parser and
transport, hence the pin to 2.16.

What it does not do: queue while NATS is away. What is published then is dropped, and `on_lost` has told everyone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TypeAlias

from nats.aio.client import Client
from nats.aio.subscription import Subscription

from shared.hot_wire import HotCallback, HotParser, HotTransport

Listener: TypeAlias = Callable[[], None]

NO_RESPONDERS: Final = b"503"
RECONNECT_EVERY_S: Final = 0.1
SUBSCRIBED_WITHIN_S: Final = 10.0
UNSUBSCRIBED_WITHIN_S: Final = 1.0  # whoever stops has five seconds for all of it
_CRLF: Final = b"\r\n"


class HotBus:
    """One connection. Subjects and payloads are bytes; whoever publishes keeps to NATS' `max_payload`.

    Subjects come from our own ids, never from a caller's text, so they are not validated here.
    """

    def __init__(self, client: Client) -> None:
        self.client = client
        self._loop = asyncio.get_running_loop()
        self.time: Callable[[], float] = time.monotonic  # seconds; uvloop's own clock knows milliseconds only
        self._parser = HotParser(client)
        client._ps = self._parser
        client._transport = HotTransport(self._parser, self._flush_what_is_due)
        self._out: list[bytes] = []
        self._flush_is_due = False
        self._pongs: set[asyncio.Future[bool]] = set()  # of the flushes under way
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
            bus._give_pongs_up()
            bus._tell(bus._lost)

        async def back() -> None:
            bus._tell(bus._back)

        async def error(_: Exception) -> None:
            """Reconnecting is the answer to every error here, and `lost` has told of it."""

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
        self._parser.callbacks[b"%d" % subscription._id] = callback
        # NATS knows of it from here on; one that is away will hear of it from nats-py, ahead of all that comes later.
        await self.flush(SUBSCRIBED_WITHIN_S)
        return subscription

    async def unsubscribe(self, subscription: Subscription) -> None:
        await subscription.unsubscribe()
        await self.flush(UNSUBSCRIBED_WITHIN_S)  # what NATS had sent before it heard of this has been handled
        self._parser.callbacks.pop(b"%d" % subscription._id, None)

    async def flush(self, within_s: float) -> bool:
        """Whether NATS has read all that was published before; what it had sent until then has been handled. False as
        soon as it is away: nats-py's own flush waits ten seconds for the answer of a server that died meanwhile.
        """
        self._flush()
        if not self.connected:
            return False
        pong: asyncio.Future[bool] = self._loop.create_future()
        self._pongs.add(pong)
        try:
            async with asyncio.timeout(within_s):
                await self.client._send_ping(pong)
                return await pong
        except (TimeoutError, RuntimeError):  # RuntimeError: as in `_flush`
            return False
        finally:
            self._pongs.discard(pong)

    def publish(self, subject: bytes, payload: bytes, reply: bytes = b"") -> None:
        """Leaves with the other messages of this packet or this turn of the loop, in the order of the calls."""
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
        self._flush_is_due = True
        self._flush()
        if not self.client.is_closed:
            await self.client.close()

    def _flush_what_is_due(self) -> None:
        """What the messages of a packet had published leaves at once, not a turn later."""
        if self._flush_is_due:
            self._flush()

    def _flush(self) -> None:
        if not self._flush_is_due:
            return  # it has left already
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
            with suppress(RuntimeError):  # of a socket whose end nats-py has yet to hear of: `lost` is on its way
                client._transport.write(b"".join(out))

    def _give_pongs_up(self) -> None:
        for pong in self._pongs:
            if not pong.done():
                pong.set_result(False)

    def _tell(self, listeners: list[Listener]) -> None:
        for listener in listeners:
            listener()


async def _cold(_: object) -> None:
    """Never called: the parser hands a hot subscription's messages to its callback."""
