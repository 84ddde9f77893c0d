from datetime import date

import pytest

from services.ledger import books, core
from services.ledger.books import Answer, Payer
from shared.contracts import encode
from tests.support.usage import CALL, NOON_US, message, usage, validation

DAY = date(2026, 9, 21)


@pytest.mark.parametrize(
    ("reason", "pays"),
    [
        ("category", Payer.BUDGET),
        ("budget_downgrade,category", Payer.FLOOR),
        ("category,budget_downgrade", Payer.FLOOR),
        ("not_budget_downgrade", Payer.BUDGET),
        ("", Payer.BUDGET),
    ],
)
def test_what_was_given_because_the_limit_was_reached_is_paid_by_the_floor(reason, pays):
    assert books.payer(reason) is pays


def posting(service="billing", pays=Payer.BUDGET, *, is_batch=False, is_cost_reported=False, usage_source="reported"):
    return books.posting(
        service, pays, "small-1", is_batch=is_batch, is_cost_reported=is_cost_reported, usage_source=usage_source
    )


@pytest.mark.parametrize(
    ("asked", "posted"),
    [
        ({}, ("billing", "backend:small-1", "call", "priced")),
        ({"usage_source": "counted"}, ("billing", "backend:small-1", "call", "priced")),
        ({"usage_source": "unknown"}, ("billing", "backend:small-1", "call", "assumed")),
        ({"is_cost_reported": True}, ("billing", "backend:small-1", "call", "reported")),
        ({"is_batch": True}, ("billing", "backend:small-1", "batch_line", "priced")),
        ({"pays": Payer.FLOOR}, ("billing:floor", "backend:small-1", "call", "priced")),
        ({"pays": Payer.VALIDATION}, ("billing:validation", "backend:small-1", "validation", "priced")),
        ({"service": "backend:small-1"}, ('"backend:small-1"', "backend:small-1", "call", "priced")),
    ],
)
def test_who_owes_whom_and_why(asked, posted):
    assert posting(**asked) == posted


def test_no_two_accounts_have_one_name():
    names = ("billing", "billing:floor", '"billing"', '"billing:floor"', '"', ":", "backend", "backend:x", "floor")
    accounts = [posting(name, pays)[0] for name in names for pays in Payer]
    assert len({*accounts, "backend:floor", "backend:x"}) == len(accounts) + 2


@pytest.mark.parametrize(
    ("service", "amount", "accounts"),
    [
        ("billing", 5, ("billing", "billing:lost")),
        ("billing", -5, ("billing:lost", "billing")),
        ("a:lost", 5, ('"a:lost"', '"a:lost":lost')),
    ],
)
def test_what_a_lease_is_charged_goes_from_the_budget_and_what_is_told_later_goes_back(service, amount, accounts):
    assert books.lost_posting(service, amount) == accounts


def test_what_was_lost_of_a_day_is_a_sum_of_its_own():
    sums = {}
    for amount in (500, -200):
        books.add_lost(sums, DAY, "billing", amount)
    assert sums == {key(tier="", backend="", payer=Payer.LOST, category=""): [0, 0, 0, 300, 0, 0, 0]}


def entries(*records):
    return core.read([message(*records)]).entries


def key(*, tier="small", backend="small-1", payer=Payer.BUDGET, category="extraction"):
    return (DAY, "billing", category, tier, backend, payer)


def test_a_request_counts_where_it_was_answered_and_its_money_where_it_was_spent():
    failed_over = (
        {"backend": "small-2", "tier": "small", "outcome": "failed", "cost_nano_usd": 40},
        {"tier": "large"},
    )
    sums = {}
    books.add(sums, entries(usage(1), usage(2, calls=failed_over, backend="small-1", tier="large")))
    assert sums == {
        key(): [1, 120, 30, 750, 98_000, 0, 0],
        key(tier="large"): [1, 120, 30, 750, 98_000, 0, 0],
        key(backend="small-2"): [0, 120, 30, 40, 0, 0, 0],
    }


def test_what_cache_and_batch_saved_is_summed_apart():
    line = ({"is_batch": True, "cost_nano_usd": 375},)
    sums = {}
    books.add(
        sums,
        entries(
            usage(1, cache="hit", attempts=(), cost_nano_usd=0, cache_saved_nano_usd=750),
            usage(2, calls=line, batch_saved_nano_usd=375),
        ),
    )
    assert sums == {key(): [2, 120, 30, 375, 2 * 98_000, 750, 375]}


def test_of_a_request_that_was_sent_twice_one_answers_and_both_are_paid():
    sums = {}
    books.add(sums, entries(usage(1)))
    books.add(sums, entries(usage(1, send=1)), answers=False)
    assert sums == {key(): [1, 240, 60, 1500, 98_000, 0, 0]}


def test_the_row_that_another_takes_the_place_of_is_taken_back():
    sums = {}
    first, second = usage(1, category="code", baseline_nano_usd=5), usage(1, send=1)
    books.add(sums, entries(first))
    books.take_back(sums, Answer(DAY, "billing", "code", "small", "small-1", "category", 5, 0, 0))
    books.add(sums, entries(second))
    assert sums == {
        key(category="code"): [0, 120, 30, 750, 0, 0, 0],
        key(): [1, 120, 30, 750, 98_000, 0, 0],
    }


def test_a_validation_is_spent_from_an_account_of_its_own_and_answers_nobody():
    reading = core.read([message(usage(1), validations=(validation(1),))])
    sums = {}
    books.add_validations(sums, reading.validations)
    assert sums == {key(tier="reference", backend="ref-1", payer=Payer.VALIDATION): [0, 120, 90, 9_000, 0, 0, 0]}


@pytest.mark.parametrize(
    "broken",
    [
        {"request_id": ""},
        {"received_at_us": -1},
        {"probability": 0.0},
        {"probability": 1.5},
        {"probability": float("nan")},
        {"agreement": 1.01},
        {"agreement": float("nan")},
        {"baseline_nano_usd": -1},
        {"paired_baseline_nano_usd": -2},
        {"calls": (CALL, CALL)},
    ],
)
def test_a_validation_that_cannot_be_is_poison_and_its_neighbours_are_not(broken):
    reading = core.read([message(usage(1), validations=(validation(2, **broken), validation(3)))])
    assert [one.usage for one in reading.entries] == [usage(1)]
    assert [one.usage for one in reading.validations] == [validation(3)]
    assert [one.raw for one in reading.poison] == [encode(validation(2, **broken))]


def test_records_are_of_the_day_that_their_service_says():
    days = {"billing": date(2026, 9, 22)}
    reading = core.read(
        [message(usage(1), usage(2, service="x"), validations=(validation(3),))],
        lambda service, at: days.get(service, date(1999, 1, at // NOON_US)),
    )
    assert [one.day for one in reading.entries] == [date(2026, 9, 22), date(1999, 1, 1)]
    assert [one.day for one in reading.validations] == [date(2026, 9, 22)]
