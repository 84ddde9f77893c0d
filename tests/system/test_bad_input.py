"""Whatever a caller sends: an error of OpenAI's shape at once, never a 500, never a hang, and nothing upstream."""

import json
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

from tests.support.caller import PATH, Answer, chat

AT_ONCE_S = 2.0
LIMIT = 32 * 1024 * 1024  # server.max_body_bytes where the config doesn't say
DEEP = 10_000
LONG = 300 * 1024  # more than fits into one message on the bus: another way through the ingress
MESSAGES = b'"messages":[{"role":"user","content":"hello"}]'
LONG_MESSAGES = b'"messages":[{"role":"user","content":"%b"}]' % (b"x" * LONG)


@pytest.fixture(autouse=True)
def nothing_goes_upstream(router) -> Iterator[None]:
    yield
    assert all(request.json["messages"] for request in router.first.requests), "only good requests"


class Wire:
    """A connection on which a test writes what it likes."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self._received = b""

    def post(self, body: bytes, *lines: bytes) -> Answer:
        head = [b"POST %b HTTP/1.1" % PATH.encode(), b"host: x", b"content-length: %d" % len(body), *lines]
        self.socket.sendall(b"\r\n".join(head) + b"\r\n\r\n" + body)
        return self.answer()

    def answer(self) -> Answer:
        while b"\r\n\r\n" not in self._received:
            self._receive()
        head, _, self._received = self._received.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:])
        length = int(headers["content-length"])
        while len(self._received) < length:
            self._receive()
        body, self._received = self._received[:length], self._received[length:]
        return Answer(int(lines[0].split()[1]), headers, body, 0)

    @property
    def was_closed(self) -> bool:
        return self.socket.recv(1) == b""

    def _receive(self) -> None:
        data = self.socket.recv(65536)
        assert data, f"the connection was closed after {self._received!r}"
        self._received += data


@contextmanager
def wire_to(router) -> Iterator[Wire]:
    parts = urlsplit(router.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=AT_ONCE_S) as connection:
        yield Wire(connection)


BAD_BODIES = {
    "nothing": (b"", None),
    "blanks": (b"  \n", None),
    "no JSON": (b"hello", None),
    "cut JSON": (b'{"model":"auto",' + MESSAGES, None),
    "two JSON values": (b'{"model":"auto",' + MESSAGES + b"} {}", None),
    "a list": (b"[]", None),
    "null": (b"null", None),
    "a number": (b"7", None),
    "invalid UTF-8 in the content": (b'{"model":"auto","messages":[{"role":"user","content":"\xff\xfe"}]}', None),
    "invalid UTF-8 where nobody looks": (b'{"model":"auto",' + MESSAGES + b',"user":"\xc3\x28"}', None),
    "invalid UTF-8 in a key": (b'{"model":"auto",' + MESSAGES + b',"\xc3\x28":1}', None),
    "half a surrogate pair": (b'{"model":"auto","messages":[{"role":"user","content":"\\ud800"}]}', None),
    "nested 10,000 deep": (b'{"model":"auto",' + MESSAGES + b',"x":' + b"[" * DEEP + b"]" * DEEP + b"}", None),
    "nested 10,000 deep and cut": (b'{"model":"auto",' + MESSAGES + b',"x":' + b'{"a":' * DEEP, None),
    "no messages": (b'{"model":"auto"}', "messages"),
    "messages are empty": (b'{"model":"auto","messages":[]}', "messages"),
    "messages are a text": (b'{"model":"auto","messages":"hello"}', "messages"),
    "a message is a text": (b'{"model":"auto","messages":["hello"]}', "messages[0]"),
    "a message without role": (b'{"model":"auto","messages":[{"content":"hello"}]}', "messages[0].role"),
    "content is a number": (b'{"model":"auto","messages":[{"role":"user","content":7}]}', "messages[0].content"),
    "model is a number": (b'{"model":7,' + MESSAGES + b"}", "model"),
    "stream is a text": (b'{"model":"auto","stream":"yes",' + MESSAGES + b"}", "stream"),
    "max_tokens is negative": (b'{"model":"auto","max_tokens":-1,' + MESSAGES + b"}", "max_tokens"),
    "max_tokens is enormous": (b'{"model":"auto","max_tokens":' + b"9" * 400 + b"," + MESSAGES + b"}", "max_tokens"),
    "temperature is a text": (b'{"model":"auto","temperature":"hot",' + MESSAGES + b"}", "temperature"),
    "tools are a text": (b'{"model":"auto","tools":"hammer",' + MESSAGES + b"}", "tools"),
    "long: cut JSON": (b'{"model":"auto",' + LONG_MESSAGES, None),
    "long: a list": (b"[" + b'"x",' * LONG + b'"x"]', None),
    "long: invalid UTF-8": (b'{"model":"auto",' + LONG_MESSAGES + b',"user":"\xc3\x28"}', None),
    "long: invalid UTF-8 in a key": (b'{"model":"auto",' + LONG_MESSAGES + b',"\xc3\x28":1}', None),
    "long: half a surrogate pair": (b'{"model":"auto",' + LONG_MESSAGES + b',"user":"\\ud800"}', None),
    "long: nested 10,000 deep": (
        b'{"model":"auto",' + LONG_MESSAGES + b',"x":' + b"[" * DEEP + b"]" * DEEP + b"}",
        None,
    ),
    "long: messages are a text": (b'{"model":"auto","messages":"%b"}' % (b"x" * LONG), "messages"),
    "long: stream is a text": (b'{"model":"auto","stream":"yes",' + LONG_MESSAGES + b"}", "stream"),
}


@pytest.mark.parametrize(("body", "param"), BAD_BODIES.values(), ids=BAD_BODIES.keys())
def test_a_bad_body_is_a_400_that_says_what_is_wrong_and_the_connection_goes_on(router, body, param):
    with wire_to(router) as wire:
        refused = wire.post(body)
        assert refused.status == 400
        assert refused.error["type"] == "invalid_request_error"
        assert refused.error["code"] in {"invalid_json", "invalid_request"}
        assert refused.error["param"] == param
        assert not router.first.requests
        assert wire.post(json.dumps(chat()).encode()).status == 200


@pytest.mark.parametrize("depth", [100, 500, 900])
@pytest.mark.parametrize("messages", [MESSAGES, LONG_MESSAGES], ids=["short", "long"])
def test_what_is_deep_and_still_json_reaches_the_backend_or_is_refused(router, messages, depth):
    body = b'{"model":"auto",' + messages + b',"x":' + b"[" * depth + b"]" * depth + b"}"
    with wire_to(router) as wire:
        answered = wire.post(body)
    assert answered.status in {200, 400}
    if answered.status == 200:
        assert b"[" * depth + b"]" * depth in router.first.requests[0].body


@pytest.mark.parametrize("model", ["gpt-nonsense", "x" * 100_000, "a\nb", "auto;drop table", "\u0000", "Ω"])
def test_an_unknown_model_is_a_404_that_names_the_known_ones(router, model):
    refused = router.ask(chat(model=model))
    assert refused.status == 404
    assert refused.error["code"] == "model_not_found"
    assert refused.error["param"] == "model"
    assert "first-1" in refused.error["message"]
    assert len(refused.body) < 2000


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("priority", "at once"),
        ("category", "poetry"),
        ("tier", "huge"),
        ("deadline_ms", "soon"),
        ("deadline_ms", "-5"),
        ("max_cost_usd", "a lot"),
        ("max_cost_usd", "NaN"),
        ("service", "x" * 1000),
    ],
)
def test_a_bad_header_is_a_400_that_names_it(router, header, value):
    refused = router.ask(**{f"tierwise_{header}": value})
    assert refused.status == 400
    assert refused.error["param"].lower().replace("-", "_") == f"x_tierwise_{header}"


def test_an_unknown_route_and_a_wrong_method_have_the_same_shape(router):
    with wire_to(router) as wire:
        wire.socket.sendall(b"GET /v1/nothing HTTP/1.1\r\nhost: x\r\n\r\n")
        assert (answered := wire.answer()).status == 404
        assert answered.error["code"] == "not_found"
        wire.socket.sendall(b"GET %b HTTP/1.1\r\nhost: x\r\n\r\n" % PATH.encode())
        assert (answered := wire.answer()).status == 405
        assert answered.error["code"] == "method_not_allowed"
        assert wire.post(json.dumps(chat()).encode()).status == 200


@pytest.mark.parametrize(
    "head",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-length: many\r\n\r\n" % PATH.encode(),
        b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n" % PATH.encode(),
        b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n" % PATH.encode(),
        b"POST %b HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nnot hex\r\n" % PATH.encode(),
    ],
    ids=["TLS", "content-length: many", "content-length: -1", "two lengths", "no chunk"],
)
def test_what_is_no_http_is_told_so_and_the_connection_closed(router, head):
    with wire_to(router) as wire:
        wire.socket.sendall(head)
        refused = wire.answer()
        assert refused.status == 400
        assert refused.error["code"] == "invalid_http"
        assert wire.was_closed


def test_a_body_announced_as_too_large_is_refused_before_it_comes(router):
    with wire_to(router) as wire:
        wire.socket.sendall(b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % (PATH.encode(), LIMIT + 1))
        check_too_large(wire)


def test_a_client_that_sends_its_too_large_body_all_the_same_reads_the_refusal(router):
    """A closed socket with unread bytes would be a reset, and the answer lost."""
    body = b"x" * (LIMIT + 1024 * 1024)
    with wire_to(router) as wire:
        wire.socket.settimeout(20)
        head = b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % (PATH.encode(), len(body))
        wire.socket.sendall(head + body)
        check_too_large(wire)


def test_a_chunked_body_is_refused_as_soon_as_it_is_too_large(router):
    """The client would go on for ever; it is told while it sends."""
    chunk = b"100000\r\n%b\r\n" % (b"x" * 0x100000)
    with wire_to(router) as wire:
        wire.socket.sendall(b"POST %b HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n" % PATH.encode())
        wire.socket.settimeout(20)
        for _ in range(LIMIT // 0x100000 + 8):
            wire.socket.sendall(chunk)
        check_too_large(wire)
    assert router.ask().status == 200


def check_too_large(wire):
    refused = wire.answer()
    assert refused.status == 413
    assert refused.error["code"] == "request_too_large"
    assert refused.headers["connection"] == "close"
    assert re.search(rf"\b{LIMIT}\b", refused.error["message"])


def test_a_body_of_exactly_the_limit_is_taken(router):
    rest = len(json.dumps(chat(messages=[{"role": "user", "content": ""}])))
    body = json.dumps(chat(messages=[{"role": "user", "content": "x" * (LIMIT - rest)}])).encode()
    assert len(body) == LIMIT
    assert router.ask(body).status == 200


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_request_may_come_in_pieces_of_any_size(router, size):
    body = json.dumps(chat()).encode()
    request = b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (PATH.encode(), len(body), body)
    with wire_to(router) as wire:
        wire.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(request), size):
            wire.socket.sendall(request[start : start + size])
        assert wire.answer().status == 200


def test_a_client_that_asks_whether_to_go_on_is_told_to(router):
    body = json.dumps(chat()).encode()
    with wire_to(router) as wire:
        head = b"POST %b HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: %d\r\n\r\n"
        wire.socket.sendall(head % (PATH.encode(), len(body)))
        assert wire.socket.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        wire.socket.sendall(body)
        assert wire.answer().status == 200
