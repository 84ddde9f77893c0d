"""Messages from the durable consumer, many at a time: JetStream's pull over the hot bus.

nats-py's own `fetch` waits for each message with a timer and a task, 90 µs a message; this has neither.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Final

import msgspec
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from shared.hotbus import HotBus

ACK: Final = b"+ACK"
NAK: Final = b"-NAK"  # to be delivered again at once
TERM: Final = b"+TERM"  # never again

_NOTHING_MORE: Final = frozenset({b"404", b"408"})  # no messages; the request's time is over
_USED_UP: Final = b"409"  # the next message is larger than what is left of the request's bytes, or a fault
_GRACE_S: Final = 0.5  # for the server to say that a request has expired, before it is taken for lost
_LEAVE_WITHIN_S: Final = 1.0  # where NATS stands still, whoever stops does not wait for it


class PullFault(Exception):
    """NATS, the stream, the consumer or JetStream itself is gone."""


class Message(msgspec.Struct, frozen=True, gc=False):
    payload: bytes
    reply: bytes  # where its ack goes; it tells what JetStream knows of the message

    @property
    def stored_at_s(self) -> float:
        """By the server's clock, seconds since the epoch."""
        return int(self._known[-2]) / 1e9

    @property
    def pending(self) -> int:
        """How many messages were waiting behind it as it was delivered."""
        return int(self._known[-1])

    @property
    def _known(self) -> list[bytes]:
        """`$JS.ACK.<stream>.<consumer>.<delivered>.<stream sequence>.<consumer sequence>.<time>.<pending>`; behind
        `ACK` a domain and an account, and at the end a token, where the server says those (NATS' ADR-15).
        """
        tokens = self.reply.split(b".")
        return tokens[:9] if len(tokens) < 11 else tokens[:11]


class Puller:
    """Asks for one batch at a time, of `messages` of together `size` bytes; so at most two batches are in memory.
    What was asked for before a fault may come besides.
    """

    def __init__(self, bus: HotBus, stream: str, durable: str, *, messages: int, size: int, wait_s: float) -> None:
        self._bus = bus
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{durable}".encode()
        self._inbox = ""
        self._messages = messages
        self._wait_s = wait_s
        # `no_wait` with `expires`: all that is there and no more; where there is nothing, what comes first.
        request = {"batch": messages, "max_bytes": size, "no_wait": True, "expires": int(wait_s * 1e9)}
        self._request = msgspec.json.encode(request)
        self._request_of_any_size = msgspec.json.encode({"batch": 1, "expires": int(wait_s * 1e9)})
        self._next_is_large = False  # larger than a whole batch may be: then it is fetched alone
        self._is_open = False
        self._arrived: list[Message] = []
        self._fault: str | None = None
        self._over = asyncio.Event()
        self._subscription: Subscription | None = None
        self.more_waits = False  # the last batch was as large as it may be

    async def start(self) -> None:
        """At first and after every fault. Subscribes once: nats-py renews a subscription as it reconnects."""
        self._fault = None
        self._is_open = self._next_is_large = self.more_waits = False
        if self._subscription is None:
            # A new one each time: where NATS did not answer, nats-py keeps the subscription all the same.
            self._inbox = self._bus.client.new_inbox()
            self._subscription = await self._bus.subscribe(self._inbox, self._on_message)

    def hand_back(self) -> None:
        """What has arrived and was not fetched."""
        self.answer(NAK, self._arrived)
        self._arrived = []

    async def stop(self) -> None:
        """For good. Hands back what is on its way too, where NATS is there to say what that is."""
        if self._subscription is not None and self._bus.connected:
            with suppress(NatsError, OSError, TimeoutError):
                async with asyncio.timeout(_LEAVE_WITHIN_S):
                    if self._is_open and self.more_waits:
                        await self._over.wait()  # else JetStream might send it to an inbox that is no more
                    await self._bus.unsubscribe(self._subscription)
        self.hand_back()

    async def fetch(self) -> Sequence[Message]:
        """What waits, up to one batch; where nothing does, what comes first; nothing after `wait_s`.

        Where more waits than a batch, the next one is on its way as this returns. Raises PullFault.
        """
        if not self._is_open:
            self._open()
        try:
            async with asyncio.timeout(self._wait_s + _GRACE_S):
                await self._over.wait()
        except TimeoutError:
            self.more_waits = False
            if not self._arrived:
                raise PullFault("no answer from JetStream") from None
        self._is_open = False
        if self._fault is not None:
            raise PullFault(self._fault)
        arrived, self._arrived = self._arrived, []
        if self.more_waits:
            self._open()
        return arrived

    def answer(self, verdict: bytes, messages: Iterable[Message]) -> None:
        """Leaves in one write. What is lost of it while NATS is away comes again."""
        for message in messages:
            self._bus.publish(message.reply, verdict)

    def _open(self) -> None:
        self._is_open = True
        self._over.clear()
        request = self._request_of_any_size if self._next_is_large else self._request
        self._bus.publish(self._subject, request, self._inbox.encode())

    def _on_message(self, _subject: bytes, reply: bytes, payload: bytes, status: bytes) -> None:
        if not status:
            self._arrived.append(Message(payload, reply))
            if len(self._arrived) < self._messages and not self._next_is_large:
                return
            self._next_is_large = False
            self.more_waits = True
        elif status in _NOTHING_MORE:
            self.more_waits = False
        elif status == _USED_UP and not self._next_is_large:  # or the consumer is gone: the next request will tell
            self._next_is_large = not self._arrived
            self.more_waits = True
        else:
            self._fault = f"JetStream says {status.decode()}"
        self._over.set()
