"""Pages of other origins: what they are told on the hot route and on the others."""

import asyncio

import pytest

from services.ingress.doors.chat import ChatDoor
from tests.support.door import HEALTH, World, chat

PAGE = "http://app.example"
PREFLIGHT = (
    b"OPTIONS /v1/chat/completions HTTP/1.1\r\nhost: x\r\norigin: http://app.example\r\n"
    b"access-control-request-method: POST\r\naccess-control-request-headers: authorization, content-type\r\n\r\n"
)
ASKED = chat(b"{}", b"Origin: http://app.example")


def ask(request, origins):
    async def scene():
        connection = World().connect()
        connection.door._take(type(ChatDoor("req_0123456789ab").server)(cors_origins=origins))
        connection.receive(request)
        await connection.answer_all()
        head = connection.transport.written.partition(b"\r\n\r\n")[0].decode().lower()
        return connection.statuses, dict(line.split(": ", 1) for line in head.split("\r\n")[1:])

    return asyncio.run(scene())


@pytest.mark.parametrize(
    "request_",
    [
        ASKED,
        chat(b"{}", b"Origin: http://app.example", b"x-tierwise-priority: urgent"),
        HEALTH.replace(b"\r\n\r\n", b"\r\nOrigin: http://app.example\r\n\r\n"),
        chat(b"", b"origin: http://app.example").replace(b"length: 0", b"length: 99999999"),
    ],
    ids=["hot", "refused", "another route", "unread"],
)
@pytest.mark.parametrize(
    ("origins", "allowed"),
    [((), None), (("http://other.example",), None), (("http://other.example", PAGE), PAGE), (("*",), "*")],
)
def test_an_answer_names_the_origin_that_may_read_it(request_, origins, allowed):
    _, headers = ask(request_, origins)
    assert headers.get("access-control-allow-origin") == allowed
    assert ("access-control-expose-headers" in headers) == (allowed is not None)
    assert "access-control-allow-credentials" not in headers
    if "*" not in origins:
        assert headers.get("vary") == ("origin" if origins else None)


def test_a_preflight_of_a_known_page_is_answered():
    statuses, headers = ask(PREFLIGHT, (PAGE,))
    assert statuses == [200]
    assert headers["access-control-allow-origin"] == PAGE
    assert "post" in headers["access-control-allow-methods"]
    assert headers["access-control-allow-headers"] == "authorization, content-type"


@pytest.mark.parametrize("origins", [(), ("http://other.example",)])
def test_a_preflight_of_another_page_is_not_allowed(origins):
    statuses, headers = ask(PREFLIGHT, origins)
    assert statuses == [405]
    assert ("vary" in headers) == bool(origins)
    assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize("request_", [chat(), HEALTH], ids=["hot", "another route"])
@pytest.mark.parametrize("origins", [(), ("*",), (PAGE,)])
def test_without_an_origin_nothing_is_said_but_that_it_would_matter(request_, origins):
    _, headers = ask(request_, origins)
    assert "access-control-allow-origin" not in headers
    assert headers.get("vary") == ("origin" if origins == (PAGE,) else None)
