"""One plan being carried out: attempt after attempt until a backend answers, and the answer on its way.

A state machine of callbacks: the bus begins it, the upstream pool and the caller's credit drive it, the tower
holds it. What an outcome means is core.py's, the frames are downlink.py's, the money is account.py's. The record
goes ahead of the answer, and both leave in the same write.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Concatenate, Final, ParamSpec, Protocol

import msgspec

from services.dispatcher import core
from services.dispatcher.account import NONE, UNKNOWN, Account, Spent, released
from services.dispatcher.backends import Target
from services.dispatcher.connection import Call
from services.dispatcher.core import Verdict
from services.dispatcher.downlink import Downlink
from services.dispatcher.events import DONE, EventStream, EventTooLarge
from services.dispatcher.failures import UpstreamFailure
from services.dispatcher.providers import openai
from services.dispatcher.providers.openai import MalformedAnswer, Usage
from services.dispatcher.upstream import Outlet
from shared.contracts import (
    BODY_WINDOW_BYTES,
    AnswerHead,
    PlanRefused,
    Refusal,
    RequestPlanned,
    RequestUsage,
)
from shared.money import decimal_usd

MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024


class Tower(Protocol):
    """What a flight needs of the process around it."""

    def downlink(self, request_id: bytes, send: int) -> Downlink:
        """The way back to the caller."""

    def record(self, usage: RequestUsage) -> None: ...
    def counted(self, backend: str, estimated: int, reported: int) -> None:
        """Tokens of one call's input."""

    def landed(self, flight: Flight) -> None:
        """Nothing of it is left to do."""

    def failed(self, backend: str, why: str) -> None:
        """For the operator."""

    def broke(self, flight: Flight, error: Exception) -> None:
        """A bug, for the log."""

    @property
    def time(self) -> Callable[[], float]:
        """The loop's clock, in seconds."""


P = ParamSpec("P")


def _guarded(method: Callable[Concatenate[Flight, P], None]) -> Callable[Concatenate[Flight, P], None]:
    """A bug in one flight ends that flight, with an answer, and no other.

    The methods that every request passes have the same `try` of their own, which costs them nothing.
    """

    def guarded(self: Flight, /, *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            method(self, *args, **kwargs)
        except Exception as error:  # noqa: BLE001 - see above
            self.break_off(error)

    return guarded


class Flight(Call):
    """What is not set as it begins has its first value here, which costs a flight nothing."""

    # The request's body, of a framed one as far as it has come.
    _body: bytes | bytearray
    _body_received = 0
    # All attempts.
    _tried: tuple[str, ...] = ()
    _verdicts: tuple[Verdict, ...] = ()
    _failure = "none was tried"
    _retry_after_s = 0
    # The attempt under way.
    _target: Target | None = None
    _attempt_began_at = 0.0
    _started_at_us = 0
    status = 0
    content_type = ""
    _stream: EventStream | None = None
    _received = 0  # bytes of its answer
    _parts: list[bytes]  # of a plain answer, or of a stream before its first content
    # The answer.
    _head_sent = False
    _first_token_ms = -1.0
    _recorded = False  # nothing that comes from upstream changes anything any more
    _landed = False

    def __init__(
        self, plan: RequestPlanned, request_id: bytes, body: bytes, targets: dict[str, Target], tower: Tower
    ) -> None:
        self.exchange = None
        self.plan = plan
        self.request_id = request_id
        self._tower = tower
        self._targets = targets
        self._downlink = tower.downlink(request_id, plan.send)
        self._account = Account(plan, targets)
        self._began_at = began_at = tower.time()
        self.deadline = began_at + plan.deadline_ms / 1000
        self._body = body
        self._remaining = plan.candidates

    # From the tower -----------------------------------------------------------------------------------------

    def begin(self) -> None:
        try:
            if self.plan.framed:
                self._body = bytearray(self.plan.body_bytes)
                self._downlink.want_body(0, self.plan.body_bytes)
            else:
                self._next_attempt()
        except Exception as error:  # noqa: BLE001 - as _guarded
            self.break_off(error)

    @_guarded
    def on_body_frame(self, data: bytes) -> None:
        """A part of the request's body from the ingress, in order."""
        body, start, whole = self._body, self._body_received, self.plan.body_bytes
        if self._landed or self._tried or not isinstance(body, bytearray):
            return
        end = min(start + len(data), whole)
        body[start:end] = data[: end - start]
        self._body_received = end
        if end == whole:
            self._next_attempt()
        elif end % BODY_WINDOW_BYTES == 0:
            self._downlink.want_body(end, whole)

    @_guarded
    def on_credit(self, chunks: int) -> None:
        downlink = self._downlink
        downlink.grant(chunks)
        if downlink.is_done:
            self._land()
        elif not downlink.is_stalled and self.exchange is not None:
            self.exchange.resume()

    @_guarded
    def cancel(self) -> None:
        """The caller is gone: upstream is told at once, and what was produced is paid for."""
        if not self._landed:
            self._abandon("cancelled")
            self._record(499)
            self._downlink.drop()
            self._land()

    @_guarded
    def expire(self) -> None:
        """The deadline has passed."""
        if self._recorded:  # answered, but the caller takes it too slowly
            self.cancel()
        else:
            self._abandon("timeout")
            self._refuse(core.of_deadline(self.plan.deadline_ms))

    @_guarded
    def stop(self, refusal: Refusal) -> None:
        """This process is stopping, and this flight did not land in time."""
        if not self._recorded:
            self._abandon("cancelled")
            self._refuse(refusal)

    def break_off(self, error: Exception) -> None:
        """A bug. The caller gets an answer, the log gets the cause."""
        self._tower.broke(self, error)
        if self._landed:
            return
        try:
            if not self._recorded:
                self._abandon("failed")
                self._refuse(core.BROKEN)
        except Exception as second:  # noqa: BLE001 - whatever is broken, this flight must land
            self._tower.broke(self, second)
        self._land()

    # Attempts -----------------------------------------------------------------------------------------------

    def _next_attempt(self) -> None:
        while self._remaining and len(self._tried) < core.MAX_ATTEMPTS:
            # What is full hands on to its like or better; only what failed, to anybody who is left.
            like = self._remaining if self._tried else self._remaining[: self.plan.hand_on or None]
            name = core.choose(like, self._is_full)
            self._remaining = tuple([other for other in self._remaining if other != name])
            self._tried += (name,)
            target = self._targets.get(name)
            if target is None:
                self._failure = f"backend {name} is not in this policy"
            elif target.origin is None:
                self._failure = target.fault
            elif self._account.attempts and not self._account.covers(target):
                self._failure = f"what is reserved of the budget does not cover a call of {name} too"
            else:
                self._attempt(target, target.origin)
                return
            self._verdicts += (Verdict.FAILED,)
        self._refuse(core.of_failures(self._verdicts, self._tried, self._retry_after_s, self._failure))

    def _is_full(self, name: str) -> bool:
        target = self._targets.get(name)
        return target is not None and target.load.in_flight >= target.max_concurrent

    def _attempt(self, target: Target, origin: Outlet) -> None:
        plan = self.plan
        changes = target.changes(
            model=plan.model, output_cap=plan.output_cap, ask_for_usage=plan.streamed and not plan.usage_wanted
        )
        try:
            body = openai.rewrite(self._body, changes)
        except msgspec.DecodeError:
            self._refuse(core.UNREADABLE)
            return
        if not self._remaining:
            self._body = b""  # nobody else will be sent it, and it may be large
        self._target = target
        target.load.in_flight += 1
        self._attempt_began_at = self._tower.time()
        self._started_at_us = time.time_ns() // 1000
        self.status = 0
        self._stream = None
        self._parts = []
        self._received = 0
        origin.post(openai.PATH, body, self, self._silence_s() if self._remaining else None)

    def _silence_s(self) -> float | None:
        """How long the backend may say nothing. Where no other can be called, the deadline rules alone."""
        if len(self._tried) < core.MAX_ATTEMPTS:
            for name in self._remaining:
                target = self._targets.get(name)
                if target is not None and target.origin is not None:
                    share = core.SILENT_SHARE_STREAMED if self.plan.streamed else core.SILENT_SHARE
                    return (self.deadline - self._attempt_began_at) * share
        return None

    def on_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.status = status
        self.content_type = "application/json"
        for name, value in headers:
            if name == b"content-type":
                self.content_type = value.decode("latin-1")
            elif name == b"retry-after" and value.isdigit():
                self._retry_after_s = min(int(value[:6]), 3600)
        if self.plan.streamed and status == 200 and self.content_type.startswith("text/event-stream"):
            self._stream = EventStream(hide_usage=not self.plan.usage_wanted)

    def on_body(self, data: bytes) -> None:
        if self._recorded:
            return  # what follows [DONE]
        if self._stream is not None:
            self._on_events(self._stream, data)
            return
        self._parts.append(data)
        self._received += len(data)
        if self._received > MAX_ANSWER_BYTES:
            self._too_much()

    def on_end(self) -> None:
        self.exchange = None
        if self._recorded:
            return
        try:
            self._end_of_answer()
        except Exception as error:  # noqa: BLE001 - as _guarded
            self.break_off(error)

    def _end_of_answer(self) -> None:
        if self._stream is not None:
            if self._stream.finished:  # some providers end without [DONE]
                self._finish_stream(b"")
            else:
                self._interrupted("its stream ended before the answer did")
            return
        parts = self._parts
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        if self.status == 200:
            self._answer(body)
            return
        verdict = core.judge(self.status)
        if verdict is Verdict.ANSWERED:
            self._answer(body)
        elif verdict is Verdict.CALLERS:
            self._leave_backend("refused", NONE)
            self._refuse(core.of_caller(self.status, openai.read_error(body), self._tried[-1]))
        else:
            said = openai.read_error(body).message
            self._fail(verdict, f"it answered {self.status}", NONE, f"answered {self.status}: {said}")

    @_guarded
    def on_failure(self, failure: UpstreamFailure) -> None:
        was_sent = self.exchange is None or self.exchange.sent
        self.exchange = None
        if self._recorded:
            return
        if self._stream is not None:
            self._interrupted(failure.kind, failure.message)
        else:
            self._fail(Verdict.FAILED, failure.kind, UNKNOWN if was_sent else NONE, failure.message)

    @_guarded
    def _too_much(self) -> None:
        self._abort_upstream()
        self._fail(Verdict.FAILED, f"its answer is larger than {MAX_ANSWER_BYTES} bytes", UNKNOWN)

    def _fail(self, verdict: Verdict, why: str, spent: Spent, details: str = "") -> None:
        """This attempt gave nothing that can be passed on. The caller learns `why`, the operator the `details`.

        A provider's own words may hold our address, our account or our key: they are for the log alone.
        """
        self._tower.failed(self._tried[-1], details or why)
        self._verdicts += (verdict,)
        self._failure = why
        self._leave_backend("failed", spent)
        self._next_attempt()

    # Answers ------------------------------------------------------------------------------------------------

    def _answer(self, body: bytes) -> None:
        target = self._target
        assert target is not None
        try:
            usage = openai.read_usage(body)
        except MalformedAnswer:
            self._fail(Verdict.FAILED, "its answer is not JSON", UNKNOWN)
            return
        source = "reported"
        if usage is None:
            source = "counted"
            usage = Usage(self.plan.input_tokens, 0, len(body) // openai.BYTES_PER_TOKEN)
        self._leave_backend("answered", Spent(usage, source))
        record = self._record(self.status)
        assert record is not None
        self._downlink.answer(self._head(target, len(body), record), body)
        self._land_if_done()

    @_guarded
    def _on_events(self, stream: EventStream, data: bytes) -> None:
        try:
            block = stream.feed(data)
        except EventTooLarge:
            self._abort_upstream()
            self._interrupted("it sent an event without end")
            return
        if stream.error is not None:
            self._abort_upstream()
            self._interrupted("it reported an error", stream.error.message)
            return
        if not self._head_sent:
            self._parts.append(block)
            if not stream.began and not stream.done:
                return
            block = self._begin_stream()
        if stream.done:
            self._finish_stream(block)
        elif block:
            self._downlink.chunk(block)
            if self._downlink.is_stalled and self.exchange is not None:
                self.exchange.pause()

    def _begin_stream(self) -> bytes:
        """The head, and what was held back until there was something to say."""
        assert self._target is not None
        self._head_sent = True
        if self.exchange is not None:
            self.exchange.silence_s = None  # no other backend can go on with it
        self._first_token_ms = (self._tower.time() - self._began_at) * 1000
        self._downlink.begin(self._head(self._target, -1, None))
        held = b"".join(self._parts)
        self._parts = []
        return held

    def _finish_stream(self, last: bytes) -> None:
        if not self._head_sent:
            last = self._begin_stream() + last
        self._leave_backend("answered", self._spent_so_far())
        record = self._record(200)
        assert record is not None
        costs = decimal_usd(record.cost_nano_usd).encode()
        saved = decimal_usd(record.baseline_nano_usd - record.cost_nano_usd).encode()
        self._downlink.end(b"%b: tierwise cost_usd=%b saved_usd=%b\n\n%b" % (last, costs, saved, DONE))
        self._land_if_done()

    def _interrupted(self, why: str, details: str = "") -> None:
        """The stream broke: before its first content nobody noticed, afterwards the caller must."""
        if not self._head_sent:
            self._fail(Verdict.FAILED, why, UNKNOWN, details)
            return
        self._tower.failed(self._tried[-1], details or why)
        self._leave_backend("failed", self._spent_so_far())
        self._refuse(core.of_interruption(why))

    def _refuse(self, refusal: Refusal) -> None:
        plan = self.plan
        self._record(refusal.status)
        if self._head_sent:
            self._downlink.end_at_once(_error_event(refusal, plan.request_id))
        else:
            self._downlink.refuse(
                PlanRefused(refusal, plan.send, plan.category, plan.tier, plan.reasons, plan.policy_version)
            )
        self._land_if_done()

    def _head(self, target: Target, body_bytes: int, record: RequestUsage | None) -> AnswerHead:
        plan = self.plan
        cost, saved, attempts = -1, 0, len(self._account.attempts)
        if record is not None:
            cost = record.cost_nano_usd
            saved = record.baseline_nano_usd - cost
        return AnswerHead(
            self.status, self.content_type, body_bytes, plan.category, target.tier, target.name,
            plan.model or target.model, self._reasons(), attempts + (record is None), plan.policy_version,
            cost, saved, plan.output_cap,
        )  # fmt: skip

    def _reasons(self) -> tuple[str, ...]:
        reasons = self.plan.reasons
        if self._tried[-1] == self.plan.candidates[0] or "failover" in reasons:
            return reasons
        return ("failover", *reasons)

    # The books, and the end ---------------------------------------------------------------------------------

    def _spent_so_far(self) -> Spent:
        """What was reported, else what was seen: one token an event is what providers send."""
        stream = self._stream
        if stream is None:
            return UNKNOWN
        if stream.usage is not None:
            return Spent(stream.usage, "reported")
        return Spent(Usage(self.plan.input_tokens, 0, stream.content_events), "counted")

    def _leave_backend(self, outcome: str, spent: Spent) -> None:
        target, self._target = self._target, None
        assert target is not None
        target.load.in_flight -= 1
        latency_ms = (self._tower.time() - self._attempt_began_at) * 1000
        self._account.enter(target, outcome, self.status, spent, self._started_at_us, latency_ms)

    def _abandon(self, outcome: str) -> None:
        """Ends the attempt under way, if there is one, from our side."""
        never_sent = self.exchange is not None and not self.exchange.sent
        self._abort_upstream()
        if self._target is not None:
            self._leave_backend(outcome, NONE if never_sent else self._spent_so_far())

    def _abort_upstream(self) -> None:
        if self.exchange is not None:
            self.exchange.cancel()
            self.exchange = None

    def _record(self, status: int) -> RequestUsage | None:
        """Once, ahead of the answer. Where no backend was called, nobody was paid and nobody answered: nothing, but
        that a reservation is free again.
        """
        if self._recorded:
            return None
        self._recorded = True
        latency_ms = (self._tower.time() - self._began_at) * 1000
        if not self._account.attempts:
            if self.plan.lease_id:
                self._tower.record(released(self.plan, status, latency_ms))
            return None
        usage = self._account.close(status, self._reasons(), latency_ms, self._first_token_ms)
        self._tower.record(usage)
        if usage.usage_source == "reported":
            self._tower.counted(usage.backend, self.plan.input_tokens, usage.input_tokens)
        return usage

    def _land_if_done(self) -> None:
        if self._downlink.is_done:
            self._land()

    def _land(self) -> None:
        if not self._landed:
            self._landed = True
            self._tower.landed(self)


def _error_event(refusal: Refusal, request_id: str) -> bytes:
    """A stream's last event, in the shape of OpenAI's errors."""
    error = {
        "message": refusal.message,
        "type": refusal.type,
        "param": None,
        "code": refusal.code,
        "request_id": request_id,
    }
    return b"data: %b\n\n" % msgspec.json.encode({"error": error})
