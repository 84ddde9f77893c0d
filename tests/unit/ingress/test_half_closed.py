"""Clients that have said all they will: answered, and asked whether they are there."""

import pytest

from tests.support.door import CHAT, HEALTH, Connection, chat, run


@pytest.mark.parametrize(
    ("request_", "before", "after"),
    [(CHAT, b"HTTP/1.1 100 Continue\r\n\r\n", b""), (chat(version=b"1.0"), b"", b"")],
    ids=["1.1", "1.0"],
)
def test_who_has_said_all_is_answered_and_asked_whether_he_is_there(request_, before, after):
    async def scene():
        connection = Connection()
        connection.receive(request_)
        assert connection.protocol.eof_received()
        assert connection.transport.written == before
        connection.world.sweep(10)
        assert connection.transport.written.count(b" 100 ") <= 4, "some clients take no more"
        connection.answer(b"late")
        assert connection.statuses[-1] == 200
        assert connection.transport.written.endswith(b"late" + after)
        assert connection.transport.closed

    run(scene)


def test_a_stream_goes_on_for_a_half_closed_client():
    async def scene():
        connection = Connection()
        connection.receive(CHAT)
        call = connection.begin()
        call.caller.chunk(call, b"one")
        assert connection.protocol.eof_received()
        connection.world.sweep()
        call.caller.chunk(call, b"two")
        call.caller.end(call, b"")
        body = connection.transport.written.partition(b"\r\n\r\n")[2]
        assert body == b"3\r\none\r\n003\r\ntwo\r\n0\r\n\r\n", "zeros before a chunk's size change nothing"
        assert connection.transport.closed

    run(scene)


def test_all_that_was_pipelined_before_the_half_close_is_answered():
    async def scene():
        connection = Connection()
        connection.receive(CHAT + HEALTH + CHAT + CHAT[:-1])
        assert connection.protocol.eof_received()
        await connection.answer_all()
        assert [status for status in connection.statuses if status != 100] == [200, 200, 200]
        assert connection.transport.closed

    run(scene)


@pytest.mark.parametrize("start", [b"", CHAT[:30], CHAT[:-1], HEALTH[:-1]])
def test_who_leaves_before_a_request_is_whole_is_let_go(start):
    async def scene():
        connection = Connection()
        connection.receive(start)
        assert not connection.protocol.eof_received()
        assert connection.transport.written == b""

    run(scene)
