"""What shared/bus.py promises of FastStream and NATS, on a NATS server that goes away."""

import asyncio
import json
from contextlib import suppress

from nats.js.errors import NotFoundError

from shared.bus import follow_policy, make_broker
from shared.ops import Readiness
from shared.settings import NatsSettings
from shared.streams import CURRENT, POLICY, ensure_bucket
from tests.support.folders import passable_folder
from tests.support.ledger import serving
from tests.support.wait import eventually
from tierwise.embedded.nats import NatsServer, nats_part
from tierwise.ports import FreePorts


def policy(tier):
    price = {"input_per_1m": 1, "output_per_1m": 1}
    backend = {"name": "b", "tier": tier, "provider": "vllm", "model": "m", "base_url": "http://x/v1", "price": price}
    return json.dumps({"tiers": [tier], "backends": [backend]}).encode()


async def test_a_policy_is_followed_across_restarts_and_a_lost_bucket():
    ports = FreePorts()
    followed = []
    readiness = Readiness("nats", "policy")
    with passable_folder() as folder:
        server = NatsServer(
            server_name="own",
            port=ports.take(),
            monitor_port=ports.take(),
            user="u",
            password="p",
            folder=folder / "n",
        )
        broker = make_broker("test", NatsSettings(server.url), readiness)
        following = asyncio.create_task(
            follow_policy(broker, readiness, lambda policy, version: followed.append((policy.tiers[0], version)))
        )
        beginning = asyncio.create_task(broker.start())
        for number, tier in enumerate(("first", "second"), 1):
            async with serving(nats_part(server), folder / "log"):
                await eventually(lambda: broker.client, "a connection")
                await put(broker, policy(tier))
                await eventually(lambda n=number: len(followed) == n, "the policy", within_s=5)
                assert readiness.ready
            await eventually(lambda: not readiness.ready, "the loss to be noticed")
        async with serving(nats_part(server), folder / "log"):
            await eventually(lambda: broker.client, "a connection")
            await eventually(lambda: delete(broker), "the bucket to be gone")
            await eventually(lambda: put(broker, policy("third")), "the bucket to be there again")
            await eventually(lambda: followed[-1][0] == "third", "the policy", within_s=5)
            assert [tier for tier, _ in followed] == ["first", "second", "third"]
        await beginning
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following
        await broker.stop()  # while NATS is away


async def put(broker, payload):
    bucket = await ensure_bucket(broker.client.jetstream(), POLICY)
    await bucket.put(CURRENT, payload)
    return True


async def delete(broker):
    with suppress(NotFoundError):
        return await broker.client.jetstream().delete_key_value(POLICY)
    return True
