"""Plans that wait for money: nobody overtakes, each is told once what became of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from shared.money import NanoUsd

if TYPE_CHECKING:
    from services.classifier.wallet import Wallet

MAX_PARKED: Final = 4096  # plans; one more is told that the ledger is silent


class Outcome(Enum):
    """What became of a plan that waited."""

    RESERVED = "reserved"
    REFUSED = "refused"  # the budget cannot cover it
    SILENT = "silent"  # the ledger does not answer: `when_ledger_is_away` decides


Then: TypeAlias = Callable[[Outcome, str], None]  # with the id of the lease that it was reserved of


class Parked(msgspec.Struct, frozen=True, eq=False):
    """A plan that waits for money."""

    amount: NanoUsd
    received_at_us: int
    since: float
    until: float  # its request's deadline
    give_up_at: float
    then: Then


class Parking:
    """All that wait in this process, each at its wallet."""

    def __init__(self) -> None:
        self._wallets: dict[Wallet, None] = {}  # those at which somebody waits
        self._count = 0

    @property
    def is_full(self) -> bool:
        return self._count >= MAX_PARKED

    def wallets(self) -> Iterator[Wallet]:
        """Those at which somebody waits, as they are now."""
        return iter(list(self._wallets))

    def add(self, wallet: Wallet, plan: Parked) -> None:
        wallet.parked.append(plan)
        self._wallets[wallet] = None
        self._count += 1

    def let_go(self, wallet: Wallet, plan: Parked, outcome: Outcome, lease_id: str = "") -> None:
        wallet.parked.remove(plan)
        if not wallet.parked:
            del self._wallets[wallet]
        self._count -= 1
        plan.then(outcome, lease_id)

    def let_all_go(self, wallet: Wallet, outcome: Outcome) -> None:
        for plan in list(wallet.parked):
            self.let_go(wallet, plan, outcome)

    def serve(self, wallet: Wallet, *, some: bool) -> bool:
        """In the order of their coming: what is in hand is reserved; where there is not `some` of what was asked for,
        what can never be is refused. Whether any was served.
        """
        parked = wallet.parked
        served = False
        while parked:
            lease_id = wallet.take(parked[0].amount, parked[0].until)
            if not lease_id:
                break
            served = True
            self.let_go(wallet, parked[0], Outcome.RESERVED, lease_id)
        if not some:
            for plan in [plan for plan in parked if plan.amount > wallet.rest]:
                self.let_go(wallet, plan, Outcome.REFUSED)
        return served

    def clear(self) -> None:
        """Wallets begin anew, and those who waited with them."""
        self._wallets.clear()
        self._count = 0
