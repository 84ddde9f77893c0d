"""What a usage message makes of the books. Pure: no clock, no database, no NATS.

A record is known by (`request_id`, `send`). The same record again is a duplicate and changes nothing; other content
under the same key is a conflict and is kept aside. A request that was sent twice and worked on twice was paid twice:
the calls of both are kept, the one whose answer counts (`precedes`) is the request's row, the other a resend, and
the row bears the cost of both, so that requests, attempts and daily spend add up to the same amount.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date
from enum import Enum
from hashlib import blake2b
from typing import Final, TypeAlias

import msgspec

from services.ledger.days import utc_day
from shared.contracts import AttemptUsage, RequestUsage, ValidationUsage
from shared.money import LARGEST_NANO_USD

LAST_MOMENT_US: Final = 253_370_764_800_000_000  # the year 9999: what is later has no next month
LONGEST_MS: Final = 1e12  # thirty years; what is longer, or no number at all, was never measured
DayOf: TypeAlias = Callable[[str, int], date]  # of a service's budget, at a moment in microseconds


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One record as it came: decoded, its bytes, their fingerprint, and which message of the fetch it was in."""

    usage: RequestUsage
    fingerprint: int
    raw: msgspec.Raw  # a view of the message, which lives as long as this
    message: int
    sole_call: AttemptUsage | None  # the request's only call, where the request says all else about it
    day: date  # of the service's budget


class Validation(msgspec.Struct, frozen=True, gc=False):
    """One validation as it came, like an Entry."""

    usage: ValidationUsage
    fingerprint: int
    raw: msgspec.Raw
    message: int
    day: date


class Reading(msgspec.Struct, gc=False):
    """What messages say: records, validations, and what in them can never become one."""

    entries: list[Entry] = []
    validations: list[Validation] = []
    poison: list[Poison] = []


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
    validations: tuple[msgspec.Raw, ...] = ()


_envelope = msgspec.msgpack.Decoder(_Envelope)
_usage = msgspec.msgpack.Decoder(RequestUsage)
_validation = msgspec.msgpack.Decoder(ValidationUsage)
_undecodable = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def read(payloads: Iterable[bytes], day_of: DayOf = utc_day) -> Reading:
    """What these messages say.

    The fingerprint is of the bytes that were sent, not of what they decode to: a record that is sent again by an
    older release has the same one after the contract has grown.
    """
    reading = Reading()
    for message, payload in enumerate(payloads):
        try:
            envelope = _envelope.decode(payload)
        except _undecodable as error:
            reading.poison.append(Poison(payload, f"the message cannot be decoded: {error}", message))
            continue
        for raw in envelope.records:
            try:
                usage = _usage.decode(raw)
            except _undecodable as error:
                reading.poison.append(Poison(bytes(raw), f"the record cannot be decoded: {error}", message))
                continue
            sole_call = _sole_call(usage)
            flaw = _flaw(usage, sole_call)
            if flaw:
                reading.poison.append(Poison(bytes(raw), flaw, message))
                continue
            day = day_of(usage.service, usage.received_at_us)
            reading.entries.append(Entry(usage, fingerprint(raw), raw, message, sole_call, day))
        for raw in envelope.validations:
            _read_validation(raw, message, reading, day_of)
    return reading


def _read_validation(raw: msgspec.Raw, message: int, reading: Reading, day_of: DayOf) -> None:
    try:
        usage = _validation.decode(raw)
    except _undecodable as error:
        reading.poison.append(Poison(bytes(raw), f"the validation cannot be decoded: {error}", message))
        return
    flaw = _flaw_of_validation(usage)
    if flaw:
        reading.poison.append(Poison(bytes(raw), flaw, message))
        return
    day = day_of(usage.service, usage.received_at_us)
    reading.validations.append(Validation(usage, fingerprint(raw), raw, message, day))


def fingerprint(content: bytes | msgspec.Raw) -> int:
    """64 bits, signed, as PostgreSQL's bigint is."""
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "big", signed=True)


def _flaw(usage: RequestUsage, sole_call: AttemptUsage | None) -> str:
    if not usage.request_id:
        return "the record has no request_id"
    if not 0 <= usage.received_at_us <= LAST_MOMENT_US:
        return f"received_at_us is no point in time: {usage.received_at_us}"
    if not -1 <= usage.latency_ms <= LONGEST_MS:
        return f"latency_ms is no duration: {usage.latency_ms}"
    if not 0 <= usage.baseline_nano_usd <= LARGEST_NANO_USD:
        return f"baseline_nano_usd is no cost: {usage.baseline_nano_usd}"
    if not 0 <= usage.cache_saved_nano_usd <= LARGEST_NANO_USD:
        return f"cache_saved_nano_usd is no amount: {usage.cache_saved_nano_usd}"
    if not -LARGEST_NANO_USD <= usage.batch_saved_nano_usd <= LARGEST_NANO_USD:
        return f"batch_saved_nano_usd is no amount: {usage.batch_saved_nano_usd}"
    attempts = usage.attempts
    flaw = _flaw_of_calls(attempts)
    if not flaw and sole_call is None and usage.cost_nano_usd != sum([call.cost_nano_usd for call in attempts]):
        flaw = f"cost_nano_usd is not the sum of its calls': {usage.cost_nano_usd}"
    return flaw


def _flaw_of_validation(validation: ValidationUsage) -> str:
    if not validation.request_id:
        return "the validation has no request_id"
    if not 0 <= validation.received_at_us <= LAST_MOMENT_US:
        return f"received_at_us is no point in time: {validation.received_at_us}"
    if not 0 < validation.probability <= 1:
        return f"probability is none with which something was chosen: {validation.probability}"
    if not (validation.agreement == -1 or 0 <= validation.agreement <= 1):
        return f"agreement is neither -1 nor from 0 to 1: {validation.agreement}"
    if not 0 <= validation.baseline_nano_usd <= LARGEST_NANO_USD:
        return f"baseline_nano_usd is no cost: {validation.baseline_nano_usd}"
    if not -1 <= validation.paired_baseline_nano_usd <= LARGEST_NANO_USD:
        return f"paired_baseline_nano_usd is neither -1 nor a cost: {validation.paired_baseline_nano_usd}"
    return _flaw_of_calls(validation.calls)


def _flaw_of_calls(calls: tuple[AttemptUsage, ...]) -> str:
    for call in calls:
        if not 0 <= call.started_at_us <= LAST_MOMENT_US:
            return f"started_at_us of attempt {call.attempt} is no point in time: {call.started_at_us}"
        if not -1 <= call.latency_ms <= LONGEST_MS:
            return f"latency_ms of attempt {call.attempt} is no duration: {call.latency_ms}"
        if not 0 <= call.cost_nano_usd <= LARGEST_NANO_USD:
            return f"cost_nano_usd of attempt {call.attempt} is no cost: {call.cost_nano_usd}"
    if len(calls) > 1 and len({call.attempt for call in calls}) < len(calls):
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
