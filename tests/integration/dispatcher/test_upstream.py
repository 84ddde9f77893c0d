"""The pool against servers that do what servers do: on real sockets, on both loops."""

import asyncio

import pytest

from services.dispatcher.failures import Busy, ConnectFailed, Disconnected
from services.dispatcher.upstream import Limits, Origin, header_lines
from tests.support.hostile import OK, Hostile, Noted, Peer, answering, on_both_loops, origin, post
from tests.support.wait import eventually

SECRET = "sk-1234"


@on_both_loops
async def test_a_request_reaches_the_server_as_it_should():
    heads = []

    async def script(peer):
        heads.append(await peer.request())
        peer.say(OK)

    async with Hostile(script) as server:
        pool = origin(server.url + "/", headers=header_lines({"Authorization": "Bearer k", "X-Org": "o"}))
        call = Noted()
        pool.post(b"/chat/completions", b'{"a":1}', call)
        assert await call.answer() == b"hi"
        assert call.status == 200
        assert call.headers == [(b"content-length", b"2")]
        await pool.close()
    [(head, body)] = heads
    assert body == b'{"a":1}'
    assert head.split(b"\r\n") == [
        b"POST /v1/chat/completions HTTP/1.1", b"host: 127.0.0.1:%d" % server.port, b"user-agent: tierwise",
        b"authorization: Bearer k", b"x-org: o", b"accept-encoding: identity",
        b"content-type: application/json", b"content-length: 7", b"", b"",
    ]  # fmt: skip


@on_both_loops
async def test_a_connection_is_used_again_and_the_last_one_first():
    served = []

    async def script(peer):
        while True:
            _, body = await peer.request()
            served.append((peer.number, body))
            if body != b"together" or len(served) == 2:
                for waiting in held:
                    waiting.say(OK)
                held.clear()
                peer.say(OK)
            else:
                held.append(peer)

    held: list[Peer] = []
    async with Hostile(script) as server:
        pool = origin(server.url)
        calls = [post(pool, b"together"), post(pool, b"together")]
        for call in calls:
            await call.answer()
        assert (pool.open, pool.idle, server.connections) == (2, 2, 2)
        for _ in range(3):
            await post(pool, b"alone").answer()
        assert len({number for number, body in served if body == b"alone"}) == 1
        assert server.connections == 2
        await pool.close()


@on_both_loops
async def test_calls_beyond_the_connections_wait_in_order_and_beyond_the_queue_are_busy():
    bodies = []
    go = asyncio.Event()

    async def script(peer):
        while True:
            bodies.append((await peer.request())[1])
            await go.wait()
            peer.say(OK)

    async with Hostile(script) as server:
        pool = origin(server.url, max_connections=1, limits=Limits(waiting=3))
        first = post(pool, b"1")
        await eventually(lambda: bodies == [b"1"], "the first call is under way")
        second, third, fourth, refused = (post(pool, body) for body in (b"2", b"3", b"4", b"5"))
        assert pool.waiting == 3
        assert isinstance(await refused.fault(), Busy)
        assert second.exchange is not None
        second.exchange.cancel()
        assert pool.waiting == 2
        go.set()
        assert await first.answer() == await third.answer() == await fourth.answer() == b"hi"
        assert bodies == [b"1", b"3", b"4"]
        assert second.ends == 0
        assert server.connections == 1
        await pool.close()


@on_both_loops
async def test_a_burst_opens_no_more_connections_than_allowed_and_all_are_answered():
    async with Hostile(answering) as server:
        pool = origin(server.url, max_connections=4)
        calls = [post(pool) for _ in range(100)]
        for call in calls:
            assert await call.answer() == b"hi"
        await eventually(lambda: server.connections == pool.open == pool.idle == 4, "all four are open and free")
        assert pool.waiting == 0
        await pool.close()


@on_both_loops
async def test_who_waits_gets_a_new_connection_when_the_one_it_waited_for_is_lost():
    go = asyncio.Event()

    async def script(peer):
        await peer.request()
        await go.wait()
        peer.end() if peer.number == 1 else peer.say(OK)

    async with Hostile(script) as server:
        pool = origin(server.url, max_connections=1)
        first = post(pool)
        await eventually(lambda: pool.open, "it is connected")
        second = post(pool)
        go.set()
        assert isinstance(await first.fault(), Disconnected)
        assert await second.answer() == b"hi"
        await pool.close()


@on_both_loops
async def test_a_request_on_a_connection_that_has_just_died_goes_out_on_another():
    async with Hostile(answering) as server:
        pool = origin(server.url)
        await post(pool).answer()
        [connection] = pool._idle
        connection.transport.abort()  # the loop tells of it at its next turn
        assert await post(pool).answer() == b"hi"
        assert server.connections == 2
        await pool.close()


@on_both_loops
async def test_two_exchanges_on_one_connection_get_their_own_answers_byte_by_byte():
    async def script(peer):
        for body in (b"one", b"two"):
            await peer.request()
            for byte in b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n" + body:
                peer.say(bytes([byte]))
                await asyncio.sleep(0)
        await peer.gone()

    async with Hostile(script) as server:
        pool = origin(server.url)
        assert await post(pool).answer() == b"one"
        assert await post(pool).answer() == b"two"
        assert server.connections == 1
        await pool.close()


# Closing -----------------------------------------------------------------------------------------------------


@on_both_loops
async def test_close_ends_calls_under_way_and_waiting_and_leaves_no_connection():
    arrived = asyncio.Event()

    async def script(peer):
        await peer.request()
        arrived.set()

    async with Hostile(script) as server:
        pool = origin(server.url, max_connections=1)
        under_way, waiting = post(pool), post(pool)
        await arrived.wait()
        await pool.close()
        assert pool.open == 0
        assert isinstance(await under_way.fault(), Disconnected)
        assert isinstance(await waiting.fault(), ConnectFailed)
        assert isinstance(await post(pool).fault(), ConnectFailed)
        await pool.close()


@on_both_loops
async def test_close_when_idle_lets_calls_finish_and_serves_late_ones():
    go = asyncio.Event()

    async def script(peer):
        await peer.request()
        await go.wait()
        peer.say(OK)

    async with Hostile(script) as server:
        pool = origin(server.url)
        under_way = post(pool)
        await eventually(lambda: pool.open, "it is connected")
        pool.close_when_idle()
        go.set()
        assert await under_way.answer() == await post(pool).answer() == b"hi"
        await eventually(lambda: pool.open == 0, "nothing is kept")
        assert server.connections == 2


# What an Origin refuses to be made of ------------------------------------------------------------------------


@pytest.mark.parametrize("headers", [
    {"x": f"{SECRET}\r\nb: c"}, {"x": f"{SECRET}\nb"}, {"x": f"{SECRET}\r"}, {"x": f"{SECRET}\0"},
    {"x\r\ny": "a"}, {"x y": "a"}, {"": "a"}, {"x": f"{SECRET}€"},
    {"Host": "other"}, {"content-length": "3"}, {"Transfer-Encoding": "chunked"},
])  # fmt: skip
def test_a_header_cannot_break_out_of_its_line(headers):
    with pytest.raises(ValueError, match="the header") as raised:
        header_lines(headers)
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize("url", [
    "ftp://host", "host:80", "http://", "http://user:pw@host", "http://host/?key=1", "http://host/#x", "http://host:x",
    f"http://{'a' * 64}.example",
])  # fmt: skip
async def test_a_url_that_is_no_origin_is_refused(url):
    with pytest.raises(ValueError):
        Origin(url)


async def test_a_path_cannot_break_out_of_its_line():
    pool = Origin("http://host")
    with pytest.raises(ValueError, match="path"):
        pool.post(b"/x HTTP/1.1\r\nhost: other\r\n\r\n", b"", Noted())
    with pytest.raises(ValueError, match="headers"):
        Origin("http://host", headers=b"x: y")


@pytest.mark.parametrize(("url", "name"), [
    ("http://[::1]:8001/v1", "[::1]:8001"), ("https://api.example", "api.example:443"), ("http://Host", "host:80"),
])  # fmt: skip
async def test_an_origin_is_named_by_host_and_port(url, name):
    assert Origin(url).name == name
