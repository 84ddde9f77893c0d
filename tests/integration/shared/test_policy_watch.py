"""Both buses follow the policy, on a NATS server that goes away."""

import asyncio
import json
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from nats.js.errors import NotFoundError

from shared.bus import make_broker
from shared.hotbus import HotBus
from shared.ops import Readiness
from shared.policy_watch import PolicyWatch
from shared.settings import NatsSettings
from shared.streams import CURRENT, POLICY, ensure_bucket
from tests.support.folders import passable_folder
from tests.support.ledger import serving
from tests.support.own_nats import own_nats
from tests.support.wait import eventually
from tierwise.embedded.nats import nats_part


def policy(tier):
    price = {"input_per_1m": 1, "output_per_1m": 1}
    backend = {"name": "b", "tier": tier, "provider": "vllm", "model": "m", "base_url": "http://x/v1", "price": price}
    return json.dumps({"tiers": [tier], "backends": [backend]}).encode()


async def test_a_policy_is_followed_across_restarts_and_a_lost_bucket():
    readiness = Readiness("nats")
    with passable_folder() as folder:
        server = own_nats(folder)
        broker = make_broker("test", NatsSettings(server.url), readiness)
        connecting = asyncio.create_task(HotBus.connect(server.url, "test"))
        async with AsyncExitStack() as held:
            by_broker = await held.enter_async_context(following(broker))
            beginning = asyncio.create_task(broker.start())
            async with serving(nats_part(server), folder / "log"):
                bus = await connecting
                by_bus = await held.enter_async_context(following(bus))
                await eventually(lambda: broker.client, "a connection")
                assert not readiness.waiting_for
                await put(broker, policy("first"))
                await eventually(lambda: by_broker == by_bus == ["first"], "the policy")
            await eventually(lambda: readiness.waiting_for == ["nats"], "the loss to be noticed")
            async with serving(nats_part(server), folder / "log"):
                await eventually(lambda: broker.client and bus.connected, "both connections")
                await put(broker, policy("second"))
                await eventually(lambda: by_broker == by_bus == ["first", "second"], "the policy")
                async with following(bus) as late, following(bus, with_earlier=True) as late_and_wise:
                    await eventually(lambda: late == ["second"], "the policy in force")
                    await eventually(lambda: late_and_wise == ["first", "second"], "the one before it too")
                await put(broker, b"a later version's")
                await put(broker, policy("third"))
                await eventually(lambda: by_broker[2:] == by_bus[2:] == ["third"], "the readable one")
                await eventually(lambda: delete(broker), "the bucket to be gone")
                await eventually(lambda: put(broker, policy("fourth")), "the bucket to be there again")
                await eventually(lambda: by_broker[3:] == by_bus[3:] == ["fourth"], "the policy")
            await beginning
        await bus.close()
        await broker.stop()  # while NATS is away


@asynccontextmanager
async def following(bus, **how):
    """The first tier of each policy that was heard of."""
    heard = []
    task = asyncio.create_task(PolicyWatch(bus, lambda policy, _: heard.append(policy.tiers[0]), **how).follow())
    try:
        yield heard
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def put(broker, payload):
    bucket = await ensure_bucket(broker.client.jetstream(), POLICY)
    await bucket.put(CURRENT, payload)
    return True


async def delete(broker):
    with suppress(NotFoundError):
        return await broker.client.jetstream().delete_key_value(POLICY)
    return True
