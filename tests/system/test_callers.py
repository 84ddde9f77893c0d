"""What a caller sees of a stream, of a large body, of a deadline; and what its hanging up does."""

import hashlib
import json
import re
import socket
import urllib.request
from urllib.parse import urlsplit

import pytest

from tests.support.caller import Caller, chat, data, texts
from tests.support.upstream import Gate, answer, gated, refuse, stalled, stream
from tests.support.wait import PATIENCE_S, wait_until

COMMENT = re.compile(r": tierwise cost_usd=(\d+\.\d+|\d+) saved_usd=(-?\d+\.\d+|-?\d+)")
MIB = 1024 * 1024
LEAVING = 20


# Streams ----------------------------------------------------------------------------------------------------


def test_events_arrive_one_by_one(router):
    """None is released before the caller has seen the one before it."""
    gate = Gate()
    words = ["one ", "two ", "three ", "four"]
    router.first.script(stream(words, gate=gate))
    with router.caller() as caller:
        caller.send(chat(stream=True))
        gate.release()
        assert caller.head().status == 200
        assert data(caller.event())["choices"][0]["delta"]["role"] == "assistant"
        assert texts([caller.event()]) == words[0]
        for word in words[1:]:
            gate.release()
            assert texts([caller.event()]) == word
        gate.release()
        rest = caller.events()
    assert data(rest[0])["choices"][0]["finish_reason"] == "stop"
    assert rest[-1] == "data: [DONE]"


def test_a_stream_says_its_cost_right_before_its_end_and_the_ledger_says_the_same(router):
    router.first.script(stream(["hello"], usage=(1000, 500)))
    with router.caller() as caller:
        caller.send(chat(stream=True))
        head = caller.head()
        events = caller.events()
    assert head.headers["content-type"].startswith("text/event-stream")
    assert "x-tierwise-cost-usd" not in head.headers
    assert events[-1] == "data: [DONE]"
    said = COMMENT.fullmatch(events[-2])
    assert said, events[-2]
    row = router.row(head.headers["x-tierwise-request-id"])
    assert (row["input_tokens"], row["output_tokens"], row["usage_source"]) == (1000, 500, "reported")
    assert row["cost_nano_usd"] == 1000 * 10_000 + 500 * 20_000
    assert float(said[1]) == float(row["cost_usd"]) == 0.02
    assert float(said[2]) == float(row["saved_usd"]) == 0.06
    assert row["first_token_ms"] > 0


@pytest.mark.parametrize("wanted", [True, False])
def test_usage_reaches_the_caller_of_a_stream_only_where_it_was_asked_for(router, wanted):
    router.first.script(stream(["hello"], usage=(11, 5)))
    options = {"stream_options": {"include_usage": True}} if wanted else {}
    with router.caller() as caller:
        caller.send(chat(stream=True, **options))
        head = caller.head()
        events = [data(event) for event in caller.events() if event.startswith("data: {")]
    assert router.first.requests[0].json["stream_options"] == {"include_usage": True}, "the books need it"
    assert [event["usage"]["prompt_tokens"] for event in events if event.get("usage")] == ([11] if wanted else [])
    assert all(event["choices"] for event in events) is not wanted
    assert router.row(head.headers["x-tierwise-request-id"])["input_tokens"] == 11


def test_a_slow_reader_holds_back_its_own_stream_alone_and_still_gets_all_of_it(router):
    text = "x" * 64 * 1024
    router.first.script(stream([text] * 1024))  # 64 MiB, more than every buffer on the way
    caller = Caller(router.url)
    caller.receive_buffer(64 * 1024)
    with caller:
        caller.send(chat(stream=True))
        assert caller.head().status == 200
        wait_until(
            lambda: router.first.requests and router.first.requests[0].is_held_back.is_set(), "the backend to wait"
        )
        assert router.ask().status == 200
        assert not router.first.requests[0].was_answered.is_set()
        digest = hashlib.sha256()
        while (event := caller.event()) not in {"data: [DONE]", ""}:
            if event.startswith("data: {"):
                digest.update(texts([event]).encode())
    assert event == "data: [DONE]"
    assert digest.digest() == hashlib.sha256(text.encode() * 1024).digest()


# Hanging up -------------------------------------------------------------------------------------------------


def test_a_caller_that_hangs_up_on_a_plain_answer_cancels_it_upstream(router):
    router.first.script(stalled())
    with router.caller() as caller:
        caller.send()
        wait_until(lambda: router.first.requests, "the request to reach the backend")
        caller.hang_up()
    assert router.first.requests[0].was_cut.wait(PATIENCE_S)
    row = only_row_with(router, 499)
    assert (row["backend"], row["attempts"]) == ("first-1", 1)
    assert row["usage_source"] == "unknown", "the backend may bill for it, and nobody said how much"
    assert not router.second.requests


def test_a_caller_that_hangs_up_on_a_stream_cancels_it_upstream_and_pays_for_what_came(router):
    gate = Gate()
    router.first.script(stream(["one ", "two ", "never"], gate=gate))
    with router.caller() as caller:
        caller.send(chat(stream=True))
        gate.release(2)
        request_id = caller.head().headers["x-tierwise-request-id"]
        assert texts([caller.event(), caller.event(), caller.event()]) == "one two "
        caller.hang_up()
    assert router.first.requests[0].was_cut.wait(PATIENCE_S)
    row = router.row(request_id)
    assert row["status"] == 499
    assert row["usage_source"] == "counted"
    assert row["output_tokens"] == 2
    assert row["cost_nano_usd"] > 0
    assert [attempt["outcome"] for attempt in router.attempts(request_id)] == ["cancelled"]


def test_a_caller_that_has_read_all_and_leaves_is_no_hang_up(router):
    router.first.script(stream(["hello"]))
    with router.caller() as caller:
        caller.send(chat(stream=True))
        request_id = caller.head().headers["x-tierwise-request-id"]
        while caller.event() != "data: [DONE]":
            pass
        caller.hang_up()
    row = router.row(request_id)
    assert (row["status"], row["usage_source"], row["output_tokens"]) == (200, "reported", 3)


def test_callers_that_leave_before_their_plan_is_made_cost_nothing_that_goes_on(router):
    """Request and end of the connection at once. Whatever was begun for one of them is ended."""

    async def for_who_stays(request):
        await (answer() if request.json.get("user") == "stays" else stalled())(request)

    router.first.always(for_who_stays)
    before = ended(router)
    for _ in range(LEAVING):
        with router.caller() as caller:
            caller.send()
            caller.hang_up()
    wait_until(lambda: ended(router) == before + LEAVING, "each one's leaving to be noticed")
    assert router.ask(chat(user="stays")).status == 200  # behind all of them: none can be begun any more
    began = [request for request in router.first.requests if request.json.get("user") != "stays"]
    wait_until(lambda: all(request.was_cut.is_set() for request in began), "all that was begun to be ended")
    assert not router.second.requests


# Size -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [255 * 1024, 257 * 1024, 20 * MIB])
def test_a_body_of_any_size_reaches_the_backend_whole(router, size):
    text = "".join(f"{i:07x} " for i in range(size // 8))
    answered = router.ask(chat(messages=[{"role": "user", "content": text}], unknown_field={"kept": [1, None]}))
    assert answered.status == 200
    [request] = router.first.requests
    sent = request.json
    assert hashlib.sha256(sent["messages"][0]["content"].encode()).digest() == hashlib.sha256(text.encode()).digest()
    assert sent["unknown_field"] == {"kept": [1, None]}
    assert sent["model"] == "first-1-model"


def test_a_large_body_goes_whole_to_the_next_candidate_too(router):
    text = "word " * 400_000
    router.first.script(refuse(500))
    answered = router.ask(chat(messages=[{"role": "user", "content": text}]))
    assert answered.headers["x-tierwise-backend"] == "second-1"
    assert router.second.requests[0].json["messages"][0]["content"] == text


@pytest.mark.parametrize("size", [255 * 1024, 257 * 1024, 5 * MIB])
def test_an_answer_of_any_size_comes_back_whole(router, size):
    text = "".join(f"{i:07x} " for i in range(size // 8))
    router.first.script(answer(text, usage=(7, 1000)))
    answered = router.ask()
    assert answered.status == 200
    assert answered.text == text
    row = router.row(answered.request_id)
    assert float(answered.headers["x-tierwise-cost-usd"]) == float(row["cost_usd"])
    assert (row["output_tokens"], row["usage_source"]) == (1000, "reported")


def test_a_large_answer_and_the_small_one_after_it_share_a_connection(router):
    router.first.script(answer("x" * 5 * MIB), answer("small"))
    with router.caller() as caller:
        assert len(caller.ask().text) == 5 * MIB
        assert caller.ask().text == "small"


# Deadlines --------------------------------------------------------------------------------------------------


def test_a_deadline_that_passes_is_a_504_that_no_sdk_repeats(router):
    router.first.script(stalled())
    answered = router.ask(chat(model="first-1"), tierwise_deadline_ms="2000")
    assert answered.status == 504
    assert answered.error["code"] == "deadline_exceeded"
    assert answered.headers["x-should-retry"] == "false"
    assert 2 <= answered.took_s < 30
    assert router.first.requests[0].was_cut.wait(PATIENCE_S)
    assert not router.second.requests
    row = router.row(answered.request_id)
    assert row["status"] == 504
    assert [attempt["outcome"] for attempt in router.attempts(answered.request_id)] == ["timeout"]


def test_a_backend_that_hangs_leaves_the_next_one_a_part_of_the_callers_own_deadline(router):
    router.first.script(stalled())
    answered = router.ask(tierwise_deadline_ms="12000")
    assert (answered.status, answered.headers["x-tierwise-backend"]) == (200, "second-1")
    assert router.first.requests[0].was_cut.wait(PATIENCE_S)
    assert [attempt["outcome"] for attempt in router.attempts(answered.request_id)] == ["failed", "answered"]


def test_a_deadline_that_passes_within_a_stream_ends_it_with_an_error_event(router):
    router.first.script(stream(["one "], ends="stall"))
    with router.caller() as caller:
        caller.send(chat(stream=True), tierwise_deadline_ms="4000")
        head = caller.head()
        events = caller.events()
    assert texts(events[:2]) == "one "
    error = data(events[-1])["error"]
    assert error["code"] == "deadline_exceeded"
    assert error["request_id"] == head.headers["x-tierwise-request-id"]
    assert "data: [DONE]" not in events
    assert router.first.requests[0].was_cut.wait(PATIENCE_S)
    assert router.row(error["request_id"])["status"] == 504


def test_pipelined_requests_are_answered_in_their_order(router):
    """The first is answered last by its backend."""
    gate = Gate()
    router.first.script(gated(gate, answer("first")), answer("second"))
    parts = urlsplit(router.url)
    one = json.dumps(chat()).encode()
    request = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(one), one)
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as connection:
        connection.sendall(request + request)
        wait_until(lambda: router.first.requests, "the first request to reach the backend")
        gate.release()
        received = b""
        while received.count(b"HTTP/1.1 200") < 2 or not received.endswith(b"}"):
            received += connection.recv(65536)
    assert received.index(b'"first"') < received.index(b'"second"')


# ------------------------------------------------------------------------------------------------------------


def ended(router):
    """How many requests ingress is done with, however."""
    with urllib.request.urlopen(f"{router.stack.ops_url('ingress')}/metrics", timeout=30) as told:
        return sum(
            int(float(n)) for n in re.findall(r"^tierwise_requests_total\{.*\} (\S+)$", told.read().decode(), re.M)
        )


def only_row_with(router, status):
    sql = "SELECT * FROM tierwise.requests WHERE status = $1 ORDER BY received_at DESC"
    return wait_until(lambda: router.rows(sql, status), f"a row with status {status}")[0]
