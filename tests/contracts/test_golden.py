"""Yesterday's messages still decode. Each event has a golden payload as it was first sent, kept for good.

`python -m tests.contracts.test_golden` writes those that are missing, and never changes one that is there.
"""

from datetime import date
from pathlib import Path

import msgspec
import pytest
from msgspec import Raw

from shared import contracts
from shared.contracts import (
    Answered,
    AnswerHead,
    AttemptUsage,
    Beat,
    BodyWanted,
    BudgetChangeRequested,
    BudgetsAsked,
    CallerLeft,
    ClaimAsked,
    Claimed,
    CreditGranted,
    ExplainRequested,
    Features,
    Grant,
    GrantAsked,
    Granted,
    GrantRequested,
    LeaseReported,
    PlanRefused,
    Refusal,
    RequestAsked,
    RequestPlanned,
    RequestReceived,
    RequestUsage,
    SavingsAsked,
    SpendAsked,
    TokensCounted,
    TokensTold,
    UsageRecorded,
    ValidationUsage,
    encode,
)

GOLDEN = Path(__file__).parent / "golden"
ID = "req_0123456789ab0000002a"
DECIDED_BY = Features(("asks_to_classify",), (0, 0, 80, 0, 0, 10), "auto", 120, 200, ("json_schema",), 2, True, True)
FEATURES = Raw(encode(DECIDED_BY))
FIRST_FEATURES = Raw(msgspec.msgpack.encode(msgspec.msgpack.decode(FEATURES)[:9]))  # as they were before `replay`
REFUSAL = Refusal(404, "model_not_found", "there is no model 'x'", param="model")
ATTEMPT = AttemptUsage(1, "small-1", 1_795_406_162_000_000, "answered", 200, 120, 20, 50, "reported", 1_230, 41.5)
USAGE = RequestUsage(
    ID, 0, 1_795_406_161_999_000, "billing", "normal", "classification", "small", "small-1", "qwen-9b", "category",
    "miss", 200, 120, 20, 50, "reported", 42.0, -1.0, 1_230, 98_000, 7, "", 5_000, FIRST_FEATURES, (ATTEMPT,),
)  # fmt: skip
VALIDATION = ValidationUsage(
    ID, 1_795_406_161_999_000, "billing", "classification", "small-1", 7, 0.05, 98_000, 121_500, 1.0, (ATTEMPT,)
)

EVENTS = [
    RequestReceived(
        ID, 1_795_406_161_999_000, "chat", "billing", "normal", 600_000, 596, False, 0, "code", "large", 9
    ),
    PlanRefused(REFUSAL, 0, "general", "large", ("category",), 7),
    RequestPlanned(
        ID, 1_795_406_161_999_000, "chat", "billing", "normal", 600_000, 596, False, 0, 7, "classification", "small",
        ("category",), ("small-1", "large-1"), "large-1", True, False, 120, 5_000, "", 0, "", FIRST_FEATURES,
    ),
    AnswerHead(
        200, "application/json", 643, "classification", "small", "small-1", "qwen-9b", ("category",), 1, 7, 1_230,
        96_770,
    ),
    BodyWanted(1_048_576, 1_048_576),
    CreditGranted(32),
    CallerLeft("hung_up"),
    Beat("dispatcher", "dispatcher-0123456789ab", 3),
    TokensTold((TokensCounted("small-1", 120, 131), TokensCounted("cloud-1", 40, 38))),
    ClaimAsked("req_0123456789ab"),
    Claimed("dispatcher-0123456789ab", (ID,)),
    UsageRecorded("dispatcher-0123456789ab.1", (USAGE,)),
    VALIDATION,
    Answered(REFUSAL),
    ExplainRequested(RequestReceived(ID, 1_795_406_161_999_000, "chat", "billing", "normal", 600_000, 596)),
    RequestAsked(ID),
    SpendAsked(date(2026, 11, 25), date(2026, 11, 26), "billing"),
    SavingsAsked(date(2026, 11, 25), date(2026, 11, 26), "billing"),
    BudgetsAsked(),
    BudgetChangeRequested("billing", '{"daily_usd":2}'),
    GrantRequested(
        "classifier-0123456789ab",
        (GrantAsked("billing", "2026-11-25", "classifier-0123456789ab.7", 5_000, 15_000, 400_000),),
        (LeaseReported("classifier-0123456789ab.6", 90_000, 600_000), LeaseReported("classifier-0123456789ab.5", 7)),
    ),
    Granted(
        (Grant("billing", "2026-11-25", "classifier-0123456789ab.7", 400_000, 10**9, 600_000_000, 1_400_000),), False
    ),
]  # fmt: skip

# What has grown since: its second payload.
REPLAYED_BY = Features(
    ("asks_to_classify",), (0, 0, 80, 0, 0, 10), "auto", 120, 200, ("json_schema",), 2, True, True,
    True, "large", 5_000_000, 2, 90, 5, 3_735_928_559, True, (2**63 + 7,), ("small", "small-1"),
)  # fmt: skip
GROWN = [
    RequestReceived(
        ID, 1_795_406_161_999_000, "chat", "billing", "normal", 600_000, 596, False, 0, "code", "large", 9, "", 0,
        (("x-team", "search"),),
    ),
    msgspec.structs.replace(EVENTS[2], features=Raw(encode(REPLAYED_BY)), model="sdr"),
    UsageRecorded(
        "dispatcher-0123456789ab.2", (msgspec.structs.replace(USAGE, features=Raw(encode(REPLAYED_BY))),)
    ),
]  # fmt: skip

# And grown again: a line of a batch job at the provider's own price, and a validation.
BOOKED = UsageRecorded(
    "batcher-0123456789ab.3",
    (
        msgspec.structs.replace(
            USAGE,
            attempts=(msgspec.structs.replace(ATTEMPT, is_batch=True, is_cost_reported=True),),
            batch_saved_nano_usd=1_230,
        ),
    ),
    (VALIDATION,),
)

LEASED = msgspec.structs.replace(GROWN[1], lease_id="lease-1", dearest_nano_usd=9_000, hand_on=1)

PAYLOADS = [(event, 1) for event in EVENTS] + [(event, 2) for event in GROWN] + [(BOOKED, 3), (LEASED, 3)]


def golden(event: contracts.Hot, number: int) -> Path:
    return GOLDEN / f"{type(event).__name__}.{number}.hex"


@pytest.mark.parametrize(("event", "number"), PAYLOADS, ids=lambda each: getattr(type(each), "__name__", each))
def test_the_golden_payload_still_means_the_same(event, number):
    payload = bytes.fromhex(golden(event, number).read_text())
    assert msgspec.msgpack.decode(payload, type=type(event)) == event


def test_the_features_of_yesterday_are_read_with_what_they_did_not_say():
    features = msgspec.msgpack.decode(FIRST_FEATURES, type=Features)
    assert features == DECIDED_BY
    assert (features.category_said, features.max_cost_nano_usd, features.choices, features.session) == (
        False,
        -1,
        1,
        0,
    )


def test_every_event_has_a_golden_payload():
    events = {
        value
        for value in vars(contracts).values()
        if isinstance(value, type) and issubclass(value, contracts.Hot) and value is not contracts.Hot
    }
    parts_of_others = {Refusal, Features, RequestUsage, AttemptUsage, contracts.LedgerAsked}
    parts_of_others |= {GrantAsked, LeaseReported, Grant, TokensCounted}
    assert events - parts_of_others == {type(event) for event in EVENTS}


def test_an_event_from_before_a_field_was_added_decodes():
    old = msgspec.msgpack.encode([ID, 1, "chat", "", "normal", 600_000, 2])
    received = msgspec.msgpack.decode(old, type=RequestReceived)
    assert (received.framed, received.send, received.category) == (False, 0, "")


def test_an_attempt_from_before_it_had_a_tier_decodes():
    old = msgspec.msgpack.decode(contracts.encode(ATTEMPT))[:-1]
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(old), type=AttemptUsage) == ATTEMPT


def test_usage_from_before_there_were_batches_and_validations_decodes():
    attempt = msgspec.msgpack.decode(encode(ATTEMPT))[:12]
    usage = [*msgspec.msgpack.decode(encode(USAGE))[:24], [attempt]]
    payload = msgspec.msgpack.encode(["dispatcher-0123456789ab.1", [usage]])
    assert msgspec.msgpack.decode(payload, type=UsageRecorded) == UsageRecorded("dispatcher-0123456789ab.1", (USAGE,))


def test_an_event_from_after_a_field_was_added_decodes():
    newer = msgspec.msgpack.encode(["hung_up", -1, "a field of tomorrow"])
    assert msgspec.msgpack.decode(newer, type=CallerLeft) == CallerLeft("hung_up")


def test_a_body_is_packed_behind_its_event_and_comes_back():
    head, body = contracts.unpack(contracts.pack(EVENTS[0], b'{"model":"auto"}'))
    assert msgspec.msgpack.decode(head, type=RequestReceived) == EVENTS[0]
    assert body == b'{"model":"auto"}'


@pytest.mark.parametrize("cut", [b"", b"\0\0\0", b"\0\0\0\x09abc"])
def test_a_packed_event_that_is_cut_short_is_refused(cut):
    with pytest.raises(ValueError, match=r"needs at least|cut short"):
        contracts.unpack(cut)


def test_recorded_features_stay_small():
    assert len(contracts.encode(REPLAYED_BY)) <= 300


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for event, number in PAYLOADS:
        if not golden(event, number).exists():
            golden(event, number).write_text(contracts.encode(event).hex() + "\n")
