"""How long the pool waits for a server, and how long it keeps a connection that nobody uses."""

import asyncio

import pytest

from services.dispatcher.failures import TimedOut
from services.dispatcher.upstream import Limits
from tests.support.hostile import OK, SWEEP_S, Hostile, Noted, PausesAtOnce, on_both_loops, origin, post, turn
from tests.support.wait import eventually


@on_both_loops
async def test_a_server_that_never_answers_runs_into_the_first_byte_limit():
    arrived = asyncio.Event()

    async def script(peer):
        await peer.request()
        arrived.set()

    async with Hostile(script) as server:
        pool = origin(server.url)
        call = post(pool, silence_s=SWEEP_S)
        await arrived.wait()
        turn(pool)
        await asyncio.sleep(0)
        assert call.ends == 0  # one turn may come right after the request
        turn(pool)
        failure = await call.fault()
        assert isinstance(failure, TimedOut)
        assert failure.phase == "first_byte"
        await pool.close()


@on_both_loops
async def test_each_call_has_a_limit_of_its_own_for_silence_that_can_be_lifted():
    async def script(peer):
        await peer.request()

    async with Hostile(script) as server:
        pool = origin(server.url)
        hurried, patient, lifted = (post(pool, silence_s=s) for s in (SWEEP_S, 10 * SWEEP_S, SWEEP_S))
        await eventually(lambda: pool.open == 3, "all are sent")
        assert lifted.exchange is not None
        lifted.exchange.silence_s = None
        turn(pool, 3)
        failure = await hurried.fault()
        assert isinstance(failure, TimedOut)
        assert failure.phase == "first_byte"
        assert (patient.ends, lifted.ends) == (0, 0)
        await pool.close()


@on_both_loops
@pytest.mark.parametrize("paused", [False, True])
async def test_a_server_that_falls_silent_runs_into_the_limit_between_bytes_unless_we_paused_it(paused):
    async def script(peer):
        await peer.request()
        peer.say(OK[:-1])

    async with Hostile(script) as server:
        pool = origin(server.url)
        call = PausesAtOnce() if paused else Noted()
        pool.post(b"", b"{}", call, SWEEP_S)
        await call.head_came.wait()
        turn(pool, 5)
        if paused:
            await asyncio.sleep(0)
            assert call.ends == 0
            assert call.exchange is not None
            call.exchange.resume()
            turn(pool, 5)
        failure = await call.fault()
        assert isinstance(failure, TimedOut)
        assert failure.phase == "between_bytes"
        await pool.close()


@on_both_loops
async def test_without_a_limit_a_silent_server_is_waited_for():
    go = asyncio.Event()

    async def script(peer):
        await peer.request()
        await go.wait()
        peer.say(OK)

    async with Hostile(script) as server:
        pool = origin(server.url)
        call = post(pool)
        await eventually(lambda: pool.open, "it is connected")
        turn(pool, 1000)
        go.set()
        assert await call.answer() == b"hi"
        await pool.close()


@on_both_loops
async def test_idle_connections_are_closed_in_the_end_and_busy_ones_are_not():
    async def script(peer):
        while True:
            _, body = await peer.request()
            if body != b"held":
                peer.say(OK)

    async with Hostile(script) as server:
        pool = origin(server.url, limits=Limits(idle_s=SWEEP_S))
        held = post(pool, b"held")
        await post(pool).answer()
        await eventually(lambda: pool.open == 2, "both are connected")
        turn(pool)
        assert pool.idle == 1
        turn(pool)
        await eventually(lambda: pool.open == 1, "the idle one is closed")
        assert (pool.idle, held.ends) == (0, 0)
        await pool.close()
