"""Who owes what to whom for a record, and what it adds to its day. Pure.

A paid call is one transfer: from the account of the service that pays to the account of the backend that is owed. A
service pays from its budget; what was answered *because* that was used up, from its floor; comparisons with the
reference, from its validation account. Nothing is posted for what cost nothing: a cache's answer moves no money, and
what it saved is a report.

What a lease is charged of which nobody told goes from the budget to the service's account of what was lost: nobody
knows who is owed, if anybody is. What is told of it later goes back.

The day's sums are kept beside the transfers, in the same transaction, so that a question about a day reads some
hundred rows and not its millions of requests, and is answered for good, after the requests themselves are gone.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from enum import StrEnum
from functools import lru_cache
from typing import Final, TypeAlias

import msgspec

from services.ledger.core import Entry, Validation
from shared.contracts import AttemptUsage

BUDGET_DOWNGRADE: Final = "budget_downgrade"  # the reason of an answer that was given because the limit was reached


class Payer(StrEnum):
    """Which account of a service pays."""

    BUDGET = "budget"
    FLOOR = "floor"
    VALIDATION = "validation"
    LOST = "lost"  # the budget, to this account: what leases were charged of which nobody told


class Cause(StrEnum):
    """What a transfer pays for."""

    CALL = "call"
    BATCH_LINE = "batch_line"
    VALIDATION = "validation"
    LOST_LEASE = "lost_lease"  # nothing that anybody knows of


class AmountSource(StrEnum):
    """Where a transfer's amount comes from."""

    REPORTED = "reported"  # the provider's own figure
    PRICED = "priced"  # tokens times the policy's price
    ASSUMED = "assumed"  # nobody told the usage: the worst case, and what is taken back of it


# Accounts ---------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1024)
def payer(reason: str) -> Payer:
    """Of a request with these reasons, comma separated."""
    return Payer.FLOOR if BUDGET_DOWNGRADE in reason.split(",") else Payer.BUDGET


def posting(
    service: str, pays: Payer, backend: str, *, is_batch: bool, is_cost_reported: bool, usage_source: str
) -> tuple[str, str, Cause, AmountSource]:
    """What a call's transfer says besides its amount: debit account, credit account, cause, and whence the amount."""
    debit = account(service, pays)
    cause = Cause.BATCH_LINE if is_batch else Cause.CALL
    if pays is Payer.VALIDATION:
        cause = Cause.VALIDATION
    if usage_source == "unknown":
        source = AmountSource.ASSUMED
    else:
        source = AmountSource.REPORTED if is_cost_reported else AmountSource.PRICED
    return debit, f"backend:{backend}", cause, source


def lost_posting(service: str, amount: int) -> tuple[str, str]:
    """Debit and credit account of what a lease is charged; of what is told of it later, below nought, the reverse."""
    budget, lost = account(service, Payer.BUDGET), account(service, Payer.LOST)
    return (budget, lost) if amount > 0 else (lost, budget)


def account(service: str, of: Payer) -> str:
    """A service is called as its callers please: where its name might be another account's, it stands in quotes."""
    is_plain = ":" not in service and service[:1] != '"' and service != "backend"
    named = service if is_plain else f'"{service}"'
    return named if of is Payer.BUDGET else f"{named}:{of}"


# The day's sums ---------------------------------------------------------------------------------------------

Key: TypeAlias = tuple[date, str, str, str, str, Payer]  # day, service, category, tier, backend, payer
Sums: TypeAlias = dict[Key, list[int]]  # in the order of SUMMED

KEY_COLUMNS: Final = ("day", "service", "category", "tier", "backend", "payer")
SUMMED: Final = (
    "requests", "input_tokens", "output_tokens", "cost_nano_usd", "baseline_nano_usd", "cache_saved_nano_usd",
    "batch_saved_nano_usd",
)  # fmt: skip


class Answer(msgspec.Struct, frozen=True, gc=False):
    """What a request's row adds to its day besides its calls; it is taken back where another row takes its place."""

    day: date
    service: str
    category: str
    tier: str
    backend: str
    reason: str
    baseline_nano_usd: int
    cache_saved_nano_usd: int
    batch_saved_nano_usd: int


def add(sums: Sums, entries: Iterable[Entry], *, answers: bool = True) -> None:
    """Requests, baselines and what cache and batch saved count at the backend that answered, tokens and money at the
    one that was called. `answers`: whether each is its request's row; a resend's calls were paid all the same.
    """
    for entry in entries:
        usage, call = entry.usage, entry.sole_call
        pays = payer(usage.reason)
        key = (entry.day, usage.service, usage.category, usage.tier, usage.backend, pays)
        if answers:
            row = sums.get(key)
            if row is None:
                row = sums[key] = [0] * len(SUMMED)
            row[0] += 1
            row[4] += usage.baseline_nano_usd
            row[5] += usage.cache_saved_nano_usd
            row[6] += usage.batch_saved_nano_usd
        if call is not None:
            _add_call(sums, key, call)
            continue
        for call in usage.attempts:
            tier = call.tier or usage.tier
            _add_call(sums, (entry.day, usage.service, usage.category, tier, call.backend, pays), call)


def add_validations(sums: Sums, validations: Iterable[Validation]) -> None:
    """Calls alone: a comparison answers nobody."""
    for validation in validations:
        usage = validation.usage
        for call in usage.calls:
            key = (validation.day, usage.service, usage.category, call.tier, call.backend, Payer.VALIDATION)
            _add_call(sums, key, call)


def add_lost(sums: Sums, day: date, service: str, amount: int) -> None:
    """No call and no answer: nobody knows of which tier or backend."""
    sums.setdefault((day, service, "", "", "", Payer.LOST), [0] * len(SUMMED))[3] += amount


def take_back(sums: Sums, old: Answer) -> None:
    key = (old.day, old.service, old.category, old.tier, old.backend, payer(old.reason))
    row = sums.setdefault(key, [0] * len(SUMMED))
    row[0] -= 1
    row[4] -= old.baseline_nano_usd
    row[5] -= old.cache_saved_nano_usd
    row[6] -= old.batch_saved_nano_usd


def _add_call(sums: Sums, key: Key, call: AttemptUsage) -> None:
    row = sums.get(key)
    if row is None:
        row = sums[key] = [0] * len(SUMMED)
    row[1] += call.input_tokens
    row[2] += call.output_tokens
    row[3] += call.cost_nano_usd
