import math

import msgspec
import pytest

from services.ledger import core
from services.ledger.core import Verdict, settle
from shared.contracts import RequestUsage, encode
from tests.support.usage import CALL, NOON_US, message, usage


def entry(record: RequestUsage) -> core.Entry:
    return only(message(record))


def only(payload: bytes) -> core.Entry:
    reading = core.read([payload])
    assert not reading.poison
    (one,) = reading.entries
    return one


def verdicts(first: RequestUsage, *others: RequestUsage) -> list[Verdict]:
    known = {first.request_id: [core.standing(entry(first))]}
    return [verdict for _, verdict in settle(known, map(entry, others))]


LATE = {"started_at_us": NOON_US + 9_000_000}
FAILED = {"status": 503, "backend": "", "usage_source": "none"}


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([usage(1), usage(1)], [Verdict.DUPLICATE]),
        ([usage(1), usage(1, output_tokens=31)], [Verdict.CONFLICT]),
        ([usage(1), usage(1, reason="pin"), usage(1)], [Verdict.CONFLICT, Verdict.DUPLICATE]),
        ([usage(1), usage(1, send=1)], [Verdict.RESEND]),
        ([usage(1, send=1), usage(1)], [Verdict.INSTEAD]),
        ([usage(1, **FAILED), usage(1, send=1)], [Verdict.INSTEAD]),
        ([usage(1), usage(1, send=1, **FAILED)], [Verdict.RESEND]),
        ([usage(1, calls=(LATE,)), usage(1, send=1)], [Verdict.INSTEAD]),
        ([usage(1), usage(1, send=1), usage(1, send=1)], [Verdict.RESEND, Verdict.DUPLICATE]),
        ([usage(1, send=1), usage(1), usage(1, send=1)], [Verdict.INSTEAD, Verdict.DUPLICATE]),
        ([usage(1), usage(1, send=1), usage(1, send=1, status=201)], [Verdict.RESEND, Verdict.CONFLICT]),
    ],
)
def test_what_a_record_is_to_the_books(records, expected):
    assert verdicts(*records) == expected


def test_which_send_is_the_row_does_not_depend_on_the_order_of_recording():
    sends = [usage(1, calls=(LATE,)), usage(1, send=1), usage(1, send=2, **FAILED)]
    for order in ([0, 1, 2], [2, 1, 0], [1, 0, 2], [1, 2, 0], [0, 2, 1], [2, 0, 1]):
        first, *others = (entry(sends[i]) for i in order)
        known = {first.usage.request_id: [core.standing(first)]}
        settle(known, others)
        assert known[sends[0].request_id][0].send == 1


def test_a_stored_send_is_known_again():
    one = entry(usage(1))
    known = {one.usage.request_id: [core.standing(one)]}
    assert [verdict for _, verdict in settle(known, [one])] == [Verdict.DUPLICATE]


def test_an_answer_s_only_call_is_told_by_the_request():
    assert entry(usage(1)).sole_call == CALL
    assert entry(usage(1, calls=({"tier": "small"},))).sole_call is not None
    assert entry(usage(1, send=1)).sole_call is not None


@pytest.mark.parametrize(
    "different",
    [
        {"attempts": (), "cost_nano_usd": 0},
        {"calls": ({}, {})},
        {"calls": ({"outcome": "failed"},)},
        {"calls": ({"backend": "small-2"},)},
        {"calls": ({"tier": "large"},)},
        {"calls": ({"status": 206},)},
        {"calls": ({"input_tokens": 1},)},
        {"calls": ({"cached_input_tokens": 1},)},
        {"calls": ({"output_tokens": 1},)},
        {"calls": ({"usage_source": "counted"},)},
        {"attempts": (msgspec.structs.replace(CALL, attempt=2),)},
    ],
)
def test_calls_of_which_the_request_does_not_tell_all_are_rows_of_their_own(different):
    assert entry(usage(1, **different)).sole_call is None


DEEP = b"\x91" * 100_000


@pytest.mark.parametrize(
    "payload",
    [b"", b"\xc1", b"not msgpack at all", encode(usage(1)), b"\x92\xa1b", message(usage(1))[:-4], DEEP, b"\x80"],
)
def test_a_message_that_cannot_be_decoded_is_poison_as_a_whole(payload):
    reading = core.read([message(usage(1)), payload])
    assert [one.usage for one in reading.entries] == [usage(1)]
    assert [(one.raw, one.message) for one in reading.poison] == [(payload, 1)]
    assert reading.poison[0].reason


BROKEN_RECORDS = [
    ["req_x"],
    {},
    ["req_x", "no number", *list(msgspec.structs.astuple(usage(1)))[2:]],
    list(msgspec.structs.astuple(usage(1, received_at_us=-1))),
    list(msgspec.structs.astuple(usage(1, received_at_us=2**62))),
    ["", *msgspec.structs.astuple(usage(1))[1:]],
    list(msgspec.structs.astuple(usage(1, latency_ms=math.nan))),
    list(msgspec.structs.astuple(usage(1, calls=({"latency_ms": math.inf},)))),
    list(msgspec.structs.astuple(usage(1, attempts=(CALL, CALL)))),
    list(msgspec.structs.astuple(usage(1, attempts=(CALL,), cost_nano_usd=751))),
    list(msgspec.structs.astuple(usage(1, cost_nano_usd=-1))),
    list(msgspec.structs.astuple(usage(1, cost_nano_usd=2**62))),
    list(msgspec.structs.astuple(usage(1, cost_nano_usd=0, attempts=(CALL,)))),
    list(msgspec.structs.astuple(usage(1, baseline_nano_usd=-1))),
    list(msgspec.structs.astuple(usage(1, cache_saved_nano_usd=-1))),
]


@pytest.mark.parametrize("broken", BROKEN_RECORDS)
def test_a_broken_record_leaves_its_neighbours_alone(broken):
    payload = msgspec.msgpack.encode(["batch", [usage(1), broken, usage(2)]])
    reading = core.read([payload])
    assert [one.usage for one in reading.entries] == [usage(1), usage(2)]
    assert [one.raw for one in reading.poison] == [msgspec.msgpack.encode(broken)]


def test_a_record_of_a_later_release_can_be_read():
    later = [*msgspec.structs.astuple(usage(1)), "a field of tomorrow"]
    assert only(msgspec.msgpack.encode(["batch", [later], [], "another"])).usage == usage(1)


def test_the_fingerprint_is_of_the_bytes_that_were_sent():
    one = entry(usage(1))
    assert one.fingerprint == core.fingerprint(encode(usage(1)))
    assert one.fingerprint != core.fingerprint(encode(usage(1, cost_nano_usd=751)))
    assert -(2**63) <= one.fingerprint < 2**63
