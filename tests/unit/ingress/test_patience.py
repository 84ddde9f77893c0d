"""How long a connection may keep us waiting, for what; and that room for large bodies always comes back."""

import asyncio
import json

import pytest

from services.ingress import sweeper
from services.ingress.admission import Admission
from services.ingress.fast import MAX_CONNECTIONS
from shared.contracts import MAX_INLINE_BYTES
from tests.support.door import CHAT, HEALTH, Connection, World, chat, chunked

LARGE = b'{"a":"%b"}' % (b"x" * MAX_INLINE_BYTES)


def run(scene):
    async def watched():
        faults = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: faults.append(context))
        await scene()
        assert not faults

    asyncio.run(watched())


def code(connection):
    return json.loads(connection.transport.written.rpartition(b"\r\n\r\n")[2])["error"]["code"]


# Connections ----------------------------------------------------------------------------------------------------


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


# Half-closed ----------------------------------------------------------------------------------------------------


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


# Room for large bodies ------------------------------------------------------------------------------------------


def test_a_large_body_waits_for_room_unread_and_gets_it_in_turn():
    async def scene():
        world = World(admission=Admission(2 * len(LARGE)))
        connections = [world.connect() for _ in range(4)]
        for connection in connections:
            connection.receive(chat(LARGE)[:1000])
        assert [connection.transport.reads for connection in connections] == [True, True, False, False]
        for connection in connections[:2]:
            connection.receive(chat(LARGE)[1000:])
        assert len(world.calls.requests) == 2
        assert world.calls.sent[0].body == LARGE
        assert world.admission.held == 2 * len(LARGE)
        connections[0].answer()
        assert [connection.transport.reads for connection in connections] == [True, True, True, False]
        for connection in connections[2:]:
            connection.receive(chat(LARGE)[1000:])
        for _ in range(2):
            connections[0].answer()
        connections[3].receive(chat(LARGE)[1000:])
        connections[0].answer()
        assert [connection.statuses for connection in connections] == [[200]] * 4
        assert world.admission.held == 0

    run(scene)


def test_room_comes_back_when_a_stream_begins():
    async def scene():
        world = World(admission=Admission(len(LARGE)))
        connection = world.connect()
        connection.receive(chat(LARGE))
        assert world.admission.held == len(LARGE)
        connection.begin()
        assert world.admission.held == 0

    run(scene)


@pytest.mark.parametrize("way", ["plain", "invalid JSON", "refused header", "too large", "hang up", "half", "408"])
def test_room_comes_back_whatever_becomes_of_the_request(way):
    async def scene():
        world = World(admission=Admission(40 * 1024 * 1024))
        connection = world.connect()
        line = b"x-tierwise-priority: urgent" if way == "refused header" else b"x-a: b"
        whole = chat(LARGE.replace(b"x", b"\x00") if way == "invalid JSON" else LARGE, line)
        if way in {"plain", "invalid JSON", "refused header"}:
            connection.receive(whole)
        elif way == "too large":
            connection.receive(chunked(LARGE)[:-5])
            assert world.admission.held == world.door.server.max_body_bytes, "as if the most had been announced"
            for _ in range(130):
                connection.receive(b"%x\r\n%b\r\n" % (len(LARGE), LARGE))
            assert connection.statuses == [413]
        else:
            connection.receive(whole[:-1])
            assert world.admission.held
        if way == "hang up":
            connection.lose()
        elif way == "half":
            assert not connection.protocol.eof_received()
        elif way == "408":
            world.sweep(1000)
            assert connection.statuses == [408]
        await connection.answer_all()
        assert world.admission.held == 0

    run(scene)


def test_a_chunked_body_gives_back_what_it_did_not_need():
    async def scene():
        world = World()
        connection = world.connect()
        connection.receive(chunked(LARGE[:1000], LARGE[1000:]))
        assert world.admission.held == len(LARGE)
        assert world.calls.sent[0].body == LARGE
        connection.answer()
        assert world.admission.held == 0

    run(scene)


def test_a_small_body_needs_no_room():
    async def scene():
        world = World(admission=Admission(1))
        world.connect().receive(chat(LARGE))
        small = world.connect()
        small.receive(chat(b"x" * MAX_INLINE_BYTES))
        small.receive(b"")
        assert [len(body) for body in world.calls.bodies][-1] == MAX_INLINE_BYTES

    run(scene)


def test_small_bodies_that_take_their_time_need_room():
    async def scene():
        world = World(admission=Admission(2 * MAX_INLINE_BYTES))
        announced, of_chunks, late = (world.connect() for _ in range(3))
        announced.receive(chat(b"x" * MAX_INLINE_BYTES)[:-1])
        of_chunks.receive(chunked(b"x" * 1000)[:-5])
        late.receive(chat(b"x" * MAX_INLINE_BYTES)[:1000])
        assert world.admission.held == 0, "whoever is quick is not counted"
        world.sweep()
        assert (world.admission.held, world.admission.waiting) == (2 * MAX_INLINE_BYTES, 1)
        assert sorted([announced.transport.reads, of_chunks.transport.reads, late.transport.reads]) == [
            False,
            True,
            True,
        ]

    run(scene)


def test_a_slow_small_body_gives_its_room_back_when_it_is_whole():
    async def scene():
        world = World()
        connection = world.connect()
        connection.receive(chat(b"x" * 1000)[:-1])
        world.sweep()
        assert world.admission.held == 1000
        connection.receive(b"x")
        assert len(world.calls.sent) == 1
        assert world.admission.held == 0
        connection.answer()
        assert connection.statuses == [200]

    run(scene)


def test_a_slow_chunked_body_that_turns_out_large_waits_for_room_with_none_in_hand():
    async def scene():
        world = World(admission=Admission(4 * len(LARGE)))
        first, second = world.connect(), world.connect()
        first.receive(chat(b"x" * (4 * len(LARGE) - MAX_INLINE_BYTES))[:1000])
        data = chunked(LARGE[:1000], LARGE[1000:])
        second.receive(data[:1100])
        world.sweep()
        assert world.admission.held == 4 * len(LARGE)
        second.receive(data[1100:-5])
        assert not second.transport.reads
        assert (world.admission.held, world.admission.waiting) == (4 * len(LARGE) - MAX_INLINE_BYTES, 1)
        first.lose()
        second.receive(data[-5:])
        second.answer()
        assert second.statuses == [200]
        assert (world.admission.held, world.admission.waiting) == (0, 0)

    run(scene)


def test_a_slow_body_behind_a_request_that_is_being_answered_needs_room_too():
    async def scene():
        connection = Connection()
        connection.receive(CHAT + chat(b"x" * 1000)[:-1])
        connection.world.sweep(500)
        assert connection.world.admission.held == 1000
        connection.answer()
        connection.lose()
        assert connection.world.admission.held == 0

    run(scene)


def test_one_connection_too_many_is_closed():
    async def scene():
        world = World()
        others = {object() for _ in range(MAX_CONNECTIONS - 1)}
        world.state.connections |= others
        last, too_many = world.connect(), world.connect()
        assert (last.transport.closed, too_many.transport.closed) == (False, True)
        too_many.protocol.data_received(CHAT)
        assert not world.calls.sent
        too_many.lose()
        last.lose()
        assert world.state.connections == others
        assert not world.connect().transport.closed

    run(scene)


def test_what_came_whole_with_one_read_need_not_wait():
    async def scene():
        world = World(admission=Admission(len(LARGE)))
        first, second = world.connect(), world.connect()
        first.receive(chat(LARGE))
        second.receive(chat(LARGE))
        assert (len(world.calls.requests), world.admission.waiting) == (2, 0)
        for _ in range(2):
            first.answer()
        assert second.transport.reads
        assert world.admission.held == 0

    run(scene)


def test_a_second_large_body_on_a_connection_waits_for_the_room_of_the_first():
    async def scene():
        world = World(admission=Admission(len(LARGE)))
        connection = world.connect()
        connection.receive(chat(LARGE) + chat(LARGE)[:1000])
        assert not connection.transport.reads
        connection.answer()
        assert connection.transport.reads
        connection.receive(chat(LARGE)[1000:])
        connection.answer()
        assert connection.statuses == [200, 200]
        assert world.admission.held == 0

    run(scene)


def test_who_waits_for_room_in_vain_is_told_so_and_is_no_longer_in_line():
    async def scene():
        world = World(admission=Admission(len(LARGE)))
        first, second, third = (world.connect() for _ in range(3))
        first.receive(chat(LARGE))
        second.receive(chat(LARGE)[:1000])
        assert world.admission.waiting == 1
        world.sweep(sweeper.ROOM)
        assert second.statuses == []
        world.sweep()
        assert second.statuses == [503]
        assert code(second) == "no_room"
        assert b"retry-after: " in second.transport.written
        third.receive(chat(LARGE)[:1000])
        assert world.admission.waiting == 1
        first.answer()
        assert third.transport.reads
        assert world.admission.waiting == 0

    run(scene)


def test_who_hangs_up_while_waiting_for_room_makes_way():
    async def scene():
        world = World(admission=Admission(len(LARGE)))
        first, second, third = (world.connect() for _ in range(3))
        for connection in (first, second, third):
            connection.receive(chat(LARGE)[:1000])
        second.lose()
        first.lose()
        assert third.transport.reads
        third.receive(chat(LARGE)[1000:])
        third.answer()
        assert (world.admission.held, world.admission.waiting) == (0, 0)

    run(scene)


def test_whoever_asks_to_go_on_is_told_when_there_is_room():
    async def scene():
        world = World(admission=Admission(len(LARGE)))
        first, second = world.connect(), world.connect()
        first.receive(chat(LARGE))
        second.receive(chat(LARGE, b"expect: 100-continue")[: -len(LARGE)])
        assert second.statuses == []
        first.answer()
        assert second.statuses == [100]
        second.receive(LARGE)
        second.answer()
        assert second.statuses == [100, 200]

    run(scene)


def test_a_body_that_is_too_large_is_refused_and_not_asked_for():
    async def scene():
        connection = Connection()
        connection.receive(chat(b"", b"expect: 100-continue").replace(b"length: 0", b"length: 99999999"))
        assert connection.statuses == [413]
        assert connection.world.admission.held == 0

    run(scene)
