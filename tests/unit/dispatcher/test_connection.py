"""An answer means the same however the network cuts it: the connection fed by hand, at every byte."""

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.dispatcher.connection import Connection
from services.dispatcher.upstream import Exchange, Limits, Origin, ProtocolBroken, UpstreamFailure
from tests.support.hostile import Noted

LIMITS = Limits(header_bytes=512)


class Wire:
    """What the pool writes to."""

    def __init__(self) -> None:
        self.closed = False

    def write(self, data: bytes) -> None: ...

    def abort(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return 0


async def fed(pieces: list[bytes], *, then_closed: bool = False) -> tuple[Noted, bool]:
    """The call after `pieces`, and whether its connection is kept."""
    pool = Origin("http://backend", limits=LIMITS)
    call = Noted()
    connection = Connection(pool)
    wire: Any = Wire()
    connection.connection_made(wire)
    connection.is_fresh = True
    connection.send(Exchange(pool, call, b"", b"", streamed=False, connection=connection, sent=True))
    for piece in pieces:
        if not wire.closed:
            connection.data_received(piece)
    if then_closed and not wire.closed:
        connection.eof_received()
        connection.connection_lost(None)
    await asyncio.sleep(0)  # failures are told at the loop's next turn
    return call, pool.idle == 1


def cuts(data: bytes) -> list[list[bytes]]:
    """At each place in two, and into single bytes."""
    return [[data], [bytes([byte]) for byte in data]] + [[data[:at], data[at:]] for at in range(1, len(data))]


HI = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

# fmt: off
ANSWERS = {
    "length": (b"HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: 5\r\n\r\nhello", 200, b"hello", True),
    "no body": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", False),
    "empty": (b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n", 500, b"", True),
    "no reason": (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi", True),
    "chunks": (CHUNKED + b"3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", 200, b"hello", True),
    "trailers": (CHUNKED + b"2\r\nhi\r\n0\r\nX-Sum: 1\r\n\r\n", 200, b"hi", True),
    "interim": (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" + HI, 200, b"hi", True),
    "close": (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi", False),
    "1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi", False),
    "garbage behind": (HI + b"!", 200, b"hi", False),
    "second answer": (HI + HI, 200, b"hi", False),
    "second interim": (HI + b"HTTP/1.1 100 Continue\r\n\r\n", 200, b"hi", False),
}
BROKEN = {
    "not http": b"SSH-2.0-OpenSSH_9.9\r\n",
    "bare line feeds": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi",
    "length and chunks": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "length too long": b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n",
    "upgrade": b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nabc",
    "bad chunk": CHUNKED + b"zz\r\nhi\r\n",
    "large head": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 600 + b"\r\nContent-Length: 0\r\n\r\n",
    "endless header": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 600,
    "many headers": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 90 + b"Content-Length: 0\r\n\r\n",
    "interim for ever": b"HTTP/1.1 100 Continue\r\n\r\n" * 30,
}
# fmt: on


@pytest.mark.parametrize(("data", "status", "body", "kept"), ANSWERS.values(), ids=ANSWERS)
async def test_an_answer_means_the_same_wherever_it_is_cut(data, status, body, kept):
    for pieces in cuts(data):
        call, is_kept = await fed(pieces)
        assert (call.status, bytes(call.body), call.ends, call.failure) == (status, body, 1, None), pieces
        # What comes behind the answer in a read of its own finds the connection idle, and is told by its fake wire.
        if kept or len(pieces) == 1:
            assert is_kept == kept, pieces


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
async def test_what_is_not_an_answer_fails_wherever_it_is_cut(data):
    for pieces in cuts(data):
        call, is_kept = await fed(pieces)
        assert isinstance(call.failure, ProtocolBroken), pieces
        assert call.ends == 1
        assert not is_kept


@pytest.mark.parametrize(("data", "whole"), [
    (b"HTTP/1.1 200 OK\r\n\r\nhello", True),
    (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nhello", True),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello", True),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello", False),
    (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 6\r\n\r\nhello", False),
    (b"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n5\r\nhello\r\n", False),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", False),
])  # fmt: skip
async def test_only_a_body_without_length_ends_with_its_connection(data, whole):
    for pieces in cuts(data):
        call, is_kept = await fed(pieces, then_closed=True)
        assert call.body == b"hello"
        assert (call.failure is None) == whole, pieces
        assert call.ends == 1
        assert not is_kept


async def test_header_names_come_in_lower_case_and_trailers_not_at_all():
    call, _ = await fed(
        [b"HTTP/1.1 200 OK\r\nRetry-After: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nretry-after: 1\r\n\r\n"]
    )
    assert call.headers == [(b"retry-after", b"3"), (b"transfer-encoding", b"chunked")]


async def test_a_head_below_the_limit_may_share_its_read_with_a_body_above_it():
    body = b"x" * 5000
    call, is_kept = await fed([b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + body])
    assert call.body == body
    assert is_kept


async def test_a_long_body_in_small_pieces_is_no_large_head():
    pieces = [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", *([b"1\r\nx\r\n"] * 2000), b"0\r\n\r\n"]
    call, _ = await fed(pieces)
    assert call.failure is None
    assert call.body == b"x" * 2000


@pytest.mark.parametrize("endless", [b"0\r\nX: ", b"2;"], ids=["trailer", "chunk extension"])
async def test_what_never_becomes_body_or_end_is_bounded(endless):
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n"
    call, _ = await fed([head, endless, *([b"x" * 100] * 6)])
    assert isinstance(call.failure, ProtocolBroken)


@given(st.sampled_from(sorted(ANSWERS)), st.lists(st.integers(0, 120), max_size=8))
def test_an_answer_means_the_same_in_any_pieces(name, places):
    data, status, body, _ = ANSWERS[name]
    edges = [0, *sorted(min(place, len(data)) for place in places), len(data)]
    pieces = [data[a:b] for a, b in pairwise(edges) if a < b]
    call, _ = asyncio.run(fed(pieces))
    assert (call.status, bytes(call.body), call.ends, call.failure) == (status, body, 1, None)


@given(st.binary(max_size=200))
def test_noise_is_never_an_answer_and_never_an_exception(noise):
    call, _ = asyncio.run(fed([noise], then_closed=True))
    assert call.ends == 1
    assert isinstance(call.failure, UpstreamFailure)
