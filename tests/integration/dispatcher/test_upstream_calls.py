"""The caller's hand on a call: it cancels, pauses, sends much, and may raise."""

import asyncio

import pytest

from services.dispatcher.failures import CallbackRaised
from tests.support.hostile import OK, Hostile, Noted, PausesAtOnce, answering, on_both_loops, origin, post
from tests.support.wait import eventually


@on_both_loops
@pytest.mark.parametrize("when", ["before the answer", "in it"])
async def test_a_cancelled_call_hears_nothing_more_and_the_server_sees_it_go(when):
    arrived, gone = asyncio.Event(), asyncio.Event()

    async def script(peer):
        await peer.request()
        if when == "in it":
            peer.say(OK[:-1])
        arrived.set()
        await peer.gone()
        gone.set()

    async with Hostile(script) as server:
        pool = origin(server.url)
        call = post(pool)
        await arrived.wait()
        if when == "in it":
            await call.head_came.wait()
        assert call.exchange is not None
        call.exchange.cancel()
        call.exchange.cancel()
        await gone.wait()
        await eventually(lambda: pool.open == 0, "its connection is closed")
        assert call.ends == 0
        await pool.close()


class CancelsAtOnce(Noted):
    def on_head(self, status, headers):
        super().on_head(status, headers)
        assert self.exchange is not None
        self.exchange.cancel()


@on_both_loops
async def test_a_call_may_cancel_from_inside_its_head():
    async with Hostile(answering) as server:
        pool = origin(server.url)
        call = CancelsAtOnce()
        pool.post(b"", b"{}", call)
        await call.head_came.wait()
        await eventually(lambda: pool.open == 0, "its connection is closed")
        assert (call.body, call.ends) == (b"", 0)
        await pool.close()


@on_both_loops
async def test_a_paused_call_takes_no_more_until_it_is_resumed_and_its_connection_lives_on():
    size = 32 * 1024 * 1024

    async def script(peer):
        while True:
            _, body = await peer.request()
            peer.say(
                OK if body == b"small" else b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size + bytes(size)
            )

    async with Hostile(script) as server:
        pool = origin(server.url)
        call = PausesAtOnce()
        pool.post(b"", b"large", call)
        await call.head_came.wait()
        for _ in range(100):  # 32 MiB would have come meanwhile
            await post(pool, b"small").answer()
        assert len(call.body) < 1024 * 1024
        assert call.exchange is not None
        call.exchange.resume()
        assert len(await call.answer()) == size
        assert pool.idle == 2
        await pool.close()


@on_both_loops
async def test_a_call_that_ends_while_it_is_paused_leaves_a_connection_that_reads():
    async with Hostile(answering) as server:
        pool = origin(server.url)
        call = PausesAtOnce()
        pool.post(b"", b"{}", call)
        await call.answer()
        assert await post(pool).answer() == b"hi"
        assert server.connections == 1
        await pool.close()


@on_both_loops
async def test_a_large_request_arrives_whole():
    bodies = []

    async def script(peer):
        while True:
            bodies.append((await peer.request())[1])
            peer.say(OK)

    body = bytes(range(256)) * 32 * 1024
    async with Hostile(script) as server:
        pool = origin(server.url)
        for _ in range(2):
            await post(pool, body).answer()
        assert bodies == [body, body]
        assert server.connections == 1
        await pool.close()


@on_both_loops
async def test_an_answer_before_the_request_was_read_costs_the_connection():
    async def script(peer):
        if peer.number == 1:
            await peer.byte()
            peer.say(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n")  # and reads no more
            await asyncio.Event().wait()
        await answering(peer)

    async with Hostile(script) as server:
        pool = origin(server.url)
        refused = post(pool, bytes(64 * 1024 * 1024))
        await refused.answer()
        assert refused.status == 413
        assert await post(pool).answer() == b"hi"
        assert server.connections == 2
        await pool.close()


class Raises(Noted):
    def __init__(self, where: str, error: Exception) -> None:
        super().__init__()
        self._where = where
        self._error = error

    def _raise(self, where):
        if where == self._where:
            raise self._error

    def on_head(self, status, headers):
        super().on_head(status, headers)
        self._raise("on_head")

    def on_body(self, data):
        super().on_body(data)
        self._raise("on_body")

    def on_end(self):
        super().on_end()
        self._raise("on_end")


@on_both_loops
@pytest.mark.parametrize("error", [ValueError("ours"), OSError("ours")], ids=["ValueError", "OSError"])
@pytest.mark.parametrize("where", ["on_head", "on_body", "on_end"])
async def test_what_a_call_raises_reaches_the_loop_and_its_connection_closes(where, error):
    reported = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))
    async with Hostile(answering) as server:
        pool = origin(server.url)
        call = Raises(where, error)
        pool.post(b"", b"{}", call)
        await call.over.wait()
        await eventually(lambda: pool.open == 0, "its connection is closed")
        assert reported == [error]
        assert call.ends == 1
        assert isinstance(call.failure, CallbackRaised) == (where != "on_end")
        assert await post(pool).answer() == b"hi"
        await pool.close()
