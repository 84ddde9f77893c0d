"""The requests that callers wait for: sent to the classifier, their frames brought back, their ends watched.

Every call ends in exactly one of: an answer, a refusal, its caller's leaving. One sweeper watches all deadlines
and all deaths. What a dead process held, and has not begun to answer, is sent once more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final, Protocol

import msgspec

from services.ingress import errors
from services.ingress.deaths import DeathWatch
from services.ingress.metrics import Counts
from shared.contracts import (
    INGRESS_ID_LENGTH,
    MAX_INLINE_BYTES,
    STREAM_CREDIT,
    AnswerHead,
    BodyWanted,
    CallerLeft,
    CreditGranted,
    Frame,
    PlanRefused,
    Refusal,
    RequestReceived,
    encode,
    inbox,
    pack,
    unpack,
)
from shared.hotbus import NO_RESPONDERS, HotBus

MAX_IN_FLIGHT: Final = 8192
MAX_INLINE_IN_FLIGHT: Final = 128 * 1024 * 1024  # bytes of bodies: half of what NATS keeps for one slow reader
SWEEP_EVERY_S: Final = 0.1
DEADLINE_GRACE_S: Final = 0.3  # the dispatcher says 504 first, and knows more; we say it where nobody else can
CREDIT_STEP: Final = STREAM_CREDIT // 2
YOUNG_S: Final = 1.0  # nobody is asked about calls younger than this: most end before
AGAIN_WITHIN_S: Final = 2.0  # a killed process is started again in one; nobody waits longer for another to take over
AGAIN_BYTES: Final = 8 * 1024 * 1024  # sent again in one sweep, so that a death does not become a flood

_answer_head = msgspec.msgpack.Decoder(AnswerHead)
_refused = msgspec.msgpack.Decoder(PlanRefused)
_wanted = msgspec.msgpack.Decoder(BodyWanted)

_ROUTES: Final = {name: f"{RequestReceived.subject}.{name}".encode() for name in ("interactive", "normal",
                                                                                  "background", "bulk")}  # fmt: skip
_CREDIT: Final = encode(CreditGranted(CREDIT_STEP))


class Caller(Protocol):
    """The connection that waits: fast.py's protocol, for now."""

    @property
    def is_slow(self) -> bool:
        """It has not taken what was written; no more credit until it has."""

    def answer(self, call: Call, head: AnswerHead, body: bytes) -> None: ...
    def refuse(self, call: Call, refusal: Refusal, plan: PlanRefused | None = None) -> None: ...
    def begin(self, call: Call, head: AnswerHead) -> None: ...
    def chunk(self, call: Call, data: bytes) -> None: ...
    def end(self, call: Call, data: bytes) -> None: ...
    def abort(self, call: Call) -> None: ...


class Call:
    """One request of one caller. What was sent is kept until an answer begins: it may have to be sent again."""

    __slots__ = (
        "began_at", "body", "caller", "chunks", "deadline", "flight", "head", "inline", "number", "once", "received",
        "request_id", "send", "sent_at",
    )  # fmt: skip
    # Set as it is sent; seconds on the bus' clock.
    began_at: float
    sent_at: float  # the last time; while it waits to be sent again: since when
    deadline: float

    def __init__(self, request_id: str, caller: Caller) -> None:
        self.request_id = request_id
        self.caller = caller
        self.number = request_id[INGRESS_ID_LENGTH:].encode()  # what frames call it
        self.send = 0
        self.once = False  # its caller named an Idempotency-Key: it must not be paid twice
        self.received: RequestReceived | None = None
        self.inline = b""  # what was sent behind `received`: the body, or the head of a large one
        self.body: bytes | bytearray | None = None  # a large one, while a dispatcher may still ask for it
        self.head: AnswerHead | None = None  # once the answer has begun
        self.flight = b""  # the inbox of the dispatcher that answers
        self.chunks = 0  # taken by the caller since credit was last granted


class Calls:
    def __init__(self, bus: HotBus, ingress_id: str, counts: Counts) -> None:
        self._bus = bus
        self._ingress_id = ingress_id
        self._inbox = inbox(ingress_id, "").encode()
        self._calls: dict[bytes, Call] = {}
        self._inline_bytes = 0
        self.counts = counts
        self._deaths = DeathWatch(bus, ingress_id, self._doubtful, self._on_lost)
        self.liveness = self._deaths.liveness
        self._to_send_again: dict[bytes, Call] = {}
        self._swept_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        await self._bus.subscribe(f"_INBOX.{self._ingress_id}", self._on_frame)
        await self._bus.subscribe(inbox(self._ingress_id, "*"), self._on_undelivered)
        await self._deaths.start()
        self._bus.on_lost(self._on_bus_lost)
        self._swept_at = self._bus.time()
        self._sweep()

    def stop(self) -> None:
        """Whoever still waits is told to come again."""
        if self._timer is not None:
            self._timer.cancel()
        for call in list(self._calls.values()):
            self._call_off(call, "stopping")
            self._fail(call, errors.STOPPING)

    @property
    def in_flight(self) -> int:
        return len(self._calls)

    # From the door ------------------------------------------------------------------------------------------

    def send(self, call: Call, received: RequestReceived, inline: bytes) -> Refusal | None:
        """Off to a classifier, or why not. `inline` is the whole body, or the head of the one that `call.body` is."""
        bus = self._bus
        if not bus.connected:
            return errors.NATS_AWAY
        if len(self._calls) >= MAX_IN_FLIGHT or self._inline_bytes > MAX_INLINE_IN_FLIGHT:
            return errors.OVERLOADED
        call.received = received
        call.inline = inline
        call.began_at = call.sent_at = now = bus.time()
        call.deadline = now + received.deadline_ms / 1000 + DEADLINE_GRACE_S
        self._calls[call.number] = call
        self._inline_bytes += len(inline)
        self._publish(call, received)
        return None

    def left(self, call: Call) -> None:
        """The caller hung up."""
        if call.number in self._calls:
            self._end(call, 499)
            self._call_off(call, "hung_up")

    def taken(self, call: Call) -> None:
        """The caller has taken what was written: what was held back of its credit is granted."""
        while call.chunks >= CREDIT_STEP:
            call.chunks -= CREDIT_STEP
            self._bus.publish(call.flight, bytes((Frame.CREDIT, call.send)) + _CREDIT)

    def _publish(self, call: Call, received: RequestReceived) -> None:
        reply = self._inbox + call.request_id.encode()
        self._bus.publish(_ROUTES[received.priority or "normal"], pack(received, call.inline), reply)

    # From the bus -------------------------------------------------------------------------------------------

    def _on_frame(self, _subject: bytes, reply: bytes, payload: bytes, _status: bytes) -> None:
        start = 3 + payload[2]
        call = self._calls.get(payload[3:start])
        if call is None or payload[1] != call.send:
            return  # it has ended, or its sender was taken for dead
        kind = payload[0]
        if kind == Frame.ANSWER:
            packed, body = unpack(payload, start)
            head = _answer_head.decode(packed)
            self._end(call, head.status)
            call.caller.answer(call, head, body)
        elif kind == Frame.CHUNK:
            call.caller.chunk(call, payload[start:])
            call.chunks += 1
            if call.chunks >= CREDIT_STEP and not call.caller.is_slow:
                self.taken(call)
        elif kind == Frame.END:
            self._end(call, call.head.status if call.head is not None else 200)
            call.caller.end(call, payload[start:])
        elif kind == Frame.HEAD:
            self._forget_what_was_sent(call)
            call.flight = reply
            call.head = _answer_head.decode(payload[start:])
            call.caller.begin(call, call.head)
        elif kind == Frame.REFUSED:
            refused = _refused.decode(payload[start:])
            self._end(call, refused.refusal.status)
            call.caller.refuse(call, refused.refusal, refused)
        elif kind == Frame.BODY_WANTED:
            self._send_body(call, reply, _wanted.decode(payload[start:]))

    def _on_undelivered(self, subject: bytes, _reply: bytes, _payload: bytes, status: bytes) -> None:
        call = self._calls.get(subject[len(self._inbox) + INGRESS_ID_LENGTH :])
        if call is not None and status == NO_RESPONDERS:
            self._fail(call, errors.NO_CLASSIFIER)

    def _send_body(self, call: Call, to: bytes, wanted: BodyWanted) -> None:
        body = call.body
        if body is None:
            return
        end = min(wanted.offset + wanted.length, len(body))
        mark = bytes((Frame.BODY, call.send))
        for start in range(wanted.offset, end, MAX_INLINE_BYTES):
            self._bus.publish(to, mark + body[start : min(start + MAX_INLINE_BYTES, end)])

    def _on_bus_lost(self) -> None:
        for call in list(self._calls.values()):
            self._fail(call, errors.NATS_AWAY)

    # Ends ---------------------------------------------------------------------------------------------------

    def _end(self, call: Call, status: int) -> None:
        del self._calls[call.number]
        self._inline_bytes -= len(call.inline)
        call.inline = b""
        self.counts.ended(status, self._bus.time() - call.began_at)

    def _forget_what_was_sent(self, call: Call) -> None:
        self._inline_bytes -= len(call.inline)
        call.inline = b""
        call.body = None

    def _call_off(self, call: Call, because: str, send: int = -1) -> None:
        """Whoever works on it learns that nobody waits for it any more."""
        self._bus.publish(f"{CallerLeft.subject}.{call.request_id}".encode(), encode(CallerLeft(because, send)))

    def _fail(self, call: Call, refusal: Refusal) -> None:
        """No frame will end this call any more: we do, in the form that its answer has by now."""
        self._end(call, refusal.status)
        if call.head is None:
            call.caller.refuse(call, refusal)
        elif call.head.body_bytes < 0:
            call.caller.end(call, errors.event(refusal, call.request_id))
        else:
            call.caller.abort(call)  # within a body of announced length there is no other way to say it

    def _sweep(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(SWEEP_EVERY_S, self._sweep)
        now = self._bus.time()
        if now - self._swept_at > 5 * SWEEP_EVERY_S:
            self._deaths.deaf()  # it was us who stood still
        self._swept_at = now
        for call in [call for call in self._calls.values() if now >= call.deadline]:
            self._call_off(call, "deadline")
            assert call.received is not None
            self._fail(call, errors.deadline(call.received.deadline_ms))
        if self._bus.connected:
            self._deaths.watch(now)
            if self._to_send_again:
                self._send_again(now)

    # Deaths -------------------------------------------------------------------------------------------------

    def _doubtful(self, silent: set[str], now: float) -> list[str]:
        """Whoever has begun to answer is known; the others may be with any of the silent."""
        return [
            call.request_id
            for call in self._calls.values()
            if (_holder(call) in silent if call.flight else now - call.sent_at >= YOUNG_S)
            and call.number not in self._to_send_again
        ]

    def _on_lost(self, request_ids: Iterable[str]) -> None:
        for request_id in request_ids:
            call = self._calls.get(request_id[INGRESS_ID_LENGTH:].encode())
            if call is None:
                continue
            # Its holder may only be frozen: what it does when it thaws would be paid, and for nobody.
            self._call_off(call, "given_up", call.send)
            if call.send or call.head is not None:
                self._fail(call, errors.HOLDER_DIED)
            elif call.once:
                self._fail(call, errors.MAY_HAVE_RUN)
            else:
                call.send = 1
                call.sent_at = self._bus.time()
                self._to_send_again[call.number] = call

    def _send_again(self, now: float) -> None:
        """To whoever takes over. Where only one of a kind ran, it is awaited."""
        somebody = self.liveness.living("classifier") and self.liveness.living("dispatcher")
        room = AGAIN_BYTES
        for number, call in list(self._to_send_again.items()):
            if self._calls.get(number) is not call:
                del self._to_send_again[number]
            elif somebody and room > 0:
                del self._to_send_again[number]
                room -= len(call.inline)
                self._publish_again(call, now)
            elif not somebody and now - call.sent_at >= AGAIN_WITHIN_S:
                del self._to_send_again[number]
                self._fail(call, errors.HOLDER_DIED)

    def _publish_again(self, call: Call, now: float) -> None:
        assert call.received is not None
        call.sent_at = now
        waited_ms = int((now - call.began_at) * 1000)
        left_ms = max(1, call.received.deadline_ms - waited_ms)
        self._publish(call, msgspec.structs.replace(call.received, send=1, deadline_ms=left_ms, waited_ms=waited_ms))


def _holder(call: Call) -> str:
    return call.flight.split(b".")[1].decode()  # of inbox(instance, request_id)
