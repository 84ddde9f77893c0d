"""The pull alone: how much it takes at once, and what it gives back."""

import asyncio
import os
import signal
import time
from contextlib import asynccontextmanager

import pytest

from services.ledger.consumer import DURABLE, make_durable
from services.ledger.pull import ACK, NAK, TERM, Puller, PullFault
from shared.hotbus import HotBus
from shared.streams import USAGE
from tests.support.folders import passable_folder
from tests.support.ledger import dispatcher_at
from tests.support.own_nats import own_nats
from tests.support.running import start, stop
from tests.support.wait import eventually
from tierwise.embedded.nats import nats_part


@asynccontextmanager
async def pulling(url, *, messages=10, size=10_000, wait_s=0.5):
    bus = await HotBus.connect(url, "test")
    puller = Puller(bus, USAGE, DURABLE, messages=messages, size=size, wait_s=wait_s)
    await make_durable(bus.client)
    await puller.start()
    try:
        yield puller
    finally:
        await puller.stop()
        await bus.close()


async def send(dispatcher, count):
    for number in range(count):
        await dispatcher.send_raw(b"%d" % number)


async def test_all_that_waits_comes_at_once(nats_url, dispatcher):
    async with pulling(nats_url) as puller:
        await send(dispatcher, 4)
        messages = await puller.fetch()
        assert [message.payload for message in messages] == [b"0", b"1", b"2", b"3"]
        assert not puller.more_waits
        assert abs(messages[0].stored_at_s - time.time()) < 60
        assert [message.pending for message in messages] == [3, 2, 1, 0]
        puller.answer(ACK, messages)
        await eventually(dispatcher.all_acked, "acks")


async def test_what_comes_first_is_handed_over_at_once(nats_url, dispatcher):
    async with pulling(nats_url, wait_s=60) as puller:
        fetching = asyncio.create_task(puller.fetch())
        await dispatcher.send_raw(b"first")
        assert [message.payload for message in await asyncio.wait_for(fetching, 5)] == [b"first"]


async def test_nothing_comes_where_nothing_is(nats_url, dispatcher):
    async with pulling(nats_url, wait_s=0.1) as puller:
        assert not await puller.fetch()
        await send(dispatcher, 1)
        assert len(await puller.fetch()) == 1


@pytest.mark.parametrize(("limit", "largest"), [({"messages": 3}, 3), ({"size": 400}, 7)])
async def test_a_batch_has_its_limit_and_the_rest_follows(nats_url, dispatcher, limit, largest):
    await send(dispatcher, 8)
    async with pulling(nats_url, **limit) as puller:
        batches = []
        while not batches or puller.more_waits:
            messages = await puller.fetch()
            batches.append(len(messages))
            puller.answer(ACK, messages)
        assert sum(batches) == 8
        assert max(batches) <= largest
        await eventually(dispatcher.all_acked, "acks")


async def test_a_message_larger_than_a_batch_comes_alone(nats_url, dispatcher):
    sent = [b"a", b"b" * 5000, b"c" * 5000, b"d"]
    for payload in sent:
        await dispatcher.send_raw(payload)
    async with pulling(nats_url, size=1000) as puller:
        taken = []
        while len(taken) < len(sent):
            messages = await puller.fetch()
            taken += [message.payload for message in messages]
            puller.answer(ACK, messages)
        assert taken == sent


async def test_what_was_not_fetched_is_handed_back(nats_url, dispatcher):
    await send(dispatcher, 6)
    async with pulling(nats_url, messages=3) as puller:
        puller.answer(ACK, await puller.fetch())
        assert puller.more_waits, "the other three are on their way"
    async with pulling(nats_url) as puller:
        messages = await puller.fetch()
        assert [message.payload for message in messages] == [b"3", b"4", b"5"]
        puller.answer(NAK, messages[:1])
        puller.answer(TERM, messages[1:])
        assert [message.payload for message in await puller.fetch()] == [b"3"]


async def test_a_consumer_that_is_gone_is_a_fault(nats_url, dispatcher):
    async with pulling(nats_url) as puller:
        await dispatcher.js.delete_consumer(USAGE, DURABLE)
        with pytest.raises(PullFault):
            await puller.fetch()


async def test_a_consumer_that_goes_while_it_is_asked_is_a_fault(nats_url, dispatcher):
    async with pulling(nats_url) as puller:
        fetching = asyncio.create_task(fetch_for_ever(puller))
        await eventually(lambda: one_waits(dispatcher), "the request to be there")
        await dispatcher.js.delete_consumer(USAGE, DURABLE)
        with pytest.raises(PullFault):
            await fetching


async def fetch_for_ever(puller):
    while True:
        await puller.fetch()


async def one_waits(dispatcher):
    return (await dispatcher.js.consumer_info(USAGE, DURABLE)).num_waiting == 1


async def test_who_begins_anew_receives_each_message_once(nats_url, dispatcher):
    async with pulling(nats_url, wait_s=0.1) as puller:
        puller.hand_back()
        await puller.start()
        await send(dispatcher, 3)
        assert [message.payload for message in await puller.fetch()] == [b"0", b"1", b"2"]


class OwnNats:
    def __init__(self, folder):
        server = own_nats(folder)
        self.url = server.url
        self._part = nats_part(server)
        self._log = folder / "log"

    async def start(self):
        self._process = await asyncio.to_thread(start, self._part, self._log)

    def freeze(self):
        self._process.send_signal(signal.SIGSTOP)
        os.waitpid(self._process.pid, os.WUNTRACED)  # each of its threads stands still

    def thaw(self):
        self._process.send_signal(signal.SIGCONT)

    async def kill(self):
        self._process.kill()
        await asyncio.to_thread(self._process.wait)

    async def stop(self):
        self.thaw()
        await asyncio.to_thread(stop, self._part, self._process)


@asynccontextmanager
async def running_nats():
    with passable_folder() as folder:
        nats = OwnNats(folder)
        await nats.start()
        try:
            yield nats
        finally:
            await nats.stop()


async def test_nats_that_stands_still_is_a_fault_and_goes_on_where_it_was():
    async with running_nats() as nats, dispatcher_at(nats.url) as dispatcher, pulling(nats.url) as puller:
        await send(dispatcher, 1)
        puller.answer(ACK, await puller.fetch())
        await eventually(dispatcher.all_acked, "the ack")
        nats.freeze()
        for _ in range(2):
            with pytest.raises(PullFault):
                await puller.fetch()
            puller.hand_back()
            await asyncio.wait_for(puller.start(), 5)
        nats.thaw()
        await send(dispatcher, 3)
        taken = []
        while len(taken) < 3:
            messages = await puller.fetch()
            taken += [message.payload for message in messages]
            puller.answer(ACK, messages)
        await eventually(dispatcher.all_acked, "acks")
        assert taken == [b"0", b"1", b"2"]


async def test_stopping_does_not_wait_for_nats_that_stands_still():
    async with running_nats() as nats, pulling(nats.url) as puller:
        nats.freeze()
        await asyncio.wait_for(puller.stop(), 5)


async def test_of_a_start_that_failed_nothing_is_received():
    """nats-py keeps its subscription, and renews it as it reconnects."""
    async with running_nats() as nats:
        bus = await HotBus.connect(nats.url, "test")
        puller = Puller(bus, USAGE, DURABLE, messages=10, size=10_000, wait_s=0.5)
        await make_durable(bus.client)
        nats.freeze()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(puller.start(), 0.1)
        await nats.kill()
        await eventually(lambda: not bus.connected, "the loss")
        await nats.start()
        await eventually(lambda: bus.connected, "the return")
        await puller.start()
        async with dispatcher_at(nats.url) as dispatcher:
            await send(dispatcher, 3)
            assert [message.payload for message in await puller.fetch()] == [b"0", b"1", b"2"]
        await puller.stop()
        await bus.close()
