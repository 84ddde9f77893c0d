"""What this classifier may spend: leases of services' budget days, reserved from in memory, asked for ahead of need.

Time is an argument (seconds on a clock that only goes forward) and messages leave through `send`, so it runs in a
simulation as it runs here. What the ledger makes of the messages is in services/ledger/leases.py; the protocol, and
why it never overspends, in docs/decisions/0011. The promise of this side: of a lease never more is reserved than was
last said to be kept of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Final, TypeAlias

import msgspec

from services.classifier.outlook import Purse
from shared.budgets import BudgetDay, Limit, Limits, budget_day
from shared.contracts import GrantAsked, Granted, GrantRequested, LeaseReported
from shared.money import NanoUsd

TICK_S: Final = 0.05  # how often `tick` wants to be called
RENEW_EVERY_S: Final = 1.0
LEASE_S: Final = 10.0  # then it is changed for a new one: what is lost of a lease is noticed after its end
# A grant takes a few milliseconds. A ledger that is silent for this long is away; one that is only slow, on a busy
# machine, must not send anybody to the floor.
ANSWERS_WITHIN_S: Final = 0.5
SETTLING_WAITS_S: Final = 2.0  # for reservations to become costs, where the money is held and not yet spent
SETTLING_SHARE: Final = 0.25  # and never more of what is left of the request's time
SETTLING_ASKS_EVERY_S: Final = 0.1
REFUSAL_HOLDS_S: Final = 1.0  # then the ledger is asked again: the limit may have been raised
FIRST_AHEAD: Final = 8  # reservations that are asked for ahead of need, where the pace is not known yet
AMPLE: Final = 8  # times what is reserved, and it is not missed
FORGOTTEN_AFTER_S: Final = 60.0  # a service that asks for nothing; any caller may make up names
MAX_PARKED: Final = 4096  # plans; one more is told that the ledger is silent
MAX_REPORTS: Final = 1000  # in a message
LOST_AFTER_S: Final = 2.0  # a message without an answer: what it told is told again
OVER_REMEMBERED: Final = 10_000  # leases


class Outcome(Enum):
    """What became of a plan that waited."""

    RESERVED = "reserved"
    REFUSED = "refused"  # the budget cannot cover it
    SILENT = "silent"  # the ledger does not answer: `when_ledger_is_away` decides


Then: TypeAlias = Callable[[Outcome, str], None]  # with the id of the lease that it was reserved of


class _Lease:
    """What was granted under one name. `kept` only falls."""

    __slots__ = ("born_at", "kept", "lease_id", "taken", "until")

    def __init__(self, lease_id: str, granted: NanoUsd, now: float) -> None:
        self.lease_id = lease_id
        self.kept = granted
        self.taken: NanoUsd = 0  # by reservations
        self.until = 0.0  # when the last of its requests is over
        self.born_at = now


class _Parked(msgspec.Struct, frozen=True, eq=False):
    """A plan that waits for money."""

    amount: NanoUsd
    received_at_us: int
    since: float
    until: float  # its request's deadline
    give_up_at: float
    then: Then


class _Wallet:
    """One service's budget day: the leases of it in hand, who waits for more, and what the ledger last said."""

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
        self.leases: list[_Lease] = []  # the newest last
        self.asked = ""  # the lease that was asked for and not yet answered
        self.ask_again_at = 0.0
        self.parked: deque[_Parked] = deque()
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

    def reports(self) -> list[LeaseReported]:
        return [LeaseReported(lease.lease_id, lease.kept) for lease in self.leases]


class Grants(Mapping[str, Purse]):
    """All wallets of this process. As a mapping: what each service's budget allows a request that was received at
    `moment_us`; a service without a limit is not in it.
    """

    def __init__(self, holder: str, send: Callable[[GrantRequested], int]) -> None:
        """`send` returns the number under which the message's answer comes to `on_granted` or `on_away`."""
        self.moment_us = 0
        self._holder = holder
        self._send = send
        self._limits = Limits()
        self._rank: Mapping[str, int] = {}
        self._wallets: dict[tuple[str, str], _Wallet] = {}  # by service and day
        self._current: dict[str, _Wallet] = {}  # by service, the one that was used last
        self._queues: dict[_Wallet, None] = {}  # those in which somebody waits
        self._ended: dict[str, LeaseReported] = {}  # what is given back, until the ledger has heard of it
        self._untold: dict[str, None] = {}  # those of them that are in no message under way
        self._over: dict[str, LeaseReported] = {}  # the last word about others, the oldest first
        self._sent: dict[int, tuple[float, list[LeaseReported], tuple[GrantAsked, ...]]] = {}
        self._late: dict[int, tuple[float, list[LeaseReported]]] = {}  # messages whose answer may still come
        self._last_lease = 0
        self._parked = 0
        self._is_away = False
        self._heard_at = -ANSWERS_WITHIN_S  # an answer
        self._now = 0.0
        self._renewed_at = 0.0
        self._probed_at = 0.0

    def on_limits(self, limits: Limits, rank: Mapping[str, int], now: float) -> None:
        """Another policy, or another word of an operator's: wallets begin anew. `rank` has each tier's place."""
        self._limits, self._rank = limits, rank
        wallets, self._wallets = self._wallets, {}
        self._current.clear()
        self._queues.clear()
        self._parked = 0
        for wallet in wallets.values():
            self._close(wallet, now)
            self._abandon(wallet)
        for wallet in wallets.values():
            for plan in wallet.parked:
                self._park(wallet.service, plan, now)
        self._tell(now)

    # What a budget allows -----------------------------------------------------------------------------------

    def get(self, service: str, default: Purse | None = None) -> Purse | None:  # type: ignore[override]
        """All that is not spent may be reserved: what others hold of it mostly comes back, and is waited for."""
        wallet = self._wallet(service, self.moment_us)
        return default if wallet is None else wallet.purse(max(wallet.rest, 0))

    def refused(self, service: str, received_at_us: int) -> Purse | None:
        """For who has waited in vain: only what nobody holds."""
        wallet = self._wallet(service, received_at_us)
        return None if wallet is None else wallet.purse(max(wallet.rest - wallet.held, 0) + wallet.left)

    def __getitem__(self, service: str) -> Purse:
        purse = self.get(service)
        if purse is None:
            raise KeyError(service)
        return purse

    def __bool__(self) -> bool:
        """Whether any service has a budget."""
        return bool(self._limits.named)

    def __iter__(self) -> Iterator[str]:
        return iter(self._current)

    def __len__(self) -> int:
        return len(self._current)

    # Reserving ----------------------------------------------------------------------------------------------

    def reserve(self, service: str, received_at_us: int, amount: NanoUsd, until: float, now: float) -> str | None:
        """The lease that `amount` is reserved of; empty: none in hand covers it, `park` the plan. None: no limit.

        `until` is when the request ends at the latest.
        """
        wallet = self._wallet(service, received_at_us)
        if wallet is None:
            return None
        if wallet.parked:
            return ""  # nobody overtakes
        lease_id = wallet.take(amount, until)
        if lease_id and not wallet.asked and now >= wallet.ask_again_at:
            left = wallet.left
            if left < amount or left < (wallet.pace + wallet.used) // 4:
                self._ask(wallet, now)
        return lease_id

    def park(self, service: str, received_at_us: int, amount: NanoUsd, until: float, now: float, then: Then) -> None:
        """`then` is told what became of the plan: at once where that is known, else within SETTLING_WAITS_S."""
        give_up_at = now + min(SETTLING_WAITS_S, (until - now) * SETTLING_SHARE)
        self._park(service, _Parked(amount, received_at_us, now, until, give_up_at, then), now)

    def is_ample(self, service: str, received_at_us: int, amount: NanoUsd) -> bool:
        """Whether so much can be reserved, and nobody would miss it until it comes back."""
        wallet = self._wallet(service, received_at_us)
        if wallet is None or wallet.parked:
            return False
        return wallet.rest - wallet.held + wallet.left >= AMPLE * amount

    def may_cover(self, service: str, received_at_us: int, amount: NanoUsd) -> bool:
        """Whether the day has so much left, should nothing of what is held be spent."""
        wallet = self._wallet(service, received_at_us)
        return wallet is None or amount <= wallet.rest

    def ask_how_it_stands(
        self, service: str, received_at_us: int, until: float, now: float, then: Callable[[], None]
    ) -> bool:
        """Whether nobody has told us yet: then the ledger is asked, and `then` called once it has."""
        wallet = self._wallet(service, received_at_us)
        if wallet is None or wallet.told_at >= 0:
            return False
        self.park(service, received_at_us, wallet.daily + 1, until, now, lambda _outcome, _lease_id: then())
        return True

    def limit(self, service: str) -> Limit | None:
        return self._limits.of(service)

    def undelivered(self, lease_id: str, amount: NanoUsd) -> None:
        """Nobody took the plan for which this was reserved."""
        for wallet in self._wallets.values():
            for lease in wallet.leases:
                if lease.lease_id == lease_id:
                    lease.taken -= amount
                    return
        ended = self._ended.get(lease_id) or self._over.get(lease_id)
        if ended is not None:
            self._end(LeaseReported(lease_id, ended.kept - amount, ended.ends_in_ms))

    def _wallet(self, service: str, received_at_us: int) -> _Wallet | None:
        wallet = self._current.get(service)
        if wallet is not None and wallet.starts_us <= received_at_us < wallet.ends_us:
            return wallet
        limit = self._limits.of(service)
        if limit is None:
            return None
        day = budget_day(limit.timezone, received_at_us)
        wallet = self._wallets.get((service, day.day))
        if wallet is None:
            wallet = _Wallet(service, limit, self._rank.get(limit.downgrade_to, -1), day, self._now)
            self._wallets[service, day.day] = wallet
        self._current[service] = wallet
        return wallet

    def _park(self, service: str, plan: _Parked, now: float) -> None:
        wallet = self._wallet(service, plan.received_at_us)
        if wallet is None:
            plan.then(Outcome.RESERVED, "")
        elif wallet.refuses(plan.amount, now):
            plan.then(Outcome.REFUSED, "")
        elif self._is_away or self._parked >= MAX_PARKED:
            plan.then(Outcome.SILENT, "")
        else:
            wallet.parked.append(plan)
            self._queues[wallet] = None
            self._parked += 1
            if not wallet.asked and (len(wallet.parked) == 1 or now >= wallet.ask_again_at):
                self._ask(wallet, now)

    # From the ledger ----------------------------------------------------------------------------------------

    def on_granted(self, number: int, granted: Granted, now: float) -> None:
        if granted.away:
            self.on_away(number, now)
            return
        self._is_away = False
        self._heard_at = now
        _, heard, asked = self._sent.pop(number, (now, [], ()))
        _, heard_late = self._late.pop(number, (now, []))
        for report in heard or heard_late:
            if self._ended.get(report.lease_id) == report:
                del self._ended[report.lease_id]
                self._untold.pop(report.lease_id, None)
                self._remember(report)
        for grant in granted.grants:
            wallet = self._wallets.get((grant.service, grant.day))
            if wallet is not None:
                wallet.daily, wallet.spent, wallet.held, wallet.told_at = grant.limit, grant.spent, grant.held, now
                if grant.spent + grant.held > grant.limit:  # it was lowered
                    self._close(wallet, now)
            if wallet is not None and grant.lease_id and grant.lease_id == wallet.asked:
                wallet.asked = ""
                if grant.granted:
                    wallet.leases.append(_Lease(grant.lease_id, grant.granted, now))
                else:
                    self._remember(LeaseReported(grant.lease_id, 0, 0))
                self._serve(wallet, now, some=grant.granted > 0)
            else:
                last = self._over.get(grant.lease_id)
                is_twice = last is not None and grant.granted > last.kept  # the message came twice, and late
                if last is not None and is_twice and grant.lease_id not in self._ended:
                    self._end(last)
        if len(granted.grants) < len(asked):
            # It has not seen our policy yet, and knows nothing of some services. That is not to be away.
            answered = {(grant.service, grant.day) for grant in granted.grants}
            self._ask_later([one for one in asked if (one.service, one.day) not in answered], now)

    def _ask_later(self, asked: Iterable[GrantAsked], now: float) -> None:
        """Those whose wish was not answered, others' were."""
        for wish in asked:
            wallet = self._wallets.get((wish.service, wish.day))
            if wallet is not None and wallet.asked and wallet.asked == wish.lease_id:
                self._abandon(wallet)
                wallet.ask_again_at = now + SETTLING_ASKS_EVERY_S

    def on_away(self, number: int, now: float) -> None:
        """No ledger runs, or none that reaches its database."""
        _, unheard, _ = self._sent.pop(number, (now, [], ()))
        self._say_again(unheard)
        self._fall_silent(now)

    def _serve(self, wallet: _Wallet, now: float, *, some: bool) -> None:
        """Plans in the order of their coming: what is in hand is reserved, what can never be is refused."""
        parked = wallet.parked
        served = False
        while parked:
            lease_id = wallet.take(parked[0].amount, parked[0].until)
            if not lease_id:
                break
            served = True
            self._unpark(wallet, parked[0], Outcome.RESERVED, lease_id)
        if not some:
            for plan in [plan for plan in parked if plan.amount > wallet.rest]:
                self._unpark(wallet, plan, Outcome.REFUSED)
        if not parked:
            wallet.ask_again_at = now if some else now + RENEW_EVERY_S
        elif served:
            self._ask(wallet, now)
        else:
            wallet.ask_again_at = now + SETTLING_ASKS_EVERY_S

    def _unpark(self, wallet: _Wallet, plan: _Parked, outcome: Outcome, lease_id: str = "") -> None:
        wallet.parked.remove(plan)
        if not wallet.parked:
            del self._queues[wallet]
        self._parked -= 1
        plan.then(outcome, lease_id)

    def _fall_silent(self, now: float) -> None:
        self._is_away = True
        self._probed_at = now
        for wallet in list(self._wallets.values()):
            self._abandon(wallet)
            for plan in list(wallet.parked):
                self._unpark(wallet, plan, Outcome.SILENT)

    # Time ---------------------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Who has waited long enough, and what is to be asked again; once a second, the renewal."""
        stood_still = now - self._now > ANSWERS_WITHIN_S / 2  # then answers may be here that nobody has read yet
        self._now = now
        is_silent = False
        late = [] if stood_still else [n for n, (at, *_) in self._sent.items() if now - at >= ANSWERS_WITHIN_S]
        for n in late:
            at, reports, asked = self._sent.pop(n)
            self._late[n] = (at, reports)
            if self._heard_at <= at:
                is_silent = True
            else:  # another ledger lives, or this one stumbled over one message: nobody else suffers for it
                self._ask_later(asked, now)
        if is_silent:
            self._fall_silent(now)
        for n in [n for n, (at, _) in self._late.items() if now - at >= LOST_AFTER_S]:
            self._say_again(self._late.pop(n)[1])
        for wallet in list(self._queues):
            for plan in [plan for plan in wallet.parked if now >= plan.give_up_at]:
                is_silent = wallet.told_at < plan.since <= now - ANSWERS_WITHIN_S and not stood_still
                self._unpark(wallet, plan, Outcome.SILENT if is_silent else Outcome.REFUSED)
            if wallet.parked and not wallet.asked and now >= wallet.ask_again_at:
                self._ask(wallet, now)
        if now - self._renewed_at >= RENEW_EVERY_S:
            self._renewed_at = now
            self._renew(now)
        elif self._is_away and now - self._probed_at >= ANSWERS_WITHIN_S:
            self._probed_at = now
            self._tell(now, probe=True)

    def stop(self, now: float) -> None:
        """All that is not reserved goes back."""
        for wallet in self._wallets.values():
            self._close(wallet, now)
            self._abandon(wallet)
            for plan in list(wallet.parked):
                self._unpark(wallet, plan, Outcome.SILENT)
        self._is_away = False  # whether or not: it is the last word
        self._say_again(list(self._ended.values()))
        self._tell(now)

    def _renew(self, now: float) -> None:
        """Of a lease in use what two seconds take is kept; of one that is idle, or not the newest, nothing more."""
        asked: list[GrantAsked] = []
        reported: list[LeaseReported] = []
        for key, wallet in list(self._wallets.items()):
            is_old = False
            if wallet.used:
                wallet.used_at = now
                newest = wallet.leases[-1:]
                self._close(wallet, now, but=newest)
                for lease in newest:
                    lease.kept = min(lease.kept, lease.taken + 2 * max(wallet.used, wallet.pace))
                    is_old = now - lease.born_at >= LEASE_S
            else:
                self._close(wallet, now)
            wallet.pace, wallet.used = wallet.used, 0
            reported += wallet.reports()
            if is_old and not wallet.asked:
                wallet.asked = self._new_lease_id()
                asked.append(self._wish(wallet))
            elif wallet.leases:
                asked.append(GrantAsked(wallet.service, wallet.day))  # it may have been lowered
            elif not wallet.asked and not wallet.parked and now - wallet.used_at >= FORGOTTEN_AFTER_S:
                del self._wallets[key]
                if self._current.get(wallet.service) is wallet:
                    del self._current[wallet.service]
        self._tell(now, asked, reported, probe=self._is_away)

    # Asking and telling -------------------------------------------------------------------------------------

    def _ask(self, wallet: _Wallet, now: float) -> None:
        if wallet.parked:  # what is in hand does not cover the first of them, and may help elsewhere
            self._close(wallet, now)
        wallet.asked = wallet.asked or self._new_lease_id()
        self._tell(now, [self._wish(wallet)], wallet.reports())

    def _wish(self, wallet: _Wallet) -> GrantAsked:
        need = wallet.parked[0].amount if wallet.parked else wallet.usual
        waiting = min(sum([plan.amount for plan in wallet.parked]), wallet.limit.daily_nano_usd)
        ahead = min(max(FIRST_AHEAD * need, 2 * (wallet.pace + wallet.used)), wallet.limit.daily_nano_usd)
        return GrantAsked(wallet.service, wallet.day, wallet.asked, need, waiting, ahead)

    def _new_lease_id(self) -> str:
        self._last_lease += 1
        return f"{self._holder}.{self._last_lease}"

    def _close(self, wallet: _Wallet, now: float, but: list[_Lease] | None = None) -> None:
        """Nothing more is reserved of what is in hand."""
        for lease in wallet.leases:
            if not but or lease not in but:
                ends_in_ms = max(0, int((lease.until - now) * 1000))
                self._end(LeaseReported(lease.lease_id, lease.taken, ends_in_ms))
        wallet.leases = but or []

    def _abandon(self, wallet: _Wallet) -> None:
        """What was asked for is not taken, should it be granted after all."""
        if wallet.asked:
            self._end(LeaseReported(wallet.asked, 0, 0))
            wallet.asked = ""

    def _end(self, report: LeaseReported) -> None:
        self._ended[report.lease_id] = report
        self._untold[report.lease_id] = None

    def _say_again(self, unheard: list[LeaseReported]) -> None:
        for report in unheard:
            if report.lease_id in self._ended:
                self._untold[report.lease_id] = None

    def _remember(self, report: LeaseReported) -> None:
        self._over[report.lease_id] = report
        if len(self._over) > OVER_REMEMBERED:
            del self._over[next(iter(self._over))]

    def _tell(
        self,
        now: float,
        asked: list[GrantAsked] | None = None,
        reported: list[LeaseReported] | None = None,
        *,
        probe: bool = False,
    ) -> None:
        """With everything that has ended and that no other message tells: each once, or services by the thousand
        would make of every message a list of all the others' leases. One that is away is asked whether it is back.
        """
        reported = list(reported or [])
        if not self._is_away:
            reported += [self._ended[lease_id] for lease_id in self._untold]
            self._untold.clear()
        if not asked and not reported and not probe:
            return
        for start in range(0, max(len(reported), 1), MAX_REPORTS):
            some = reported[start : start + MAX_REPORTS]
            wishes = tuple(asked or ()) if start == 0 else ()
            number = self._send(GrantRequested(self._holder, wishes, tuple(some)))
            self._sent[number] = (now, some, wishes)
