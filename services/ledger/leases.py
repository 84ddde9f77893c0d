"""Who may still spend what of a service's day: how money is leased, and comes back. Pure: no clock, no database.

A grant debits the day in full. From then on money leaves the lease in three ways alone: its holder says that it gives
some back (`hear`), a usage record says what a reservation came to (`settle`), or nobody says anything and it is
charged (`give_up`). The first two are somebody's word, the third makes nothing free. So `spent + held` never passes
the limit, and never falls below what providers may bill, whatever is lost, late, doubled or killed; time decides only
how soon a silent lease is charged. What is late corrects the charge. The whole protocol: docs/decisions/0011.
"""

from __future__ import annotations

from typing import Final

import msgspec

from shared.budgets import budget_day
from shared.contracts import GrantAsked, LeaseReported
from shared.money import NanoUsd

AHEAD_SHARE: Final = 8  # of what is free, at most this part is leased ahead of need: slices shrink near the limit
SILENT_S: Final = 10.0  # a holder reports every second; after this it is taken for dead, and its lease for reserved
CLOCKS_DIFFER_S: Final = 120.0  # a request's day is that of the ingress' clock
GRACE_S: Final = 30.0  # after a request's deadline: for its usage to reach the stream


class Day(msgspec.Struct):
    """A service's budget day. Nano-dollars."""

    limit: NanoUsd
    spent: NanoUsd = 0  # what is known to be paid, and what silent leases were charged
    held: NanoUsd = 0  # by leases: reserved, or not yet
    floor: NanoUsd = 0  # paid for answers that were given because the limit was reached; does not count against it

    @property
    def free(self) -> NanoUsd:
        """What can be leased now. Below nought after the limit was lowered."""
        return self.limit - self.spent - self.held

    @property
    def rest(self) -> NanoUsd:
        """What may become free at most, should no reservation cost anything."""
        return self.limit - self.spent


class Lease(msgspec.Struct):
    """A slice of a day in one classifier's hands."""

    service: str
    day: str
    kept: NanoUsd  # granted, less what its holder gave back: never will more be reserved
    due_at: float  # when the last of its requests is over and told of; seconds since the epoch
    settled: NanoUsd = 0  # of `kept`, the reservations whose usage is in the books
    charged: bool = False  # the outstanding part is not held any more, but spent

    @property
    def outstanding(self) -> NanoUsd:
        return self.kept - self.settled

    @property
    def lost(self) -> NanoUsd:
        """Of its charge, what nobody has told of since."""
        return self.outstanding if self.charged else 0


def lent_day(asked: str, timezone: str, now: float) -> str:
    """The day that is asked for, if it is today by anybody's clock; else today by ours."""
    moments = (now - CLOCKS_DIFFER_S, now + CLOCKS_DIFFER_S, now)
    days = [budget_day(timezone, int(moment * 1e6)).day for moment in moments]
    return asked if asked in days else days[-1]


def offer(free: NanoUsd, asked: GrantAsked) -> NanoUsd:
    """How much of what is free goes to this wish: what plans wait for, and a small part of it ahead of need.

    All or nothing of `need`: a crumb that no plan fits into would only be missed elsewhere.
    """
    if not asked.lease_id:
        return 0
    amount = min(free, max(asked.waiting, min(asked.ahead, free // AHEAD_SHARE)))
    return amount if amount >= max(asked.need, 1) else 0


def grant(day: Day, asked: GrantAsked, now: float, longest_s: float) -> Lease | None:
    """A new lease, debited in full; nothing where too little is free. `longest_s`: the longest life of a request."""
    amount = offer(day.free, asked)
    if not amount:
        return None
    day.held += amount
    return Lease(asked.service, asked.day, amount, due_at(-1, now, longest_s))


def hear(day: Day, lease: Lease, reported: LeaseReported, now: float, longest_s: float) -> None:
    """Its holder's word: what it does not keep is free again."""
    given_back = lease.kept - max(reported.kept, lease.settled)
    if given_back > 0:
        lease.kept -= given_back
        _release(day, lease, given_back)
    if not lease.charged:
        lease.due_at = due_at(reported.ends_in_ms, now, longest_s)


def due_at(ends_in_ms: int, now: float, longest_s: float) -> float:
    """When a lease that nobody speaks of any more is charged. One that is in use may be, until its holder dies."""
    return now + GRACE_S + (SILENT_S + longest_s if ends_in_ms < 0 else ends_in_ms / 1000)


def settle(day: Day, lease: Lease, reserved: NanoUsd, cost: NanoUsd) -> None:
    """A usage record of this lease, counted once: its reservation goes, its cost stays."""
    released = min(reserved, lease.outstanding)
    lease.settled += released
    _release(day, lease, released)
    day.spent += cost


def give_up(day: Day, lease: Lease) -> NanoUsd:
    """Nobody will tell any more what became of it: all that is outstanding is taken for paid. Returns how much."""
    if lease.charged:
        return 0
    lease.charged = True
    day.held -= lease.outstanding
    day.spent += lease.outstanding
    return lease.outstanding


def _release(day: Day, lease: Lease, amount: NanoUsd) -> None:
    if lease.charged:
        day.spent -= amount
    else:
        day.held -= amount
