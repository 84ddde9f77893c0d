"""From a name to a connection, plain and with TLS: dead addresses, wrong certificates, servers that hang up oddly."""

import asyncio
import contextlib
import datetime as dt
import functools
import socket
import ssl

import pytest
import trustme

from services.dispatcher.dialling import dial, first_of
from services.dispatcher.failures import ConnectFailed, Disconnected, ProtocolBroken, TimedOut, UpstreamFailure
from services.dispatcher.upstream import Limits
from tests.support.hostile import OK, SWEEP_S, Hostile, Peer, on_both_loops, origin, post, turn
from tests.support.wait import eventually


async def answering(peer: Peer) -> None:
    while True:
        await peer.request()
        peer.say(OK)


def address(port: int, host: str = "127.0.0.1") -> tuple:
    return (socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))


@contextlib.contextmanager
def silent_port():
    """A port that takes no connection and refuses none, as a host behind a filter: its queue is full."""
    with socket.socket() as listener, socket.socket() as first:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        first.connect(listener.getsockname())
        yield listener.getsockname()[1]


def refusing_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def resolves_to(*addresses: tuple) -> None:
    """many.example, on the loop that runs. (uvloop asks for numeric addresses too, as it connects.)"""
    loop = asyncio.get_running_loop()
    real = loop.getaddrinfo

    async def getaddrinfo(host, port, **options):
        return list(addresses) if host == "many.example" else await real(host, port, **options)

    loop.getaddrinfo = getaddrinfo


def holds_lookups(asked: asyncio.Event, go: asyncio.Event) -> None:
    """Names are looked up from now on only once `go` is set."""
    loop = asyncio.get_running_loop()
    real = loop.getaddrinfo

    async def getaddrinfo(host, port, **options):
        asked.set()
        await go.wait()
        return await real(host, port, **options)

    loop.getaddrinfo = getaddrinfo


# Addresses -------------------------------------------------------------------------------------------------


@on_both_loops
@pytest.mark.parametrize("first", ["silent", "refusing"])
async def test_the_second_address_of_a_name_answers_where_the_first_is_dead(first):
    with silent_port() as silent:
        async with Hostile(answering) as server:
            resolves_to(address(silent if first == "silent" else refusing_port()), address(server.port))
            pool = origin(f"http://many.example:{server.port}", limits=Limits(connect_s=SWEEP_S))
            call = post(pool)
            assert await call.answer() == b"hi"  # with no turn of the sweeper: within the connect limit
            assert server.connections == 1
            await pool.close()


@on_both_loops
async def test_a_name_whose_addresses_all_refuse_is_told_with_what_each_said():
    resolves_to(address(refusing_port()), address(refusing_port()))
    pool = origin("http://many.example")
    failure = await post(pool).fault()
    assert isinstance(failure, ConnectFailed)
    assert failure.message.count("Connect") >= 2
    await pool.close()


@on_both_loops
async def test_a_name_whose_addresses_are_all_silent_runs_into_the_connect_limit_and_leaves_no_socket():
    with silent_port() as one, silent_port() as other:
        resolves_to(address(one), address(other))
        pool = origin("http://many.example", limits=Limits(connect_s=SWEEP_S))
        call = post(pool)
        await asyncio.sleep(0)
        turn(pool, 2)
        failure = await call.fault()
        assert isinstance(failure, TimedOut)
        assert failure.phase == "connect"
        await pool.close()  # an open socket that nobody holds would be a ResourceWarning, which fails the test


@on_both_loops
async def test_a_call_that_is_cancelled_while_it_is_being_connected_hears_nothing_and_is_not_sent():
    served = []

    async def script(peer):
        served.append((await peer.request())[1])
        peer.say(OK)

    async with Hostile(script) as server:
        pool = origin(server.url)
        call = post(pool, b"cancelled")
        assert call.exchange is not None
        call.exchange.cancel()
        assert await post(pool, b"kept").answer() == b"hi"
        assert served == [b"kept"]
        assert (call.ends, call.exchange.sent) == (0, False)
        await pool.close()


@on_both_loops
async def test_who_waits_is_served_though_the_connection_for_a_request_sent_again_failed():
    async def script(peer):
        await peer.request()
        peer.say(OK)
        if peer.number == 1:
            await peer.request()
            resolves_to(address(refusing_port()))
            peer.reset()

    async with Hostile(script) as server:
        resolves_to(address(server.port))
        pool = origin("http://many.example", max_connections=1)
        assert await post(pool).answer() == b"hi"
        sent_again, waiting = post(pool), post(pool)
        assert isinstance(await sent_again.fault(), ConnectFailed)
        assert isinstance(await waiting.fault(), ConnectFailed)  # by an attempt of its own
        resolves_to(address(server.port))
        assert await post(pool).answer() == b"hi"
        await pool.close()


@on_both_loops
async def test_a_connection_opened_for_a_call_that_was_cancelled_is_fresh_for_whoever_gets_it():
    looked_up, go = asyncio.Event(), asyncio.Event()

    async def script(peer):
        await peer.request()
        if peer.number == 1:
            peer.say(OK)
            await peer.request()
            holds_lookups(looked_up, go)
        peer.end()

    async with Hostile(script) as server:
        resolves_to(address(server.port))
        pool = origin("http://many.example", max_connections=1)
        await post(pool).answer()
        sent_again, waiting = post(pool), post(pool)
        await looked_up.wait()
        sent_again.exchange.cancel()
        go.set()
        assert isinstance(await waiting.fault(), Disconnected)
        assert server.connections == 2  # on a fresh connection, so it is not sent again
        await pool.close()


@on_both_loops
async def test_a_name_without_an_address_is_a_failed_connection():
    resolves_to()
    pool = origin("http://many.example")
    failure = await post(pool).fault()
    assert "no address" in failure.message
    await pool.close()


@on_both_loops
async def test_a_vanished_host_is_noticed_by_the_kernel_and_a_busy_one_is_left_in_peace():
    async with Hostile(answering) as server:
        opened = await dial("127.0.0.1", server.port)
        with opened:
            assert opened.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            for option, value in (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_USER_TIMEOUT", 0)):
                if hasattr(socket, option):
                    assert opened.getsockopt(socket.IPPROTO_TCP, getattr(socket, option)) == value, option


@on_both_loops
async def test_of_two_addresses_that_answer_the_loser_is_closed():
    async with Hostile(answering) as one, Hostile(answering) as other:
        opened = await first_of([address(one.port), address(other.port)])
        with opened:
            assert opened.getpeername()[1] in {one.port, other.port}


@on_both_loops
async def test_an_ipv6_literal_is_reached_and_named_in_the_host_header():
    heads = []

    async def serve(reader, writer):
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(OK)
        writer.close()

    try:
        server = await asyncio.start_server(serve, "::1", 0)
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    async with server:
        port = server.sockets[0].getsockname()[1]
        pool = origin(f"http://[::1]:{port}/v1")
        assert await post(pool).answer() == b"hi"
        assert b"\r\nhost: [::1]:%d\r\n" % port in heads[0]
        await pool.close()


# TLS -------------------------------------------------------------------------------------------------------


@functools.cache
def authority() -> trustme.CA:
    return trustme.CA()


def server_context(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def client_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority().configure_trust(context)
    return context


def expired() -> trustme.LeafCert:
    yesterday = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    return authority().issue_cert(
        "localhost", not_before=yesterday - dt.timedelta(days=9), not_after=yesterday
    )  # fmt: skip


@on_both_loops
@pytest.mark.parametrize(("certificate", "said"), [
    (lambda: authority().issue_cert("other.example"), "Hostname mismatch"),
    (expired, "certificate has expired"),
    (lambda: trustme.CA().issue_cert("localhost"), "unable to get local issuer certificate"),
], ids=["wrong name", "expired", "unknown authority"])  # fmt: skip
async def test_a_certificate_that_proves_nothing_is_refused_before_anything_is_sent(certificate, said):
    heard = []

    async def script(peer):
        heard.append(await peer.byte())

    async with Hostile(script, tls=server_context(certificate())) as server:
        pool = origin(f"https://localhost:{server.port}", ssl_context=client_context())
        failure = await post(pool).fault()
        assert isinstance(failure, ConnectFailed)
        assert said in failure.message
        assert heard == []
        await pool.close()


@on_both_loops
async def test_tls_to_an_address_is_verified_as_that_address():
    async with Hostile(answering, tls=server_context(authority().issue_cert("127.0.0.1"))) as server:
        pool = origin(f"https://127.0.0.1:{server.port}", ssl_context=client_context())
        assert await post(pool).answer() == b"hi"
        await pool.close()


@on_both_loops
async def test_plain_http_on_the_port_of_https_and_the_other_way_round_are_failures():
    async def speaks_first(peer):
        peer.say(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
        await peer.byte()

    async with Hostile(speaks_first) as server:
        pool = origin(f"https://localhost:{server.port}")
        assert isinstance(await post(pool).fault(), ConnectFailed)
        await pool.close()
    async with Hostile(answering, tls=server_context(authority().issue_cert("localhost"))) as server:
        pool = origin(server.url)
        assert isinstance(await post(pool).fault(), Disconnected | ProtocolBroken)
        await pool.close()


@on_both_loops
async def test_a_handshake_that_is_given_up_is_closed_for_the_server_too():
    gone = asyncio.Event()

    async def script(peer):
        await peer.byte()
        turn(pool, 2)
        await peer.gone()
        gone.set()

    async with Hostile(script) as server:
        pool = origin(f"https://localhost:{server.port}", limits=Limits(connect_s=SWEEP_S))
        assert isinstance(await post(pool).fault(), TimedOut)
        await gone.wait()
        await pool.close()


@on_both_loops
@pytest.mark.parametrize(("farewell", "answer", "whole"), [
    (False, b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi", True),
    (False, b"HTTP/1.1 200 OK\r\n\r\nhi", False),
    (True, b"HTTP/1.1 200 OK\r\n\r\nhi", True),
], ids=["length", "cut", "farewell"])  # fmt: skip
async def test_without_a_farewell_of_tls_a_body_without_length_may_have_been_cut_off(farewell, answer, whole):
    """RFC 9112 §9.8: anybody on the way can end a TCP connection."""
    if not (farewell or whole) and isinstance(asyncio.get_running_loop(), asyncio.BaseEventLoop):
        pytest.skip("asyncio tells both ends alike; uvloop, which serves, does not")

    async def script(peer):
        await peer.request()
        peer.say(answer)
        if farewell:
            peer.end()
        else:
            await eventually(lambda: call.body == b"hi", "all of it has come")
            peer.cut()

    async with Hostile(script, tls=server_context(authority().issue_cert("localhost"))) as server:
        pool = origin(f"https://localhost:{server.port}", ssl_context=client_context())
        call = post(pool)
        await call.over.wait()
        assert (call.failure is None) == whole
        assert isinstance(call.failure, UpstreamFailure | None)
        assert call.body == b"hi"
        await eventually(lambda: pool.open == 0, "the connection is closed")
        await pool.close()
