"""What a usage message makes of the books. Pure: no clock, no database, no NATS.

A record is known by (`request_id`, `send`). The same record again is a duplicate and changes nothing; other content
under the same key is a conflict and is kept aside. A request that was sent twice and worked on twice was paid twice:
the calls of both are kept, the one whose answer counts (`precedes`) is the request's row, the other a resend, and
the row bears the cost of both, so that requests, attempts and daily spend add up to the same amount.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from enum import Enum
from functools import lru_cache
from hashlib import blake2b
from typing import Final

import msgspec

from shared.contracts import AttemptUsage, RequestUsage

MICROSECONDS_A_DAY: Final = 86_400_000_000
LAST_MOMENT_US: Final = 253_402_300_799_000_000  # the end of the year 9999: later ones have no date
LONGEST_MS: Final = 1e12  # thirty years; what is longer, or no number at all, was never measured


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One record as it came: decoded, its bytes, their fingerprint, and which message of the fetch it was in."""

    usage: RequestUsage
    fingerprint: int
    raw: msgspec.Raw  # a view of the message, which lives as long as this
    message: int
    sole_call: AttemptUsage | None  # the request's only call, where the request says all else about it


class Poison(msgspec.Struct, frozen=True, gc=False):
    """What can never be recorded, and why. `raw` is a whole message or one record of it."""

    raw: bytes
    reason: str
    message: int

    @property
    def digest(self) -> bytes:
        return blake2b(self.raw, digest_size=16).digest()


class Standing(msgspec.Struct, frozen=True, gc=False):
    """What the books say about one send of a request."""

    send: int
    fingerprint: int
    status: int
    answered_at_us: int


class Verdict(Enum):
    """What a record is to a request that has its row already."""

    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    RESEND = "resend"  # another send, and the row that stands stays
    INSTEAD = "instead"  # another send, and it takes the place of the row that stands


RECORDED: Final = frozenset({Verdict.RESEND, Verdict.INSTEAD})


# Reading ----------------------------------------------------------------------------------------------------


class _Envelope(msgspec.Struct, array_like=True, gc=False):
    """UsageRecorded with its records unread: one that is broken is no reason to lose its neighbours."""

    batch_id: str
    records: tuple[msgspec.Raw, ...]


_envelope = msgspec.msgpack.Decoder(_Envelope)
_usage = msgspec.msgpack.Decoder(RequestUsage)
_undecodable = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def read(payload: bytes, message: int) -> tuple[list[Entry], list[Poison]]:
    """A message's records, and what in it can never become one.

    The fingerprint is of the bytes that were sent, not of what they decode to: a record that is sent again by an
    older release has the same one after the contract has grown.
    """
    entries: list[Entry] = []
    poison: list[Poison] = []
    try:
        raws = _envelope.decode(payload).records
    except _undecodable as error:
        return entries, [Poison(payload, f"the message cannot be decoded: {error}", message)]
    for raw in raws:
        try:
            usage = _usage.decode(raw)
        except _undecodable as error:
            poison.append(Poison(bytes(raw), f"the record cannot be decoded: {error}", message))
            continue
        flaw = _flaw(usage)
        if flaw:
            poison.append(Poison(bytes(raw), flaw, message))
        else:
            entries.append(Entry(usage, fingerprint(raw), raw, message, _sole_call(usage)))
    return entries, poison


def fingerprint(content: bytes | msgspec.Raw) -> int:
    """64 bits, signed, as PostgreSQL's bigint is."""
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "big", signed=True)


def _flaw(usage: RequestUsage) -> str:
    if not usage.request_id:
        return "the record has no request_id"
    if not 0 <= usage.received_at_us <= LAST_MOMENT_US:
        return f"received_at_us is no point in time: {usage.received_at_us}"
    if not -1 <= usage.latency_ms <= LONGEST_MS:
        return f"latency_ms is no duration: {usage.latency_ms}"
    attempts = usage.attempts
    for attempt in attempts:
        if not 0 <= attempt.started_at_us <= LAST_MOMENT_US:
            return f"started_at_us of attempt {attempt.attempt} is no point in time: {attempt.started_at_us}"
        if not -1 <= attempt.latency_ms <= LONGEST_MS:
            return f"latency_ms of attempt {attempt.attempt} is no duration: {attempt.latency_ms}"
    if len(attempts) > 1 and len({attempt.attempt for attempt in attempts}) < len(attempts):
        return "two attempts have the same number: one of two paid calls would be lost"
    return ""


def _sole_call(usage: RequestUsage) -> AttemptUsage | None:
    """Most requests have one call, which answered: its row would say what the request's says."""
    if len(usage.attempts) != 1:
        return None
    call = usage.attempts[0]
    is_told = (
        call.attempt == 1
        and call.outcome == "answered"
        and call.cost_nano_usd == usage.cost_nano_usd
        and call.output_tokens == usage.output_tokens
        and call.input_tokens == usage.input_tokens
        and call.cached_input_tokens == usage.cached_input_tokens
        and call.status == usage.status
        and call.backend == usage.backend
        and call.tier in {"", usage.tier}
        and call.usage_source == usage.usage_source
    )
    return call if is_told else None


# Deciding ---------------------------------------------------------------------------------------------------


def settle(known: dict[str, list[Standing]], entries: Iterable[Entry]) -> list[tuple[Entry, Verdict]]:
    """What each of `entries` is, in turn. `known` has the sends of each request: at least the one that is its row,
    which is the first. It is brought up to date.
    """
    verdicts = []
    for entry in entries:
        mine = standing(entry)
        sends = known[entry.usage.request_id]
        same = next((other for other in sends if other.send == mine.send), None)
        if same is not None:
            verdict = Verdict.DUPLICATE if same.fingerprint == mine.fingerprint else Verdict.CONFLICT
        elif precedes(mine, sends[0]):
            sends.insert(0, mine)
            verdict = Verdict.INSTEAD
        else:
            sends.append(mine)
            verdict = Verdict.RESEND
        verdicts.append((entry, verdict))
    return verdicts


def precedes(one: Standing, other: Standing) -> bool:
    """Which of two sends the caller was answered from, as far as the books can tell: one that succeeded, before one
    that did not; then the one that was ready first. It does not depend on the order in which they are recorded.
    """
    return _rank(one) < _rank(other)


def _rank(standing: Standing) -> tuple[bool, int, int]:
    return not 200 <= standing.status < 400, standing.answered_at_us, standing.send


def standing(entry: Entry) -> Standing:
    usage = entry.usage
    return Standing(usage.send, entry.fingerprint, usage.status, answered_at_us(usage))


def answered_at_us(usage: RequestUsage) -> int:
    """When the last call ended, by the dispatchers' wall clock: `latency_ms` counts from when each send began."""
    if not usage.attempts:
        return usage.received_at_us + int(usage.latency_ms * 1000)
    last = usage.attempts[-1]
    return last.started_at_us + int(last.latency_ms * 1000)


def budget_day(received_at_us: int) -> date:
    """The day, in UTC, on which a request counts. Decided once, as it is stored, whatever is set later."""
    return _day(received_at_us // MICROSECONDS_A_DAY)


@lru_cache(maxsize=64)
def _day(days: int) -> date:
    return date(1970, 1, 1) + timedelta(days=days)
