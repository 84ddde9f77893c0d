"""One connection of the door, byte by byte: which answer goes out when, and when the connection ends."""

import asyncio
import json
import re

import pytest
import uvicorn
from fastapi import FastAPI
from prometheus_client import CollectorRegistry, generate_latest
from uvicorn.server import ServerState

from services.ingress import fast
from services.ingress.api import CurrentPolicy, build_api
from services.ingress.doors.chat import ChatDoor
from services.ingress.fast import HotProtocol, protocol_for
from services.ingress.metrics import Counts
from shared.contracts import AnswerHead
from shared.ops import Readiness

CHAT = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}"
HEALTH = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"


class Transport(asyncio.Transport):
    def __init__(self):
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data):
        assert not self.closed
        self.written += data

    def close(self):
        self.closed = True

    abort = close

    def is_closing(self):
        return self.closed

    def pause_reading(self):
        pass

    def resume_reading(self):
        pass

    def can_write_eof(self):
        return False

    @property
    def statuses(self):
        return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+) ", self.written)]


class Calls:
    """Every request is taken, and answered when the test says so."""

    def __init__(self):
        self.counts = Counts()
        self.sent = []

    def send(self, call, _received, _body):
        self.sent.append(call)

    def left(self, call):
        pass


class Connection:
    def __init__(self, api=None):
        self.door = ChatDoor("req_0123456789ab")
        self.calls = self.door.calls = Calls()
        registry = CollectorRegistry()
        api = api or build_api(CurrentPolicy(), Readiness(), registry, self.door.mint)
        config = uvicorn.Config(api, lifespan="off", log_config=None, ws="none")
        config.load()
        self.transport = Transport()
        self.protocol = protocol_for(self.door)(config, ServerState(), {})
        assert isinstance(self.protocol, HotProtocol)
        self.protocol.connection_made(self.transport)

    def receive(self, data):
        self.protocol.data_received(data)

    def answer(self, body=b"{}"):
        call = self.calls.sent.pop(0)
        head = AnswerHead(200, "application/json", len(body), "general", "small", "small-1", "m", (), 1, 1)
        call.caller.answer(call, head, body)

    async def settle(self):
        for _ in range(20):
            await asyncio.sleep(0)

    @property
    def counted(self):
        registry = CollectorRegistry()
        registry.register(self.calls.counts)
        lines = generate_latest(registry).decode()
        return {int(k): float(v) for k, v in re.findall(r'tierwise_requests_total\{status="(\d+)"\} (\S+)', lines)}


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

        connection = Connection(api)
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


def test_another_route_never_overtakes_requests_that_wait():
    async def scene():
        connection = Connection()
        connection.receive(CHAT + CHAT)
        connection.receive(HEALTH)
        await connection.settle()
        assert connection.transport.statuses == []
        connection.answer()
        await connection.settle()
        assert not connection.transport.closed, "the second is not answered yet"
        connection.answer()
        await connection.settle()
        assert connection.transport.statuses == [200, 200]
        assert connection.transport.closed
        assert connection.transport.written.count(b"connection: close") == 1

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
        connection = Connection(api)
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
        connection = Connection(api)
        connection.receive(HEALTH.replace(b"/healthz", b"/slow") + unread)
        await connection.settle()
        assert connection.transport.written == b""
        go.set()
        await connection.settle()
        assert connection.transport.statuses == [200]
        assert connection.transport.written.endswith(b'"slow"')
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


def test_idle_connections_are_closed_and_busy_ones_are_not(monkeypatch):
    monkeypatch.setattr(fast, "IDLE_SWEEP_S", 3600.0)

    async def scene():
        connection = Connection()
        connection.receive(CHAT)
        for _ in range(100):
            connection.protocol._sweep()
        assert not connection.transport.closed, "it waits for us"
        connection.answer()
        for _ in range(fast.IDLE_SWEEPS):
            connection.protocol._sweep()
        assert not connection.transport.closed
        connection.receive(CHAT)
        connection.answer()
        for _ in range(fast.IDLE_SWEEPS):
            connection.protocol._sweep()
        assert not connection.transport.closed
        connection.protocol._sweep()
        assert connection.transport.closed

    run(scene)


def test_all_connections_share_one_sweeper_that_ends_with_them():
    async def scene():
        connection = Connection()
        cls = type(connection.protocol)
        sweeper = cls.sweeper
        assert sweeper is not None
        another = cls(connection.protocol.config, connection.protocol.server_state, {})
        another.connection_made(Transport())
        assert cls.sweeper is sweeper
        another.connection_lost(None)
        connection.protocol.connection_lost(None)
        connection.protocol._sweep()
        assert cls.sweeper is None

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
        connection.receive(CHAT)
        assert connection.transport.statuses == [503]
        connection.door.calls = calls
        connection.receive(CHAT.replace(b"host: x", b"host: x\r\nx-tierwise-priority: urgent"))
        assert connection.counted == {503: 1, 400: 1}

    run(scene)
