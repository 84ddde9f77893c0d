"""The requests that callers wait for: sent to the classifier, their frames brought back, their ends watched.

Every call ends in exactly one of: an answer, a refusal, its caller's leaving. One sweeper watches all deadlines
and all deaths.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

import msgspec

from services.ingress import errors
from services.ingress.liveness import Inquiry, Liveness
from services.ingress.metrics import Counts
from shared.contracts import (
    MAX_INLINE_BYTES,
    STREAM_CREDIT,
    AnswerHead,
    Beat,
    BodyWanted,
    CallerLeft,
    ClaimAsked,
    Claimed,
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
SWEEP_EVERY_S: Final = 0.1
DEADLINE_GRACE_S: Final = 0.3  # the dispatcher says 504 first, and knows more; we say it where nobody else can
CREDIT_STEP: Final = STREAM_CREDIT // 2
CLAIM_EVERY_S: Final = 0.5
YOUNG_S: Final = 1.0  # nobody is asked about calls younger than this: most end before

_answer_head = msgspec.msgpack.Decoder(AnswerHead)
_refused = msgspec.msgpack.Decoder(PlanRefused)
_wanted = msgspec.msgpack.Decoder(BodyWanted)
_beat = msgspec.msgpack.Decoder(Beat)
_claimed = msgspec.msgpack.Decoder(Claimed)

_ROUTES: Final = {name: f"{RequestReceived.subject}.{name}".encode() for name in ("interactive", "normal",
                                                                                  "background", "bulk")}  # fmt: skip
_CREDIT: Final = bytes((Frame.CREDIT, 0)) + encode(CreditGranted(CREDIT_STEP))


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
    """One request of one caller. `body` is kept only while a dispatcher may still ask for it."""

    __slots__ = ("body", "caller", "chunks", "deadline", "deadline_ms", "flight", "head", "request_id", "send",
                 "sent_at")  # fmt: skip

    def __init__(self, request_id: str, caller: Caller) -> None:
        self.request_id = request_id
        self.caller = caller
        self.send = 0
        self.sent_at = 0.0
        self.deadline = 0.0
        self.deadline_ms = 0
        self.body: bytes | None = None
        self.head: AnswerHead | None = None  # once the answer has begun
        self.flight = b""  # the inbox of the dispatcher that answers
        self.chunks = 0  # taken by the caller since credit was last granted


class Calls:
    def __init__(self, bus: HotBus, ingress_id: str, counts: Counts) -> None:
        self._bus = bus
        self._ingress_id = ingress_id
        self._prefix_length = len(inbox(ingress_id, ""))
        self._calls: dict[bytes, Call] = {}
        self.counts = counts
        self.liveness = Liveness()
        self._swept_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._inquiry: Inquiry | None = None
        self._next_inquiry = 0.0
        self._questions = 0

    async def start(self) -> None:
        await self._bus.subscribe(inbox(self._ingress_id, "*"), self._on_frame)
        await self._bus.subscribe(inbox(self._ingress_id, "claimed.*"), self._on_claimed)
        await self._bus.subscribe(f"{Beat.subject}.*", self._on_beat)
        self._bus.on_lost(self._on_bus_lost)
        self._bus.on_back(lambda: self.liveness.deaf(self._bus.time()))
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

    def send(self, call: Call, received: RequestReceived, body: bytes) -> Refusal | None:
        """Off to a classifier, or why not. `body` is the whole, or the head of the one that `call.body` holds."""
        if not self._bus.connected:
            return errors.NATS_AWAY
        if len(self._calls) >= MAX_IN_FLIGHT:
            return errors.OVERLOADED
        now = self._bus.time()
        call.sent_at = now
        call.deadline_ms = received.deadline_ms
        call.deadline = now + received.deadline_ms / 1000 + DEADLINE_GRACE_S
        self._calls[call.request_id.encode()] = call
        reply = inbox(self._ingress_id, call.request_id).encode()
        self._bus.publish(_ROUTES[received.priority or "normal"], pack(received, body), reply)
        return None

    def left(self, call: Call) -> None:
        """The caller hung up."""
        if self._calls.pop(call.request_id.encode(), None) is not None:
            self._call_off(call, "hung_up")
            self.counts.ended(499, self._bus.time() - call.sent_at)

    def taken(self, call: Call) -> None:
        """The caller has taken what was written: what was held back of its credit is granted."""
        while call.chunks >= CREDIT_STEP:
            call.chunks -= CREDIT_STEP
            self._bus.publish(call.flight, _CREDIT)

    # From the bus -------------------------------------------------------------------------------------------

    def _on_frame(self, subject: bytes, reply: bytes, payload: bytes, status: bytes) -> None:
        call = self._calls.get(subject[self._prefix_length :])
        if call is None:
            return
        if status == NO_RESPONDERS:
            self._fail(call, errors.NO_CLASSIFIER)
            return
        kind, send = payload[0], payload[1]
        if send != call.send:
            return  # from a dispatcher that was taken for dead
        if kind == Frame.ANSWER:
            packed, body = unpack(payload, 2)
            head = _answer_head.decode(packed)
            self._end(call, head.status)
            call.caller.answer(call, head, body)
        elif kind == Frame.CHUNK:
            call.caller.chunk(call, payload[2:])
            call.chunks += 1
            if call.chunks >= CREDIT_STEP and not call.caller.is_slow:
                self.taken(call)
        elif kind == Frame.END:
            self._end(call, call.head.status if call.head is not None else 200)
            call.caller.end(call, payload[2:])
        elif kind == Frame.HEAD:
            call.body = None
            call.flight = reply
            call.head = _answer_head.decode(payload[2:])
            call.caller.begin(call, call.head)
        elif kind == Frame.REFUSED:
            refused = _refused.decode(payload[2:])
            self._end(call, refused.refusal.status)
            call.caller.refuse(call, refused.refusal, refused)
        elif kind == Frame.BODY_WANTED:
            self._send_body(call, reply, _wanted.decode(payload[2:]))

    def _send_body(self, call: Call, to: bytes, wanted: BodyWanted) -> None:
        body = call.body
        if body is None:
            return
        end = min(wanted.offset + wanted.length, len(body))
        mark = bytes((Frame.BODY, call.send))
        for start in range(wanted.offset, end, MAX_INLINE_BYTES):
            self._bus.publish(to, mark + body[start : min(start + MAX_INLINE_BYTES, end)])

    def _on_beat(self, _subject: bytes, _reply: bytes, payload: bytes, _status: bytes) -> None:
        self.liveness.heard(_beat.decode(payload), self._bus.time())

    def _on_bus_lost(self) -> None:
        for call in list(self._calls.values()):
            self._fail(call, errors.NATS_AWAY)

    # Ends ---------------------------------------------------------------------------------------------------

    def _end(self, call: Call, status: int) -> None:
        del self._calls[call.request_id.encode()]
        self.counts.ended(status, self._bus.time() - call.sent_at)

    def _call_off(self, call: Call, because: str) -> None:
        """Whoever works on it learns that nobody waits for it any more."""
        self._bus.publish(f"{CallerLeft.subject}.{call.request_id}".encode(), encode(CallerLeft(because)))

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
        now = self._bus.time()
        if now - self._swept_at > 5 * SWEEP_EVERY_S:
            self.liveness.deaf(now)  # it was us who stood still
            self._inquiry = None
        self._swept_at = now
        for call in [call for call in self._calls.values() if now >= call.deadline]:
            self._call_off(call, "deadline")
            self._fail(call, errors.deadline(call.deadline_ms))
        if self._bus.connected:
            self._watch_deaths(now)
        self._timer = asyncio.get_running_loop().call_later(SWEEP_EVERY_S, self._sweep)

    # Deaths: what nobody claims is lost ----------------------------------------------------------------------

    def _watch_deaths(self, now: float) -> None:
        silent = self.liveness.silent(now)
        if self._inquiry is None:
            if silent and now >= self._next_inquiry:
                doubtful = [call.request_id for call in self._calls.values() if _is_doubtful(call, silent, now)]
                if doubtful:
                    self._next_inquiry = now + CLAIM_EVERY_S
                    self._inquiry = Inquiry(doubtful, self.liveness.living(), now)
                    self._ask_for_claims()
        elif self._inquiry.is_late(now):
            self._inquiry = None
        else:
            self._conclude(self._inquiry, now)

    def _ask_for_claims(self) -> None:
        self._questions += 1
        answer_to = self._claims_inbox().encode()
        self._bus.publish(ClaimAsked.subject.encode(), encode(ClaimAsked(self._ingress_id)), answer_to)

    def _claims_inbox(self) -> str:
        return inbox(self._ingress_id, f"claimed.{self._questions}")

    def _on_claimed(self, subject: bytes, _reply: bytes, payload: bytes, status: bytes) -> None:
        inquiry = self._inquiry
        if status or inquiry is None or subject != self._claims_inbox().encode():
            return
        claimed = _claimed.decode(payload)
        inquiry.answered(claimed.instance, claimed.request_ids)
        self._conclude(inquiry, self._bus.time())

    def _conclude(self, inquiry: Inquiry, now: float) -> None:
        living = self.liveness.living()
        if not inquiry.is_over(living):
            return
        if inquiry.unclaimed and not inquiry.is_second:
            inquiry.ask_again(living, now)
            self._ask_for_claims()
            return
        self._inquiry = None
        for request_id in inquiry.unclaimed:
            call = self._calls.get(request_id.encode())
            if call is not None:
                # Its holder may only be frozen: what it does when it thaws would be paid, and for nobody.
                self._call_off(call, "given_up")
                self._fail(call, errors.HOLDER_DIED)


def _is_doubtful(call: Call, silent: set[str], now: float) -> bool:
    """One of the silent may hold it: whoever has begun to answer is known, of the others nobody is."""
    if call.flight:
        return call.flight.split(b".")[1].decode() in silent  # inbox(instance, request_id)
    return now - call.sent_at >= YOUNG_S
