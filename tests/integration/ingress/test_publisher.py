"""Several ingresses, one NATS: one of them publishes its file, and all follow what it published."""

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest
import structlog

from services.ingress.leadership import KEY, LEASE_S, Leadership
from services.ingress.publisher import Publisher
from shared.hot_service import end
from shared.hotbus import HotBus
from shared.ops import Readiness
from shared.policy_watch import PolicyWatch
from shared.streams import CURRENT, LEADERS, POLICY, ensure_bucket
from tests.support.wait import eventually

TAKEN_OVER_WITHIN_S = 3 * LEASE_S


def config(model, *more):
    price = "{input_per_1m: 1, output_per_1m: 1}"
    backend = f"{{name: b, tier: t, provider: vllm, base_url: 'http://x/v1', model: {model}, price: {price}}}"
    return "\n".join(["tiers: [t]", f"backends: [{backend}]", *more])


class Ingress:
    """What of an ingress publishes and follows."""

    def __init__(self, name, bus, file):
        self.bus = bus
        self.file = file
        self.readiness = Readiness("config")
        self.heard = []  # the model of each policy, and its version
        self.logged = structlog.testing.LogCapture()
        self.leadership = Leadership(bus, name, eligible=file is not None)
        works = [self.leadership.campaign(), PolicyWatch(bus, self._hear).follow()]
        if file is not None:
            log = structlog.wrap_logger(None, processors=[self.logged])
            works.append(Publisher(file, {}, bus, self.leadership, self.readiness, log).run())
        self.tasks = [asyncio.create_task(work) for work in works]

    def _hear(self, policy, version):
        self.heard.append((policy.backends[0].model, version))

    @property
    def model(self):
        return self.heard[-1][0] if self.heard else None

    @property
    def refused(self):
        lease = self.leadership.lease
        return lease and lease.refused and lease.refused.faults

    def events(self, name):
        return [entry for entry in self.logged.entries if entry["event"] == name]

    async def stop(self):
        for task in self.tasks:
            assert not task.done(), task.exception()
            await end(task)
        await self.bus.close()

    async def die(self):
        """Says nothing to anybody."""
        await self.bus.client.close()
        await self.stop()


@pytest.fixture
async def begin(nats_url, tmp_path):
    """Begins an ingress with a file of this text; without a file where there is no text."""
    async with AsyncExitStack() as held:

        async def one(name, text=None):
            file = None
            if text is not None:
                file = tmp_path / name / "tierwise.yaml"
                file.parent.mkdir()
                file.write_text(text)
            ingress = Ingress(name, await HotBus.connect(nats_url, name), file)
            held.push_async_callback(_stop_unless_stopped, ingress)
            return ingress

        yield one


async def _stop_unless_stopped(ingress):
    if not ingress.tasks[0].done():
        await ingress.stop()


def replace(file, text):
    """As editors do."""
    new = file.with_suffix(".new")
    new.write_text(text)
    new.replace(file)


async def test_one_publishes_and_the_others_follow_it(begin):
    first = await begin("first", config("from-first"))
    await eventually(lambda: first.model == "from-first", "the first to publish")
    second = await begin("second", config("from-second"))
    looks_on = await begin("looks-on")
    await eventually(lambda: second.model == looks_on.model == "from-first", "the others to follow")
    await eventually(lambda: second.leadership.another_leads, "the second to see that the first lives")
    await eventually(lambda: not second.readiness.waiting_for, "the second to be ready")
    replace(second.file, config("unheard"))
    replace(first.file, config("changed"))
    for one in (first, second, looks_on):
        await eventually(lambda one=one: one.model == "changed", "the change to be heard")
    assert first.heard == second.heard[-2:] == looks_on.heard[-2:]
    assert [one.leadership.leads for one in (first, second, looks_on)] == [True, False, False]
    assert {one.leadership.lease.holder for one in (first, second, looks_on)} == {"first"}


async def test_a_faulty_file_is_refused_everywhere_and_the_old_one_stays(begin):
    first = await begin("first", config("good"))
    looks_on = await begin("looks-on")
    await eventually(lambda: looks_on.model == "good", "the policy")
    replace(first.file, config("bad", "tires: []"))
    await eventually(lambda: first.refused and looks_on.refused, "both to tell of the refusal")
    assert first.refused == looks_on.refused
    assert first.refused[0].startswith(f"{first.file}:3: tires: there is no such key; did you mean")
    first.file.unlink()
    await eventually(lambda: "is gone" in first.refused[0] and "is gone" in looks_on.refused[0], "its loss")
    first.file.write_text("tiers: [t")
    await eventually(lambda: "is not YAML" in first.refused[0], "half of a file to be refused")
    first.file.write_text(config("mended"))
    await eventually(lambda: looks_on.model == "mended" and not looks_on.refused, "the mended one")
    assert [model for model, _ in looks_on.heard] == ["good", "mended"]
    refusals = first.events("the policy is refused")
    assert len(refusals) == 3, "each once, however often the file is looked at"
    assert [len(entry["faults"]) for entry in refusals] == [1, 1, 1]


async def test_a_hosted_model_whose_price_nobody_knows_is_refused_with_its_line(begin):
    text = (
        config("nobody-knows").replace("vllm", "openai").replace(", price: {input_per_1m: 1, output_per_1m: 1}", "")
    )
    first = await begin("first", text)
    await eventually(lambda: first.refused, "the refusal")
    assert first.refused[0].startswith(f"{first.file}:2: backends[0] (b).price: no price is known for openai's model")
    assert not first.readiness.waiting_for, "it serves what stands in KV"


async def test_what_an_operator_must_know_of_a_file_is_logged(begin):
    first = await begin("first", config("m", "cache: {enabled: true}", "rules: []"))
    await eventually(lambda: first.heard, "the policy")
    assert [entry["section"] for entry in first.events("this section is not acted on yet")] == ["cache"]
    assert not first.events("server.host and server.port are read at start only: restart to listen there")
    replace(first.file, config("m", "server: {port: 9999}").replace("model: m", "model: m, api_key: sk-secret"))
    await eventually(lambda: len(first.heard) == 2, "the next one")
    [written_out] = first.events("a key is written out in the file")
    assert "backends[0] (b).api_key" in written_out["where"]
    assert len(first.events("server.host and server.port are read at start only: restart to listen there")) == 1
    assert "sk-secret" not in str(first.logged.entries)


async def test_an_unchanged_file_keeps_its_version(begin):
    first = await begin("first", config("same"))
    await eventually(lambda: first.heard, "the policy")
    replace(first.file, config("same", "# with a remark"))
    await first.stop()
    second = await begin("second", config("same"))
    await eventually(lambda: second.leadership.leads and second.events("the policy is published"), "the second")
    assert second.heard == first.heard


async def test_who_stops_gives_the_lead_back_at_once(begin, nats_url):
    first = await begin("first", config("from-first"))
    await eventually(lambda: first.leadership.leads, "the first to lead")
    await first.stop()
    async with connected(nats_url) as bus:
        bucket = await ensure_bucket(bus.client.jetstream(), LEADERS)
        with pytest.raises(Exception, match="not found"):
            await bucket.get(KEY)


async def test_who_dies_is_replaced(begin):
    first = await begin("first", config("from-first"))
    await eventually(lambda: first.leadership.leads, "the first to lead")
    second = await begin("second", config("from-second"))
    await eventually(lambda: second.model == "from-first", "the second to follow")
    await first.die()
    await eventually(lambda: second.leadership.leads, "the second to lead", TAKEN_OVER_WITHIN_S)
    await eventually(lambda: second.model == "from-second", "its file to be in force")
    assert not first.leadership.leads


async def test_what_another_or_a_lost_store_put_in_its_place_is_put_right(begin, nats_url):
    first = await begin("first", config("right"))
    await eventually(lambda: first.model == "right", "the policy")
    async with connected(nats_url) as bus:
        js = bus.client.jetstream()
        await (await ensure_bucket(js, POLICY)).put(CURRENT, b"{}")
        await eventually(lambda: len(first.heard) == 2, "it to be put there again")
        await js.delete_key_value(LEADERS)
        await js.delete_key_value(POLICY)
        await eventually(lambda: len(first.heard) == 3, "it to be put into the new store")
    assert first.heard[-1] == ("right", 1)
    await eventually(lambda: first.leadership.leads, "it to lead again")


@asynccontextmanager
async def connected(nats_url):
    bus = await HotBus.connect(nats_url, "test")
    try:
        yield bus
    finally:
        with suppress(OSError):
            await bus.close()
