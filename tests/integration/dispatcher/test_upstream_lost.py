"""Connections that the server ends, breaks or spoils: what is sent again on another, and what never is."""

import asyncio

import pytest

from services.dispatcher.failures import Disconnected, ProtocolBroken
from services.dispatcher.upstream import Limits, header_lines
from tests.support.hostile import OK, SWEEP_S, Hostile, answering, on_both_loops, origin, post, turn
from tests.support.wait import eventually


@on_both_loops
async def test_a_request_that_met_a_closing_connection_goes_out_once_more_on_a_fresh_one():
    bodies = []

    async def script(peer):
        bodies.append((await peer.request())[1])
        peer.say(OK)
        if peer.number == 1:
            bodies.append((await peer.request())[1])
            peer.reset()
        else:
            await answering(peer)

    async with Hostile(script) as server:
        pool = origin(server.url)
        await post(pool, b"first").answer()
        assert await post(pool, b"second").answer() == b"hi"
        assert bodies == [b"first", b"second", b"second"]
        assert (pool.open, pool.idle) == (1, 1)
        await pool.close()


@on_both_loops
async def test_a_request_is_sent_again_only_once():
    async def script(peer):
        await peer.request()
        if peer.number == 1:
            peer.say(OK)
            await peer.request()
        peer.end()

    async with Hostile(script) as server:
        pool = origin(server.url)
        await post(pool).answer()
        failure = await post(pool).fault()
        assert isinstance(failure, Disconnected)
        assert not failure.began
        assert server.connections == 2
        await pool.close()


@on_both_loops
async def test_a_request_on_a_fresh_connection_is_never_sent_again():
    async def script(peer):
        await peer.request()
        peer.end()

    async with Hostile(script) as server:
        pool = origin(server.url)
        failure = await post(pool).fault()
        assert isinstance(failure, Disconnected)
        assert not failure.began
        assert server.connections == 1
        await pool.close()


@on_both_loops
async def test_a_request_whose_connection_closes_late_is_not_sent_again_for_it_may_have_been_paid():
    arrived, go = asyncio.Event(), asyncio.Event()

    async def script(peer):
        await peer.request()
        peer.say(OK)
        await peer.request()
        arrived.set()
        await go.wait()
        peer.end()

    async with Hostile(script) as server:
        pool = origin(server.url, limits=Limits(stale_s=SWEEP_S))
        await post(pool).answer()
        late = post(pool)
        await arrived.wait()
        turn(pool, 3)
        go.set()
        assert isinstance(await late.fault(), Disconnected)
        assert server.connections == 1
        await pool.close()


@on_both_loops
@pytest.mark.parametrize("part", [b"H", OK[:-1]])
async def test_an_answer_that_began_is_not_asked_for_again(part):
    async def script(peer):
        await peer.request()
        peer.say(OK)
        await peer.request()
        peer.say(part)
        peer.end()

    async with Hostile(script) as server:
        pool = origin(server.url)
        await post(pool).answer()
        failure = await post(pool).fault()
        assert isinstance(failure, Disconnected)
        assert failure.began
        assert server.connections == 1
        await pool.close()


@on_both_loops
@pytest.mark.parametrize("how", ["ends", "resets", "talks"])
async def test_an_idle_connection_that_ends_or_talks_leaves_the_pool(how):
    now = asyncio.Event()

    async def script(peer):
        await peer.request()
        peer.say(OK)
        await now.wait()
        if how == "talks":
            peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged")
        elif peer.number == 1:
            peer.end() if how == "ends" else peer.reset()

    async with Hostile(script) as server:
        pool = origin(server.url)
        await post(pool).answer()
        assert pool.idle == 1
        now.set()
        await eventually(lambda: pool.open == pool.idle == 0, "the pool is empty")
        now.clear()
        assert await post(pool).answer() == b"hi"
        assert server.connections == 2
        await pool.close()


@on_both_loops
@pytest.mark.parametrize(("answer", "body"), [
    (b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi", b"hi"),
    (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n!", b"hi"),
])  # fmt: skip
async def test_a_connection_that_cannot_be_trusted_any_more_is_not_used_again(answer, body):
    async def script(peer):
        await peer.request()
        peer.say(answer)

    async with Hostile(script) as server:
        pool = origin(server.url)
        assert await post(pool).answer() == body
        assert await post(pool).answer() == body
        assert server.connections == 2
        await eventually(lambda: pool.open == 0, "both are closed")
        await pool.close()


@on_both_loops
async def test_a_body_without_length_ends_with_its_connection():
    async def script(peer):
        await peer.request()
        peer.say(b"HTTP/1.1 200 OK\r\n\r\nto the ")
        peer.say(b"end")
        peer.end()

    async with Hostile(script) as server:
        pool = origin(server.url)
        assert await post(pool).answer() == b"to the end"
        await pool.close()


@on_both_loops
async def test_what_is_not_http_is_said_without_secrets():
    async def script(peer):
        await peer.request()
        peer.say(b"sk-secret\r\n\r\n")

    async with Hostile(script) as server:
        pool = origin(server.url, headers=header_lines({"authorization": "Bearer sk-secret"}))
        failure = await post(pool, b"sk-secret").fault()
        assert isinstance(failure, ProtocolBroken)
        assert failure.message.startswith(f"127.0.0.1:{server.port} sent what is not HTTP/1.1")
        assert "secret" not in failure.message
        await eventually(lambda: pool.open == 0, "the connection is thrown away")
        await pool.close()
