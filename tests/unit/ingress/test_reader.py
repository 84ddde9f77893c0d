"""From bytes to requests: wherever they are split, whatever they are, and the same each time."""

import asyncio
import json
import random
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.ingress import heads
from services.ingress.reader import MAX_LESSONS
from tests.support.door import CHAT, HEALTH, Connection, World, chat, chunked

POST = b"POST /v1/chat/completions HTTP/1.1\r\n"
HOST = b"host: x\r\n"
TE = POST + HOST + b"transfer-encoding: chunked\r\n\r\n"
DATE = re.compile(rb"\r\ndate: [^\r]*|req_[0-9a-z]{20}")
STREAMS = {
    "plain": chat(b'{"a":1}'),
    "two of one head": chat(b'{"a":1}') + chat(b'{"a":2}'),
    "other lengths": chat(b"{}") + chat(b'{"a":2}') + chat(b"{}"),
    "chunked": chunked(b"{", b'"a":1', b"}"),
    "chunked with extensions and trailers": (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: Chunked\r\n\r\n"
        b'1;a=b\r\n{\r\n1;c="d;e"\r\n}\r\n0;f\r\nx-tierwise-priority: urgent\r\nanother: one\r\n\r\n'
    ),
    "mixed": CHAT + HEALTH + chunked(b"{}") + HEALTH + CHAT,
    "blank lines between": b"\r\n" + CHAT + b"\r\n\r\n" + CHAT,
    "expecting": chat(b"{}", b"expect: 100-continue") + CHAT,
    "old": chat(b"{}", b"connection: keep-alive", version=b"1.0") + chat(b"{}", version=b"1.0") + CHAT,
    "for another protocol": chat(b"{}", b"connection: Upgrade, HTTP2-Settings", b"upgrade: h2c") + CHAT + HEALTH,
    "two lengths": CHAT + chat(b"{}", b"content-length: 2") + CHAT,
    "no HTTP after HTTP": CHAT + HEALTH + b"\x16\x03\x01" + CHAT,
    "last": chat(b"{}", b"connection: close") + CHAT,
    "HEAD and OPTIONS": HEALTH.replace(b"GET", b"HEAD") + HEALTH.replace(b"GET", b"OPTIONS") + CHAT,
    "nowhere": HEALTH.replace(b"/healthz", b"*") + HEALTH.replace(b"/healthz", b"http://x") + CHAT,
}


def run(scene):
    return asyncio.run(scene())


def outcome(pieces):
    """All that a client that sends these pieces gets, and what the classifier would."""

    async def scene():
        faults = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: faults.append(context))
        connection = Connection()
        for piece in pieces:
            connection.receive(piece)
            while not connection.transport.reads and connection.calls.sent:
                await connection.answer_all(1)  # so that all of it is read
        await connection.answer_all()
        assert not faults
        assert not connection.world.state.tasks, "a route hangs"
        assert not connection.world.admission.held
        written = DATE.sub(b"", connection.transport.written)
        closed = connection.transport.closed
        connection.lose()
        assert not connection.world.state.connections
        return written, connection.calls.bodies, closed

    return run(scene)


@pytest.mark.parametrize("data", STREAMS.values(), ids=STREAMS)
def test_a_split_at_any_byte_changes_nothing(data):
    whole = outcome([data])
    assert whole[1]
    for at in range(1, len(data)):
        assert outcome([data[:at], data[at:]]) == whole, data[:at]
    assert outcome([data[i : i + 1] for i in range(len(data))]) == whole


def test_the_streams_above_are_answered_as_they_should_be():
    statuses = {name: re.findall(rb"HTTP/1\.1 (\d+)", outcome([data])[0]) for name, data in STREAMS.items()}
    assert {name: [int(status) for status in found] for name, found in statuses.items()} == {
        "plain": [200],
        "two of one head": [200, 200],
        "other lengths": [200, 200, 200],
        "chunked": [200],
        "chunked with extensions and trailers": [200],
        "mixed": [200, 200, 200, 200, 200],
        "blank lines between": [200, 200],
        "expecting": [100, 200, 200],
        "old": [200, 200],
        "for another protocol": [200, 200, 200],
        "two lengths": [200],
        "no HTTP after HTTP": [200, 200],
        "last": [200],
        "HEAD and OPTIONS": [200, 405, 200],
        "nowhere": [404, 404, 200],
    }


PARTS = [
    POST, b"POST /v1/chat/completions HTTP/1.0\r\n", b"GET /healthz HTTP/1.1\r\n",
    b"OPTIONS * HTTP/1.1\r\n", b"CONNECT a:1 HTTP/1.1\r\n", b"host: x\r\n", b"content-length: 2\r\n",
    b"content-length: 0\r\n", b"content-length: 5\r\n", b"content-length: 99999999999\r\n",
    b"expect: 100-continue\r\n",
    b"transfer-encoding: chunked\r\n", b"connection: close\r\n", b"connection: keep-alive\r\n", b"upgrade: h2c\r\n",
    b"connection: upgrade\r\n", b"origin: http://a\r\n", b"x-tierwise-priority: urgent\r\n", b"\r\n", b"{}",
    b"2\r\n{}\r\n", b"0\r\n\r\n", b"0\r\n", b" folded\r\n", b"\x00", b"\xff", b"\n", b":", CHAT, HEALTH,
    chunked(b"{}"), chat(b"{}", b"connection: close"),
]  # fmt: skip


@settings(max_examples=300)
@given(
    data=st.lists(st.one_of(st.sampled_from(PARTS), st.binary(max_size=8)), max_size=12).map(b"".join),
    seed=st.integers(0, 2**32),
)
@example(data=CHAT + b"\r\n" + chat(b"{}", b"upgrade: h2c", b"connection: upgrade") + b"\r\n" + HEALTH, seed=1)
@example(data=HEALTH.replace(b"\r\n\r\n", b"\r\ncontent-length: 5\r\n\r\n{") + b"\x00", seed=2)
def test_any_bytes_in_any_split_are_answered_the_same_and_never_break_anything(data, seed):
    draw = random.Random(seed)
    cuts = sorted(draw.randrange(len(data) + 1) for _ in range(draw.randrange(6)))
    pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    assert outcome(filter(None, pieces)) == outcome([data] if data else [])


# What a reader in front of us might understand otherwise ---------------------------------------------------------

AMBIGUOUS = {
    "two lengths": chat(b"{}", b"content-length: 3"),
    "the same length twice": chat(b"{}", b"content-length: 2"),
    "a list of lengths": POST + HOST + b"content-length: 2, 2\r\n\r\n{}",
    "a length with a sign": POST + HOST + b"content-length: +2\r\n\r\n{}",
    "a hexadecimal length": POST + HOST + b"content-length: 0x2\r\n\r\n{}",
    "an empty length": POST + HOST + b"content-length:\r\n\r\n{}",
    "a length beyond 64 bits": POST + HOST + b"content-length: 99999999999999999999999\r\n\r\n{}",
    "length and chunks": chat(b"{}", b"transfer-encoding: chunked"),
    "chunks and length": POST + HOST + b"transfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "a coding nobody knows": POST + HOST + b"transfer-encoding: xchunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "a coding before chunked": POST + HOST + b"transfer-encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "a coding after chunked": POST + HOST + b"transfer-encoding: chunked, identity\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "chunked twice": POST + HOST + b"transfer-encoding: chunked\r\n" * 2 + b"\r\n2\r\n{}\r\n0\r\n\r\n",
    "chunks in HTTP/1.0": POST.replace(b"1.1", b"1.0") + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "a folded header": chat(b"{}", b"x-a: b\r\n c"),
    "a folded coding": POST + HOST + b"transfer-encoding:\r\n chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "a blank before the first header": POST + b" " + HOST + b"content-length: 2\r\n\r\n{}",
    "a blank before a colon": POST + HOST + b"content-length : 2\r\n\r\n{}",
    "no colon": chat(b"{}", b"abc"),
    "no name": chat(b"{}", b": b"),
    "NUL in a value": chat(b"{}", b"x: a\x00b"),
    "NUL in a name": chat(b"{}", b"x\x00: a"),
    "NUL in the target": chat().replace(b"completions", b"completions\x00"),
    "CR in a value": chat(b"{}", b"x: a\rb"),
    "bare LFs": chat().replace(b"\r\n", b"\n"),
    "one bare LF": chat(b"{}", b"x: y\nz: w"),
    "a chunk size with a sign": TE + b"+2\r\n{}\r\n0\r\n\r\n",
    "a negative chunk size": TE + b"-2\r\n{}\r\n0\r\n\r\n",
    "a chunk size with 0x": TE + b"0x2\r\n{}\r\n0\r\n\r\n",
    "a chunk size after a blank": TE + b" 2\r\n{}\r\n0\r\n\r\n",
    "a chunk size beyond 64 bits": TE + b"fffffffffffffffff\r\n{}\r\n0\r\n\r\n",
    "a chunk longer than it says": TE + b"2\r\n{}x\r\n0\r\n\r\n",
    "a chunk ended by LF": TE + b"2\r\n{}\n0\r\n\r\n",
    "a length among the trailers": TE + b"2\r\n{}\r\n0\r\ncontent-length: 3\r\n\r\n",
    "no host": CHAT.replace(b"host: x\r\n", b""),
    "two hosts": chat(b"{}", b"Host: y"),
    "HTTP/2.0 in words": chat(version=b"2.0"),
    "HTTP/0.9 in words": chat(version=b"0.9"),
    "HTTP/1.2": chat(version=b"1.2"),
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "CONNECT": b"CONNECT a:443 HTTP/1.1\r\nhost: x\r\n\r\n",
    "an unknown method": CHAT.replace(b"POST", b"PLEASE"),
    "a tab for a blank": CHAT.replace(b"POST ", b"POST\t"),
}


@pytest.mark.parametrize("data", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_what_two_readers_might_read_in_two_ways_is_refused_and_the_connection_ends(data):
    async def scene():
        connection = Connection()
        connection.receive(data + CHAT)
        await connection.settle()
        assert connection.statuses == [400]
        assert not connection.calls.requests, "the request behind it is never read"
        assert b"connection: close" in connection.transport.written
        connection.receive(CHAT)
        await connection.settle()
        assert connection.statuses == [400]
        assert not connection.calls.requests
        assert connection.counted == {400: 1}

    run(scene)


def test_trailers_are_no_headers():
    async def scene():
        connection = Connection()
        trailers = b"x-tierwise-service: another\r\nx-tierwise-priority: urgent\r\nhost: y\r\n"
        connection.receive(chunked(b"{}", lines=(b"x-tierwise-service: one",), trailers=trailers))
        [(received, _)] = connection.calls.requests
        assert received.service == "one"

    run(scene)


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize(
    "data",
    [
        b"GET /" + b"x" * heads.MAX_BYTES + b" HTTP/1.1\r\nhost: x",
        POST + HOST + b"x-long: " + b"x" * heads.MAX_BYTES,
        POST + HOST + b"".join(b"x-%d: y\r\n" % i for i in range(heads.MAX_HEADERS)),
        POST + HOST + b"x: %b\r\n" % (b"y" * 1024) * 64,
        b"GET /nothing HTTP/1.1\r\n" + HOST + b"".join(b"x-%d: y\r\n" % i for i in range(heads.MAX_HEADERS)),
    ],
    ids=["target", "one header", "many headers", "long headers", "another route's"],
)
def test_a_head_that_is_too_large_is_refused(data, at_once):
    async def scene():
        connection = Connection()
        connection.receive(CHAT)
        connection.answer()
        size = len(data) if at_once else 1000
        for start in range(0, len(data), size):
            connection.receive(data[start : start + size])
        connection.receive(b"\r\n\r\n")
        await connection.settle()
        head, _, body = connection.transport.written.rpartition(b"\r\n\r\n")
        assert connection.statuses == [200, 431]
        assert head.endswith(b"connection: close")
        assert json.loads(body)["error"]["code"] == "headers_too_large"

    run(scene)


def test_a_head_of_the_largest_size_is_taken_after_a_large_body():
    async def scene():
        connection = Connection()
        lines = [b"x-%d: %b" % (i, b"y" * 480) for i in range(heads.MAX_HEADERS - 2)]
        one = chat(b"x" * 200_000) + chat(b"{}", *lines)
        connection.receive(one[:250_000])
        connection.receive(one[250_000:])
        await connection.answer_all()
        assert connection.statuses == [200, 200]

    run(scene)


@pytest.mark.parametrize(
    "start", [b"GET /", POST + HOST + b"x-", POST + HOST + b"x: "], ids=["target", "name", "value"]
)
def test_a_head_without_an_end_is_refused(start):
    async def scene():
        connection = Connection()
        connection.receive(start)
        sent = 0
        while not connection.statuses and sent < 10 * heads.MAX_BYTES:
            connection.receive(b"x" * 1000)
            sent += 1000
        assert connection.statuses == [431]
        assert sent <= heads.MAX_BYTES + 2000

    run(scene)


@pytest.mark.parametrize(
    "piece",
    [b"1;%b\r\nx\r\n" % (b"e" * 1000), b"x: y\r\n", b"e" * 1000],
    ids=["extensions", "trailers", "one extension"],
)
def test_what_is_no_body_has_bounds_within_a_body_too(piece):
    async def scene():
        connection = Connection()
        start = b"0\r\n" if piece == b"x: y\r\n" else b"1;" if piece.startswith(b"e") else b""
        connection.receive(TE + start)
        for _ in range(1000):
            connection.receive(piece)
        assert connection.statuses == [431]
        assert not connection.calls.requests

    run(scene)


def test_a_body_in_chunks_of_one_byte_is_a_body():
    async def scene():
        connection = Connection()
        data = chunked(*[b"x"] * 50_000)
        for start in range(0, len(data), 1000):
            connection.receive(data[start : start + 1000])
        assert connection.calls.bodies == [b"x" * 50_000]

    run(scene)


# Heads that were there before ------------------------------------------------------------------------------------


def counting_parser(connection):
    """How many heads the parser has read."""
    reader, heads_read = connection.protocol._reader, []
    learn = reader.on_message_begin
    reader.on_message_begin = lambda: (heads_read.append(1), learn())
    reader._parser = type(reader._parser)(reader)
    return heads_read


def test_a_head_that_was_there_before_is_not_parsed_again_whatever_its_length():
    async def scene():
        connection = Connection()
        parsed = counting_parser(connection)
        for body in (b"{}", b'{"a": 1}', b"{}", b"x" * 5000):
            connection.receive(chat(body, b"x-tierwise-service: one"))
            connection.answer()
        assert len(parsed) == 1
        assert connection.calls.bodies == [b"{}", b'{"a": 1}', b"{}", b"x" * 5000]
        assert [received.service for received, _ in connection.calls.requests] == ["one"] * 4
        connection.receive(chat(b"{}", b"x-tierwise-service: two"))
        connection.answer()
        assert [received.service for received, _ in connection.calls.requests][-1] == "two"
        assert len(parsed) == 2
        assert connection.statuses == [200] * 5

    run(scene)


# A read that ends in what looks like the start of another request, and what follows it as a read of its own.
DECOY = b"GET /healthz HTTP/1.1\r\nx-a: "
NO_HEADS = {
    "the end of a head": [POST + b"hos", b"t: x\r\ncontent-length: 2\r\n\r\n{}"],
    "the end of a body": [chat(b'{"a":"' + DECOY)[: -len(DECOY)], DECOY + CHAT],
    "the end of a chunked body": [chunked(DECOY)[: -len(DECOY) - 7], DECOY + b"\r\n0\r\n\r\n" + CHAT],
    "trailers": [chunked(b"{}")[:-2], b"x-a: b\r\n\r\n" + CHAT],
    "a request, and another": [HEALTH + CHAT],
    "blank lines": [b"\r\n\r\n" + CHAT],
}


def told(reads, *, learns):
    """What each read brings about where everything is answered before the next."""

    async def scene():
        connection = Connection()
        if not learns:
            connection.protocol._reader._lessons = MAX_LESSONS
        for read in reads:
            connection.receive(read)
            await connection.answer_all()
        requests = [(received.service, body) for received, body in connection.calls.requests]
        return DATE.sub(b"", connection.transport.written), requests, connection.transport.closed

    return run(scene)


@pytest.mark.parametrize("reads", NO_HEADS.values(), ids=NO_HEADS)
def test_what_was_not_read_as_a_head_from_its_first_byte_is_never_taken_for_one(reads):
    again = [*reads, reads[-1], reads[-1]]
    assert told(again, learns=True) == told(again, learns=False)


MESSAGES = [
    CHAT, HEALTH, chat(b'{"a":1}'), chat(b""), chunked(b"{}"), chunked(DECOY), chat(DECOY), chat(CHAT), DECOY,
    chat(CHAT + CHAT), chat(b'{"a":"' + DECOY), chat(b"{}", b"x-tierwise-service: one"), b"\r\n", b"\n",
    chat(b"{}", b"connection: upgrade", b"upgrade: h2c"), chat(CHAT, b"connection: upgrade", b"upgrade: h2c"),
    chunked(CHAT, trailers=b"x-a: b\r\n"), chat(b"{}", b"expect: 100-continue"), chat(b"{}", b"connection: close"),
    HEALTH.replace(b"\r\n\r\n", b"\r\ncontent-length: 72\r\n\r\n" + CHAT), b"host: x\r\n\r\n",
]  # fmt: skip
SEAMS = re.compile(rb"POST|GET|t: x|content|\{|\r|\n")


@st.composite
def repeated_reads(draw):
    """A stream cut anywhere, most often where a head might seem to begin; one read comes three times."""
    data = b"".join(draw(st.lists(st.sampled_from(MESSAGES), min_size=1, max_size=3)))
    seams = st.sampled_from([found.start() for found in SEAMS.finditer(data)])
    cuts = sorted(draw(st.sets(st.one_of(seams, st.integers(0, len(data))), min_size=1, max_size=3)))
    reads = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True) if a < b]
    again = draw(st.integers(0, len(reads) - 1))
    return [*reads[:again], *reads[again : again + 1] * 3, *reads[again + 1 :]]


@settings(max_examples=500)
@given(repeated_reads())
def test_the_same_requests_come_out_with_heads_that_are_known_and_without(reads):
    assert told(reads, learns=True) == told(reads, learns=False)


ALMOST = {
    "a body too short": chat(b"{}")[:-1],
    "a body too long": CHAT + b"x",
    "no digits": CHAT.replace(b": 2", b": "),
    "a sign": CHAT.replace(b": 2", b": +2"),
    "digits of another alphabet": CHAT.replace(b": 2", b": \xb2"),
    "many digits": CHAT.replace(b": 2", b": 0000000000000000002"),
    "a blank behind": CHAT.replace(b": 2", b": 2 "),
    "one header more": chat(b"{}", b"connection: close"),
    "a length more": chat(b"{}", b"content-length: 3"),
    "to go on": chat(b"{}", b"expect: 100-continue"),
    "two": CHAT + CHAT,
    "another target": CHAT.replace(b"completions", b"completion"),
    "too large": CHAT.replace(b": 2", b": 40000000"),
}


@pytest.mark.parametrize("data", ALMOST.values(), ids=ALMOST)
def test_what_is_almost_the_head_before_is_read_as_if_nothing_had_been_before(data):
    async def scene(known):
        connection = Connection()
        if known:
            connection.receive(CHAT)
            connection.answer(b"known")
            connection.calls.requests.clear()
            connection.transport.written = b""
        connection.receive(data)
        await connection.answer_all()
        return DATE.sub(b"", connection.transport.written), connection.calls.bodies, connection.transport.closed

    assert run(lambda: scene(known=True)) == run(lambda: scene(known=False))


def test_a_new_limit_binds_heads_that_were_there_before():
    async def scene():
        connection = Connection()
        connection.receive(chat(b"x" * 100))
        connection.answer()
        server = connection.door.server
        connection.door._take(type(server)(max_body_bytes=99))
        connection.receive(chat(b"x" * 100))
        assert connection.statuses == [200, 413]

    run(scene)


def test_a_connection_whose_heads_always_differ_is_not_studied_for_ever():
    async def scene():
        connection = World().connect()
        for i in range(MAX_LESSONS + 5):
            connection.receive(chat(b"{}", b"x-trace: %d" % i))
            connection.answer()
        assert connection.protocol._reader._lessons == MAX_LESSONS
        assert connection.statuses == [200] * (MAX_LESSONS + 5)

    run(scene)


# Another protocol ------------------------------------------------------------------------------------------------


def test_a_wish_for_another_protocol_is_not_granted_and_the_request_is_answered():
    """Java's client asks for h2c with the first request of a connection, and sends its body along."""

    async def scene():
        connection = Connection()
        lines = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABk")
        connection.receive(chat(b'{"a": 1}', *lines, b"x-tierwise-service: one"))
        connection.answer()
        connection.receive(chunked(b"{}", lines=lines) * 1000)
        assert connection.statuses == [200]
        await connection.answer_all(2000)
        assert connection.statuses == [200] * 1001
        assert connection.calls.bodies == [b'{"a": 1}'] + [b"{}"] * 1000
        assert connection.calls.requests[0][0].service == "one"

    run(scene)
