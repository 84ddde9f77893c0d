"""What the ledger answers about spend and savings, from what it has recorded."""

import json
import random
from datetime import date
from itertools import pairwise

import msgspec
import pytest

from services.ledger import core, queries, savings
from services.ledger.savings import FEWEST_PAIRS, Pair
from services.ledger.store import Store
from shared.contracts import Answered, SavingsAsked, SpendAsked, encode, unpack
from shared.database import disposing, make_engine
from tests.support.ledger import database_settings
from tests.support.usage import NOON_US, message, usage, validation

TODAY, TOMORROW = date(2026, 9, 21), date(2026, 9, 22)
DAY_US = 86_400_000_000
RECORDS = (
    usage(1),
    usage(2, received_at_us=NOON_US + DAY_US, reason="budget_downgrade"),
    usage(3, received_at_us=NOON_US + DAY_US, tier="large", calls=({"tier": "large", "cost_nano_usd": 2_000},)),
    usage(4, received_at_us=NOON_US + DAY_US, attempts=(), cost_nano_usd=0, cache="hit", cache_saved_nano_usd=750),
    usage(5, service="legal"),
    usage(6, received_at_us=NOON_US + 2 * DAY_US),
)


@pytest.fixture
async def store(database_url):
    one = Store(database_settings(database_url))
    yield one
    await one.aclose()


@pytest.fixture
async def asked(database_url):
    async with disposing(make_engine(database_settings(database_url), "test")) as engine:

        async def ask(question):
            head, body = unpack(await queries.answer(engine, encode(question)))
            assert msgspec.msgpack.decode(head, type=Answered).refusal is None
            return json.loads(body)

        yield ask


async def record(store, *records, validations=()):
    reading = core.read([message(*records, validations=validations)])
    await store.record(reading.entries)
    if reading.validations:
        await store.record_validations(reading.validations)


async def test_a_day_s_spend_with_what_came_before(store, asked):
    await record(store, *RECORDS, validations=(validation(2, received_at_us=NOON_US + DAY_US),))
    told = await asked(SpendAsked(TOMORROW, TOMORROW))
    assert (told["first"], told["last"]) == ("2026-09-22", "2026-09-22")
    billing, legal = told["services"]
    assert [(line["payer"], line["tier"], line["backend"], line["cost_usd"]) for line in billing["lines"]] == [
        ("budget", "large", "small-1", "0.000002"),
        ("budget", "small", "small-1", "0"),
        ("floor", "small", "small-1", "0.00000075"),
        ("validation", "reference", "ref-1", "0.000009"),
    ]
    amounts = ("opening", "budget", "floor", "validation", "total", "closing", "cache_saved", "batch_saved")
    found = {name: billing[f"{name}_nano_usd"] for name in amounts}
    assert found == dict(zip(amounts, (750, 2_000, 750, 9_000, 11_750, 12_500, 750, 0), strict=True))
    assert (legal["lines"], legal["opening_usd"], legal["closing_nano_usd"]) == ([], "0.00000075", 750)
    assert told["total"]["closing_nano_usd"] == 12_500 + 750


async def test_openings_and_closings_join(store, asked, query):
    await record(store, *RECORDS)
    days = [await asked(SpendAsked(day, day)) for day in (TODAY, TOMORROW, date(2026, 9, 23))]
    for before, after in pairwise(days):
        assert before["total"]["closing_nano_usd"] == after["total"]["opening_nano_usd"]
    (spent,) = await query("SELECT sum(cost_nano_usd)::bigint AS sum FROM tierwise.spend_daily")
    assert days[-1]["total"]["closing_nano_usd"] == spent["sum"]
    whole = await asked(SpendAsked(TODAY, date(2026, 9, 23)))
    assert whole["total"]["total_nano_usd"] == spent["sum"]


async def test_one_service_alone(store, asked):
    await record(store, *RECORDS)
    told = await asked(SpendAsked(TODAY, TODAY, "legal"))
    assert [each["service"] for each in told["services"]] == ["legal"]
    assert (await asked(SpendAsked(TODAY, TODAY, "nobody")))["services"] == []
    told = await asked(SavingsAsked(TODAY, TODAY, "legal"))
    assert [each["service"] for each in told["services"]] == ["legal"]


async def test_savings_without_pairs_are_known_for_the_answers_lengths_only(store, asked):
    await record(store, *RECORDS, validations=(validation(1),))
    told = await asked(SavingsAsked(TODAY, TOMORROW))
    billing, legal = told["services"]
    assert (billing["requests"], billing["cost_nano_usd"], billing["baseline_nano_usd"]) == (4, 3_500, 4 * 98_000)
    assert (billing["validation_nano_usd"], billing["net_saved_nano_usd"]) == (9_000, 4 * 98_000 - 12_500)
    assert (billing["cache_saved_usd"], legal["cache_saved_usd"]) == ("0.00000075", "0")
    assert told["total"]["net_saved_nano_usd"] == 5 * 98_000 - 3_500 - 750 - 9_000
    assert told["total"]["estimate"] is told["total"]["quality"] is None
    (extraction,) = told["categories"]
    assert {**extraction, "category": None} == {**told["total"], "category": None}


async def test_the_estimate_in_sql_is_that_of_the_core(store, asked):
    rng = random.Random(20_261_126)
    checked, lengths, agreements = [], [], []
    for number in range(1, 3 * FEWEST_PAIRS):
        p, known = rng.uniform(0.02, 1), rng.randrange(1, 10**6)
        true = -1 if number % 7 == 0 else round(known * rng.uniform(0.5, 3))
        agreement = -1.0 if number % 5 == 0 else float(rng.random() < 0.9)
        checked.append(
            validation(
                number,
                probability=p,
                baseline_nano_usd=known,
                paired_baseline_nano_usd=true,
                agreement=agreement,
                category=("code", "extraction")[number % 2],
                calls=(),
            )
        )
        if true >= 0:
            lengths.append(Pair(p, known, true))
        if agreement >= 0:
            agreements.append(Pair(p, 1, agreement))
    await record(store, usage(1), validations=tuple(checked))
    report = await asked(SavingsAsked(TODAY, TODAY))
    told = report["total"]
    expected = savings.total(98_000, savings.sums(lengths))
    estimate = told["estimate"]
    assert estimate["pairs"] == len(lengths)
    for name, value in (("", expected.value), ("_low", expected.low), ("_high", expected.high)):
        assert estimate[f"baseline{name}_nano_usd"] == pytest.approx(value, abs=1)
        assert estimate[f"net_saved{name}_nano_usd"] == estimate[f"baseline{name}_nano_usd"] - 750
    parity = savings.ratio(savings.sums(agreements))
    quality = told["quality"]
    assert quality["pairs"] == len(agreements)
    assert quality["agreement"] == pytest.approx(parity.value)
    assert quality["agreement_low"] == pytest.approx(parity.low)
    assert quality["agreement_high"] == pytest.approx(min(parity.high, 1))

    code, extraction = report["categories"]
    assert (code["category"], code["requests"], code["baseline_nano_usd"]) == ("code", 0, 0)
    assert code["estimate"]["pairs"] + extraction["estimate"]["pairs"] == len(lengths)
    assert code["quality"]["pairs"] + extraction["quality"]["pairs"] == len(agreements)
    assert code["quality"]["agreement"] != extraction["quality"]["agreement"]
