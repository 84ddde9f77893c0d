"""What the door makes of a request's headers."""

import pytest

from services.ingress.doors import chat
from services.ingress.doors.chat import ChatDoor, new_ingress_id
from shared.contracts import MAX_INLINE_BYTES, MOST_RULED_HEADERS, caller_inbox
from shared.policy import PolicyFault, from_tree


@pytest.fixture
def door():
    return ChatDoor("req_0123456789ab")


def received(door, *headers, body_bytes=10):
    asked = chat.read(list(headers))
    assert asked.refusal is None
    return door.received("req_0123456789ab00000001", asked, body_bytes)


def test_without_headers_nothing_is_said_that_the_body_might_say(door):
    got = received(door, (b"Host", b"x"), (b"Content-Type", b"application/json"))
    assert (got.service, got.priority, got.category, got.tier, got.max_cost_nano_usd) == ("", "", "", "", -1)
    assert got.deadline_ms == 600_000
    assert not got.framed


def test_every_header_is_read_whatever_its_case(door):
    got = received(
        door,
        (b"X-Tierwise-Service", b" billing "),
        (b"x-tierwise-priority", b"bulk"),
        (b"X-TIERWISE-CATEGORY", b"code"),
        (b"X-Tierwise-Tier", b"large"),
        (b"X-Tierwise-Max-Cost-Usd", b"0.002"),
        (b"X-Tierwise-Deadline-Ms", b"1500"),
    )
    assert (got.service, got.priority, got.category, got.tier) == ("billing", "bulk", "code", "large")
    assert got.max_cost_nano_usd == 2_000_000
    assert got.deadline_ms == 1500


def test_a_deadline_never_exceeds_the_servers(door):
    assert received(door, (b"X-Tierwise-Deadline-Ms", b"99999999999")).deadline_ms == 600_000


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"X-Tierwise-Priority", b"urgent"),
        (b"X-Tierwise-Deadline-Ms", b"0"),
        (b"X-Tierwise-Deadline-Ms", b"-5"),
        (b"X-Tierwise-Deadline-Ms", b"soon"),
        (b"X-Tierwise-Deadline-Ms", b"9" * 400),
        (b"X-Tierwise-Deadline-Ms", b"\xb2"),
        (b"X-Tierwise-Deadline-Ms", b""),
        (b"X-Tierwise-Max-Cost-Usd", b"-1"),
        (b"X-Tierwise-Max-Cost-Usd", b"NaN"),
        (b"X-Tierwise-Max-Cost-Usd", b"Infinity"),
        (b"X-Tierwise-Max-Cost-Usd", b"1e400"),
        (b"X-Tierwise-Max-Cost-Usd", b"a lot"),
        (b"X-Tierwise-Max-Cost-Usd", b"1_0"),
        (b"X-Tierwise-Service", b"x" * 129),
        (b"X-Tierwise-Service", b"\xffbilling"),
        (b"X-Tierwise-Tier", b"a\x01b"),
        (b"X-Tierwise-Cache", b"off"),
        (b"X-Tierwise-Cache", b"bypass no-store"),
        (b"X-Tierwise-Cache", b"bypass,"),
    ],
)
def test_a_value_that_means_nothing_is_refused_by_the_headers_name(name, value):
    refusal = chat.read([(b"Host", b"x"), (name, value)]).refusal
    assert refusal.status == 400
    assert refusal.param == name.decode()


def test_an_idempotency_key_of_any_case_says_once():
    assert chat.read([(b"Idempotency-Key", b"7")]).once
    assert chat.read([(b"idempotency-key", b"7")]).once
    assert not chat.read([(b"Idempotency-Kex", b"7")]).once


def test_a_body_over_the_inline_size_is_framed(door):
    assert not received(door, body_bytes=MAX_INLINE_BYTES).framed
    assert received(door, body_bytes=MAX_INLINE_BYTES + 1).framed


def test_an_id_says_which_ingress_holds_the_caller(door):
    ids = {door.mint() for _ in range(1000)}
    assert len(ids) == 1000
    assert {caller_inbox(request_id.encode()) for request_id in ids} == {b"_INBOX.req_0123456789ab"}
    assert new_ingress_id() != new_ingress_id()


@pytest.mark.parametrize(
    ("value", "cache"),
    [(b"bypass", "bypass"), (b"no-store", "no-store"), (b"no-store, bypass", "bypass,no-store")],
)
def test_the_cache_may_be_left_unread_unwritten_or_both(door, value, cache):
    assert received(door, (b"X-Tierwise-Cache", value)).cache == cache


def policy_with_rules(*names):
    tree = {
        "tiers": ["small"],
        "backends": [
            {"name": "b", "tier": "small", "provider": "vllm", "model": "m", "base_url": "http://x/v1",
             "price": {"input_per_1m": 1, "output_per_1m": 1}}
        ],
        "rules": [{"name": name, "when": {"headers": {name: "v"}}, "tier": "small"} for name in names],
    }  # fmt: skip
    return from_tree(tree, {})


def test_headers_go_on_only_where_a_rule_names_them(door):
    sent = ((b"Host", b"x"), (b"X-Team", b" search "), (b"x-team", b"sales"), (b"X-Other", b"secret"))
    assert received(door, *sent).headers == ()
    door.on_policy(policy_with_rules("x-TEAM"))
    assert received(door, *sent).headers == (("x-team", "search"),)
    door.on_policy(policy_with_rules())
    assert received(door, *sent).headers == ()


def test_keys_go_nowhere_even_where_a_rule_names_their_header(door):
    try:
        policy = policy_with_rules("Authorization", "cookie", "X-Api-Key", "x-team")
    except PolicyFault:  # refused by the policy's own checks: all the better
        return
    door.on_policy(policy)
    keys = ((b"Authorization", b"Bearer k"), (b"Cookie", b"k"), (b"X-API-Key", b"k"), (b"X-Team", b"search"))
    assert received(door, *keys).headers == (("x-team", "search"),)


def test_what_rules_look_at_is_bounded(door):
    names = [f"x-{n:02}" for n in range(MOST_RULED_HEADERS)]
    door.on_policy(policy_with_rules(*names))
    got = received(door, *[(name.encode(), b"v" * 5000) for name in names]).headers
    assert len(got) == MOST_RULED_HEADERS
    assert all(len(value) == chat.MAX_RULED_VALUE for _, value in got)
