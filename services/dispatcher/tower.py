"""All flights of this process: begins them, hands each what arrives for it, ends those that are late.

One sweeper watches every deadline; a request costs no task and no timer.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Final

import msgspec
import structlog

from services.dispatcher.account import released
from services.dispatcher.backends import Backends
from services.dispatcher.downlink import Downlink
from services.dispatcher.flight import Flight
from services.dispatcher.journal import UsageJournal
from services.dispatcher.metrics import Counts
from services.dispatcher.tally import Tally
from shared.contracts import (
    CallerLeft,
    CreditGranted,
    Frame,
    PlanRefused,
    Refusal,
    RequestPlanned,
    RequestUsage,
    inbox,
    unpack,
)
from shared.hotbus import HotBus
from shared.policy import Policy

MAX_FLIGHTS: Final = 10_000
SWEEP_EVERY_S: Final = 0.1
UNKNOWN_POLICY_WAITS_S: Final = 1.0  # a plan may be quicker than the policy it was made under
# A caller's leaving may be quicker than its plan: by a hop, or by as long as a classifier stood still with it.
LEFT_REMEMBERED_S: Final = 60.0
LEFT_REMEMBERED: Final = 100_000
TELL_EVERY_S: Final = 1.0
LONGEST_LINE: Final = 500
END_AFTER_DONE_S: Final = 1.0  # how long a provider may take to end a response after [DONE]

log = structlog.get_logger()
_plan = msgspec.msgpack.Decoder(RequestPlanned)
_credit = msgspec.msgpack.Decoder(CreditGranted)
_left = msgspec.msgpack.Decoder(CallerLeft)

STOPPING: Final = Refusal(503, "restarting", "this dispatcher is stopping; send the request again",
                          "server_error", retry_after_s=1)  # fmt: skip


class _Left(msgspec.Struct, frozen=True, gc=False):
    """A caller who left before the plan came, or a send of its request that was given up."""

    until: float
    send: int  # -1: all


class Tower:
    def __init__(self, bus: HotBus, instance: str, backends: Backends, journal: UsageJournal, counts: Counts) -> None:
        self._bus = bus
        self.time = bus.time
        self._instance = instance
        self._inbox = inbox(instance, "").encode()
        self._backends = backends
        self._journal = journal
        self._counts = counts
        self._tally = Tally(bus)
        self.counted = self._tally.add
        self._flights: dict[bytes, Flight] = {}
        self._parked: list[tuple[float, RequestPlanned, bytes]] = []
        self._left: dict[bytes, _Left] = {}
        self._told: dict[str, float] = {}  # by backend: when its failing was last logged
        self._ending: deque[tuple[float, Flight]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._changed: asyncio.Event = asyncio.Event()

    async def start(self) -> None:
        await self._bus.subscribe(inbox(self._instance, "*"), self._on_frame)
        await self._bus.subscribe(f"{CallerLeft.subject}.*", self._on_caller_left)
        self._bus.on_lost(self._on_bus_lost)
        self._plans = await self._bus.subscribe(RequestPlanned.subject, self._on_plan, queue="dispatcher")
        self._tally.start()
        self._sweep()

    async def stop(self, within_s: float) -> None:
        """Takes no more plans, lets flights land for `within_s` seconds, and ends the rest with an answer."""
        deadline = self.time() + within_s
        await self._bus.unsubscribe(self._plans)
        while self._flights and self.time() < deadline:
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), deadline - self.time())
            except TimeoutError:
                break
        for flight in list(self._flights.values()):
            flight.stop(STOPPING)
        self._tally.stop()
        if self._timer is not None:
            self._timer.cancel()

    def held(self) -> Iterable[str]:
        """The ids of all requests that this process has in hand."""
        yield from (flight.plan.request_id for flight in self._flights.values())
        yield from (plan.request_id for _, plan, _ in self._parked)

    @property
    def in_flight(self) -> int:
        return len(self._flights) + len(self._parked)

    def on_policy(self, policy: Policy, version: int) -> None:
        self._backends.publish(policy, version)
        parked, self._parked = self._parked, []
        for _, plan, body in parked:
            self._begin(plan, body)

    # What a flight asks for ---------------------------------------------------------------------------------

    def downlink(self, request_id: bytes, send: int) -> Downlink:
        return Downlink(self._bus.publish, request_id, send, self._inbox)

    def record(self, usage: RequestUsage) -> None:
        self._journal.record(usage)
        self._counts.finished(usage)

    def landed(self, flight: Flight) -> None:
        if self._flights.pop(flight.request_id, None) is not None and not self._flights:
            self._changed.set()
        if flight.exchange is not None:
            self._ending.append((self.time() + END_AFTER_DONE_S, flight))

    def failed(self, backend: str, why: str) -> None:
        """A line a second for each backend, however many requests it fails."""
        now = self.time()
        if now - self._told.get(backend, -1.0) >= TELL_EVERY_S:
            self._told[backend] = now
            log.warning("a backend failed", backend=backend, why=why[:LONGEST_LINE])

    def broke(self, flight: Flight, error: Exception) -> None:
        asyncio.get_running_loop().call_exception_handler(
            {"message": f"the flight of {flight.plan.request_id} broke", "exception": error}
        )

    # What the bus brings ------------------------------------------------------------------------------------

    def _on_plan(self, _subject: bytes, _reply: bytes, payload: bytes, _status: bytes) -> None:
        head, body = unpack(payload)
        plan = _plan.decode(head)
        if self._journal.is_full:
            self._refuse(plan, "ledger_behind", "usage cannot be recorded at the moment")
        elif len(self._flights) + len(self._parked) >= MAX_FLIGHTS:
            self._refuse(plan, "overloaded", "this dispatcher carries as many requests as it may")
        else:
            self._begin(plan, body)

    def _begin(self, plan: RequestPlanned, body: bytes) -> None:
        request_id = plan.request_id.encode()
        if self._left and self._is_called_off(request_id, plan.send):
            self._release(plan, 499)
            return
        targets = self._backends.of(plan.policy_version)
        if targets is None:
            self._parked.append((self.time() + UNKNOWN_POLICY_WAITS_S, plan, body))
            return
        held = self._flights.get(request_id)
        if held is not None:
            if plan.send <= held.plan.send:
                if plan.send < held.plan.send:
                    self._release(plan, 499)
                return
            held.cancel()  # we were taken for dead, and are the one who gets it again
        self._flights[request_id] = flight = Flight(plan, request_id, body, targets, self)
        flight.begin()

    def _on_frame(self, subject: bytes, _reply: bytes, payload: bytes, _status: bytes) -> None:
        flight = self._flights.get(subject[len(self._inbox) :])
        if flight is None or len(payload) < 2 or payload[1] != flight.plan.send:
            return
        if payload[0] == Frame.CREDIT:
            flight.on_credit(_credit.decode(payload[2:]).chunks)
        elif payload[0] == Frame.BODY:
            flight.on_body_frame(payload[2:])

    def _on_caller_left(self, subject: bytes, _reply: bytes, payload: bytes, _status: bytes) -> None:
        request_id = subject[len(CallerLeft.subject) + 1 :]
        send = _left.decode(payload).send
        flight = self._flights.get(request_id)
        if flight is not None:
            if send in (-1, flight.plan.send):
                flight.cancel()
        elif len(self._left) < LEFT_REMEMBERED:
            self._left.pop(request_id, None)  # so that the oldest stands first
            self._left[request_id] = _Left(self.time() + LEFT_REMEMBERED_S, send)

    def _is_called_off(self, request_id: bytes, send: int) -> bool:
        left = self._left.get(request_id)
        return left is not None and (left.send < 0 or send <= left.send)

    def _on_bus_lost(self) -> None:
        """Every ingress has told its callers that these requests failed: nobody waits for their answers."""
        parked, self._parked = self._parked, []
        for _, plan, _ in parked:
            self._release(plan, 499)
        for flight in list(self._flights.values()):
            flight.cancel()

    def _sweep(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(SWEEP_EVERY_S, self._sweep)
        now = self.time()
        for flight in [flight for flight in self._flights.values() if now >= flight.deadline]:
            flight.expire()
        if self._parked:
            late = [plan for until, plan, _ in self._parked if now >= until]
            self._parked = [parked for parked in self._parked if now < parked[0]]
            for plan in late:
                self._refuse(plan, "unknown_policy", f"policy version {plan.policy_version} is not known here")
        while self._ending and now >= self._ending[0][0]:
            exchange = self._ending.popleft()[1].exchange
            if exchange is not None:
                exchange.cancel()
        while self._left and now >= next(iter(self._left.values())).until:  # the oldest stands first
            del self._left[next(iter(self._left))]
        self._journal.sweep(now)

    def _refuse(self, plan: RequestPlanned, code: str, why: str) -> None:
        self._release(plan, 503)
        refusal = Refusal(503, code, f"{why}; try again in a moment", "server_error", retry_after_s=1)
        refused = PlanRefused(refusal, plan.send, plan.category, plan.tier, plan.reasons, plan.policy_version)
        self.downlink(plan.request_id.encode(), plan.send).refuse(refused)

    def _release(self, plan: RequestPlanned, status: int) -> None:
        """Nothing was begun: what was reserved for it of a budget is free again."""
        if plan.lease_id:
            self._journal.record(released(plan, status, 0.0))
