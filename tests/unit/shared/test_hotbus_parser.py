"""The hot bus' parser against nats-py's own: the same messages, however the bytes are cut."""

import asyncio

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from nats.errors import ProtocolError
from nats.protocol.parser import Parser

from shared.hot_wire import HotParser

HOT, COLD = 1, 2


class Connection:
    """What a parser tells nats-py's client, written down."""

    def __init__(self):
        self.told = []
        self._pongs = []

    async def _process_msg(self, sid, subject, reply, payload, headers):
        self.told.append((sid, subject, reply, payload, headers or b""))

    async def _process_ping(self):
        self.told.append("PING")

    async def _process_pong(self):
        self.told.append("PONG")

    async def _process_info(self, info):
        self.told.append(info)

    async def _process_err(self, error):
        self.told.append(error)


def message(sid: int, subject: bytes, payload: bytes, reply: bytes = b"", headers: bytes = b"") -> bytes:
    words = b" ".join(word for word in (subject, b"%d" % sid, reply) if word)
    if headers:
        return b"HMSG %b %d %d\r\n%b%b\r\n" % (words, len(headers), len(headers) + len(payload), headers, payload)
    return b"MSG %b %d\r\n%b\r\n" % (words, len(payload), payload)


def hear(pieces: list[bytes], *, hot: bool, short: bool = False) -> list:
    """All that was told of `pieces`: hot messages as the callback got them, in the same form as the cold ones.

    `short`: each piece goes the short way first, as a socket's does while nothing waits for nats-py.
    """
    connection = Connection()
    parser = HotParser(connection) if hot else Parser(connection)
    if hot:

        def callback(subject, reply, payload, status):
            connection.told.append((HOT, subject, reply, payload, status))

        parser.callbacks[b"%d" % HOT] = callback

    async def feed():
        for piece in pieces:
            rest = parser.hear(piece) if short else piece
            if rest or not short:
                await parser.parse(rest)

    asyncio.run(feed())
    return connection.told


def as_hot(told: list) -> list:
    """The stock parser's list with a hot message's headers reduced to their status, as callbacks get it."""
    return [
        (*entry[:4], b"503" if b"503" in entry[4] else b"") if isinstance(entry, tuple) and entry[0] == HOT else entry
        for entry in told
    ]


WIRE = (
    b'INFO {"server_id":"x"}\r\n'
    + message(HOT, b"a.b", b"hello", b"_INBOX.1")
    + b"PING\r\n"
    + message(COLD, b"cold", b"\r\nMSG a 1 3\r\nxyz\r\n")
    + message(HOT, b"_INBOX.1", b"", headers=b"NATS/1.0 503\r\n\r\n")
    + message(COLD, b"c", b"{}", b"r", b"NATS/1.0\r\nX: 1\r\n\r\n")
    + message(HOT, b"a", b"")
    + b"PONG\r\n"
    + b"-ERR 'Permissions Violation'\r\n"
    + message(HOT, b"a", bytes(range(256)) * 40)
)


def test_the_stock_parser_hears_the_same_from_one_piece():
    assert hear([WIRE], hot=True) == as_hot(hear([WIRE], hot=False))
    assert len(hear([WIRE], hot=True)) == 10


def test_a_cut_at_any_byte_changes_nothing():
    whole = hear([WIRE], hot=True)
    for cut in range(1, len(WIRE) - 200):
        assert hear([WIRE[:cut], WIRE[cut:]], hot=True) == whole, cut
        assert hear([WIRE[:cut], WIRE[cut:]], hot=True, short=True) == whole, cut


def test_single_bytes_change_nothing():
    pieces = [WIRE[i : i + 1] for i in range(len(WIRE))]
    assert hear(pieces, hot=True) == hear(pieces, hot=True, short=True) == hear([WIRE], hot=True)


messages = st.builds(
    message,
    st.sampled_from((HOT, COLD)),
    st.from_regex(rb"[a-zA-Z0-9._*>$-]{1,20}", fullmatch=True),
    st.binary(max_size=200),
    st.one_of(st.just(b""), st.from_regex(rb"[a-zA-Z0-9._]{1,20}", fullmatch=True)),
    st.sampled_from((b"", b"NATS/1.0 503\r\n\r\n", b"NATS/1.0\r\nNats-Msg-Id: 1\r\n\r\n")),
)


@settings(max_examples=200)
@given(st.lists(st.one_of(messages, st.sampled_from((b"PING\r\n", b"PONG\r\n"))), max_size=8), st.data())
def test_any_messages_in_any_pieces_are_heard_as_the_stock_parser_hears_them(lines, data):
    wire = b"".join(lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=6)))
    pieces = [wire[start:end] for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True)]
    stock = as_hot(hear([wire], hot=False))
    assert hear(pieces, hot=True) == stock
    assert hear(pieces, hot=True, short=True) == stock


SEEDS = (
    WIRE,
    b"MSG a 1 -1\r\n\r\n",
    b"MSG a 1 3\r\nabcd\r\nPING\r\n",
    b"HMSG a 1 30 4\r\nNATS/1.0 503\r\n\r\n",
    b"MSG  a\t1  2\r\nok\r\n",
    b"\r\n\r\nPING\r\n",
)


@settings(max_examples=300)
@given(st.one_of(st.sampled_from(SEEDS), st.binary(max_size=60)), st.lists(st.integers(0, 80), max_size=4))
@example(SEEDS[1], [])
@example(SEEDS[2], [12])
@example(SEEDS[3], [])
@example(SEEDS[4], [3])
def test_any_bytes_end_in_messages_or_in_a_protocol_error_and_never_in_a_hang(wire, places):
    """Whatever comes: the same on both ways, and an error is one that nats-py answers by connecting anew."""
    cuts = sorted(min(place, len(wire)) for place in places)
    pieces = [wire[start:end] for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True)]
    outcomes = []
    for short in (False, True):
        try:
            outcomes.append(hear(pieces, hot=True, short=short))
        except ProtocolError:
            outcomes.append("protocol error")
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("nonsense", [b"MSG a x 1\r\n\r\n", b"MSG\r\n", b"HMSG a 1 x 4\r\n....\r\n", *SEEDS[1:4:2]])
def test_what_no_server_sends_is_a_protocol_error(nonsense):
    with pytest.raises(ProtocolError):
        hear([nonsense], hot=True)


def test_a_callback_that_raises_does_not_end_the_reading():
    connection = Connection()
    parser = HotParser(connection)
    seen, reported = [], []

    def callback(_subject, _reply, payload, _status):
        if payload == b"bad":
            raise RuntimeError("a bug")
        seen.append(payload)

    async def feed():
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))
        parser.callbacks[b"%d" % HOT] = callback
        await parser.parse(message(HOT, b"a", b"bad") + message(HOT, b"a", b"good"))

    asyncio.run(feed())
    assert seen == [b"good"]
    assert [str(error) for error in reported] == ["a bug"]


def test_a_reconnect_forgets_what_was_half_received():
    connection = Connection()
    parser = HotParser(connection)
    heard = []
    parser.callbacks[b"%d" % HOT] = lambda _s, _r, payload, _st: heard.append(payload)

    async def feed():
        await parser.parse(message(HOT, b"a", b"never whole")[:-5])
        parser.reset()
        await parser.parse(message(HOT, b"a", b"new"))

    asyncio.run(feed())
    assert heard == [b"new"]
