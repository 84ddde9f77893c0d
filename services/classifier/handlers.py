"""Decode, decide, publish: a request comes in, a plan or a refusal goes out. Nothing is kept in between, but a plan
whose service has a budget and no lease in hand, until the ledger has answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from time import perf_counter_ns
from typing import Final

import msgspec

from services.classifier import core, features, refusals
from services.classifier.book import Book, compile_policy
from services.classifier.explain import explain
from services.classifier.features import ChatRequest
from services.classifier.measured import service_of
from services.classifier.metrics import Counts
from services.classifier.outlook import CLEAR, Outlook, Purse
from services.classifier.parking import Outcome
from services.classifier.purser import Purser
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
BUDGET_DOWNGRADE: Final = "budget_downgrade"  # the reason of a plan that no budget binds

NO_POLICY: Final = Refusal(503, "no_policy", "no policy is in force yet; try again in a moment",
                           "server_error", retry_after_s=1)  # fmt: skip
NO_DISPATCHER: Final = Refusal(503, "no_dispatcher", "no dispatcher is running; try again in a moment",
                               "server_error", retry_after_s=1)  # fmt: skip
BROKEN: Final = Refusal(500, "internal_error", "the classifier failed on this request; its log has the cause",
                        "server_error")  # fmt: skip


# Of what is left of a budget, one plan whose answer is to be capped takes no more than this, where that is enough.
SHARES: Final = (64, 8, 2)


class _Held(msgspec.Struct, eq=False):
    """What it takes to decide again."""

    received: RequestReceived
    chat: ChatRequest
    book: Book
    body: bytes
    plan: RequestPlanned
    refused: bool = False  # once already


class Handlers:
    """The classifier's subscriptions. `on_policy` gives it the book by which it decides."""

    def __init__(self, bus: HotBus, instance: str, counts: Counts, purser: Purser) -> None:
        self._bus = bus
        self._instance = instance
        self._inbox = inbox(instance, "").encode()
        self._paid_inbox = f"_INBOX.{instance}.paid.".encode()
        self._counts = counts
        self._purser = purser
        self._book: Book | None = None
        self._held: set[str] = set()
        self._nobody_waits = asyncio.Event()
        self.outlook: Outlook = CLEAR  # of this moment; whoever learns more puts a new one here

    def held(self) -> Iterable[str]:
        """The ids of requests that wait here for money."""
        return self._held

    async def start(self) -> None:
        # The reply subject has `send` and the request's id, and what was reserved of which lease: so a 503 there says
        # whom to tell; nothing is remembered.
        await self._bus.subscribe(inbox(self._instance, "*"), self._on_undelivered)
        await self._bus.subscribe(f"{self._paid_inbox.decode()}*.*.*", self._on_paid_undelivered)
        self._requests = await self._bus.subscribe(
            f"{RequestReceived.subject}.*", self._on_request, queue="classifier"
        )
        self._questions = await self._bus.subscribe(ExplainRequested.subject, self._on_explain, queue="classifier")

    async def stop(self, within_s: float) -> None:
        """Takes no more requests, and lets those that wait for money get it, or its refusal."""
        await self._bus.unsubscribe(self._questions)
        await self._bus.unsubscribe(self._requests)
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self._held:
                    await self._nobody_waits.wait()

    def on_policy(self, policy: Policy, version: int) -> None:
        self._book = book = compile_policy(policy, version)
        self._purser.on_policy(policy.budgets, book.rank)
        self.outlook = msgspec.structs.replace(self.outlook, purses=self._purser.grants)

    def _on_request(self, _subject: bytes, _reply: bytes, payload: bytes, _status: bytes) -> None:
        head, body = unpack(payload)
        received = _request.decode(head)
        book = self._book
        if book is None:
            self._refuse(received.request_id, PlanRefused(NO_POLICY, received.send))
            return
        grants = self._purser.grants
        grants.moment_us = received.received_at_us
        try:
            chat = features.read(body, received.body_bytes)
            answer = core.decide(received, chat, book, self.outlook)
            is_final = not (isinstance(answer, PlanRefused) and answer.refusal.code == refusals.EXHAUSTED)
            if is_final or not self._asks_what_is_spent(received, chat, book, body):
                self._decided(received, chat, book, body, answer)
        except features.BadRequest as bad:
            self._refused(received, PlanRefused(bad.refusal, received.send, policy_version=book.version))
        except Exception:
            self._refuse(received.request_id, PlanRefused(BROKEN, received.send, policy_version=book.version))
            raise

    def _dispatch(self, plan: RequestPlanned, body: bytes) -> None:
        self._counts.planned(plan)
        if plan.lease_id:
            number = self._purser.lease_number(plan.lease_id)
            reply = b"%b%d%b.%b.%d" % (
                self._paid_inbox, plan.send, plan.request_id.encode(), number.encode(), plan.reserved_nano_usd,
            )  # fmt: skip
        else:
            reply = b"%b%d%b" % (self._inbox, plan.send, plan.request_id.encode())
        self._bus.publish(_DISPATCH, pack(plan, b"" if plan.framed else body), reply)

    def _refused(self, received: RequestReceived, refused: PlanRefused) -> None:
        self._counts.refused(refused)
        self._refuse(received.request_id, refused)

    def _decided(
        self,
        received: RequestReceived,
        chat: ChatRequest,
        book: Book,
        body: bytes,
        answer: RequestPlanned | PlanRefused,
    ) -> None:
        if isinstance(answer, PlanRefused):
            self._refused(received, answer)
        elif not self._purser.grants or not _is_to_be_paid(answer):
            self._dispatch(answer, body)
        else:
            self._pay(_Held(received, chat, book, body, answer))

    def _asks_what_is_spent(self, received: RequestReceived, chat: ChatRequest, book: Book, body: bytes) -> bool:
        """Whether it has to ask: a refusal tells the caller what is spent, and the first of a day does not know."""
        service, now = service_of(received, chat), self._bus.time()

        def on_told() -> None:
            self._let_go(received.request_id)
            purse = self._purser.grants.refused(service, received.received_at_us)
            self._decided(received, chat, book, body, self._decide(received, chat, book, service, purse))

        self._hold(received.request_id)
        until = now + received.deadline_ms / 1000
        asks = self._purser.grants.ask_how_it_stands(service, received.received_at_us, until, now, on_told)
        if not asks:
            self._let_go(received.request_id)
        return asks

    # Paying -------------------------------------------------------------------------------------------------

    def _pay(self, held: _Held) -> None:
        """Off to a dispatcher, once its service's budget covers it."""
        if held.plan.output_cap and not held.refused:
            held.plan, _ = self._less_of_it(held)
        plan = held.plan
        price = held.book.backends[plan.candidates[0]].price
        if self._purser.reserve(plan, price):
            self._dispatch(plan, held.body)
            return
        self._hold(plan.request_id)
        began_at = self._bus.time()

        def on_outcome(outcome: Outcome) -> None:
            self._let_go(plan.request_id)
            waited_ms = int((self._bus.time() - began_at) * 1000)
            try:
                self._on_outcome(held, outcome, waited_ms)
            except Exception as error:  # noqa: BLE001 - who waited with it is not to go down with it
                self._refuse(plan.request_id, PlanRefused(BROKEN, plan.send, policy_version=plan.policy_version))
                message = f"the classifier failed on {plan.request_id}, which had waited"
                asyncio.get_running_loop().call_exception_handler({"message": message, "exception": error})

        self._purser.wait(plan, price, on_outcome)

    def _on_outcome(self, held: _Held, outcome: Outcome, waited_ms: int) -> None:
        """What became of a plan that was not paid at once."""
        plan = held.plan
        limit = self._purser.grants.limit(plan.service)
        away = limit.when_ledger_is_away if limit is not None and outcome is Outcome.SILENT else ""
        if outcome is Outcome.RESERVED or away == "allow":
            left_ms = max(1, plan.deadline_ms - waited_ms)
            self._dispatch(msgspec.structs.replace(plan, deadline_ms=left_ms), held.body)
            return
        purse = self._purser.grants.refused(plan.service, plan.received_at_us)
        if purse is not None and (held.refused or away):
            rejects, unknown = purse.rejects and not away, bool(away)
            purse = msgspec.structs.replace(
                purse, available_nano_usd=0, exhausted=True, rejects=rejects, unknown=unknown
            )
        again = self._decide_with(held, purse)
        if away == "reject" and (isinstance(again, PlanRefused) or BUDGET_DOWNGRADE in again.reasons):
            refusal = refusals.budget_unknown(plan.service)
            again = PlanRefused(refusal, plan.send, plan.category, plan.tier, plan.reasons, plan.policy_version)
        if isinstance(again, PlanRefused):
            self._refused(held.received, again)
            return
        held.plan = again = msgspec.structs.replace(again, deadline_ms=max(1, again.deadline_ms - waited_ms))
        if purse is None or not _is_to_be_paid(again):
            self._dispatch(again, held.body)
        else:
            held.refused = True
            self._pay(held)

    def _hold(self, request_id: str) -> None:
        self._held.add(request_id)
        self._nobody_waits.clear()

    def _let_go(self, request_id: str) -> None:
        self._held.discard(request_id)
        if not self._held:
            self._nobody_waits.set()

    def _less_of_it(self, held: _Held) -> tuple[RequestPlanned, Purse | None]:
        """Its answer may be as long as the budget allows, so it would take all of it: others come too. Who answers is
        not to change by that. The plan, and the share of the purse by which it was decided.
        """
        purse = self._purser.grants.get(held.plan.service)
        if purse is None:
            return held.plan, None
        chosen = held.plan.candidates[0], held.plan.reasons
        for share in SHARES:
            smaller = msgspec.structs.replace(purse, available_nano_usd=purse.available_nano_usd // share)
            plan = self._decide_with(held, smaller)
            if isinstance(plan, RequestPlanned) and (plan.candidates[0], plan.reasons) == chosen:
                return plan, smaller
        return held.plan, purse

    def _decide_with(self, held: _Held, purse: Purse | None) -> RequestPlanned | PlanRefused:
        return self._decide(held.received, held.chat, held.book, held.plan.service, purse)

    def _decide(
        self, received: RequestReceived, chat: ChatRequest, book: Book, service: str, purse: Purse | None
    ) -> RequestPlanned | PlanRefused:
        purses = {} if purse is None else {service: purse}
        return core.decide(received, chat, book, msgspec.structs.replace(self.outlook, purses=purses))

    def _on_explain(self, _subject: bytes, reply: bytes, payload: bytes, _status: bytes) -> None:
        head, body = unpack(payload)
        received = _question.decode(head).received
        book, outlook = self._book, self.outlook
        self._purser.grants.moment_us = received.received_at_us
        if book is None:
            self._bus.publish(reply, pack(Answered(NO_POLICY)))
            return
        try:
            began = perf_counter_ns()
            chat = features.read(body, received.body_bytes)
            answer = core.decide(received, chat, book, outlook)
            decided_in_us = (perf_counter_ns() - began) / 1000
            purse = None
            if isinstance(answer, RequestPlanned) and answer.output_cap:
                purse = self._purser.grants.get(answer.service)
                _, share = self._less_of_it(_Held(received, chat, book, body, answer))
                if share is not None:
                    outlook = msgspec.structs.replace(outlook, purses={answer.service: share})
            told = explain(received, chat, book, outlook, decided_in_us=decided_in_us, purse=purse)
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

    def _on_paid_undelivered(self, subject: bytes, _reply: bytes, _payload: bytes, status: bytes) -> None:
        if status == NO_RESPONDERS:
            token, number, amount = subject[len(self._paid_inbox) :].decode().split(".")
            self._purser.undelivered(number, int(amount))
            self._refuse(token[1:], PlanRefused(NO_DISPATCHER, int(token[0])))

    def _refuse(self, request_id: str, refused: PlanRefused) -> None:
        to = request_id.encode()
        self._bus.publish(caller_inbox(to), mark(Frame.REFUSED, refused.send, to) + encode(refused))


def _is_to_be_paid(plan: RequestPlanned) -> bool:
    """From its service's budget, where there is one. What costs nothing wherever it is carried out, or is given
    because the limit was reached, is not.
    """
    return plan.dearest_nano_usd > 0 and BUDGET_DOWNGRADE not in plan.reasons
