"""How long a connection may keep us waiting, and for what."""

import asyncio

import pytest

from services.ingress import sweeper
from tests.support.door import CHAT, HEALTH, Connection, World, chat, code, run


def test_idle_connections_are_closed_and_busy_ones_are_not():
    async def scene():
        connection = Connection()
        world = connection.world
        connection.receive(CHAT)
        world.sweep(1000)
        assert not connection.transport.closed, "it waits for us"
        connection.answer()
        world.sweep(sweeper.IDLE)
        assert not connection.transport.closed
        connection.receive(CHAT)
        connection.answer()
        world.sweep(sweeper.IDLE)
        assert not connection.transport.closed
        world.sweep()
        assert connection.transport.closed

    run(scene)


def test_a_connection_on_which_nothing_is_ever_asked_is_closed():
    async def scene():
        connection = Connection()
        connection.world.sweep(sweeper.IDLE + 1)
        assert connection.transport.closed

    run(scene)


def test_all_connections_share_one_sweeper_that_ends_with_them():
    async def scene():
        world = World()
        one, two = world.connect(), world.connect()
        timer = world.protocol.sweeper._timer
        assert timer is not None
        world.connect().lose()
        assert world.protocol.sweeper._timer is timer
        one.lose()
        two.lose()
        world.sweep()
        assert world.protocol.sweeper._timer is None
        assert timer.cancelled()

    run(scene)


@pytest.mark.parametrize(
    "start", [b"POST /", CHAT[:-10], b"GET /healthz HTTP/1.1\r\nx: "], ids=["target", "ours", "another's"]
)
def test_a_head_that_does_not_come_to_its_end_is_told_so(start):
    """However many bytes drip in."""

    async def scene():
        connection = Connection()
        connection.receive(CHAT)
        connection.answer()
        connection.receive(start)
        for _ in range(sweeper.HEAD):
            connection.receive(b"x")
            connection.world.sweep()
        assert connection.statuses == [200]
        connection.world.sweep()
        assert connection.statuses == [200, 408]
        assert code(connection) == "request_timeout"
        connection.world.sweep(sweeper.LINGER + 1)
        assert connection.transport.aborted

    run(scene)


@pytest.mark.parametrize(
    ("path", "early", "late", "steady_status"),
    [(b"/v1/chat/completions", [], [408], 200), (b"/healthz", [405], [405], 405)],
    ids=["ours", "another's, answered at once"],
)
def test_a_body_that_drips_in_is_not_waited_for_and_one_that_comes_steadily_is_taken(
    path, early, late, steady_status
):
    async def scene():
        world = World()
        head = b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-length: 200000\r\n\r\n" % path
        slow, steady = world.connect(), world.connect()
        slow.receive(head)
        steady.receive(head)
        await steady.settle()
        for second in range(sweeper.BODY + 10):
            slow.receive(b"x")
            steady.receive(b"x" * sweeper.BODY_RATE)
            world.sweep()
            assert slow.statuses == (late if second >= sweeper.BODY else early)
        assert slow.transport.aborted
        steady.receive(b"x" * (200_000 - (sweeper.BODY + 10) * sweeper.BODY_RATE))
        await steady.answer_all()
        steady.receive(CHAT)
        await steady.answer_all()
        assert steady.statuses == [steady_status, 200]

    run(scene)


def test_a_body_has_no_more_time_than_a_request_has():
    async def scene():
        connection = Connection()
        connection.door._take(type(connection.door.server)(request_timeout_s=40))
        connection.receive(chat(b"x" * 250_000)[:-1])
        connection.world.sweep(40)
        assert connection.statuses == []
        connection.world.sweep()
        assert connection.statuses == [408]

    run(scene)


def test_whoever_waits_for_an_answer_before_sending_the_rest_is_not_late():
    async def scene():
        connection = Connection()
        asking = chat(b"{}", b"expect: 100-continue")
        connection.receive(CHAT + asking[:-2])
        connection.world.sweep(500)
        assert connection.statuses == []
        connection.answer()
        assert connection.statuses == [200, 100]
        connection.receive(b"{}")
        connection.answer()
        assert connection.statuses == [200, 100, 200]

    run(scene)


def test_a_request_that_is_late_behind_another_ends_with_the_others_answer():
    async def scene():
        connection = Connection()
        connection.receive(HEALTH + CHAT[:-1])
        await connection.settle()
        connection.receive(b"")
        connection.world.sweep(sweeper.BODY + 1)
        assert connection.statuses == [200, 408]

    run(scene)


def test_a_client_that_takes_nothing_of_what_is_written_is_cut_off():
    async def scene():
        connection = Connection()
        connection.receive(CHAT)
        call = connection.begin()
        connection.transport.unsent = 70_000
        connection.world.sweep(sweeper.UNREAD)
        connection.transport.unsent = 69_999
        connection.world.sweep(sweeper.UNREAD)
        assert not connection.transport.aborted, "it took a byte"
        connection.world.sweep(2)
        assert connection.transport.aborted
        connection.lose()
        assert connection.calls.gone == [call]

    run(scene)


def test_a_client_that_takes_more_slowly_than_is_written_is_not_cut_off_until_he_stops():
    async def scene():
        connection = Connection()
        connection.receive(CHAT)
        call = connection.begin()
        await connection.settle()
        for _ in range(3 * sweeper.UNREAD):
            call.caller.chunk(call, b"x" * 1000)
            await connection.settle()
            connection.transport.unsent += 400
            connection.world.sweep()
        assert not connection.transport.aborted
        for _ in range(sweeper.UNREAD + 1):
            before = len(connection.transport.written)
            call.caller.chunk(call, b"x" * 1000)
            await connection.settle()
            connection.transport.unsent += len(connection.transport.written) - before
            connection.world.sweep()
        assert connection.transport.aborted

    run(scene)


def test_blank_lines_keep_no_connection():
    async def scene():
        connection = Connection()
        for _ in range(sweeper.IDLE + 1):
            connection.receive(b"\r\n")
            connection.world.sweep()
        assert connection.transport.closed

    run(scene)


def test_the_time_of_an_idle_connection_begins_anew_with_a_request():
    async def scene():
        connection = Connection()
        connection.world.sweep(sweeper.IDLE)
        connection.receive(CHAT[:-1])
        connection.receive(CHAT[-1:])
        connection.answer()
        connection.world.sweep(sweeper.IDLE)
        assert not connection.transport.closed

    run(scene)


def test_a_connection_that_cannot_be_swept_ends_nothing_for_the_others():
    class Broken:
        def swept(self):
            raise ZeroDivisionError

    async def scene():
        faults, swept = [], []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: faults.append(context["exception"]))

        class Sound:
            def swept(self):
                swept.append(1)

        turning = sweeper.Sweeper()
        turning.sweep([Broken(), Sound()])
        assert turning._timer is not None
        assert swept == [1]
        assert [type(fault) for fault in faults] == [ZeroDivisionError]
        turning.sweep([])

    asyncio.run(scene())


def test_a_closing_connection_that_nobody_reads_is_cut_off():
    async def scene():
        connection = Connection()
        connection.receive(chat(b"{}", b"connection: close"))
        connection.answer()
        assert connection.transport.closed
        connection.transport.unsent = 10
        connection.world.sweep(sweeper.UNREAD + 2)
        assert connection.transport.aborted

    run(scene)


def test_credit_is_granted_when_a_slow_reader_has_taken_what_was_written():
    async def scene():
        connection = Connection()
        connection.receive(CHAT)
        call = connection.begin()
        connection.protocol.pause_writing()
        assert connection.protocol.is_slow
        assert not connection.calls.credit
        connection.protocol.resume_writing()
        assert not connection.protocol.is_slow
        assert connection.calls.credit == [call]

    run(scene)
