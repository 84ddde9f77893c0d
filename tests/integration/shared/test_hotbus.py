"""Hot and cold subscriptions of one connection: each hears all of its own, in order, whatever comes between."""

import asyncio
import random
import signal
from collections.abc import Callable

import nats
import pytest

from shared.hotbus import HotBus
from tests.support.own_nats import own_nats
from tests.support.running import start, stop
from tests.support.wait import eventually
from tierwise.embedded.nats import nats_part

MESSAGES = 3000
LARGEST = 200_000
SEED = 20261123


@pytest.fixture
async def bus(nats_url):
    one = await HotBus.connect(nats_url, "test")
    yield one
    await one.close()


class Heard:
    """The numbers of what came, on either way."""

    def __init__(self) -> None:
        self.hot: list[int] = []
        self.cold: list[int] = []

    def on_hot(self, _subject: bytes, _reply: bytes, payload: bytes, _status: bytes) -> None:
        self.hot.append(int(payload[:8]))

    async def on_cold(self, message: nats.aio.msg.Msg) -> None:
        self.cold.append(int(message.data[:8]))


async def test_hot_and_cold_messages_come_in_order_and_none_is_lost(bus, nats_url):
    heard = Heard()
    await bus.subscribe("hot.*", heard.on_hot)
    await bus.client.subscribe("cold.*", cb=heard.on_cold)
    await bus.client.flush()
    drawn = random.Random(SEED)
    other = await nats.connect(nats_url)
    sent: dict[str, list[int]] = {"hot": [], "cold": []}
    for number in range(MESSAGES):
        kind = drawn.choice(("hot", "hot", "hot", "cold"))
        size = drawn.choice((0, 10, 600, drawn.randrange(LARGEST) if number % 20 == 0 else 0))
        await other.publish(f"{kind}.x", b"%08d" % number + b"\r\nMSG " * (size // 6))
        sent[kind].append(number)
    await other.close()
    await eventually(lambda: (heard.hot, heard.cold) == (sent["hot"], sent["cold"]), "all messages")


async def test_after_what_is_cold_the_short_way_is_taken_again(bus):
    heard = Heard()
    await bus.subscribe("hot", heard.on_hot)
    for number in range(20):
        await bus.client.flush()  # a PING and its PONG, which are nats-py's
        assert is_hot(bus)()
        bus.publish(b"hot", b"%d" % number)
        await eventually(lambda: len(heard.hot) > number, "the message")  # noqa: B023
    assert heard.hot == list(range(20))
    assert is_hot(bus)()


async def test_what_a_message_has_published_leaves_within_the_same_turn(bus, nats_url):
    """Else each hop of a request would wait for the loop to turn once more."""
    order: list[str] = []

    def on_ask(_subject: bytes, reply: bytes, payload: bytes, _status: bytes) -> None:
        asyncio.get_running_loop().call_soon(order.append, "the next turn")
        bus.publish(reply, payload)

    def written() -> list[bytes]:
        order.append("written")
        return []

    await bus.subscribe("ask", on_ask)
    bus.before_write = written
    other = await nats.connect(nats_url)
    answer = await other.request("ask", b"x", timeout=5)
    await other.close()
    assert answer.data == b"x"
    assert order == ["written", "the next turn"]


async def test_a_pong_that_nobody_waits_for_any_longer_does_not_end_the_reading(bus, nats_url):
    heard = Heard()
    await bus.subscribe("hot", heard.on_hot)
    impatient = asyncio.ensure_future(bus.client.flush())
    await asyncio.sleep(0)
    impatient.cancel()
    await bus.client.flush()
    other = await nats.connect(nats_url)
    await other.publish("hot", b"1")
    await other.close()
    await eventually(lambda: heard.hot == [1], "the message")


async def test_a_flush_ends_with_the_server_that_it_asked_and_none_waits_for_one_that_is_away(tmp_path):
    """nats-py's own goes on for ten seconds: a dispatcher that stopped while NATS died was killed for it."""
    server = own_nats(tmp_path)
    part, log = nats_part(server), tmp_path / "nats.log"
    process = await asyncio.to_thread(start, part, log)
    try:
        bus = await HotBus.connect(server.url, "test")
        subscription = await bus.subscribe("hot", Heard().on_hot)
        assert await bus.flush(5)
        process.send_signal(signal.SIGSTOP)
        asked = asyncio.ensure_future(bus.flush(60))
        leaving = asyncio.ensure_future(bus.unsubscribe(subscription))
        impatient = bus.flush(0.01)
        assert not await impatient
        assert not asked.done()
        process.kill()
        assert await asyncio.wait_for(asked, 5) is False
        await asyncio.wait_for(leaving, 5)
        await eventually(lambda: not bus.connected, "the loss to be noticed")
        assert not await bus.flush(60)
        process.wait()
        process = await asyncio.to_thread(start, part, log)
        await eventually(lambda: bus.connected, "NATS to be back")
        assert await bus.flush(5)
        await bus.close()
    finally:
        await asyncio.to_thread(stop, part, process)


def is_hot(bus: HotBus) -> Callable[[], bool]:
    return lambda: bool(bus.client._transport.is_hot)
