"""An answer means the same however the network cuts it: the connection fed by hand, at every byte."""

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.dispatcher.connection import Connection, Exchange
from services.dispatcher.failures import ProtocolBroken, Unreadable, UpstreamFailure
from services.dispatcher.upstream import Limits, Origin
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


async def fed(pieces: list[bytes], *, then_closed: bool = False, limits: Limits = LIMITS) -> tuple[Noted, bool]:
    """The call after `pieces`, and whether its connection is kept."""
    pool = Origin("http://backend", limits=limits)
    call = Noted()
    connection = Connection(pool)
    wire: Any = Wire()
    connection.connection_made(wire)
    connection.is_fresh = True
    connection.send(Exchange(pool, call, b"", b"", silence_s=None, connection=connection, sent=True))
    for piece in pieces:
        if not wire.closed:
            connection.data_received(piece)
    if then_closed and not wire.closed:
        connection.eof_received()
        connection.connection_lost(None)
    await asyncio.sleep(0)  # failures are told at the loop's next turn
    return call, pool.idle == 1


async def fed_in_turn(*answers: bytes) -> list[Noted]:
    """The calls of one kept connection, one after the other."""
    pool = Origin("http://backend", limits=LIMITS)
    connection = Connection(pool)
    wire: Any = Wire()
    connection.connection_made(wire)
    pool.release(connection)
    calls = []
    for answer in answers:
        calls.append(Noted())
        pool.post(b"", b"{}", calls[-1])
        connection.data_received(answer)
    return calls


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
    "1.0 kept": (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi", True),
    "not modified": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304, b"", False),
    "body of nothing": (b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nhi", 204, b"", False),
    "many interims": (b"HTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" * 5 + HI, 200, b"hi", True),
    "early refusal": (b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno", 413, b"no", True),
    "longer than told": (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi there", 200, b"hi", False),
    "identity": (b"HTTP/1.1 200 OK\r\nContent-Encoding: identity\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi", True),
    "error in gzip": (b"HTTP/1.1 429 Slow\r\nContent-encoding: gzip\r\nContent-Length: 2\r\n\r\n??", 429, b"", True),
    "empty header": (b"HTTP/1.1 200 OK\r\nX:\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi", True),
    "any case": (b"HTTP/1.1 200 OK\r\ntransfer-ENCODING: Chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", 200, b"hi", True),
    "quoted extension": (CHUNKED + b'2;a="b"\r\nhi\r\n0\r\n\r\n', 200, b"hi", True),
    "second interim": (HI + b"HTTP/1.1 100 Continue\r\n\r\n", 200, b"hi", False),
}
BROKEN = {
    "not http": b"SSH-2.0-OpenSSH_9.9\r\n",
    "bare line feeds": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi",
    "length and chunks": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "length too long": b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n",
    "two equal lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
    "lengths in a list": b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nhi",
    "negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nhi",
    "chunks and length": CHUNKED[:-2] + b"Content-Length: 2\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "chunk too long": CHUNKED + b"ffffffffffffffffff\r\nhi",
    "negative chunk": CHUNKED + b"-2\r\nhi\r\n",
    "chunk line feed": CHUNKED + b"2\nhi\r\n0\r\n\r\n",
    "folded header": b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nhi",
    "nul in a value": b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 2\r\n\r\nhi",
    "nul in a name": b"HTTP/1.1 200 OK\r\nX\0: a\r\nContent-Length: 2\r\n\r\nhi",
    "bare carriage return": b"HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 2\r\n\r\nhi",
    "space before colon": b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nhi",
    "status of nothing": b"HTTP/1.1 000 OK\r\nContent-Length: 2\r\n\r\nhi" + HI,
    "status too long": b"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nhi",
    "interim with a body": b"HTTP/1.1 100 Go\r\nContent-Length: 2\r\n\r\nhi" + HI,
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


@pytest.mark.parametrize("encoding", [b"gzip", b"br", b"GZIP", b"identity, gzip"])
async def test_an_answer_in_an_encoding_that_nobody_asked_for_is_said_to_be_unreadable(encoding):
    data = b"HTTP/1.1 200 OK\r\nContent-Encoding: %b\r\nContent-Length: 2\r\n\r\n\x1f\x8b" % encoding
    for pieces in cuts(data):
        call, is_kept = await fed(pieces)
        assert isinstance(call.failure, Unreadable), pieces
        assert repr(encoding.decode()) in call.failure.message
        assert (call.status, call.ends, is_kept) == (0, 1, False)


async def test_a_head_is_too_large_by_its_bytes_however_they_are_cut():
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nX: %b\r\n\r\n"
    padding = LIMITS.header_bytes - len(head % b"")
    for extra, fits in ((0, True), (1, False)):
        for pieces in cuts(head % (b"x" * (padding + extra)) + b"!"):
            call, is_kept = await fed(pieces)
            assert (call.failure is None) == fits == is_kept, pieces


async def test_trailers_of_one_answer_are_not_the_next_ones_headers():
    trailers = b"0\r\nRetry-After: 9\r\nContent-Encoding: gzip\r\n\r\n"
    first, second = await fed_in_turn(CHUNKED + trailers, HI)
    assert first.headers == [(b"transfer-encoding", b"chunked")]
    assert second.headers == [(b"content-length", b"2")]
    assert second.body == b"hi"


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


@pytest.mark.parametrize("endless", [b"0\r\nX: ", b"2;", b"0"], ids=["trailer", "chunk extension", "chunk size"])
async def test_what_never_becomes_body_or_end_is_bounded(endless):
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n"
    filler = b"0" * 100
    call, _ = await fed([head, endless, *([filler] * 6)])
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


# What a hostile server is made of: whole answers and their parts, shuffled, doubled, cut and with bytes changed.
PARTS = [
    *(data for data, *_ in ANSWERS.values()), *BROKEN.values(), CHUNKED,
    b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.0 ", b"Content-Length: ", b"5\r\n", b"0\r\n",
    b"Connection: close\r\n", b"Transfer-Encoding: gzip, chunked\r\n", b"Content-Encoding: gzip\r\n", b"\r\n", b"\n",
    b"\r", b"hello", b"\0", b" ", b";", b":", b"HTTP/1.1 101 X\r\nUpgrade: y\r\nConnection: upgrade\r\n\r\n",
]  # fmt: skip


@st.composite
def hostile_bytes(draw: st.DrawFn) -> bytes:
    data = bytearray(b"".join(draw(st.lists(st.sampled_from(PARTS), min_size=1, max_size=5))))
    for place, byte in draw(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=3)):
        if place < len(data):
            data[place] = byte
    return bytes(data)


def outcome(call: Noted) -> tuple[int, bytes, str]:
    failure = call.failure
    return call.status, bytes(call.body), "" if failure is None else f"{type(failure).__name__} {failure}"


@settings(max_examples=400)
@given(hostile_bytes(), st.lists(st.integers(1, 300), max_size=6))
@example(b"HTTP/1.1 000 OK\r\nContent-Length: 2\r\n\r\nhi" + HI, [44])  # was taken for an interim answer
@example(HI + b"H", [])  # the beginning of an answer that nobody asked for
@example(CHUNKED + b"2\r\nhi\r\nzz\r\n", [])  # what came before the fault was told or not, by the cut
@example(b"HTTP/1.1 100 Continue\r\n\r\n" + CHUNKED + b"0\r\nX: y\r\n\r\n" + HI, [25])
def test_any_bytes_end_in_one_outcome_and_in_the_same_one_however_they_are_cut(data, places):
    edges = sorted({0, *(place for place in places if place < len(data)), len(data)})
    ways = [[data], [bytes([byte]) for byte in data], [data[a:b] for a, b in pairwise(edges)]]

    async def all_ways() -> list[Noted]:
        return [(await fed(pieces, then_closed=True, limits=Limits()))[0] for pieces in ways]

    calls = asyncio.run(all_ways())
    assert [call.ends for call in calls] == [1, 1, 1]
    assert len({outcome(call) for call in calls}) == 1


@settings(max_examples=200)
@given(hostile_bytes(), st.integers(0, 400))
@example(HI + HI[:-1] + b"?", 0)
def test_what_a_server_says_to_one_exchange_never_reaches_another(data, cut):
    """All that comes before the second request is the first's, or nobody's."""

    async def play() -> tuple[bool, bytes, bytes]:
        pool = Origin("http://backend")
        connection = Connection(pool)
        wire: Any = Wire()
        connection.connection_made(wire)
        pool.release(connection)
        first, second = Noted(), Noted()
        pool.post(b"", b"{}", first)
        for piece in (data[:cut], data[cut:]):
            if piece and not wire.closed:
                connection.data_received(piece)
        if pool.idle == 0:
            return False, b"", b""
        pool.post(b"", b"{}", second)
        connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond")
        return True, bytes(first.body), bytes(second.body)

    kept, _, second = asyncio.run(play())
    assert not kept or second == b"second"
