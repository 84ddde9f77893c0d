"""The two routes about decisions, without the services that know: what they refuse, and what they pass on."""

import msgspec
import pytest
from fastapi import FastAPI
from nats.errors import NoRespondersError
from nats.errors import TimeoutError as NatsTimeout
from starlette.testclient import TestClient

from services.ingress.api_decisions import decisions
from services.ingress.doors.chat import ChatDoor
from services.ingress.questions import Questions
from shared.contracts import MAX_INLINE_BYTES, Answered, ExplainRequested, Refusal, pack, unpack
from shared.policy import Server

HELLO = b'{"messages":[{"role":"user","content":"Say hello."}]}'


class Nats:
    """Its other side: answers as it was told, or raises it."""

    is_connected = True

    def __init__(self):
        self.asked = []
        self.answer = pack(Answered(), b'{"tier":"small"}')

    async def request(self, subject, payload, timeout):  # noqa: ASYNC109  # as nats-py has it
        self.asked.append((subject, payload))
        if isinstance(self.answer, Exception):
            raise self.answer
        self.data = self.answer
        return self


@pytest.fixture
def nats():
    return Nats()


@pytest.fixture
def door():
    return ChatDoor("req_0123456789ab")


@pytest.fixture
def client(nats, door):
    questions = Questions()
    questions.client = nats
    api = FastAPI()
    api.include_router(decisions(door, questions))
    return TestClient(api)


def test_headers_and_body_go_to_a_classifier_as_a_request_would(client, nats):
    got = client.post("/api/explain", content=HELLO, headers={"X-Tierwise-Service": "billing"})
    assert (got.status_code, got.json()) == (200, {"tier": "small"})
    [(subject, payload)] = nats.asked
    head, body = unpack(payload)
    received = msgspec.msgpack.decode(head, type=ExplainRequested).received
    assert (subject, body, received.service, received.body_bytes) == ("explain", HELLO, "billing", len(HELLO))
    assert got.headers["x-request-id"] == received.request_id


def test_a_large_body_is_cut_as_the_door_does(client, nats):
    whole = b'{"messages":[{"role":"user","content":"%b"}]}' % (b"x" * 500_000)
    client.post("/api/explain", content=whole)
    head, body = unpack(nats.asked[0][1])
    assert len(body) < MAX_INLINE_BYTES
    assert msgspec.msgpack.decode(head, type=ExplainRequested).received.body_bytes == len(whole)


def test_a_body_over_the_limit_is_413_and_one_of_nonsense_400(client, nats, door):
    door._take(Server(max_body_bytes=300_000))
    assert client.post("/api/explain", content=b"x" * 300_001).status_code == 413
    assert client.post("/api/explain", content=b"{" * 299_000).json()["error"]["code"] == "invalid_json"
    refused = client.post("/api/explain", content=HELLO, headers={"X-Tierwise-Priority": "soon"})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "X-Tierwise-Priority")
    assert not nats.asked


async def test_who_leaves_in_the_middle_of_the_body_is_no_failure_of_ours(client, nats):
    came = iter([{"type": "http.request", "body": HELLO[:9], "more_body": True}, {"type": "http.disconnect"}])
    sent = []

    async def receive():
        return next(came)

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/api/explain", "headers": [], "query_string": b""}
    await client.app(scope, receive, send)
    assert sent[0]["status"] == 499
    assert not nats.asked


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        (NoRespondersError(), 503, "no_{whom}"),
        (NatsTimeout(), 503, "{whom}_silent"),
        (pack(Answered(Refusal(404, "request_not_found", "no"))), 404, "request_not_found"),
        (pack(Answered(Refusal(503, "x", "no", retry_after_s=7))), 503, "x"),
    ],
)
@pytest.mark.parametrize("whom", ["classifier", "ledger"])
def test_who_does_not_answer_or_refuses_is_told_in_openais_shape(client, nats, answer, status, code, whom):
    nats.answer = answer
    if whom == "classifier":
        got = client.post("/api/explain", content=HELLO)
    else:
        got = client.get("/api/requests/req_0123456789ab0000002a")
    assert (got.status_code, got.json()["error"]["code"]) == (status, code.format(whom=whom))
    assert ("retry-after" in got.headers) == (status == 503)
    assert got.json()["error"]["request_id"] == got.headers["x-tierwise-request-id"]


def test_before_nats_is_reached_it_is_503(client, nats):
    nats.is_connected = False
    assert client.post("/api/explain", content=HELLO).json()["error"]["code"] == "bus_unavailable"


@pytest.mark.parametrize("request_id", ["x", "req_", "req_0123456789ab", "req_0123456789abZZ", "req_0123456789ab%00"])
def test_what_is_no_id_is_400_and_nobody_is_asked(client, nats, request_id):
    got = client.get(f"/api/requests/{request_id}")
    assert (got.status_code, got.json()["error"]["code"]) == (400, "invalid_request_id")
    assert not nats.asked
