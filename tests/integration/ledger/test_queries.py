"""What the ledger answers about one request, on real PostgreSQL: also while nobody can, and to nonsense."""

import json

import msgspec
import pytest

from services.ledger import queries
from services.ledger.core import read
from services.ledger.store import Store
from shared.contracts import Answered, Features, RequestAsked, encode, unpack
from shared.database import disposing, make_engine
from tests.support.ledger import database_settings
from tests.support.usage import message, usage


@pytest.fixture
async def engine(database_url):
    async with disposing(make_engine(database_settings(database_url), "test")) as engine:
        yield engine


async def record(database_url, *records):
    store = Store(database_settings(database_url))
    reading = read([message(*records)])
    assert not reading.poison
    await store.record(reading.entries)
    await store.aclose()


async def ask(engine, payload):
    head, body = unpack(await queries.answer(engine, payload))
    return msgspec.msgpack.decode(head, type=Answered).refusal, json.loads(body) if body else None


async def test_a_request_is_told_with_its_decision_its_attempts_and_its_cost(engine, database_url):
    features = Features(
        ("schema",), (80, 0, 0, 0, 0, 20), "gpt-4o", 118, 200, ("tools",), 3, True, False,
        tier="large", max_cost_nano_usd=5_000_000, session=7, observed=("small", "small-1"),
    )  # fmt: skip
    failed = {"outcome": "failed", "status": 500, "cost_nano_usd": 0, "usage_source": "none", "output_tokens": 0}
    calls = (failed, {"backend": "small-2"})
    raw = msgspec.Raw(encode(features))
    await record(database_url, usage(1, calls=calls, reason="failover,category", features=raw))
    refusal, told = await ask(engine, encode(RequestAsked("req_aaaaaaaaaaaa0001")))
    assert refusal is None
    assert (told["service"], told["reason"], told["status"]) == ("billing", ["failover", "category"], 200)
    assert (told["cost_usd"], told["baseline_usd"], told["saved_usd"]) == ("0.00000075", "0.000098", "0.00009725")
    assert [(one["attempt"], one["backend"], one["outcome"]) for one in told["attempts"]] == [
        (1, "small-1", "failed"),
        (2, "small-2", "answered"),
    ]
    assert told["attempts"][1]["cost_usd"] == "0.00000075"
    assert not [name for name in (*told, *told["attempts"][0]) if "nano" in name]  # one way to say an amount
    decision = told["decision"]
    assert (decision["evidence"], decision["scores"]["extraction"]) == (["schema"], 80)
    assert (decision["model_asked"], decision["tier_asked"], decision["max_cost_usd"]) == ("gpt-4o", "large", "0.005")
    assert decision["observed"] == {"tier": "small", "backend": "small-1"}
    assert decision["in_conversation"]


async def test_a_request_of_one_call_has_its_attempt_too_and_old_features_are_read(engine, database_url):
    old = msgspec.Raw(msgspec.msgpack.encode([["schema"], [80, 0, 0, 0, 0, 20], "auto", 118]))
    await record(database_url, usage(2, features=old))
    refusal, told = await ask(engine, encode(RequestAsked("req_aaaaaaaaaaaa0002")))
    assert refusal is None
    assert [one["backend"] for one in told["attempts"]] == ["small-1"]
    assert (told["decision"]["max_cost_usd"], told["decision"]["observed"]) == (None, None)


async def test_one_that_is_not_there_is_404(engine):
    refusal, told = await ask(engine, encode(RequestAsked("req_aaaaaaaaaaaa0009")))
    assert (refusal.status, refusal.code, told) == (404, "request_not_found", None)


@pytest.mark.parametrize("payload", [b"", b"\x93", b"nonsense", msgspec.msgpack.encode(["tomorrow", 1])])
async def test_what_is_no_question_is_refused_and_harms_nobody(engine, payload):
    refusal, _ = await ask(engine, payload)
    assert (refusal.status, refusal.code) == (400, "unknown_question")


async def test_without_its_database_it_is_503(postgres_server):
    settings = database_settings(postgres_server.url_of("no_such_database"))
    async with disposing(make_engine(settings, "test")) as engine:
        refusal, _ = await ask(engine, encode(RequestAsked("req_aaaaaaaaaaaa0001")))
    assert (refusal.status, refusal.code, refusal.retry_after_s) == (503, "database_away", 1)
