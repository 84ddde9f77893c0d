"""Usage records as a dispatcher would write them."""

from typing import Any

import msgspec
from msgspec import Raw

from shared.contracts import AttemptUsage, Features, RequestUsage, UsageRecorded, ValidationUsage, encode

NOON_US = 1_790_000_000_000_000 // 86_400_000_000 * 86_400_000_000 + 43_200_000_000  # of some day, UTC

CALL = AttemptUsage(
    attempt=1,
    backend="small-1",
    started_at_us=NOON_US + 1_000,
    outcome="answered",
    status=200,
    input_tokens=120,
    cached_input_tokens=20,
    output_tokens=30,
    usage_source="reported",
    cost_nano_usd=750,
    latency_ms=412.5,
)

FEATURES = Features(evidence=("schema", "short"), scores=(80, 0, 0, 0, 0, 20), model="auto", input_tokens=118)
USAGE = RequestUsage(
    request_id="req_aaaaaaaaaaaa0001",
    send=0,
    received_at_us=NOON_US,
    service="billing",
    priority="normal",
    category="extraction",
    tier="small",
    backend="small-1",
    model="qwen-9b",
    reason="category",
    cache="miss",
    status=200,
    input_tokens=120,
    cached_input_tokens=20,
    output_tokens=30,
    usage_source="reported",
    latency_ms=413.0,
    first_token_ms=-1,
    cost_nano_usd=750,
    baseline_nano_usd=98_000,
    policy_version=3,
    lease_id="lease-1",
    reserved_nano_usd=5_000,
    features=Raw(encode(FEATURES)),
    attempts=(CALL,),
)

VALIDATION = ValidationUsage(
    request_id="req_aaaaaaaaaaaa0001",
    received_at_us=NOON_US,
    service="billing",
    category="extraction",
    backend="small-1",
    policy_version=3,
    probability=0.05,
    baseline_nano_usd=98_000,
    paired_baseline_nano_usd=120_000,
    agreement=1.0,
    calls=(
        AttemptUsage(
            1, "ref-1", NOON_US + 2_000_000, "answered", 200, 120, 0, 90, "reported", 9_000, 900.0, "reference"
        ),
    ),
)


def usage(number: int = 1, *, calls: tuple[dict[str, Any], ...] | None = None, **changes: Any) -> RequestUsage:
    """The request with this number. `calls`: what is different in each call; its cost is their sum. Where only the
    request's cost is said, its only call cost that.
    """
    if calls is None and "cost_nano_usd" in changes and "attempts" not in changes:
        calls = ({"cost_nano_usd": changes["cost_nano_usd"]},)
    if calls is not None:
        attempts = tuple(msgspec.structs.replace(CALL, attempt=i, **call) for i, call in enumerate(calls, 1))
        changes = {"attempts": attempts, "cost_nano_usd": sum(call.cost_nano_usd for call in attempts), **changes}
    return msgspec.structs.replace(USAGE, **{"request_id": f"req_aaaaaaaaaaaa{number:04}", **changes})


def validation(number: int = 1, **changes: Any) -> ValidationUsage:
    """Of the request with this number: a call of the reference."""
    return msgspec.structs.replace(VALIDATION, **{"request_id": f"req_aaaaaaaaaaaa{number:04}", **changes})


def message(
    *records: RequestUsage, batch_id: str = "dispatcher-1.1", validations: tuple[ValidationUsage, ...] = ()
) -> bytes:
    return encode(UsageRecorded(batch_id, records, validations))
