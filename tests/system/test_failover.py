"""A backend fails, and what the caller sees of it."""

import pytest

from tests.support.caller import chat, data, texts
from tests.support.upstream import Gate, answer, dies, gated, raw, refuse, stream
from tests.support.wait import wait_until


def check_that_second_answered(router, answered, *, first_status):
    assert answered.status == 200
    assert answered.text == "from second"
    assert answered.headers["x-tierwise-backend"] == "second-1"
    assert answered.headers["x-tierwise-attempts"] == "2"
    assert answered.headers["x-tierwise-reason"].split(",")[0] == "failover"
    attempts = router.attempts(answered.request_id)
    assert [attempt["backend"] for attempt in attempts] == ["first-1", "second-1"]
    assert [attempt["outcome"] for attempt in attempts] == ["failed", "answered"]
    assert [attempt["status"] for attempt in attempts] == [first_status, 200]
    row = router.row(answered.request_id)
    assert row["attempts"] == 2
    assert row["cost_nano_usd"] == sum(attempt["cost_nano_usd"] for attempt in attempts)
    assert answered.headers["x-tierwise-cost-usd"] == f"{row['cost_usd']:f}".rstrip("0")


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        pytest.param(refuse(500), 500, id="500"),
        pytest.param(refuse(503, retry_after="7"), 503, id="503"),
        pytest.param(refuse(429, retry_after="7"), 429, id="429"),
        pytest.param(refuse(401), 401, id="401"),
        pytest.param(raw(b'{"choices": ['), 200, id="malformed JSON"),
        pytest.param(raw(b""), 200, id="an empty answer"),
        pytest.param(dies(), 0, id="dies without a byte"),
        pytest.param(dies(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"), 200, id="dies within its answer"),
        pytest.param(dies(b"not http at all\r\n\r\n"), 0, id="no HTTP"),
    ],
)
def test_the_next_candidate_answers_when_the_first_fails(router, failure, status):
    router.first.always(failure)
    router.second.script(answer("from second"))
    check_that_second_answered(router, router.ask(), first_status=status)


def test_the_next_candidate_answers_when_nobody_listens_at_the_first(router):
    answered = router.ask(tierwise_category="reasoning")
    assert answered.status == 200
    assert answered.headers["x-tierwise-backend"] == "third-1"
    assert answered.headers["x-tierwise-attempts"] == "2"
    assert answered.headers["x-tierwise-reason"].startswith("failover,")
    nobody, third = router.attempts(answered.request_id)
    assert (nobody["backend"], nobody["outcome"], nobody["status"]) == ("nobody-1", "failed", 0)
    assert nobody["cost_nano_usd"] == 0, "a call that never was is not paid"
    assert (third["backend"], third["outcome"], third["status"]) == ("third-1", "answered", 200)


@pytest.mark.parametrize("status", [400, 404, 409, 413, 422])
def test_a_refusal_of_the_request_itself_is_passed_on_and_not_tried_elsewhere(router, status):
    router.first.script(refuse(status, "temperature must be at most 2", code="bad_temperature"))
    answered = router.ask(chat(temperature=9))
    assert answered.status == status
    assert "temperature must be at most 2" in answered.error["message"]
    assert answered.error["code"] == "bad_temperature"
    assert len(router.first.requests) == 1
    assert not router.second.requests
    assert router.row(answered.request_id)["status"] == status


def test_a_refused_key_is_the_operators_business(router):
    router.first.script(refuse(401, "Incorrect API key provided: key-of-first-1"))
    answered = router.ask(chat(model="first-1"))
    assert answered.status == 503
    assert answered.error["code"] == "backend_refused_key"
    assert "key-of" not in answered.body.decode(), "the provider's words about our key are not for the caller"
    assert int(answered.headers["retry-after"]) > 0
    assert [attempt["status"] for attempt in router.attempts(answered.request_id)] == [401]


def test_a_rate_limit_that_nobody_can_step_in_for_reaches_the_caller_with_its_retry_after(router):
    router.first.script(refuse(429, "slow down", retry_after="17"))
    answered = router.ask(chat(model="first-1"))
    assert answered.status == 429
    assert answered.headers["retry-after"] == "17"
    assert answered.error["code"] == "rate_limit_exceeded"


def test_where_all_fail_the_caller_hears_it_once_with_a_time_to_come_back(router):
    router.first.script(refuse(500))
    router.second.always(refuse(502))
    answered = router.ask()
    assert answered.status == 503
    assert answered.error["code"] == "no_backend_available"
    assert int(answered.headers["retry-after"]) > 0
    attempts = router.attempts(answered.request_id)
    assert [attempt["backend"] for attempt in attempts] == ["first-1", "second-1", "nobody-1", "third-1"]
    assert router.row(answered.request_id)["status"] == 503


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(refuse(500), id="500"),
        pytest.param(dies(), id="dies without a byte"),
        pytest.param(stream([], ends="cut"), id="its stream ends before content"),
        pytest.param(stream([], ends="reset"), id="its stream is reset before content"),
        pytest.param(stream([], ends="error"), id="an error event before content"),
        pytest.param(raw(b"data: {nonsense\n\n", "text/event-stream"), id="an event that is no JSON"),
        pytest.param(raw(b"", "text/event-stream"), id="an empty stream"),
    ],
)
def test_a_stream_that_fails_before_its_content_is_taken_over_unseen(router, failure):
    router.first.always(failure)
    router.second.script(stream(["from ", "second"]))
    with router.caller() as caller:
        caller.send(chat(stream=True))
        head = caller.head()
        events = caller.events()
    assert head.status == 200
    assert head.headers["x-tierwise-backend"] == "second-1"
    assert head.headers["x-tierwise-attempts"] == "2"
    assert head.headers["x-tierwise-reason"].startswith("failover,")
    assert texts(events) == "from second"
    assert events[-1] == "data: [DONE]"
    assert not any("error" in event for event in events)
    attempts = router.attempts(head.headers["x-tierwise-request-id"])
    assert [attempt["outcome"] for attempt in attempts] == ["failed", "answered"]


@pytest.mark.parametrize("ends", ["cut", "reset", "error"])
def test_a_stream_that_breaks_after_content_ends_with_an_error_event(router, ends):
    gate = Gate()
    router.first.script(stream(["one ", "two"], gate=gate, ends=ends))
    with router.caller() as caller:
        caller.send(chat(stream=True))
        gate.release(2)
        head = caller.head()
        assert head.status == 200
        came = [caller.event(), caller.event(), caller.event()]
        assert texts(came) == "one two"
        gate.release()
        rest = caller.events()
    error = data(rest[-1])["error"]
    assert error["type"] == "server_error"
    assert error["code"] == "stream_interrupted"
    assert error["request_id"] == head.headers["x-tierwise-request-id"]
    assert "data: [DONE]" not in rest
    assert not router.second.requests, "after content there is no second candidate"
    row = router.row(error["request_id"])
    assert row["status"] == 502
    assert row["usage_source"] == "counted"
    assert row["output_tokens"] == 2
    assert row["cost_nano_usd"] > 0


def test_a_full_backend_hands_on_what_it_cannot_take(router):
    """`max_concurrent` of first-1 is 64: the 65th request does not wait in its queue."""
    gate = Gate()
    router.first.always(gated(gate))
    callers = [router.caller() for _ in range(64)]
    try:
        for caller in callers:
            caller.send()
        wait_until(lambda: len(router.first.requests) == 64, "64 requests to be under way")
        answered = router.ask()
        assert answered.status == 200
        assert answered.headers["x-tierwise-backend"] == "second-1"
        gate.release(64)
        assert all(caller.answer().status == 200 for caller in callers)
    finally:
        for caller in callers:
            caller.__exit__()
