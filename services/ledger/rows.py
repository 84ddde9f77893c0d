"""What records become in the tables: rows as PostgreSQL's binary COPY takes them. Pure.

After a signature each row is the number of its columns, then every value behind its length, -1 for NULL, all of it
big-endian (PostgreSQL's manual: COPY, Binary Format). Packed here by hand, 4 µs a record: what has a fixed size in
one call, and names, which are the same from record to record, once.

Everything here raises `struct.error` for a number that its column cannot hold.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from functools import lru_cache
from struct import Struct as Layout
from typing import Final

from services.ledger import books, core
from services.ledger.books import Payer
from services.ledger.core import Entry, Validation
from shared.contracts import AttemptUsage, RequestUsage, ValidationUsage

_FIXED: Final = (
    ("send", "h"),
    ("received_at", "q"),
    ("day", "i"),
    ("answered_at", "q"),
    ("status", "i"),
    ("attempts", "i"),
    ("input_tokens", "q"),
    ("cached_input_tokens", "q"),
    ("output_tokens", "q"),
    ("latency_ms", "d"),
    ("cost_nano_usd", "q"),
    ("baseline_nano_usd", "q"),
    ("policy_version", "q"),
    ("reserved_nano_usd", "q"),
    ("fingerprint", "q"),
    ("cache_saved_nano_usd", "q"),
    ("batch_saved_nano_usd", "q"),
)
_NAMES: Final = (
    "service", "priority", "category", "tier", "backend", "model", "reason", "cache", "usage_source", "lease_id",
)  # fmt: skip
_TIMES: Final = ("first_token_ms", "call_started_at", "call_latency_ms")
REQUEST_COLUMNS: Final = (*(name for name, _ in _FIXED), "request_id", "features", *_TIMES, *_NAMES)

_FIXED_CALL: Final = (
    ("send", "h"),
    ("attempt", "h"),
    ("received_at", "q"),
    ("day", "i"),
    ("started_at", "q"),
    ("status", "i"),
    ("input_tokens", "q"),
    ("cached_input_tokens", "q"),
    ("output_tokens", "q"),
    ("cost_nano_usd", "q"),
    ("latency_ms", "d"),
)
_CALL_NAMES: Final = ("service", "tier", "backend", "outcome", "usage_source")
CALL_COLUMNS: Final = (*(name for name, _ in _FIXED_CALL), "request_id", *_CALL_NAMES)

_FIXED_PAIR: Final = (
    ("received_at", "q"),
    ("day", "i"),
    ("policy_version", "q"),
    ("probability", "d"),
    ("baseline_nano_usd", "q"),
    ("calls", "i"),
    ("cost_nano_usd", "q"),
    ("fingerprint", "q"),
)
_PAIR_MAYBE: Final = ("paired_baseline_nano_usd", "agreement")
_PAIR_NAMES: Final = ("service", "category", "backend")
PAIR_COLUMNS: Final = (*(name for name, _ in _FIXED_PAIR), "request_id", *_PAIR_MAYBE, *_PAIR_NAMES)

_FIXED_TRANSFER: Final = (
    ("send", "h"),
    ("attempt", "h"),
    ("received_at", "q"),
    ("day", "i"),
    ("amount_nano_usd", "q"),
    ("policy_version", "q"),
)
_TRANSFER_NAMES: Final = ("debit_account", "credit_account", "cause", "amount_source")
TRANSFER_COLUMNS: Final = (*(name for name, _ in _FIXED_TRANSFER), "request_id", *_TRANSFER_NAMES)

# A row from its first byte to the length of its request_id.
_request: Final = Layout(">h" + "".join("i" + kind for _, kind in _FIXED) + "i").pack
_call: Final = Layout(">h" + "".join("i" + kind for _, kind in _FIXED_CALL) + "i").pack
_fixed_transfer: Final = Layout(">h" + "".join("i" + kind for _, kind in _FIXED_TRANSFER) + "i").pack
_pair: Final = Layout(">h" + "".join("i" + kind for _, kind in _FIXED_PAIR) + "i").pack
_length: Final = Layout(">i").pack
_integer: Final = Layout(">iq").pack
_float: Final = Layout(">id").pack
_moment_and_float: Final = Layout(">iqid").pack

_BEGIN: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END: Final = b"\xff\xff"
_NULL: Final = b"\xff\xff\xff\xff"
_TWO_NULLS: Final = _NULL * 2

# PostgreSQL counts from the year 2000.
_EPOCH_US: Final = 946_684_800_000_000
_EPOCH_DAY: Final = 730_120  # as date.toordinal has it


def requests(entries: Iterable[Entry]) -> bytes:
    """One row a record, for ledger_requests or ledger_resends, with REQUEST_COLUMNS."""
    parts: list[bytes] = [_BEGIN]
    for entry in entries:
        usage, call = entry.usage, entry.sole_call
        request_id, features = usage.request_id.encode(), bytes(usage.features)
        fixed = _request(
            len(REQUEST_COLUMNS),
            2, usage.send,
            8, usage.received_at_us - _EPOCH_US,
            4, entry.day.toordinal() - _EPOCH_DAY,
            8, core.answered_at_us(usage) - _EPOCH_US,
            4, usage.status,
            4, len(usage.attempts),
            8, usage.input_tokens,
            8, usage.cached_input_tokens,
            8, usage.output_tokens,
            8, usage.latency_ms,
            8, usage.cost_nano_usd,
            8, usage.baseline_nano_usd,
            8, usage.policy_version,
            8, usage.reserved_nano_usd,
            8, entry.fingerprint,
            8, usage.cache_saved_nano_usd,
            8, usage.batch_saved_nano_usd,
            len(request_id),
        )  # fmt: skip
        parts += (
            fixed,
            request_id,
            _length(len(features)),
            features,
            _NULL if usage.first_token_ms < 0 else _float(8, usage.first_token_ms),
            _TWO_NULLS if call is None else _moment_and_float(8, call.started_at_us - _EPOCH_US, 8, call.latency_ms),
            _names(
                usage.service,
                usage.priority,
                usage.category,
                usage.tier,
                usage.backend,
                usage.model,
                usage.reason,
                usage.cache,
                usage.usage_source,
                usage.lease_id,
            ),
        )
    parts.append(_END)
    return b"".join(parts)


def calls(entries: Iterable[Entry]) -> bytes:
    """One row a call that has one of its own, for ledger_attempts, with CALL_COLUMNS; nothing where there is none."""
    parts: list[bytes] = [_BEGIN]
    for entry in entries:
        if entry.sole_call is not None:
            continue
        usage = entry.usage
        request_id = usage.request_id.encode()
        for call in usage.attempts:
            fixed = _call(
                len(CALL_COLUMNS),
                2, usage.send,
                2, call.attempt,
                8, usage.received_at_us - _EPOCH_US,
                4, entry.day.toordinal() - _EPOCH_DAY,
                8, call.started_at_us - _EPOCH_US,
                4, call.status,
                8, call.input_tokens,
                8, call.cached_input_tokens,
                8, call.output_tokens,
                8, call.cost_nano_usd,
                8, call.latency_ms,
                len(request_id),
            )  # fmt: skip
            parts += (
                fixed,
                request_id,
                _names(usage.service, call.tier or usage.tier, call.backend, call.outcome, call.usage_source),
            )
    return _whole(parts)


def transfers(entries: Iterable[Entry]) -> bytes:
    """One row a call that cost something, for ledger_transfers, with TRANSFER_COLUMNS; nothing where none did."""
    parts: list[bytes] = [_BEGIN]
    for entry in entries:
        usage = entry.usage
        for call in usage.attempts:
            if call.cost_nano_usd:
                parts += _transfer(usage, usage.send, entry.day, books.payer(usage.reason), call)
    return _whole(parts)


def validation_transfers(validations: Iterable[Validation]) -> bytes:
    """Likewise of what comparisons with the reference cost."""
    parts: list[bytes] = [_BEGIN]
    for validation in validations:
        for call in validation.usage.calls:
            if call.cost_nano_usd:
                parts += _transfer(validation.usage, 0, validation.day, Payer.VALIDATION, call)
    return _whole(parts)


def _transfer(
    usage: RequestUsage | ValidationUsage, send: int, day: date, pays: Payer, call: AttemptUsage
) -> tuple[bytes, bytes, bytes]:
    request_id = usage.request_id.encode()
    fixed = _fixed_transfer(
        len(TRANSFER_COLUMNS),
        2, send,
        2, call.attempt,
        8, usage.received_at_us - _EPOCH_US,
        4, day.toordinal() - _EPOCH_DAY,
        8, call.cost_nano_usd,
        8, usage.policy_version,
        len(request_id),
    )  # fmt: skip
    posted = _posting(usage.service, pays, call.backend, call.is_batch, call.is_cost_reported, call.usage_source)
    return fixed, request_id, posted


def pairs(validations: Iterable[Validation]) -> bytes:
    """One row a validation, for ledger_pairs, with PAIR_COLUMNS."""
    parts: list[bytes] = [_BEGIN]
    for validation in validations:
        usage = validation.usage
        request_id = usage.request_id.encode()
        fixed = _pair(
            len(PAIR_COLUMNS),
            8, usage.received_at_us - _EPOCH_US,
            4, validation.day.toordinal() - _EPOCH_DAY,
            8, usage.policy_version,
            8, usage.probability,
            8, usage.baseline_nano_usd,
            4, len(usage.calls),
            8, sum(call.cost_nano_usd for call in usage.calls),
            8, validation.fingerprint,
            len(request_id),
        )  # fmt: skip
        paired = usage.paired_baseline_nano_usd
        parts += (
            fixed,
            request_id,
            _NULL if paired < 0 else _integer(8, paired),
            _NULL if usage.agreement < 0 else _float(8, usage.agreement),
            _names(usage.service, usage.category, usage.backend),
        )
    parts.append(_END)
    return b"".join(parts)


def _whole(parts: list[bytes]) -> bytes:
    """Nothing where there is no row."""
    if len(parts) == 1:
        return b""
    parts.append(_END)
    return b"".join(parts)


@lru_cache(maxsize=1024)
def _names(*names: str) -> bytes:
    return b"".join(_length(len(name)) + name for name in map(str.encode, names))


@lru_cache(maxsize=1024)
def _posting(  # by position: what is cached by name costs twice as much to find
    service: str,
    pays: Payer,
    backend: str,
    is_batch: bool,  # noqa: FBT001
    is_cost_reported: bool,  # noqa: FBT001
    usage_source: str,
) -> bytes:
    what = {"is_batch": is_batch, "is_cost_reported": is_cost_reported}
    return _names(*books.posting(service, pays, backend, usage_source=usage_source, **what))
