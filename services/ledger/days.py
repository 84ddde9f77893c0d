"""On which day a request counts: the day of its service's budget, in that budget's time zone. No clock, no network.

Decided once, as the row is stored, and never again: a time zone that is set later moves no row. So the ledger stores
nothing before it knows all budgets, of the policy and of operators; usage waits in its stream meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

import structlog

DEFAULT: Final = "default"  # the budget of every service that has none of its own
# Since 2012 every zone's distance to UTC and every change of it is a multiple of this (but for Antarctica's Casey,
# which changed at 0:01, and not the day): within a quarter the day is one and the same.
QUARTER_US: Final = 15 * 60 * 1_000_000
QUARTERS_KEPT: Final = 4096  # some forty zone-days

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

log = structlog.get_logger()


class Days:
    """By the time zone of each service's budget; that of `default` for each of the rest, or else UTC.

    A zone that this machine does not know counts as UTC, and the log says so.
    """

    def __init__(self, zones: Mapping[str, str]) -> None:
        self._zones = {service: zone for service, zone in zones.items() if _is_known(zone, service)}
        self._others = self._zones.pop(DEFAULT, "UTC")

    def of(self, service: str, at_us: int) -> date:
        return _day(self._zones.get(service, self._others), at_us // QUARTER_US)


def utc_day(_service: str, at_us: int) -> date:
    return _day("UTC", at_us // QUARTER_US)


@lru_cache(maxsize=QUARTERS_KEPT)
def _day(zone: str, quarter: int) -> date:
    moment = _EPOCH + timedelta(microseconds=quarter * QUARTER_US)
    return moment.astimezone(ZoneInfo(zone)).date()


def _is_known(zone: str, service: str) -> bool:
    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, OSError) as error:
        log.error("time_zone_unknown", service=service, zone=zone, because=str(error), counts_as="UTC")
        return False
    return True
