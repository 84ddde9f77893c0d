"""The way to a server: refused, silent, and by TLS to whom we trust alone."""

import asyncio
import functools
import ssl

import pytest
import trustme

from services.dispatcher.failures import ConnectFailed, TimedOut
from services.dispatcher.upstream import Limits
from tests.support.hostile import SWEEP_S, Hostile, answering, on_both_loops, origin, post, turn
from tests.support.nobody import nobody


@on_both_loops
async def test_a_refused_connection_fails_everyone_who_waits_for_it():
    with nobody() as port:
        pool = origin(f"http://127.0.0.1:{port}", max_connections=2)
        calls = [post(pool) for _ in range(7)]
        for call in calls:
            failure = await call.fault()
            assert isinstance(failure, ConnectFailed)
            assert failure.message.startswith("cannot connect to 127.0.0.1:")
        assert (pool.open, pool.waiting) == (0, 0)
        await pool.close()


@on_both_loops
async def test_a_server_that_says_nothing_to_tls_runs_into_the_connect_limit():
    greeted = asyncio.Event()

    async def script(peer):
        await peer.byte()
        greeted.set()

    async with Hostile(script) as server:
        pool = origin(f"https://127.0.0.1:{server.port}", limits=Limits(connect_s=SWEEP_S))
        call = post(pool)
        await greeted.wait()
        turn(pool, 2)
        failure = await call.fault()
        assert isinstance(failure, TimedOut)
        assert failure.phase == "connect"
        assert pool.waiting == 0
        await pool.close()


@functools.cache
def authority() -> trustme.CA:
    """One that nobody knows but who asks for it."""
    return trustme.CA()


def tls_server() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority().issue_cert("localhost").configure_cert(context)
    return context


def tls_client() -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority().configure_trust(context)
    return context


@on_both_loops
async def test_tls_is_spoken_where_the_name_and_the_authority_are_right():
    names = []
    context = tls_server()
    context.sni_callback = lambda _, name, __: names.append(name)
    async with Hostile(answering, tls=context) as server:
        pool = origin(f"https://localhost:{server.port}/v1", ssl_context=tls_client())
        body = bytes(300_000)
        assert await post(pool, body).answer() == await post(pool, body).answer() == b"hi"
        assert names == ["localhost"]
        assert server.connections == 1
        await pool.close()


@on_both_loops
@pytest.mark.parametrize(("host", "trusts", "said"), [
    ("127.0.0.1", True, "IP address mismatch"),
    ("localhost", False, "unable to get local issuer certificate"),
])  # fmt: skip
async def test_tls_to_someone_else_is_refused(host, trusts, said):
    requests = []

    async def script(peer):
        requests.append(await peer.request())

    async with Hostile(script, tls=tls_server()) as server:
        context = tls_client() if trusts else None
        pool = origin(f"https://{host}:{server.port}/v1", ssl_context=context)
        failure = await post(pool).fault()
        assert isinstance(failure, ConnectFailed)
        assert said in failure.message
        assert requests == []
        await pool.close()
