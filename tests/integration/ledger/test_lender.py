"""The lender on real NATS and PostgreSQL."""

import asyncio
import json
import threading
import time
from contextlib import asynccontextmanager, suppress

import msgspec
import nats
import pytest

from services.ledger import lender as lending
from services.ledger import line
from services.ledger.apart import apart
from services.ledger.lender import Lender
from services.ledger.metrics import Metrics
from shared.contracts import (
    Answered,
    BudgetChangeRequested,
    GrantAsked,
    Granted,
    GrantRequested,
    LeaseReported,
    encode,
    unpack,
)
from shared.ops import Readiness
from shared.policy import Backend, Budget, Policy, PriceSetting
from shared.settings import NatsSettings
from shared.streams import BUDGETS, CURRENT, USAGE, ensure_stream
from tests.support.folders import passable_folder
from tests.support.ledger import alembic, database_settings, ledger, serving
from tests.support.noon import ZONE, today
from tests.support.usage import usage
from tests.support.wait import eventually
from tierwise.embedded.postgres import PostgresServer, postgres_part
from tierwise.embedded.postgres_place import find_place
from tierwise.ports import FreePorts

PRICE = PriceSetting(input_per_1m=1, output_per_1m=1)
BACKEND = Backend(name="small-1", tier="small", provider="vllm", model="m", base_url="http://x", price=PRICE)


def policy(**budgets):
    return Policy(tiers=("small",), backends=(BACKEND,), budgets=budgets)


@asynccontextmanager
async def lender(nats_url, database_url, **budgets):
    readiness = Readiness("budgets")
    one = Lender(NatsSettings(nats_url), database_settings(database_url), readiness, Metrics())
    one.use(policy(**budgets))
    task = asyncio.create_task(apart(one.run))
    try:
        await eventually(lambda: readiness.ready or task.done(), "the lender to be ready")
        yield one
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture
async def client(nats_url):
    one = await nats.connect(nats_url)
    await ensure_stream(one.jetstream(), USAGE)
    yield one
    await one.close()


async def ask(client, *asked, reported=()):
    message = GrantRequested("c", asked, tuple(reported))
    reply = await client.request(GrantRequested.subject, encode(message), timeout=30)
    return msgspec.msgpack.decode(reply.data, type=Granted)


def wish(lease_id, need=100, waiting=100, service="billing"):
    return GrantAsked(service, today(), lease_id, need, waiting, 0)


async def set_budget(client, service, budget=""):
    reply = await client.request(
        BudgetChangeRequested.subject, encode(BudgetChangeRequested(service, budget)), timeout=30
    )
    return msgspec.msgpack.decode(unpack(reply.data)[0], type=Answered).refusal


async def test_wishes_are_granted_reports_are_heard_and_a_question_tells_how_the_day_stands(
    nats_url, database_url, client
):
    async with lender(nats_url, database_url, default=Budget(timezone=ZONE, daily_usd=1)):
        first = await ask(client, wish("c.1", 100, 1000), wish("c.2", service="legal"))
        assert [grant.granted for grant in first.grants] == [1000, 100]
        then = await ask(client, GrantAsked("billing", today()), reported=[LeaseReported("c.1", 300)])
        assert [(grant.granted, grant.held, grant.limit) for grant in then.grants] == [(0, 300, 10**9)]


async def test_a_limit_that_an_operator_sets_holds_at_once_and_for_every_ledger_and_survives_them(
    nats_url, database_url, client
):
    file = {"billing": Budget(timezone=ZONE, daily_usd=1)}
    async with lender(nats_url, database_url, **file), lender(nats_url, database_url, **file):
        assert await set_budget(client, "billing", json.dumps({"daily_usd": 0.000001, "timezone": ZONE})) is None
        assert (
            await set_budget(
                client, "new", json.dumps({"daily_usd": 0.000002, "on_exhausted": "reject", "timezone": ZONE})
            )
            is None
        )
        for number in range(8):  # whoever of the two answers
            [grant] = (await ask(client, wish(f"c.{number}", 1001, 1001))).grants
            assert (grant.granted, grant.limit) == (0, 1000)
        words = json.loads((await (await client.jetstream().key_value(BUDGETS)).get(CURRENT)).value)
        assert words["new"]["on_exhausted"] == "reject"
    async with lender(nats_url, database_url, **file):
        [grant] = (await ask(client, wish("c.20", 1, 2000, service="new"))).grants
        assert grant.granted == 2000
        assert await set_budget(client, "billing") is None
        [grant] = (await ask(client, wish("c.21", 1001, 1001))).grants
        assert (grant.granted, grant.limit) == (1001, 10**9)


async def test_how_a_thousand_days_stand_is_told_in_one_answer(nats_url, database_url, client):
    async with lender(nats_url, database_url, default=Budget(timezone=ZONE, daily_usd=1)):
        await ask(client, wish("c.1", service="service-7"))
        answer = await ask(client, *(GrantAsked(f"service-{number}", today()) for number in range(1000)))
        assert [grant.held for grant in answer.grants] == [100 if number == 7 else 0 for number in range(1000)]
        assert {grant.limit for grant in answer.grants} == {10**9}


async def test_a_service_without_a_budget_here_is_left_out_and_the_others_are_granted(nats_url, database_url, client):
    async with lender(nats_url, database_url, billing=Budget(timezone=ZONE, daily_usd=1)):
        answer = await ask(client, wish("c.1", service="new"), wish("c.2"))
        assert [(grant.service, grant.granted) for grant in answer.grants] == [("billing", 100)]
        assert not answer.away


async def test_a_budget_that_is_none_is_refused_with_a_sentence(nats_url, database_url, client):
    async with lender(nats_url, database_url):
        refusal = await set_budget(client, "billing", '{"daily_usd": "much"}')
        assert (refusal.status, refusal.code) == (400, "invalid_budget")


async def test_two_ledgers_never_grant_more_than_the_limit(nats_url, database_url, client, query):
    file = {"billing": Budget(timezone=ZONE, daily_usd=0.00001)}
    async with lender(nats_url, database_url, **file), lender(nats_url, database_url, **file):
        answers = await asyncio.gather(*(ask(client, wish(f"c.{number}", 70, 170)) for number in range(150)))
        granted = sum(answer.grants[0].granted for answer in answers)
        assert granted == await query_held(query)
        assert 10_000 - 70 < granted <= 10_000


async def query_held(query):
    return (await query("SELECT reserved_nano_usd FROM tierwise.budget_status"))[0][0]


async def test_a_silent_lease_is_charged_and_not_before_the_stream_was_read_past_its_end(
    nats_url, database_url, client, query, dispatcher, monkeypatch
):
    monkeypatch.setattr(lending, "GIVE_UP_EVERY_S", 0.1)
    async with lender(nats_url, database_url, billing=Budget(timezone=ZONE, daily_usd=1)):
        await ask(client, wish("c.1", 100, 1000))
        await dispatcher.send(usage(1, lease_id="c.1", reserved_nano_usd=400, cost_nano_usd=150))
        await query("UPDATE tierwise.budget_leases SET due_at = now()")
        await ask(client, wish("c.2", 7, 7))
        await query("UPDATE tierwise.budget_leases SET due_at = now() - interval '1 hour' WHERE lease_id = 'c.2'")
        await eventually(
            lambda: is_charged(query, "c.2"), "the lease that was due before the stream's oldest message"
        )
        assert not await is_charged(query, "c.1")
        async with ledger(nats_url, database_url):
            await eventually(lambda: is_charged(query, "c.1"), "the rest to be charged")
        [(spent, held)] = await query("SELECT spent_nano_usd, reserved_nano_usd FROM tierwise.budget_status")
        assert (spent, held) == (150 + 600 + 7, 0)
        # What comes later corrects the charge.
        await dispatcher.send(usage(2, lease_id="c.1", reserved_nano_usd=600, cost_nano_usd=50))
        async with ledger(nats_url, database_url):
            await eventually(lambda: spent_is(query, 200 + 7), "the correction")


async def is_charged(query, lease_id):
    return await query("SELECT FROM tierwise.budget_leases WHERE charged AND lease_id = $1", lease_id)


async def spent_is(query, amount):
    return (await query("SELECT spent_nano_usd FROM tierwise.budget_status"))[0][0] == amount


async def test_without_its_database_it_says_that_it_is_away_and_comes_back_with_it(nats_url, client):
    with passable_folder() as folder:
        server = PostgresServer(
            place=find_place(folder), port=FreePorts().take(), password="tests", log=folder / "log", durable=False
        )
        async with serving(postgres_part(server), folder / "log"):
            assert (await alembic(server.url, "upgrade", "head"))[0] == 0
        one = Lender(NatsSettings(nats_url), database_settings(server.url), Readiness(), Metrics())
        one.use(policy(billing=Budget(timezone=ZONE, daily_usd=1)))
        task = asyncio.create_task(apart(one.run))
        try:
            with pytest.raises(nats.errors.NoRespondersError):  # it must not say for another that it is away
                await ask(client, wish("c.0"))
            async with serving(postgres_part(server), folder / "log"):
                await eventually(lambda: lends(client), "a grant")
            began = time.monotonic()
            assert (await ask(client, wish("c.0"))).away
            assert time.monotonic() - began < 10
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def lends(client):
    lease_id = f"c.{time.monotonic_ns()}"
    try:
        return not (await ask(client, wish(lease_id))).away
    except nats.errors.NoRespondersError:
        return False


async def test_a_ledger_that_begins_leaves_the_answers_to_one_that_knows(nats_url, database_url, client, monkeypatch):
    """It has no policy yet; half of all wishes would come to it."""
    names = []

    async def connect(settings, name):
        names.append(name)
        return await connect_really(settings, name)

    connect_really = line.connect
    monkeypatch.setattr(line, "connect", connect)
    one = Lender(NatsSettings(nats_url), database_settings(database_url), Readiness(), Metrics())
    async with lender(nats_url, database_url, billing=Budget(timezone=ZONE, daily_usd=1)):
        names.clear()
        task = asyncio.create_task(apart(one.run))
        try:
            await eventually(lambda: names, "the other to be there")
            for number in range(40):
                assert not (await ask(client, wish(f"c.{number}"))).away
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


@pytest.mark.parametrize("swallows", ["_tell", "read_until"])
async def test_it_ends_though_nats_has_swallowed_its_cancellation(
    nats_url, database_url, client, monkeypatch, swallows
):
    """Python 3.11's wait_for does where the answer comes at that moment."""
    began = threading.Event()

    async def forgets(*_):
        began.set()
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)
        return 0.0

    monkeypatch.setattr(lending, swallows, forgets)
    one = Lender(NatsSettings(nats_url), database_settings(database_url), Readiness(), Metrics())
    one.use(policy(billing=Budget(daily_usd=1)))
    task = asyncio.create_task(apart(one.run))
    await eventually(began.is_set, "it to be told of NATS")
    task.cancel()
    done, _ = await asyncio.wait((task,), timeout=5)
    assert done


async def test_apart_tells_a_cancellation_again_until_it_is_heard():
    began, forgotten = threading.Event(), []

    async def forgets():
        began.set()
        for _ in range(2):
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                forgotten.append(True)
        await asyncio.sleep(3600)

    task = asyncio.create_task(apart(forgets))
    await eventually(began.is_set, "it to begin")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(asyncio.shield(task), 5)
    assert len(forgotten) == 2


async def test_what_it_raises_ends_whoever_runs_it_apart():
    async def fails():
        raise LookupError("it broke")

    with pytest.raises(LookupError, match="it broke"):
        await apart(fails)


async def test_apart_ends_when_it_is_cancelled():
    ended = []

    async def waits():
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    task = asyncio.create_task(apart(waits))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended
