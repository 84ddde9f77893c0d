"""One plan being carried out: attempt after attempt until a backend answers, the answer on its way, the books.

A state machine of callbacks: the bus begins it, the upstream pool and the caller's credit drive it, `Tower` holds
it. It publishes frames to the caller's inbox and one record to the journal, the record first.
"""

from __future__ import annotations

import time
from collections import deque
from typing import Final, Protocol

import msgspec

from services.dispatcher import core
from services.dispatcher.backends import Target
from services.dispatcher.core import Verdict
from services.dispatcher.events import DONE, EventStream, EventTooLarge
from services.dispatcher.providers import openai
from services.dispatcher.providers.openai import MalformedAnswer, Usage
from services.dispatcher.upstream import Busy, Call, ConnectFailed, UpstreamFailure
from shared.contracts import (
    BODY_WINDOW_BYTES,
    MAX_INLINE_BYTES,
    STREAM_CREDIT,
    AnswerHead,
    AttemptUsage,
    BodyWanted,
    Frame,
    Refusal,
    RequestPlanned,
    RequestUsage,
    encode,
    pack,
)
from shared.contracts import PlanRefused as RefusedFrame
from shared.money import decimal_usd
from shared.prices import cost

MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
_NOTHING: Final = Usage(0, 0, 0)


class Tower(Protocol):
    """What a flight needs of the process around it."""

    def send(self, request_id: bytes, frame: bytes) -> None:
        """To the caller's inbox, with the flight's own inbox as reply subject."""

    def record(self, usage: RequestUsage) -> None: ...
    def landed(self, flight: Flight) -> None:
        """Nothing of it is left to do."""

    def time(self) -> float: ...


class Flight(Call):
    __slots__ = (
        "_attempt_started", "_attempts", "_backends", "_began_at", "_body", "_credit", "_failure",
        "_first_token_ms", "_head_sent", "_over", "_parts", "_pending", "_received", "_recorded", "_remaining",
        "_retry_after_s", "_started_at_us", "_stream", "_target", "_targets", "_tower", "_verdicts",
        "content_type", "deadline", "plan", "request_id", "status",
    )  # fmt: skip

    def __init__(self, plan: RequestPlanned, body: bytes, targets: dict[str, Target], tower: Tower) -> None:
        self.plan = plan
        self.request_id = plan.request_id.encode()
        self._tower = tower
        self._targets = targets
        self._body = body
        self._remaining = list(plan.candidates)
        self._began_at = tower.time()
        self.deadline = self._began_at + plan.deadline_ms / 1000
        # The attempt under way.
        self._target: Target | None = None
        self._attempt_started = 0.0
        self._started_at_us = 0
        self.status = 0
        self.content_type = ""
        self._stream: EventStream | None = None
        self._parts: list[bytes] = []
        self._received = 0
        # All attempts.
        self._attempts: list[AttemptUsage] = []
        self._verdicts: list[Verdict] = []
        self._backends: list[str] = []
        self._failure = "none was tried"
        self._retry_after_s = 0
        self._first_token_ms = -1.0
        # The answer.
        self._head_sent = False
        self._recorded = False
        self._over = False  # the caller needs nothing more, or is gone
        self._credit = STREAM_CREDIT
        self._pending: deque[bytes] = deque()

    # Beginning ----------------------------------------------------------------------------------------------

    def begin(self) -> None:
        if self.plan.framed:
            self._want_body()
        else:
            self._next_attempt()

    def on_body_frame(self, data: bytes) -> None:
        """A part of the request's body from the ingress, in order."""
        if self._over or self._target is not None:
            return
        self._parts.append(data)
        self._received += len(data)
        if self._received >= self.plan.body_bytes:
            self._body = b"".join(self._parts)
            self._parts = []
            self._next_attempt()
        elif self._received % BODY_WINDOW_BYTES == 0:
            self._want_body()

    def on_credit(self, chunks: int) -> None:
        self._credit += chunks
        pending = self._pending
        while pending and self._credit > 0:
            self._credit -= 1
            self._tower.send(self.request_id, pending.popleft())
        if not pending:
            if self._recorded:
                self._land()
            elif self.exchange is not None:
                self.exchange.resume()

    def cancel(self) -> None:
        """The caller is gone: upstream is told at once, and what was produced is paid for."""
        if self._over:
            return
        self._over = True
        self._pending.clear()
        if not self._recorded:
            self._abort_upstream()
            if self._target is not None:
                self._end_attempt("cancelled", self._usage_so_far(), self._source_so_far())
            self._record(499)
        self._land()

    def expire(self) -> None:
        """The deadline has passed."""
        if self._over:
            return
        if self._recorded:  # answered, but the caller takes it too slowly
            self.cancel()
            return
        self._abort_upstream()
        if self._target is not None:
            self._end_attempt("timeout", self._usage_so_far(), self._source_so_far())
        self._refuse(core.of_deadline(self.plan.deadline_ms))

    def stop(self, refusal: Refusal) -> None:
        """This process is stopping, and this flight did not land in time."""
        if self._over or self._recorded:
            return
        self._abort_upstream()
        if self._target is not None:
            self._end_attempt("cancelled", self._usage_so_far(), self._source_so_far())
        self._refuse(refusal)

    # Attempts -----------------------------------------------------------------------------------------------

    def _want_body(self) -> None:
        length = min(BODY_WINDOW_BYTES, self.plan.body_bytes - self._received)
        self._tower.send(self.request_id, self._frame(Frame.BODY_WANTED, encode(BodyWanted(self._received, length))))

    def _next_attempt(self) -> None:
        while self._remaining and len(self._backends) < core.MAX_ATTEMPTS:
            targets = [self._targets.get(name) for name in self._remaining]
            i = core.choose(self._remaining, [target is None or target.is_full for target in targets])
            name = self._remaining.pop(i)
            target = targets[i]
            if target is None or target.origin is None:
                self._failure = target.fault if target is not None else f"backend {name} is not in this policy"
                self._backends.append(name)
                self._verdicts.append(Verdict.FAILED)
                continue
            self._attempt(target)
            return
        self._refuse(core.of_failures(self._verdicts, self._backends, self._retry_after_s, self._failure))

    def _attempt(self, target: Target) -> None:
        plan = self.plan
        assert target.origin is not None
        self._target = target
        target.in_flight += 1
        self._backends.append(target.name)
        self._attempt_started = self._tower.time()
        self._started_at_us = time.time_ns() // 1000
        self.status = 0
        self._stream = None
        self._parts = []
        self._received = 0
        changes = openai.Changes(
            model=target.model,
            ask_for_usage=plan.streamed and not plan.usage_wanted,
            output_cap=plan.output_cap,
            cap_field=target.cap_field,
            thinking=target.thinking,
        )
        target.origin.post(openai.PATH, openai.rewrite(self._body, changes), self)

    def on_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.status = status
        self.content_type = "application/json"
        for name, value in headers:
            if name == b"content-type":
                self.content_type = value.decode("latin-1")
            elif name == b"retry-after" and value.isdigit():
                self._retry_after_s = min(int(value), 3600)
        if status == 200 and self.plan.streamed and self.content_type.startswith("text/event-stream"):
            self._stream = EventStream(hide_usage=not self.plan.usage_wanted)

    def on_body(self, data: bytes) -> None:
        if self._stream is not None:
            self._on_events(self._stream, data)
            return
        self._parts.append(data)
        self._received += len(data)
        if self._received > MAX_ANSWER_BYTES:
            self._abort_upstream()
            self._fail(Verdict.FAILED, f"its answer is larger than {MAX_ANSWER_BYTES} bytes", unknown=True)

    def on_end(self) -> None:
        if self._recorded or self._over:
            return
        stream = self._stream
        if stream is not None:
            if stream.finished:  # some providers end without [DONE]
                self._finish_stream()
            else:
                self._interrupted("its stream ended before the answer did")
            return
        body = b"".join(self._parts)
        verdict = core.judge(self.status)
        if verdict is Verdict.ANSWERED:
            self._answer(body)
        elif verdict is Verdict.CALLERS:
            self._verdicts.append(verdict)
            self._end_attempt("refused", _NOTHING, "none")
            assert self._backends
            self._refuse(core.of_caller(self.status, openai.read_error(body), self._backends[-1]))
        else:
            # A provider's words about our key or account are the operator's business: the caller gets none of them.
            said = "" if verdict is Verdict.OPERATORS else openai.read_error(body).message[:300]
            self._fail(verdict, f"it answered {self.status}" + (f": {said}" if said else ""))

    def on_failure(self, failure: UpstreamFailure) -> None:
        if self._recorded or self._over:
            return
        if self._stream is not None:
            self._interrupted(str(failure))
            return
        never_sent = isinstance(failure, (Busy, ConnectFailed))
        self._fail(Verdict.FAILED, str(failure), unknown=not never_sent)

    def _fail(self, verdict: Verdict, why: str, *, unknown: bool = False) -> None:
        """This attempt gave nothing that can be passed on."""
        self._verdicts.append(verdict)
        self._failure = why
        self._end_attempt("failed", _NOTHING, "unknown" if unknown else "none")
        self._next_attempt()

    # Answers ------------------------------------------------------------------------------------------------

    def _answer(self, body: bytes) -> None:
        try:
            usage = openai.read_usage(body)
        except MalformedAnswer:
            self._fail(Verdict.FAILED, "its answer is not JSON", unknown=True)
            return
        target = self._target
        assert target is not None
        self._end_attempt("answered", usage or Usage(self.plan.input_tokens, 0, len(body) // 4),
                          "reported" if usage is not None else "counted")  # fmt: skip
        record = self._record(self.status)
        head = self._head(target, len(body), record.cost_nano_usd, record.baseline_nano_usd - record.cost_nano_usd)
        if len(body) <= MAX_INLINE_BYTES:
            self._tower.send(self.request_id, self._frame(Frame.ANSWER, pack(head, body)))
            self._land()
            return
        self._tower.send(self.request_id, self._frame(Frame.HEAD, encode(head)))
        self._head_sent = True
        self._send_chunks(body)
        self._end(b"")

    def _on_events(self, stream: EventStream, data: bytes) -> None:
        if self._recorded:
            return  # what follows [DONE]
        try:
            block = stream.feed(data)
        except EventTooLarge:
            self._abort_upstream()
            self._interrupted("it sent an event without end")
            return
        if stream.error is not None:
            self._abort_upstream()
            self._interrupted(stream.error.message or "it sent an error")
            return
        if not self._head_sent:
            self._parts.append(block)
            if not stream.began and not stream.done:
                return
            block = b"".join(self._parts)
            self._parts = []
            self._send_head()
        if stream.done:
            self._finish_stream(block)
        elif block:
            self._send_chunks(block)

    def _send_head(self) -> None:
        assert self._target is not None
        self._first_token_ms = (self._tower.time() - self._began_at) * 1000
        self._head_sent = True
        self._tower.send(self.request_id, self._frame(Frame.HEAD, encode(self._head(self._target, -1, -1, 0))))

    def _finish_stream(self, last: bytes = b"") -> None:
        if not self._head_sent:
            last = b"".join(self._parts) + last
            self._parts = []
            self._send_head()
        self._end_attempt("answered", self._usage_so_far(), self._source_so_far())
        record = self._record(200)
        saved = record.baseline_nano_usd - record.cost_nano_usd
        self._end(b"%b: tierwise cost_usd=%b saved_usd=%b\n\n%b" % (
            last, decimal_usd(record.cost_nano_usd).encode(), decimal_usd(saved).encode(), DONE,
        ))  # fmt: skip

    def _interrupted(self, why: str) -> None:
        """The stream broke: before its first content nobody noticed, afterwards the caller must."""
        if not self._head_sent:
            self._fail(Verdict.FAILED, why, unknown=True)
            return
        self._end_attempt("failed", self._usage_so_far(), self._source_so_far())
        self._record(502)
        said = {
            "error": {
                "message": f"the answer broke off: {why}. Send the request again",
                "type": "server_error",
                "param": None,
                "code": "stream_interrupted",
                "request_id": self.plan.request_id,
            }
        }
        self._end(b"data: %b\n\n" % msgspec.json.encode(said))

    def _refuse(self, refusal: Refusal) -> None:
        plan = self.plan
        if not self._recorded:
            self._record(refusal.status)
        if self._head_sent:
            said = {"error": {"message": refusal.message, "type": refusal.type, "param": None, "code": refusal.code}}
            self._pending.clear()
            self._credit += 1
            self._end(b"data: %b\n\n" % msgspec.json.encode(said))
            return
        refused = RefusedFrame(refusal, plan.send, plan.category, plan.tier, plan.reasons, plan.policy_version)
        self._tower.send(self.request_id, self._frame(Frame.REFUSED, encode(refused)))
        self._land()

    # Frames -------------------------------------------------------------------------------------------------

    def _frame(self, kind: int, payload: bytes) -> bytes:
        return bytes((kind, self.plan.send)) + payload

    def _head(self, target: Target, body_bytes: int, cost_nano_usd: int, saved_nano_usd: int) -> AnswerHead:
        plan = self.plan
        return AnswerHead(
            status=self.status,
            content_type=self.content_type,
            body_bytes=body_bytes,
            category=plan.category,
            tier=target.tier,
            backend=target.name,
            model=target.model,
            reasons=self._reasons(target),
            attempts=len(self._attempts) + (0 if self._recorded else 1),
            policy_version=plan.policy_version,
            cost_nano_usd=cost_nano_usd,
            saved_nano_usd=saved_nano_usd,
            output_cap=plan.output_cap,
        )

    def _reasons(self, target: Target) -> tuple[str, ...]:
        plan = self.plan
        return plan.reasons if target.name == plan.candidates[0] else ("failover", *plan.reasons)

    def _send_chunks(self, data: bytes) -> None:
        for i in range(0, len(data), MAX_INLINE_BYTES):
            self._send_or_hold(self._frame(Frame.CHUNK, data[i : i + MAX_INLINE_BYTES]))

    def _end(self, last: bytes) -> None:
        whole = max(0, len(last) - 1) // MAX_INLINE_BYTES * MAX_INLINE_BYTES
        self._send_chunks(last[:whole])
        self._send_or_hold(self._frame(Frame.END, last[whole:]))
        if not self._pending:
            self._land()

    def _send_or_hold(self, frame: bytes) -> None:
        if self._credit > 0 and not self._pending:
            self._credit -= 1
            self._tower.send(self.request_id, frame)
            return
        self._pending.append(frame)
        if self.exchange is not None and not self._recorded:
            self.exchange.pause()

    # The books ----------------------------------------------------------------------------------------------

    def _usage_so_far(self) -> Usage:
        """What was reported, else what was seen: one token an event is what providers send."""
        stream = self._stream
        if stream is None:
            return _NOTHING
        return stream.usage or Usage(self.plan.input_tokens, 0, stream.content_events)

    def _source_so_far(self) -> str:
        stream = self._stream
        if stream is None:
            return "unknown"
        return "reported" if stream.usage is not None else "counted"

    def _end_attempt(self, outcome: str, usage: Usage, source: str) -> None:
        target = self._target
        assert target is not None
        target.in_flight -= 1
        self._target = None
        if source == "unknown":  # a provider may bill what we did not see: never taken for nothing
            price = self.plan.reserved_nano_usd
        else:
            price = cost(target.price, usage.input, usage.cached_input, usage.output)
        self._attempts.append(
            AttemptUsage(
                attempt=len(self._attempts) + 1,
                backend=target.name,
                started_at_us=self._started_at_us,
                outcome=outcome,
                status=self.status,
                input_tokens=usage.input,
                cached_input_tokens=usage.cached_input,
                output_tokens=usage.output,
                usage_source=source,
                cost_nano_usd=price,
                latency_ms=(self._tower.time() - self._attempt_started) * 1000,
            )
        )

    def _record(self, status: int) -> RequestUsage:
        """Ahead of the answer, which leaves in the same write."""
        plan = self.plan
        self._recorded = True
        last = self._attempts[-1] if self._attempts else None
        served = last is not None and last.outcome == "answered"
        target = self._targets.get(last.backend) if last is not None else None
        baseline = self._targets.get(plan.baseline)
        baseline_cost = 0
        if served and last is not None and baseline is not None:
            baseline_cost = cost(baseline.price, last.input_tokens, last.cached_input_tokens, last.output_tokens)
        usage = RequestUsage(
            request_id=plan.request_id,
            send=plan.send,
            received_at_us=plan.received_at_us,
            service=plan.service,
            priority=plan.priority,
            category=plan.category,
            tier=target.tier if target is not None else plan.tier,
            backend=last.backend if last is not None else "",
            model=target.model if target is not None else "",
            reason=",".join(self._reasons(target) if target is not None else plan.reasons),
            cache=plan.cache,
            status=status,
            input_tokens=last.input_tokens if last is not None else 0,
            cached_input_tokens=last.cached_input_tokens if last is not None else 0,
            output_tokens=last.output_tokens if last is not None else 0,
            usage_source=last.usage_source if last is not None else "none",
            latency_ms=(self._tower.time() - self._began_at) * 1000,
            first_token_ms=self._first_token_ms,
            cost_nano_usd=sum(attempt.cost_nano_usd for attempt in self._attempts),
            baseline_nano_usd=baseline_cost,
            policy_version=plan.policy_version,
            lease_id=plan.lease_id,
            reserved_nano_usd=plan.reserved_nano_usd,
            features=plan.features,
            attempts=tuple(self._attempts),
        )
        self._tower.record(usage)
        return usage

    def _abort_upstream(self) -> None:
        if self.exchange is not None:
            self.exchange.cancel()
            self.exchange = None

    def _land(self) -> None:
        self._over = True
        self._tower.landed(self)
