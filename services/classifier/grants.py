"""What this classifier may spend: leases of services' budget days, reserved from in memory, asked for ahead of need.

Time is an argument (seconds on a clock that only goes forward) and messages leave through `send`, so it runs in a
simulation as it runs here. What the ledger makes of the messages is in services/ledger/leases.py; the protocol, and
why it never overspends, in docs/decisions/0011. The promise of this side: of a lease never more is reserved than was
last said to be kept of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from services.classifier.letters import ANSWERS_WITHIN_S, Letters
from services.classifier.outlook import Purse
from services.classifier.parking import Outcome, Parked, Parking, Then
from services.classifier.wallet import Lease, Wallet
from shared.budgets import Limit, Limits, budget_day
from shared.contracts import GrantAsked, Granted, GrantRequested, LeaseReported
from shared.money import NanoUsd

TICK_S: Final = 0.05  # how often `tick` wants to be called
RENEW_EVERY_S: Final = 1.0
SETTLING_WAITS_S: Final = 2.0  # for reservations to become costs, where the money is held and not yet spent
SETTLING_SHARE: Final = 0.25  # and never more of what is left of the request's time
SETTLING_ASKS_EVERY_S: Final = 0.1
AMPLE: Final = 8  # times what is reserved, and it is not missed
FORGOTTEN_AFTER_S: Final = 60.0  # a service that asks for nothing; any caller may make up names


class Grants(Mapping[str, Purse]):
    """All wallets of this process. As a mapping: what each service's budget allows a request that was received at
    `moment_us`; a service without a limit is not in it.
    """

    def __init__(self, holder: str, send: Callable[[GrantRequested], int]) -> None:
        """`send` returns the number under which the message's answer comes to `on_granted` or `on_away`."""
        self.moment_us = 0
        self._letters = Letters(holder, send)
        self._limits = Limits()
        self._rank: Mapping[str, int] = {}
        self._wallets: dict[tuple[str, str], Wallet] = {}  # by service and day
        self._current: dict[str, Wallet] = {}  # by service, the one that was used last
        self._parking = Parking()
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
        self._parking.clear()
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
        self._park(service, Parked(amount, received_at_us, now, until, give_up_at, then), now)

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
        ended = self._letters.last_word(lease_id)
        if ended is not None:
            self._letters.end(LeaseReported(lease_id, ended.kept - amount, ended.ends_in_ms))

    def _wallet(self, service: str, received_at_us: int) -> Wallet | None:
        wallet = self._current.get(service)
        if wallet is not None and wallet.starts_us <= received_at_us < wallet.ends_us:
            return wallet
        limit = self._limits.of(service)
        if limit is None:
            return None
        day = budget_day(limit.timezone, received_at_us)
        wallet = self._wallets.get((service, day.day))
        if wallet is None:
            wallet = Wallet(service, limit, self._rank.get(limit.downgrade_to, -1), day, self._now)
            self._wallets[service, day.day] = wallet
        self._current[service] = wallet
        return wallet

    def _park(self, service: str, plan: Parked, now: float) -> None:
        wallet = self._wallet(service, plan.received_at_us)
        if wallet is None:
            plan.then(Outcome.RESERVED, "")
        elif wallet.refuses(plan.amount, now):
            plan.then(Outcome.REFUSED, "")
        elif self._is_away or self._parking.is_full:
            plan.then(Outcome.SILENT, "")
        else:
            self._parking.add(wallet, plan)
            if not wallet.asked and (len(wallet.parked) == 1 or now >= wallet.ask_again_at):
                self._ask(wallet, now)

    # From the ledger ----------------------------------------------------------------------------------------

    def on_granted(self, number: int, granted: Granted, now: float) -> None:
        if granted.away:
            self.on_away(number, now)
            return
        self._is_away = False
        self._heard_at = now
        asked = self._letters.answered(number, now)
        for grant in granted.grants:
            wallet = self._wallets.get((grant.service, grant.day))
            if wallet is not None:
                wallet.daily, wallet.spent, wallet.held, wallet.told_at = grant.limit, grant.spent, grant.held, now
                if grant.spent + grant.held > grant.limit:  # it was lowered
                    self._close(wallet, now)
            if wallet is not None and grant.lease_id and grant.lease_id == wallet.asked:
                wallet.asked = ""
                if grant.granted:
                    wallet.leases.append(Lease(grant.lease_id, grant.granted, now))
                else:
                    self._letters.is_over(LeaseReported(grant.lease_id, 0, 0))
                self._serve(wallet, now, some=grant.granted > 0)
            else:
                self._letters.answer_again(grant)
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
        self._letters.unheard(number, now)
        self._fall_silent(now)

    def _serve(self, wallet: Wallet, now: float, *, some: bool) -> None:
        """With what came. `some`: not nothing."""
        served = self._parking.serve(wallet, some=some)
        if not wallet.parked:
            wallet.ask_again_at = now if some else now + RENEW_EVERY_S
        elif served:
            self._ask(wallet, now)
        else:
            wallet.ask_again_at = now + SETTLING_ASKS_EVERY_S

    def _fall_silent(self, now: float) -> None:
        self._is_away = True
        self._probed_at = now
        for wallet in list(self._wallets.values()):
            self._abandon(wallet)
            self._parking.let_all_go(wallet, Outcome.SILENT)

    # Time ---------------------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Who has waited long enough, and what is to be asked again; once a second, the renewal."""
        stood_still = now - self._now > ANSWERS_WITHIN_S / 2  # then answers may be here that nobody has read yet
        self._now = now
        is_silent = False
        for at, asked in [] if stood_still else self._letters.unanswered(now):
            if self._heard_at <= at:
                is_silent = True
            else:  # another ledger lives, or this one stumbled over one message: nobody else suffers for it
                self._ask_later(asked, now)
        if is_silent:
            self._fall_silent(now)
        self._letters.give_up_lost(now)
        for wallet in self._parking.wallets():
            for plan in [plan for plan in wallet.parked if now >= plan.give_up_at]:
                is_silent = wallet.told_at < plan.since <= now - ANSWERS_WITHIN_S and not stood_still
                self._parking.let_go(wallet, plan, Outcome.SILENT if is_silent else Outcome.REFUSED)
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
            self._parking.let_all_go(wallet, Outcome.SILENT)
        self._is_away = False  # whether or not: it is the last word
        self._letters.say_all_again()
        self._tell(now)

    def _renew(self, now: float) -> None:
        asked: list[GrantAsked] = []
        reported: list[LeaseReported] = []
        for key, wallet in list(self._wallets.items()):
            ended, is_old = wallet.renew(now)
            self._end(ended)
            reported += wallet.reports()
            if is_old and not wallet.asked:
                wallet.asked = self._letters.new_lease_id()
                asked.append(wallet.wish())
            elif wallet.leases:
                asked.append(GrantAsked(wallet.service, wallet.day))  # it may have been lowered
            elif not wallet.asked and not wallet.parked and now - wallet.used_at >= FORGOTTEN_AFTER_S:
                del self._wallets[key]
                if self._current.get(wallet.service) is wallet:
                    del self._current[wallet.service]
        self._tell(now, asked, reported, probe=self._is_away)

    # Asking and telling -------------------------------------------------------------------------------------

    def _ask(self, wallet: Wallet, now: float) -> None:
        if wallet.parked:  # what is in hand does not cover the first of them, and may help elsewhere
            self._close(wallet, now)
        wallet.asked = wallet.asked or self._letters.new_lease_id()
        self._tell(now, [wallet.wish()], wallet.reports())

    def _close(self, wallet: Wallet, now: float) -> None:
        """Nothing more is reserved of what is in hand."""
        self._end(wallet.close(now))

    def _abandon(self, wallet: Wallet) -> None:
        """What was asked for is not taken, should it be granted after all."""
        if wallet.asked:
            self._letters.end(LeaseReported(wallet.asked, 0, 0))
            wallet.asked = ""

    def _end(self, reports: Iterable[LeaseReported]) -> None:
        for report in reports:
            self._letters.end(report)

    def _tell(
        self,
        now: float,
        asked: Iterable[GrantAsked] = (),
        reported: Iterable[LeaseReported] = (),
        *,
        probe: bool = False,
    ) -> None:
        self._letters.write(now, asked, reported, is_away=self._is_away, probe=probe)
