"""One connection of the door, byte by byte: which answer goes out when, and when the connection ends."""

import asyncio
import json

import pytest
from fastapi import FastAPI, Request
from prometheus_client import CollectorRegistry

from services.ingress import errors, sweeper
from services.ingress.api import CurrentPolicy, build_api
from services.ingress.fast import MAX_WAITING, PIECE_BYTES
from shared.ops import Readiness
from tests.support.door import CHAT, HEALTH, Connection, World, chat


def run(scene):
    asyncio.run(scene())


@pytest.mark.parametrize(
    "target",
    [
        b"/v1/chat/completions?x=%41",
        b"/v1/chat/complet%69ons",
        b"http://a:1/v1/chat/completions",
        b"HTTP://a/v1%2Fchat/completions",
    ],
)
def test_every_spelling_of_the_hot_path_is_taken(target):
    async def scene():
        connection = Connection()
        connection.receive(CHAT.replace(b"/v1/chat/completions", target))
        assert len(connection.calls.sent) == 1
        connection.answer()
        assert connection.transport.statuses == [200]

    run(scene)


def test_a_failing_route_is_a_500_of_openais_shape():
    async def scene():
        api = build_api(CurrentPolicy(), Readiness(), CollectorRegistry(), lambda: "req_1")

        @api.get("/fails")
        async def fails():
            raise ZeroDivisionError

        connection = World(api).connect()
        connection.receive(HEALTH.replace(b"/healthz", b"/fails"))
        await connection.settle()
        head, _, body = connection.transport.written.partition(b"\r\n\r\n")
        assert connection.transport.statuses == [500]
        assert b"x-request-id: req_1" in head
        assert json.loads(body)["error"]["code"] == "internal_error"
        assert json.loads(body)["error"]["request_id"] == "req_1"

    run(scene)


def test_the_documented_route_behind_the_hot_one_is_a_404_of_openais_shape():
    async def scene():
        api = build_api(CurrentPolicy(), Readiness(), CollectorRegistry(), lambda: "req_1")
        sent = []

        async def receive():
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message):
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": [], "query_string": b"",
                 "scheme": "http", "server": ("x", 80), "root_path": ""}  # fmt: skip
        await api(scope, receive, send)
        assert sent[0]["status"] == 404
        assert json.loads(sent[1]["body"])["error"]["code"] == "not_found"

    run(scene)


def test_hot_and_other_routes_are_answered_in_the_order_they_were_asked():
    async def scene():
        connection = Connection()
        nothing = HEALTH.replace(b"/healthz", b"/nothing")
        connection.receive(CHAT + HEALTH + CHAT + nothing + nothing + CHAT + HEALTH)
        await connection.settle()
        assert connection.statuses == []
        connection.answer(b"first")
        await connection.settle()
        assert connection.statuses == [200, 200], "the third waits for its backend"
        await connection.answer_all()
        assert connection.statuses == [200, 200, 200, 404, 404, 200, 200]
        assert not connection.transport.closed
        connection.receive(HEALTH)
        await connection.settle()
        assert connection.statuses[-1] == 200

    run(scene)


def test_a_route_that_waits_for_its_turn_gets_the_body_that_came_meanwhile():
    async def scene():
        api = FastAPI()

        @api.post("/echo")
        async def echo(request: Request):
            return len(await request.body())

        connection = World(api).connect()
        size = 200_000
        connection.receive(CHAT + b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % size)
        sent = 0
        while sent < size and connection.transport.reads:
            connection.receive(b"x" * 1000)
            sent += 1000
        assert 64_000 <= sent < 70_000, "no more is read than the route may leave unread"
        connection.answer()
        await connection.settle()
        while sent < size:
            assert connection.transport.reads
            connection.receive(b"x" * 1000)
            sent += 1000
            await connection.settle()
        connection.receive(CHAT)
        await connection.answer_all()
        assert connection.statuses == [200, 200, 200]
        assert b"\r\n\r\n200000HTTP" in connection.transport.written

    run(scene)


def test_a_long_line_of_requests_is_not_read_on_until_it_is_shorter():
    async def scene():
        connection = Connection()
        connection.receive(CHAT * 17)
        assert not connection.transport.reads
        connection.answer()
        assert connection.transport.reads
        await connection.answer_all()
        assert connection.statuses == [200] * 17

    run(scene)


def test_a_flood_of_requests_is_read_no_faster_than_it_is_answered():
    async def scene():
        connection = Connection()
        longest = 0
        for _ in range(5):
            connection.receive(HEALTH * 500)
            longest = max(longest, len(connection.protocol._line))
            await connection.settle()
        assert longest < 500
        while not connection.transport.reads:
            await connection.settle()
        connection.receive(CHAT)
        await connection.answer_all()
        assert connection.statuses[:500] == [200] * 500

    run(scene)


def test_no_more_of_one_read_is_parsed_than_is_wanted_and_nothing_of_it_is_lost():
    async def scene():
        connection = Connection()
        count = 2500
        connection.receive((CHAT + HEALTH) * count)
        longest = answered = 0
        while answered < 2 * count:
            longest = max(longest, len(connection.protocol._line))
            await connection.settle()
            if connection.calls.sent:
                connection.answer()
            statuses, connection.transport.written = connection.statuses, b""
            assert set(statuses) <= {200}
            answered += len(statuses)
        assert longest <= MAX_WAITING + PIECE_BYTES // len(HEALTH)
        assert connection.transport.reads
        assert len(connection.calls.requests) == count

    run(scene)


REFUSED = chat(b"{}", b"x-tierwise-priority: urgent")


@pytest.mark.parametrize("asked", [REFUSED, HEALTH, CHAT], ids=["refused", "another route", "hot"])
def test_nothing_more_is_answered_or_read_until_the_answers_before_are_taken(asked):
    async def scene():
        connection = Connection()
        connection.receive(CHAT + asked * 3)
        connection.protocol.pause_writing()
        connection.answer()
        await connection.settle()
        meanwhile = (connection.statuses, len(connection.calls.sent), connection.transport.reads)
        connection.protocol.resume_writing()
        await connection.answer_all()
        assert meanwhile == ([200], 0, False)
        assert len(connection.statuses) == 4
        assert connection.transport.reads

    run(scene)


@pytest.mark.parametrize("when", ["before the answer's end", "after it"])
def test_a_client_that_has_not_taken_his_last_answer_is_read_on_when_he_has(when):
    async def scene():
        connection = Connection()
        connection.receive(CHAT)
        if when == "after it":  # as uvloop does: what is written in one turn of the loop is counted at its end
            connection.answer()
            connection.protocol.pause_writing()
        else:
            connection.protocol.pause_writing()
            connection.answer()
        assert not connection.transport.reads
        connection.world.sweep(sweeper.IDLE + 1)
        assert not connection.transport.closed, "how he takes it is watched elsewhere"
        connection.protocol.resume_writing()
        connection.receive(CHAT)
        connection.answer()
        assert connection.statuses == [200, 200]

    run(scene)


def test_what_is_refused_in_the_read_that_filled_the_buffer_is_refused_when_it_is_taken():
    async def scene():
        connection = Connection()
        connection.receive(CHAT[:1])
        connection.protocol.pause_writing()
        connection.protocol.data_received(CHAT[1:] + REFUSED)
        assert not connection.calls.sent
        connection.protocol.resume_writing()
        await connection.answer_all()
        assert connection.statuses == [200, 400]

    run(scene)


def test_whoever_asks_to_go_on_is_told_after_the_answers_before_are_taken():
    async def scene():
        connection = Connection()
        connection.receive(CHAT + chat(b"{}", b"expect: 100-continue")[:-2])
        connection.protocol.pause_writing()
        connection.answer()
        await connection.settle()
        assert connection.statuses == [200]
        connection.protocol.resume_writing()
        assert connection.statuses == [200, 100]
        connection.receive(b"{}")
        connection.answer()
        assert connection.statuses == [200, 100, 200]

    run(scene)


def test_a_refusal_is_followed_by_lingering_though_the_answers_before_are_not_taken():
    async def scene():
        connection = Connection()
        connection.receive(CHAT + CHAT[:-1])
        connection.protocol.pause_writing()
        connection.answer()
        connection.protocol.refuse_unread(errors.TOO_SLOW)
        assert connection.transport.reads

    run(scene)


def test_what_follows_the_last_request_of_a_connection_is_not_read():
    async def scene():
        connection = Connection()
        connection.receive(chat(b"{}", b"connection: close") + CHAT + b"\x16nonsense")
        await connection.answer_all()
        assert connection.statuses == [200]
        assert connection.transport.written.count(b"connection: close") == 1
        assert connection.transport.closed

    run(scene)


def slow_api():
    api = FastAPI()
    go = asyncio.Event()

    @api.get("/slow")
    async def slow():
        await go.wait()
        return "slow"

    @api.get("/healthz")
    async def healthz():
        return "alive"

    return api, go


def test_a_hot_request_waits_for_every_other_route_before_it():
    async def scene():
        api, go = slow_api()
        connection = World(api).connect()
        slow = HEALTH.replace(b"/healthz", b"/slow")
        connection.receive(slow + slow + CHAT)
        await connection.settle()
        assert not connection.calls.sent
        go.set()
        await connection.settle()
        assert connection.transport.statuses == [200, 200]
        connection.answer()
        assert connection.transport.statuses == [200, 200, 200]

    run(scene)


@pytest.mark.parametrize("unread", [b"\x16\x03 no http\r\n\r\n", CHAT.replace(b": 2", b": 999999999")])
def test_what_cannot_be_read_waits_for_the_answer_of_another_route(unread):
    async def scene():
        api, go = slow_api()
        connection = World(api).connect()
        connection.receive(HEALTH.replace(b"/healthz", b"/slow") + unread)
        await connection.settle()
        assert connection.transport.written == b""
        go.set()
        await connection.settle()
        assert connection.transport.statuses == [200]
        assert connection.transport.written.endswith(b'"slow"')
        assert connection.transport.closed

    run(scene)


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (b"transfer-encoding: chunked", b"2\r\n{}\r\nzz\r\n"),
        (b"transfer-encoding: chunked", b"1;" + b"x" * 80_000),
        (b"content-length: 20", b"x"),
    ],
    ids=["no chunk", "an endless extension", "not all of it"],
)
def test_a_route_that_answered_before_the_body_came_has_answered_once(head, body):
    async def scene():
        connection = Connection()
        connection.receive(b"POST /nothing HTTP/1.1\r\nhost: x\r\n" + head + b"\r\n\r\n")
        await connection.settle()
        assert connection.statuses == [404]
        for start in range(0, len(body), 1000):
            connection.receive(body[start : start + 1000])
        connection.world.sweep(sweeper.BODY + 1)
        connection.receive(CHAT)
        await connection.settle()
        assert connection.statuses == [404]
        assert not connection.calls.sent
        connection.world.sweep(sweeper.LINGER + 1)
        assert connection.transport.closed

    run(scene)


def test_whoever_asks_to_go_on_is_told_after_the_answers_before():
    async def scene():
        connection = Connection()
        connection.receive(CHAT + CHAT[:-2].replace(b"host: x", b"host: x\r\nexpect: 100-continue"))
        assert connection.transport.written == b""
        connection.answer()
        await connection.settle()
        assert connection.transport.statuses == [200, 100]
        connection.receive(b"{}")
        connection.answer()
        assert connection.transport.statuses == [200, 100, 200]

    run(scene)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"no http\r\n\r\n", 400),
        (CHAT.replace(b": 2", b": 999999999"), 413),
        (CHAT.replace(b"host: x", b"host: x\r\nx-tierwise-priority: urgent"), 400),
    ],
)
def test_a_refusal_at_the_door_is_counted_once(data, status):
    async def scene():
        connection = Connection()
        connection.receive(data)
        assert connection.transport.statuses == [status]
        assert connection.counted == {status: 1}

    run(scene)


def test_what_was_refused_before_nats_was_reached_is_counted_later():
    async def scene():
        connection = Connection()
        calls, connection.door.calls = connection.calls, None
        for _ in range(100):
            connection.receive(CHAT)
        assert connection.transport.statuses == [503] * 100
        assert len(connection.door._uncounted) == 1, "it does not grow while NATS is away"
        connection.door.calls = calls
        connection.receive(CHAT.replace(b"host: x", b"host: x\r\nx-tierwise-priority: urgent"))
        assert connection.counted == {503: 100, 400: 1}

    run(scene)


def test_chunks_that_come_in_one_turn_of_the_loop_leave_in_one_write():
    async def scene():
        world = World()
        one, two = world.connect(), world.connect()
        writes = []
        one.transport.write = writes.append
        for connection in (one, two):
            connection.receive(CHAT)
        first, second = one.begin(), two.begin()
        await one.settle()
        assert len(writes) == 1, "the head does not wait for content"
        for data in (b"a", b"bc", b"", b"d"):
            first.caller.chunk(first, data)
            second.caller.chunk(second, data)
        assert len(writes) == 1
        await one.settle()
        assert writes[1:] == [b"1\r\na\r\n2\r\nbc\r\n1\r\nd\r\n"]
        first.caller.chunk(first, b"e")
        first.caller.end(first, b"f")
        assert writes[2:] == [b"1\r\ne\r\n1\r\nf\r\n0\r\n\r\n"]
        one.receive(CHAT)
        one.answer(b"next")
        await one.settle()
        assert len(writes) == 4
        assert writes[3].endswith(b"next")
        second.caller.end(second, b"")
        assert two.transport.written.endswith(b"2\r\nbc\r\n1\r\nd\r\n0\r\n\r\n")

    run(scene)


def test_what_was_to_be_written_to_a_connection_that_is_lost_is_dropped():
    async def scene():
        connection = Connection()
        connection.receive(CHAT)
        call = connection.begin()
        call.caller.chunk(call, b"never")
        connection.lose()
        await connection.settle()
        assert connection.transport.written == b""
        assert connection.calls.gone == [call]

    run(scene)


def test_an_old_client_that_wants_to_stay_is_told_that_it_may():
    async def scene():
        connection = Connection()
        connection.receive(chat(b"{}", b"connection: keep-alive", b"expect: 100-continue", version=b"1.0"))
        connection.answer()
        assert connection.statuses == [200], "HTTP/1.0 knows no 100"
        assert b"connection: keep-alive\r\n" in connection.transport.written
        connection.receive(chat(version=b"1.0"))
        connection.answer()
        assert b"connection: close\r\n" in connection.transport.written
        assert connection.transport.closed

    run(scene)


def test_an_old_client_gets_a_stream_that_ends_with_the_connection():
    async def scene():
        connection = Connection()
        connection.receive(chat(b"{}", b"connection: keep-alive", version=b"1.0"))
        call = connection.begin()
        call.caller.chunk(call, b"one")
        call.caller.end(call, b"two")
        head, _, body = connection.transport.written.partition(b"\r\n\r\n")
        assert b"connection: close" in head
        assert b"transfer-encoding" not in head
        assert body == b"onetwo"
        assert connection.transport.closed

    run(scene)


def test_after_a_stream_a_half_closed_client_is_asked_between_the_answers():
    async def scene():
        connection = Connection()
        connection.receive(CHAT + CHAT)
        call = connection.begin()
        call.caller.end(call, b"")
        await connection.settle()
        assert connection.protocol.eof_received()
        assert connection.transport.written.endswith(b"0\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")

    run(scene)


def test_a_request_with_an_idempotency_key_is_never_sent_twice():
    async def scene():
        connection = Connection()
        connection.receive(chat(b"{}", b"Idempotency-Key: 7") + chat())
        assert connection.calls.sent[0].once
        connection.answer()
        await connection.settle()
        assert not connection.calls.sent[0].once

    run(scene)
