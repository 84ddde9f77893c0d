"""Backends behind a proxy: through httpx and a real proxy, with the same outcomes as the direct way."""

import asyncio
import ssl

import pytest
import trustme

from services.dispatcher.proxied import ProxiedOrigin
from services.dispatcher.proxies import ProxyUnusable
from services.dispatcher.upstream import (
    Busy,
    CallbackRaised,
    ConnectFailed,
    Disconnected,
    Limits,
    ProtocolBroken,
    TimedOut,
    Unreadable,
    header_lines,
)
from tests.support.hostile import OK, Hostile, Noted, on_both_loops, post
from tests.support.proxy import Proxy
from tests.support.wait import eventually


async def answering(peer):
    while True:
        await peer.request()
        peer.say(OK)


@on_both_loops
async def test_a_plain_call_is_forwarded_whole_and_its_connection_kept():
    heard = []

    async def script(peer):
        while True:
            heard.append(await peer.request())
            peer.say(OK)

    async with Hostile(script) as server, Proxy() as proxy:
        # A name that only the proxy can resolve; ours listens wherever it sends us.
        url = f"http://model.example:{server.port}/v1"
        pool = ProxiedOrigin(url, proxy.url, headers=header_lines({"Authorization": "Bearer k"}))
        calls = [post(pool, b'{"a":1}')]
        assert await calls[0].answer() == b"hi"
        assert (calls[0].status, calls[0].headers) == (200, [(b"content-length", b"2")])
        assert proxy.asked == [f"POST {url}/chat/completions"]
        head, body = heard[0]
        assert body == b'{"a":1}'
        lines = head.lower().split(b"\r\n")
        for line in (b"authorization: bearer k", b"accept-encoding: identity", b"content-type: application/json"):
            assert lines.count(line) == 1
        assert await post(pool).answer() == b"hi"
        assert server.connections == 1
        await pool.close()


@on_both_loops
async def test_https_goes_through_a_tunnel_and_is_verified_inside_it():
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("model.example").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with Hostile(answering, tls=context) as server, Proxy() as proxy:
        pool = ProxiedOrigin(f"https://model.example:{server.port}/v1", proxy.url, ssl_context=trusting)
        assert await post(pool).answer() == b"hi"
        assert proxy.asked == [f"CONNECT model.example:{server.port}"]
        await pool.close()
        stranger = ProxiedOrigin(f"https://other.example:{server.port}/v1", proxy.url, ssl_context=trusting)
        call = post(stranger)
        assert isinstance(await call.fault(), ConnectFailed)
        assert not call.exchange.sent
        await stranger.close()


@on_both_loops
async def test_a_stream_comes_as_it_is_sent_and_waits_while_it_is_paused():
    size, go = 8 * 1024 * 1024, asyncio.Event()

    async def script(peer):
        await peer.request()
        peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\nfirst" % (size + 5))
        await go.wait()
        peer.say(bytes(size))

    async with Hostile(script) as server, Proxy() as proxy:
        pool = ProxiedOrigin(server.url, proxy.url)
        call = post(pool)
        await eventually(lambda: call.body == b"first", "the first part is there before the rest is sent")
        call.exchange.pause()
        go.set()
        for _ in range(20):  # the rest would have come meanwhile
            await post_and_forget(proxy)
        assert len(call.body) < 1024 * 1024
        call.exchange.resume()
        assert len(await call.answer()) == size + 5
        await pool.close()


async def post_and_forget(proxy):
    async with Hostile(answering) as other:
        pool = ProxiedOrigin(other.url, proxy.url)
        await post(pool).answer()
        await pool.close()


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

    async with Hostile(script) as server, Proxy() as proxy:
        pool = ProxiedOrigin(server.url, proxy.url)
        call = post(pool)
        await arrived.wait()
        if when == "in it":
            await call.head_came.wait()
        call.exchange.cancel()
        await gone.wait()
        assert call.ends == 0
        await pool.close()


@on_both_loops
@pytest.mark.parametrize(("said", "kind"), [
    (b"", Disconnected),
    (OK[:-1], Disconnected),
    (b"sk-secret is no HTTP\r\n\r\n", ProtocolBroken),
    (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nhi", ProtocolBroken),
    (b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n??", Unreadable),
])  # fmt: skip
async def test_what_goes_wrong_with_the_server_is_told_as_on_the_direct_way(said, kind):
    async def script(peer):
        await peer.request()
        peer.say(said)
        peer.end()

    async with Hostile(script) as server, Proxy() as proxy:
        pool = ProxiedOrigin(server.url, proxy.url)
        call = post(pool)
        failure = await call.fault()
        assert type(failure) is kind
        assert "secret" not in failure.message
        assert call.exchange.sent
        if kind is Disconnected:
            assert failure.began == bool(said)
        assert server.connections == 1
        await pool.close()


@on_both_loops
@pytest.mark.parametrize("refusal", [
    b"HTTP/1.1 407 Login\r\ncontent-length: 0\r\n\r\n", b"HTTP/1.1 403 No\r\ncontent-length: 0\r\n\r\n",
], ids=["login", "forbidden"])  # fmt: skip
async def test_a_proxy_that_opens_no_tunnel_is_a_failed_connection_and_nothing_was_sent(refusal):
    async with Proxy(refusal) as proxy:
        pool = ProxiedOrigin("https://model.example/v1", proxy.url)
        call = post(pool)
        assert isinstance(await call.fault(), ConnectFailed)
        assert not call.exchange.sent
        await pool.close()


@on_both_loops
async def test_a_login_in_the_proxys_url_is_sent_to_it_and_one_that_it_wants_is_said():
    async with Proxy(b"HTTP/1.1 407 Login\r\ncontent-length: 0\r\n\r\n") as proxy:
        pool = ProxiedOrigin("http://model.example/v1", proxy.url.replace("//", "//me:secret@"))
        failure = await post(pool).fault()
        assert isinstance(failure, ConnectFailed)
        assert "wants a login" in failure.message
        assert b"proxy-authorization: basic" in proxy.heads[0].lower()
        await pool.close()


@on_both_loops
async def test_a_server_that_never_answers_runs_into_the_first_byte_limit():
    async def script(peer):
        await peer.request()

    async with Hostile(script) as server, Proxy() as proxy:
        pool = ProxiedOrigin(server.url, proxy.url, limits=Limits(first_byte_s=0.05))
        failure = await post(pool).fault()
        assert isinstance(failure, TimedOut)
        assert failure.phase == "first_byte"
        await pool.close()


@on_both_loops
async def test_a_request_that_met_a_closing_connection_goes_out_once_more():
    bodies = []

    async def script(peer):
        bodies.append((await peer.request())[1])
        peer.say(OK)
        if peer.number == 1:
            bodies.append((await peer.request())[1])
            peer.reset()
        else:
            await answering(peer)

    async with Hostile(script) as server, Proxy() as proxy:
        pool = ProxiedOrigin(server.url, proxy.url)
        await post(pool, b"first").answer()
        assert await post(pool, b"second").answer() == b"hi"
        assert bodies == [b"first", b"second", b"second"]
        await pool.close()


class Raises(Noted):
    def on_body(self, data):
        raise ValueError("ours")


@on_both_loops
async def test_what_a_call_raises_reaches_the_loop_and_ends_that_call_alone():
    reported = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(str(context["exception"])))
    async with Hostile(answering) as server, Proxy() as proxy:
        pool = ProxiedOrigin(server.url, proxy.url)
        call = Raises()
        pool.post(b"", b"{}", call)
        assert isinstance(await call.fault(), CallbackRaised)
        assert reported == ["ours"]
        assert await post(pool).answer() == b"hi"
        await pool.close()


@on_both_loops
async def test_the_queue_has_a_bound_and_close_ends_all():
    arrived = asyncio.Event()

    async def script(peer):
        await peer.request()
        arrived.set()

    async with Hostile(script) as server, Proxy() as proxy:
        pool = ProxiedOrigin(server.url, proxy.url, max_connections=1, limits=Limits(waiting=1))
        under_way, waiting, refused = post(pool), post(pool), post(pool)
        assert isinstance(await refused.fault(), Busy)
        await arrived.wait()
        await pool.close()
        assert isinstance(await under_way.fault(), Disconnected)
        assert isinstance(await waiting.fault(), Disconnected)
        assert isinstance(await post(pool).fault(), ConnectFailed)


@on_both_loops
async def test_close_when_idle_lets_calls_finish_and_serves_late_ones():
    async with Hostile(answering) as server, Proxy() as proxy:
        pool = ProxiedOrigin(server.url, proxy.url)
        under_way = post(pool)
        pool.close_when_idle()
        assert await under_way.answer() == await post(pool).answer() == b"hi"
        await pool.close()


@pytest.mark.parametrize("proxy", ["ftp://me:secret@proxy", "socks5://me:secret@proxy:1080"])
async def test_a_proxy_that_cannot_be_used_is_said_without_its_login(proxy):
    with pytest.raises(ProxyUnusable) as raised:
        ProxiedOrigin("http://model.example", proxy)
    assert "secret" not in str(raised.value)
