"""A broker of the services off the hot path stops at once, whatever its server does meanwhile."""

import asyncio
import signal
import time

import pytest

from shared.bus import STOP_WITHIN_S, make_broker
from shared.ops import Readiness
from shared.settings import NatsSettings
from tests.support.own_nats import own_nats
from tests.support.running import start, stop
from tests.support.wait import eventually
from tierwise.embedded.nats import nats_part

SLACK_S = 2.0  # nats-py's own patience would be ten seconds


@pytest.fixture
async def server(tmp_path):
    one = own_nats(tmp_path)
    part = nats_part(one)
    process = await asyncio.to_thread(start, part, tmp_path / "nats.log")
    one_broker = make_broker("test", NatsSettings(one.url), Readiness("nats"))

    @one_broker.subscriber("asked")
    async def on_asked(_: bytes) -> None: ...

    await one_broker.start()
    yield one_broker, process
    process.send_signal(signal.SIGCONT)
    await asyncio.to_thread(stop, part, process)


async def stopped(broker):
    began = time.monotonic()
    await broker.stop()
    assert time.monotonic() - began < STOP_WITHIN_S + SLACK_S


async def test_it_stops_while_its_server_is_frozen(server):
    broker, process = server
    process.send_signal(signal.SIGSTOP)
    await stopped(broker)


async def test_it_stops_while_its_server_dies(server):
    broker, process = server
    process.send_signal(signal.SIGSTOP)
    stopping = asyncio.ensure_future(stopped(broker))
    await asyncio.sleep(0)  # it has asked
    process.kill()
    await stopping


async def test_it_stops_while_its_server_is_away(server):
    broker, process = server
    process.kill()
    await eventually(lambda: broker.client is None, "the loss to be noticed")
    await stopped(broker)
