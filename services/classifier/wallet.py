"""One service's budget day as this classifier holds it: leases to reserve from, who waits for more, at which pace."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime
from typing import Final

from services.classifier.outlook import Purse
from services.classifier.parking import Parked
from shared.budgets import BudgetDay, Limit
from shared.contracts import GrantAsked, LeaseReported
from shared.money import NanoUsd

LEASE_S: Final = 10.0  # then it is changed for a new one: what is lost of a lease is noticed after its end
REFUSAL_HOLDS_S: Final = 1.0  # then the ledger is asked again: the limit may have been raised
FIRST_AHEAD: Final = 8  # reservations that are asked for ahead of need, where the pace is not known yet


class Lease:
    """What was granted under one name. `kept` only falls."""

    __slots__ = ("born_at", "kept", "lease_id", "taken", "until")

    def __init__(self, lease_id: str, granted: NanoUsd, now: float) -> None:
        self.lease_id = lease_id
        self.kept = granted
        self.taken: NanoUsd = 0  # by reservations
        self.until = 0.0  # when the last of its requests is over
        self.born_at = now

    def last_word(self, now: float) -> LeaseReported:
        """Nothing more is reserved of it."""
        return LeaseReported(self.lease_id, self.taken, max(0, int((self.until - now) * 1000)))


class Wallet:
    __slots__ = (
        "ask_again_at", "asked", "daily", "day", "ends_us", "floor_tier", "held", "leases", "limit", "pace", "parked",
        "resets_at", "service", "spent", "starts_us", "told_at", "used", "used_at", "usual",
    )  # fmt: skip

    def __init__(self, service: str, limit: Limit, floor_tier: int, day: BudgetDay, now: float) -> None:
        self.service = service
        self.limit = limit
        self.floor_tier = floor_tier
        self.day = day.day
        self.starts_us = day.starts_us
        self.ends_us = day.ends_us
        self.resets_at = datetime.fromtimestamp(day.ends_us // 1_000_000, UTC).isoformat()
        self.leases: list[Lease] = []  # the newest last
        self.asked = ""  # the lease that was asked for and not yet answered
        self.ask_again_at = 0.0
        self.parked: deque[Parked] = deque()
        self.usual: NanoUsd = 1  # the last reservation
        self.used: NanoUsd = 0  # reserved since the last renewal
        self.pace: NanoUsd = 0  # reserved in the second before it
        self.used_at = now
        # As the ledger last told it; until then, as the policy has it.
        self.daily = limit.daily_nano_usd
        self.spent: NanoUsd = 0
        self.held: NanoUsd = 0
        self.told_at = -REFUSAL_HOLDS_S  # not yet

    @property
    def left(self) -> NanoUsd:
        """What is in hand."""
        return sum([lease.kept - lease.taken for lease in self.leases])

    @property
    def rest(self) -> NanoUsd:
        """What may become free at most, should nothing of what is held be spent."""
        return self.daily - self.spent

    def purse(self, available: NanoUsd) -> Purse:
        limit = self.limit
        return Purse(
            available, available <= 0, self.floor_tier, limit.on_exhausted == "reject", self.daily, self.spent,
            self.held, self.resets_at,
        )  # fmt: skip

    def take(self, amount: NanoUsd, until: float) -> str:
        """Reserved of the first lease that covers it. The lease's id; empty: none does."""
        for lease in self.leases:
            if amount <= lease.kept - lease.taken:
                lease.taken += amount
                lease.until = max(lease.until, until)
                self.used += amount
                self.usual = amount
                return lease.lease_id
        return ""

    def refuses(self, amount: NanoUsd, now: float) -> bool:
        """The ledger has just said that the day has not so much left."""
        return amount > self.rest and now - self.told_at < REFUSAL_HOLDS_S

    def wish(self) -> GrantAsked:
        need = self.parked[0].amount if self.parked else self.usual
        waiting = min(sum([plan.amount for plan in self.parked]), self.limit.daily_nano_usd)
        ahead = min(max(FIRST_AHEAD * need, 2 * (self.pace + self.used)), self.limit.daily_nano_usd)
        return GrantAsked(self.service, self.day, self.asked, need, waiting, ahead)

    def reports(self) -> list[LeaseReported]:
        return [LeaseReported(lease.lease_id, lease.kept) for lease in self.leases]

    def close(self, now: float, but: list[Lease] | None = None) -> list[LeaseReported]:
        """Nothing more is reserved of what is in hand. What is to be told of it."""
        ended = [lease.last_word(now) for lease in self.leases if not but or lease not in but]
        self.leases = but or []
        return ended

    def renew(self, now: float) -> tuple[list[LeaseReported], bool]:
        """Of a lease in use what two seconds take is kept; of one that is idle, or not the newest, nothing more. What
        has ended, and whether the newest is to be changed for another.
        """
        is_old = False
        if self.used:
            self.used_at = now
            newest = self.leases[-1:]
            ended = self.close(now, but=newest)
            for lease in newest:
                lease.kept = min(lease.kept, lease.taken + 2 * max(self.used, self.pace))
                is_old = now - lease.born_at >= LEASE_S
        else:
            ended = self.close(now)
        self.pace, self.used = self.used, 0
        return ended, is_old
