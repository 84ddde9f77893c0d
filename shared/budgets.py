"""Which budget a service has, and on which of its days a moment falls: what classifier and ledger must agree on."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo

import msgspec

from shared.money import NanoUsd, nano_usd
from shared.policy import Budget

DEFAULT: Final = "default"  # the budget of every service that has none of its own, each its own money


class Limit(msgspec.Struct, frozen=True):
    """A budget as those who keep to it see it."""

    daily_nano_usd: NanoUsd
    on_exhausted: Literal["downgrade", "reject"] = "downgrade"
    downgrade_to: str = ""  # a tier; empty: the cheapest that can serve
    timezone: str = "UTC"
    when_ledger_is_away: Literal["downgrade", "allow", "reject"] = "downgrade"


class Limits:
    """The file's budgets, and what an operator has set over them since."""

    def __init__(self, file: Mapping[str, Budget] | None = None, over: Mapping[str, Budget] | None = None) -> None:
        self._limits = {service: _limit(budget) for service, budget in {**(file or {}), **(over or {})}.items()}
        self._default = self._limits.get(DEFAULT)

    def of(self, service: str) -> Limit | None:
        """None: no limit."""
        return self._limits.get(service, self._default)

    @property
    def named(self) -> tuple[str, ...]:
        """The services that have a budget of their own."""
        return tuple(self._limits)

    @property
    def zones(self) -> dict[str, str]:
        """Each budget's time zone, that of DEFAULT for the rest."""
        return {service: limit.timezone for service, limit in self._limits.items()}


def _limit(budget: Budget) -> Limit:
    return Limit(
        nano_usd(budget.daily_usd),
        budget.on_exhausted,
        budget.downgrade_to or "",
        budget.timezone if _is_known(budget.timezone) else "UTC",
        budget.when_ledger_is_away,
    )


def _is_known(timezone: str) -> bool:
    """To this machine: what it does not know counts as UTC, here as in the books."""
    try:
        ZoneInfo(timezone)
    except (KeyError, ValueError, OSError):
        return False
    return True


class BudgetDay(msgspec.Struct, frozen=True):
    """From midnight to midnight, where the clocks change too. Microseconds since the epoch, the end excluded."""

    day: str  # YYYY-MM-DD
    starts_us: int
    ends_us: int


def budget_day(timezone: str, at_us: int) -> BudgetDay:
    """The day in `timezone`, which must be known, on which that moment falls."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at_us)
    return calendar_day(timezone, moment.astimezone(ZoneInfo(timezone)).date())


def calendar_day(timezone: str, day: date) -> BudgetDay:
    zone = ZoneInfo(timezone)
    return BudgetDay(day.isoformat(), _midnight_us(day, zone), _midnight_us(day + timedelta(days=1), zone))


def _midnight_us(day: date, zone: ZoneInfo) -> int:
    """When the day begins. A midnight that comes twice is the first one; one that is left out, what follows it."""
    return int(datetime.combine(day, time(), zone).timestamp()) * 1_000_000
