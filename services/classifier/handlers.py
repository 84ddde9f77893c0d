"""Decode, decide, publish: a request comes in, a plan or a refusal goes out. Nothing is kept in between."""

from __future__ import annotations

from time import perf_counter_ns
from typing import Final

import msgspec

from services.classifier import core, features
from services.classifier.book import Book, compile_policy
from services.classifier.explain import explain
from services.classifier.metrics import Counts
from services.classifier.outlook import CLEAR, Outlook
from shared.contracts import (
    Answered,
    ExplainRequested,
    Frame,
    PlanRefused,
    Refusal,
    RequestPlanned,
    RequestReceived,
    caller_inbox,
    encode,
    inbox,
    mark,
    pack,
    unpack,
)
from shared.hotbus import NO_RESPONDERS, HotBus
from shared.policy import Policy

_request = msgspec.msgpack.Decoder(RequestReceived)
_question = msgspec.msgpack.Decoder(ExplainRequested)
_DISPATCH: Final = RequestPlanned.subject.encode()

NO_POLICY: Final = Refusal(503, "no_policy", "no policy is in force yet; try again in a moment",
                           "server_error", retry_after_s=1)  # fmt: skip
NO_DISPATCHER: Final = Refusal(503, "no_dispatcher", "no dispatcher is running; try again in a moment",
                               "server_error", retry_after_s=1)  # fmt: skip
BROKEN: Final = Refusal(500, "internal_error", "the classifier failed on this request; its log has the cause",
                        "server_error")  # fmt: skip


class Handlers:
    """The classifier's subscriptions. `on_policy` gives it the book by which it decides."""

    def __init__(self, bus: HotBus, instance: str, counts: Counts) -> None:
        self._bus = bus
        self._instance = instance
        self._inbox = inbox(instance, "").encode()
        self._counts = counts
        self._book: Book | None = None
        self.outlook: Outlook = CLEAR  # of this moment; whoever learns more puts a new one here

    async def start(self) -> None:
        # The reply subject has `send` and the request's id: so a 503 there says whom to tell; nothing is remembered.
        await self._bus.subscribe(inbox(self._instance, "*"), self._on_undelivered)
        self._requests = await self._bus.subscribe(
            f"{RequestReceived.subject}.*", self._on_request, queue="classifier"
        )
        self._questions = await self._bus.subscribe(ExplainRequested.subject, self._on_explain, queue="classifier")

    async def stop(self) -> None:
        await self._bus.unsubscribe(self._questions)
        await self._bus.unsubscribe(self._requests)

    def on_policy(self, policy: Policy, version: int) -> None:
        self._book = compile_policy(policy, version)

    def _on_request(self, _subject: bytes, _reply: bytes, payload: bytes, _status: bytes) -> None:
        head, body = unpack(payload)
        received = _request.decode(head)
        book = self._book
        if book is None:
            self._refuse(received.request_id, PlanRefused(NO_POLICY, received.send))
            return
        try:
            answer = core.decide(received, features.read(body, received.body_bytes), book, self.outlook)
        except features.BadRequest as bad:
            answer = PlanRefused(bad.refusal, received.send, policy_version=book.version)
        except Exception:
            self._refuse(received.request_id, PlanRefused(BROKEN, received.send, policy_version=book.version))
            raise
        if isinstance(answer, PlanRefused):
            self._counts.refused(answer)
            self._refuse(received.request_id, answer)
            return
        self._counts.planned(answer)
        plan = pack(answer, b"" if received.framed else body)
        reply = b"%b%d%b" % (self._inbox, received.send, received.request_id.encode())
        self._bus.publish(_DISPATCH, plan, reply)

    def _on_explain(self, _subject: bytes, reply: bytes, payload: bytes, _status: bytes) -> None:
        head, body = unpack(payload)
        received = _question.decode(head).received
        book, outlook = self._book, self.outlook
        if book is None:
            self._bus.publish(reply, pack(Answered(NO_POLICY)))
            return
        try:
            began = perf_counter_ns()
            chat = features.read(body, received.body_bytes)
            core.decide(received, chat, book, outlook)
            decided_in_us = (perf_counter_ns() - began) / 1000
            told = explain(received, chat, book, outlook, decided_in_us=decided_in_us)
        except features.BadRequest as bad:
            self._bus.publish(reply, pack(Answered(bad.refusal)))
        except Exception:
            self._bus.publish(reply, pack(Answered(BROKEN)))
            raise
        else:
            self._bus.publish(reply, pack(Answered(), msgspec.json.encode(told)))

    def _on_undelivered(self, subject: bytes, _reply: bytes, _payload: bytes, status: bytes) -> None:
        if status == NO_RESPONDERS:
            token = subject[len(self._inbox) :].decode()
            self._refuse(token[1:], PlanRefused(NO_DISPATCHER, int(token[0])))

    def _refuse(self, request_id: str, refused: PlanRefused) -> None:
        to = request_id.encode()
        self._bus.publish(caller_inbox(to), mark(Frame.REFUSED, refused.send, to) + encode(refused))
