"""Pays for plans from this process' leases: the shell around grants.py, with its messages, its clock and its timer.

Operators' words over the file's budgets are looked up in KV twice a second, not watched: nats-py's watch falls silent
without an error (shared/policy_watch.py), and what is looked up so holds within a second all the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

import msgspec
from msgspec.structs import force_setattr
from nats.errors import Error as NatsError
from nats.js.errors import KeyNotFoundError

from services.classifier.calibration import Calibration
from services.classifier.grants import TICK_S, Grants
from services.classifier.parking import Outcome
from shared.budgets import Limits
from shared.contracts import Granted, GrantRequested, RequestPlanned, TokensTold, encode
from shared.hotbus import HotBus
from shared.money import NanoUsd
from shared.policy import Budget
from shared.prices import Price, cost
from shared.streams import BUDGETS, CURRENT, ensure_bucket

LOOK_EVERY_S: Final = 0.5

_SUBJECT: Final = GrantRequested.subject.encode()
_granted = msgspec.msgpack.Decoder(Granted)
_told = msgspec.msgpack.Decoder(TokensTold)
_words = msgspec.json.Decoder(dict[str, Budget])


class Purser:
    def __init__(self, bus: HotBus, instance: str) -> None:
        self._bus = bus
        self._inbox = f"_INBOX.{instance}.grant."
        self._lease_prefix = f"{instance}."
        self._sent = 0
        self._file: Mapping[str, Budget] = {}
        self._over: Mapping[str, Budget] = {}
        self._rank: Mapping[str, int] = {}
        self._revision = 0
        self._timer: asyncio.TimerHandle | None = None
        self.grants = Grants(instance, self._send)
        self._calibration = Calibration()

    async def start(self) -> None:
        await self._bus.subscribe(TokensTold.subject, self._on_tokens)
        await self._bus.subscribe(f"{self._inbox}*", self._on_answer)
        self._tick()

    def stop(self) -> None:
        """What is not reserved goes back."""
        if self._timer is not None:
            self._timer.cancel()
        self.grants.stop(self._bus.time())

    def on_policy(self, file: Mapping[str, Budget], rank: Mapping[str, int]) -> None:
        """`rank` is each tier's place. A backend may be another model from now on."""
        self._calibration = Calibration()
        if (file, rank) != (self._file, self._rank):
            self._file, self._rank = file, rank
            self._apply()

    # Paying -------------------------------------------------------------------------------------------------

    def reserve(self, plan: RequestPlanned, price: Price) -> bool:
        """Whether the plan is paid, and says of which lease, or has no limit. `price` is its first candidate's."""
        now, amount = self._bus.time(), self._amount(plan, price)
        lease_id = self.grants.reserve(plan.service, plan.received_at_us, amount, _ends_at(plan, now), now)
        if lease_id:
            _sign(plan, lease_id, amount)
        return lease_id != ""

    def wait(self, plan: RequestPlanned, price: Price, then: Callable[[Outcome], None]) -> None:
        """`then` is told what became of the plan, now or later, once; a paid one says of which lease."""
        now, amount = self._bus.time(), self._amount(plan, price)

        def told(outcome: Outcome, lease_id: str) -> None:
            if lease_id:
                _sign(plan, lease_id, amount)
            then(outcome)

        self.grants.park(plan.service, plan.received_at_us, amount, _ends_at(plan, now), now, told)

    def _amount(self, plan: RequestPlanned, price: Price) -> NanoUsd:
        """The worst case, with the input as the provider has counted it of late. Where the day has so much left, with
        the input taken twice: some texts have twice as many tokens as others of their length. Where there is enough,
        with the dearest candidate's on top: another may be called, should the first take money and not answer.
        """
        least = plan.reserved_nano_usd or 1  # nothing is never granted, and a plan without a lease is bound by none
        sent = self._calibration.input_tokens(plan.candidates[0], plan.input_tokens)
        if sent > plan.input_tokens:
            least += cost(price, sent - plan.input_tokens, 0, 0)
        cautious = least + cost(price, sent, 0, 0)
        both = cautious + plan.dearest_nano_usd
        if self.grants.is_ample(plan.service, plan.received_at_us, both):
            return both
        if self.grants.may_cover(plan.service, plan.received_at_us, cautious):
            return cautious
        return least

    def lease_number(self, lease_id: str) -> str:
        """What is its own in the name of one of our leases: for a subject, which is told back as it is."""
        return lease_id[len(self._lease_prefix) :]

    def undelivered(self, lease_number: str, amount: NanoUsd) -> None:
        """Nobody took the plan that this was reserved for."""
        self.grants.undelivered(self._lease_prefix + lease_number, amount)

    # The ledger ---------------------------------------------------------------------------------------------

    def _send(self, message: GrantRequested) -> int:
        self._sent += 1
        self._bus.publish(_SUBJECT, encode(message), b"%b%d" % (self._inbox.encode(), self._sent))
        return self._sent

    def _on_answer(self, subject: bytes, _reply: bytes, payload: bytes, status: bytes) -> None:
        number, now = int(subject.rpartition(b".")[2]), self._bus.time()
        if status:
            self.grants.on_away(number, now)
        else:
            self.grants.on_granted(number, _granted.decode(payload), now)

    def _on_tokens(self, _subject: bytes, _reply: bytes, payload: bytes, _status: bytes) -> None:
        self._calibration.learn(_told.decode(payload).counts)

    def _tick(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)
        self.grants.tick(self._bus.time())

    # Operators' words ---------------------------------------------------------------------------------------

    async def follow(self) -> None:
        """Until cancelled: NATS may come and go, and what was last heard holds meanwhile."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        try:
            bucket = await ensure_bucket(self._bus.client.jetstream(), BUDGETS)
            entry = await bucket.get(CURRENT)
        except KeyNotFoundError:
            return
        except (NatsError, OSError, TimeoutError):
            return
        if entry.value is None or entry.revision == self._revision:
            return
        self._revision = entry.revision or 0
        try:
            over = _words.decode(entry.value)
        except msgspec.MsgspecError:  # a later Tierwise's
            return
        if over != self._over:
            self._over = over
            self._apply()

    def _apply(self) -> None:
        self.grants.on_limits(Limits(self._file, self._over), self._rank, self._bus.time())


def _ends_at(plan: RequestPlanned, now: float) -> float:
    return now + plan.deadline_ms / 1000


def _sign(plan: RequestPlanned, lease_id: str, amount: NanoUsd) -> None:
    """In place, for nobody has seen the plan yet: a copy would cost as much as all the rest of paying."""
    force_setattr(plan, "lease_id", lease_id)
    force_setattr(plan, "reserved_nano_usd", amount)
