"""The door on a real socket, with clients that behave badly; both loops. Calls are answered by the test."""

import asyncio
import random
import socket
import struct
from contextlib import asynccontextmanager

import pytest

from services.ingress.admission import Admission
from shared.contracts import MAX_INLINE_BYTES, STREAM_CREDIT, AnswerHead
from tests.support.door import CHAT, HEALTH, STREAM, World, chat, chunked
from tests.support.hostile import on_both_loops
from tests.support.wait import eventually

LARGE = b'{"a":"%b"}' % (b"x" * (4 * MAX_INLINE_BYTES))
CHUNK = b"data: %b\n\n" % (b"x" * 16_000)


@asynccontextmanager
async def listening(admission=None):
    world = World(admission=admission)
    loop = asyncio.get_running_loop()
    faults = []
    loop.set_exception_handler(lambda _loop, context: faults.append(context))
    server = await loop.create_server(
        lambda: world.protocol(config=world.config, server_state=world.state, app_state={}), "127.0.0.1", 0
    )
    world.port = server.sockets[0].getsockname()[1]
    world.clients = []
    try:
        yield world
    finally:
        server.close()
        for writer in world.clients:
            writer.close()
        for connection in list(world.state.connections):
            connection.transport.abort()
        await eventually(lambda: not world.state.connections, "the connections to end")
        world.sweep()
    assert not faults


async def connect(world):
    reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
    world.clients.append(writer)
    return reader, writer


def answer(world, body=b"{}"):
    call = world.calls.sent.pop(0)
    call.caller.answer(
        call, AnswerHead(200, "application/json", len(body), "general", "s", "s-1", "m", (), 1, 1), body
    )


async def asked(world, count=1):
    await eventually(lambda: len(world.calls.sent) >= count, "the requests to come")


def reset(writer):
    """As a process that is killed with unread data, or a network that is gone."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@on_both_loops
async def test_a_client_that_has_shut_its_side_down_is_answered():
    async with listening() as world:
        reader, writer = await connect(world)
        writer.write(CHAT)
        writer.write_eof()
        await asked(world)
        await eventually(
            lambda: next(iter(world.state.connections))._probes >= 2, "it to be asked whether it is there"
        )
        answer(world, b"for you")
        received = await reader.read()
        assert received.count(b"HTTP/1.1 100 Continue\r\n\r\n") >= 2
        assert received.endswith(b"for you")
        assert not world.calls.gone


@on_both_loops
async def test_a_stream_goes_on_for_a_client_that_has_shut_its_side_down():
    async with listening() as world:
        reader, writer = await connect(world)
        writer.write(CHAT)
        await asked(world)
        call = world.calls.sent.pop()
        call.caller.begin(call, STREAM)
        await reader.readuntil(b"\r\n\r\n")
        writer.write_eof()
        await eventually(lambda: call.caller._probes >= 2, "it to be asked whether it is there")
        call.caller.chunk(call, b"one")
        call.caller.end(call, b"two")
        assert await reader.read() == b"003\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"


@pytest.mark.parametrize("streamed", [False, True])
@on_both_loops
async def test_a_client_that_has_closed_is_found_out_at_once(streamed):
    """It looks like a half-closed one, until it is written to."""
    async with listening() as world:
        _, writer = await connect(world)
        writer.write(CHAT)
        await asked(world)
        call = world.calls.sent[0]
        if streamed:
            call.flight = b"inbox"
            call.caller.begin(call, AnswerHead(200, "text/event-stream", -1, "general", "s", "s-1", "m", (), 1, 1))
        writer.close()
        await eventually(lambda: world.calls.gone == [call], "its leaving to be found out")


@on_both_loops
async def test_resets_at_any_moment_leave_nothing_behind():
    draw = random.Random(7)
    requests = [CHAT, chat(LARGE), chunked(LARGE), HEALTH, CHAT + HEALTH + CHAT, chat(b"{}", b"expect: 100-continue")]
    async with listening(Admission(3 * len(LARGE))) as world:
        for _ in range(60):
            _, writer = await connect(world)
            data = draw.choice(requests)
            writer.write(data[: draw.randrange(len(data) + 1)])
            for _ in range(draw.randrange(6)):
                await asyncio.sleep(0)
            if world.calls.sent and draw.random() < 0.5:
                call = world.calls.sent.pop(0)
                call.flight = b"inbox"
                call.caller.begin(call, STREAM)
                call.caller.chunk(call, CHUNK)
            reset(writer)
        await eventually(lambda: not world.state.connections, "all to be gone")
        assert (world.admission.held, world.admission.waiting) == (0, 0)
        await eventually(lambda: not world.state.tasks, "no route to go on")
        _, writer = await connect(world)
        writer.write(CHAT)
        world.calls.sent.clear()
        await asked(world)


@on_both_loops
async def test_many_large_bodies_are_held_a_few_at_a_time_and_all_are_answered():
    count, budget = 24, 3 * len(LARGE)
    async with listening(Admission(budget)) as world:
        connections = [await connect(world) for _ in range(count)]

        async def ask(number, reader, writer):
            writer.write(chunked(LARGE[:700_000], LARGE[700_000:]) if number % 3 == 0 else chat(LARGE))
            return await reader.readuntil(b"answered")

        asking = [asyncio.ensure_future(ask(i, *connection)) for i, connection in enumerate(connections)]
        most, done = 0, 0
        while done < count:
            await asked(world)
            held = sum(len(call.body) for call in world.calls.sent)
            most = max(most, held, world.admission.held)
            assert all(call.body == LARGE for call in world.calls.sent)
            answer(world, b"answered")
            done += 1
        assert all(b"200 OK" in answered for answered in await asyncio.gather(*asking))
        assert most <= budget
        assert (world.admission.held, world.admission.waiting) == (0, 0)


@on_both_loops
async def test_whoever_hangs_up_while_waiting_for_room_holds_nobody_up():
    async with listening(Admission(len(LARGE))) as world:
        _, first = await connect(world)
        first.write(chat(LARGE))
        await asked(world)
        waiting = [await connect(world) for _ in range(6)]
        for i, (_, writer) in enumerate(waiting):
            writer.write(chat(LARGE)[:1000])
            await eventually(lambda i=i: world.admission.waiting == i + 1, "it to stand in line")
        for _, writer in waiting[:2]:
            reset(writer)
        for _, writer in waiting[2:4]:
            writer.close()
        answer(world)
        for number in (4, 5):
            reader, writer = waiting[number]
            writer.write(chat(LARGE)[1000:])
            await asked(world)
            answer(world, b"answered")
            assert b"200 OK" in await reader.readuntil(b"answered")
        assert (world.admission.held, world.admission.waiting) == (0, 0)


@on_both_loops
async def test_a_reader_that_stops_is_told_from_one_that_reads_and_its_buffer_has_bounds():
    """Credit is what bounds it: it comes back when what was written has been taken."""
    async with listening() as world:
        slow = socket.socket()
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(slow, ("127.0.0.1", world.port))
        await loop.sock_sendall(slow, CHAT)
        await asked(world)
        stopped = world.calls.sent.pop()
        reader, writer = await connect(world)
        writer.write(CHAT)
        await asked(world)
        going = world.calls.sent.pop()
        for call in (stopped, going):
            call.flight = b"inbox"
            call.caller.begin(call, STREAM)
        sent = {stopped: 0, going: 0}
        await reader.readuntil(b"\r\n\r\n")
        for _ in range(2000):
            for call in (stopped, going):
                if not call.caller.is_slow:
                    call.caller.chunk(call, CHUNK)
                    sent[call] += 1
            if call is going and not going.caller.is_slow:
                await reader.readuntil(b"\r\n\r\n" if sent[going] == 0 else b"\n\n\r\n")
            await asyncio.sleep(0)
        assert stopped.caller.is_slow
        assert sent[stopped] < 400, "the system's buffers are full"
        assert sent[going] == 2000
        assert stopped.caller.transport.get_write_buffer_size() < (STREAM_CREDIT + 4) * len(CHUNK)
        assert stopped not in world.calls.credit
        taken = 0
        while stopped not in world.calls.credit:
            taken += len(await loop.sock_recv(slow, 65536))
        assert not stopped.caller.is_slow
        slow.close()
        writer.close()


@on_both_loops
async def test_a_client_that_asks_on_and_takes_no_answer_is_not_read_until_he_does():
    """Neither what he asks nor what he is answered fills the memory, and nothing is lost."""
    count, asked = 12_000, chat(b"{}", b"x-tierwise-priority: urgent")
    async with listening() as world:
        loop = asyncio.get_running_loop()
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        await loop.sock_connect(client, ("127.0.0.1", world.port))
        asking = asyncio.ensure_future(loop.sock_sendall(client, asked * count))
        await eventually(lambda: world.state.connections, "the connection")
        [connection] = world.state.connections
        await eventually(lambda: connection.is_slow, "its buffers to be full")
        most = 0
        for _ in range(2000):
            await asyncio.sleep(0)
            most = max(most, connection.transport.get_write_buffer_size())
        assert not connection.transport.is_reading()
        answered, answers = 0, b""
        while answered < count:
            answers = answers[-8:] + await loop.sock_recv(client, 1024 * 1024)
            answered += answers.count(b"HTTP/1.1 ")
            most = max(most, connection.transport.get_write_buffer_size())
        assert most < 2 * 1024 * 1024
        await asking
        client.close()
