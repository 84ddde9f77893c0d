"""Room for large bodies: given in turn, waited for unread, and always come back."""

import pytest

from services.ingress import sweeper
from services.ingress.admission import Admission
from services.ingress.fast import MAX_CONNECTIONS
from shared.contracts import MAX_INLINE_BYTES
from tests.support.door import CHAT, LARGE, Connection, World, chat, chunked, code, run


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
