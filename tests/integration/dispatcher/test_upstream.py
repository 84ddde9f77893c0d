"""The pool against servers that do what servers do: on real sockets, on both loops."""

import asyncio
import functools
import ssl

import pytest
import trustme

from services.dispatcher.failures import Busy, CallbackRaised, ConnectFailed, Disconnected, ProtocolBroken, TimedOut
from services.dispatcher.upstream import Limits, Origin, header_lines
from tests.support.hostile import OK, SWEEP_S, Hostile, Noted, Peer, on_both_loops, origin, post, turn
from tests.support.wait import eventually

SECRET = "sk-1234"


async def answering(peer: Peer) -> None:
    while True:
        await peer.request()
        peer.say(OK)


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


# Connections that the server closes --------------------------------------------------------------------------


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


# The caller's hand on it -------------------------------------------------------------------------------------


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


class PausesAtOnce(Noted):
    def on_head(self, status, headers):
        super().on_head(status, headers)
        assert self.exchange is not None
        self.exchange.pause()


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


# Time --------------------------------------------------------------------------------------------------------


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


# Connecting --------------------------------------------------------------------------------------------------


async def closed_port() -> int:
    async with Hostile(answering) as server:
        return server.port


@on_both_loops
async def test_a_refused_connection_fails_everyone_who_waits_for_it():
    pool = origin(f"http://127.0.0.1:{await closed_port()}", max_connections=2)
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
