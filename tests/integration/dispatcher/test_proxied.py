"""Backends behind a proxy: through httpx and a real proxy, with the same outcomes as the direct way."""

import asyncio
import ssl

import httpx
import pytest
import trustme

from services.dispatcher.failures import (
    Busy,
    CallbackRaised,
    ConnectFailed,
    Disconnected,
    ProtocolBroken,
    TimedOut,
    Unreadable,
)
from services.dispatcher.proxied import ProxiedOrigin
from services.dispatcher.proxies import ProxyUnusable
from services.dispatcher.upstream import Limits, header_lines
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
        failure = await call.fault()
        assert isinstance(failure, ConnectFailed)
        assert "through its proxy: TLS: Hostname mismatch" in failure.message
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
    b"HTTP/1.1 407 Login\r\ncontent-length: 0\r\n\r\n", b"HTTP/1.1 403 sk-secret\r\ncontent-length: 0\r\n\r\n",
], ids=["login", "forbidden"])  # fmt: skip
async def test_a_proxy_that_opens_no_tunnel_is_a_failed_connection_and_nothing_was_sent(refusal):
    async with Proxy(refusal) as proxy:
        pool = ProxiedOrigin("https://model.example/v1", proxy.url)
        call = post(pool)
        failure = await call.fault()
        assert isinstance(failure, ConnectFailed)
        assert "secret" not in failure.message
        assert not call.exchange.sent
        await pool.close()


@on_both_loops
async def test_a_proxy_that_refuses_connections_is_a_failed_connection_in_the_systems_words():
    async with Proxy() as gone:
        url = gone.url
    pool = ProxiedOrigin("http://model.example/v1", url)
    call = post(pool)
    failure = await call.fault()
    assert isinstance(failure, ConnectFailed)
    assert failure.message == "cannot connect to model.example:80 through its proxy: Connection refused"
    assert not call.exchange.sent
    await pool.close()


@on_both_loops
async def test_a_login_in_the_proxys_url_is_sent_to_it_and_one_that_it_wants_is_said():
    async with Proxy(b"HTTP/1.1 407 Login\r\ncontent-length: 0\r\n\r\n") as proxy:
        pool = ProxiedOrigin("http://model.example/v1", proxy.url.replace("//", "//me:secret@"))
        call = post(pool)
        failure = await call.fault()
        assert isinstance(failure, ConnectFailed)
        assert "wants a login" in failure.message
        assert not call.exchange.sent
        assert b"proxy-authorization: basic" in proxy.heads[0].lower()
        await pool.close()


@on_both_loops
async def test_a_server_that_never_answers_runs_into_the_first_byte_limit():
    async def script(peer):
        await peer.request()

    async with Hostile(script) as server, Proxy() as proxy:
        pool = ProxiedOrigin(server.url, proxy.url)
        failure = await post(pool, silence_s=0.05).fault()
        assert isinstance(failure, TimedOut)
        assert failure.phase == "first_byte"
        await pool.close()


@on_both_loops
async def test_a_server_that_falls_silent_runs_into_the_limit_between_bytes():
    async def script(peer):
        await peer.request()
        peer.say(OK[:-1])

    async with Hostile(script) as server, Proxy() as proxy:
        pool = ProxiedOrigin(server.url, proxy.url)
        failure = await post(pool, silence_s=0.05).fault()
        assert isinstance(failure, TimedOut)
        assert failure.phase == "between_bytes"
        await pool.close()


class PausesAtOnce(Noted):
    def on_head(self, status, headers):
        super().on_head(status, headers)
        self.exchange.pause()


@on_both_loops
async def test_what_we_paused_is_not_the_backends_silence():
    async def script(peer):
        _, body = await peer.request()
        peer.say(OK if body == b"paused" else OK[:-1])

    async with Hostile(script) as server, Proxy() as proxy:
        pool = ProxiedOrigin(server.url, proxy.url)
        paused = PausesAtOnce()
        pool.post(b"", b"paused", paused, 0.3)
        await paused.head_came.wait()
        assert isinstance(await post(pool, silence_s=0.5).fault(), TimedOut)  # so long it was paused
        assert paused.ends == 0
        paused.exchange.resume()
        assert await paused.answer() == b"hi"
        await pool.close()


@on_both_loops
async def test_a_limit_that_is_lifted_in_the_middle_of_an_answer_counts_no_more():
    go = asyncio.Event()

    async def script(peer):
        _, body = await peer.request()
        peer.say(OK[:-1])
        if body == b"lifted":
            await go.wait()
            peer.say(OK[-1:])

    class Lifts(Noted):
        def on_body(self, data):
            super().on_body(data)
            self.exchange.silence_s = None

    async with Hostile(script) as server, Proxy() as proxy:
        pool = ProxiedOrigin(server.url, proxy.url)
        lifted = Lifts()
        pool.post(b"", b"lifted", lifted, 0.3)
        await lifted.head_came.wait()
        assert isinstance(await post(pool, silence_s=0.5).fault(), TimedOut)  # longer than that one's limit
        go.set()
        assert await lifted.answer() == b"hi"
        await pool.close()


@on_both_loops
async def test_a_proxy_that_says_nothing_runs_into_the_connect_limit_and_nothing_was_sent():
    async with Hostile(lambda peer: peer.gone()) as silent:
        url = f"http://127.0.0.1:{silent.port}"
        pool = ProxiedOrigin("https://model.example/v1", url, limits=Limits(connect_s=0.05))
        call = post(pool)
        failure = await call.fault()
        assert isinstance(failure, TimedOut)
        assert (failure.phase, call.exchange.sent) == ("connect", False)
        await pool.close()


@on_both_loops
async def test_the_time_in_the_queue_is_not_the_backends_silence():
    go = asyncio.Event()

    async def script(peer):
        while True:
            _, body = await peer.request()
            if body == b"held":
                peer.say(OK[:-1])
                await go.wait()
                peer.say(OK[-1:])
            else:
                peer.say(OK)

    async def silent(peer):
        await peer.request()

    async with Hostile(script) as server, Hostile(silent) as other, Proxy() as proxy:
        pool, elsewhere = ProxiedOrigin(server.url, proxy.url, max_connections=1), ProxiedOrigin(other.url, proxy.url)
        held = post(pool, b"held")
        await held.head_came.wait()
        queued = post(pool, silence_s=0.3)
        assert isinstance(await post(elsewhere, silence_s=0.5).fault(), TimedOut)  # so long it was queued
        assert (queued.ends, queued.exchange.sent) == (0, False)
        go.set()
        assert await held.answer() == await queued.answer() == b"hi"
        await pool.close()
        await elsewhere.close()


@on_both_loops
@pytest.mark.parametrize("part", [b"", b"HTTP/1.1 200 OK\r\ncontent-le", b"HTTP/1.1 103 Early\r\n\r\n"])
async def test_a_request_is_sent_once_whatever_its_connection_does(part):
    bodies = []

    async def script(peer):
        bodies.append((await peer.request())[1])
        peer.say(OK)
        bodies.append((await peer.request())[1])
        peer.say(part)
        peer.end()

    async with Hostile(script) as server, Proxy() as proxy:
        pool = ProxiedOrigin(server.url, proxy.url)
        await post(pool, b"first").answer()
        assert isinstance(await post(pool, b"second").fault(), Disconnected)
        assert bodies == [b"first", b"second"]
        await pool.close()


@on_both_loops
async def test_a_call_that_is_cancelled_at_once_takes_nobodys_place():
    async with Hostile(answering) as server, Proxy() as proxy:
        pool = ProxiedOrigin(server.url, proxy.url, max_connections=1, limits=Limits(waiting=1))
        for _ in range(2):
            post(pool).exchange.cancel()
        await eventually(lambda: not pool._exchanges, "both are gone")
        assert await post(pool).answer() == b"hi"
        await pool.close()


class CancelsAtOnce(Noted):
    def on_head(self, status, headers):
        super().on_head(status, headers)
        self.exchange.cancel()


@on_both_loops
async def test_a_call_may_cancel_from_inside_its_head_and_the_server_sees_it_go():
    gone = asyncio.Event()

    async def script(peer):
        await peer.request()
        peer.say(OK[:-2])
        await peer.gone()
        gone.set()

    async with Hostile(script) as server, Proxy() as proxy:
        pool = ProxiedOrigin(server.url, proxy.url)
        call = CancelsAtOnce()
        pool.post(b"", b"{}", call)
        await gone.wait()
        assert call.ends == 0
        await pool.close()


@on_both_loops
async def test_what_httpx_does_not_take_ends_that_call_alone():
    reported = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(type(context["exception"])))
    async with Hostile(answering) as server, Proxy() as proxy:
        pool = ProxiedOrigin(server.url, proxy.url)
        call = Noted()
        pool.post(b"/\x7f", b"{}", call)
        assert isinstance(await call.fault(), CallbackRaised)
        assert not call.exchange.sent
        assert reported == [httpx.InvalidURL]
        assert await post(pool).answer() == b"hi"
        await pool.close()


@on_both_loops
async def test_what_one_caller_was_given_to_remember_is_not_sent_with_the_next_ones_call():
    heads = []

    async def script(peer):
        while True:
            heads.append((await peer.request())[0].lower())
            peer.say(OK.replace(b"\r\n", b"\r\nset-cookie: session=first; Path=/\r\n", 1))

    async with Hostile(script) as server, Proxy() as proxy:
        pool = ProxiedOrigin(f"http://model.example:{server.port}/v1", proxy.url)
        for _ in range(2):
            assert await post(pool).answer() == b"hi"
        assert b"cookie" not in heads[1]
        await pool.close()


@on_both_loops
@pytest.mark.parametrize("encoding", [b"", b"identity"])
async def test_no_encoding_is_identity(encoding):
    async def script(peer):
        await peer.request()
        peer.say(OK.replace(b"\r\n", b"\r\ncontent-encoding: " + encoding + b"\r\n", 1))

    async with Hostile(script) as server, Proxy() as proxy:
        pool = ProxiedOrigin(server.url, proxy.url)
        assert await post(pool).answer() == b"hi"
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
