"""What a person is told of a decision."""

from __future__ import annotations

import msgspec
import pytest

from services.classifier.explain import explain
from services.classifier.outlook import CLEAR, Outlook, Purse
from tests.unit.classifier.policies import book, chat, received

EXTRACT = "Extract the invoice number: Invoice 4711 of Acme."
BOOK = book()


def told(asked=None, outlook=CLEAR, by=BOOK, **fields):
    explanation = explain(received(**fields), asked or chat(EXTRACT), by, outlook, decided_in_us=12.34)
    return msgspec.json.decode(msgspec.json.encode(explanation))


def test_it_has_what_the_interface_says():
    answer = told()
    assert {"evidence", "candidates", "excluded", "estimate", "budget"} <= set(answer)
    assert (answer["category"], answer["tier"], answer["reason"]) == ("extraction", "small", ["category"])
    assert (answer["policy_version"], answer["decided_in_us"]) == (7, 12.3)
    assert {"rule", "weight", "found"} <= set(answer["evidence"][0])
    assert answer["evidence"][0]["found"] == ["extract"]
    assert answer["refused"] is None


def test_money_is_in_decimal_strings_and_by_the_answers_usual_length():
    answer = told(chat(EXTRACT, max_tokens=100))
    tokens = answer["estimate"]["input_tokens"]
    assert answer["estimate"]["output_tokens"] == 100  # of the usual 150, the caller's cap
    assert answer["estimate"]["cost_usd"] == f"{(tokens + 100) * 5e-9:.9f}".rstrip("0")
    assert answer["estimate"]["baseline_usd"] == f"{tokens * 3e-6 + 100 * 15e-6:.9f}".rstrip("0")
    assert answer["candidates"][0]["price_usd"] == answer["estimate"]["cost_usd"]


def test_the_callers_own_category_needs_no_evidence():
    assert told(category="code")["evidence"] == []


@pytest.mark.parametrize(
    ("fields", "asked", "status", "code"),
    [
        ({"category": "nonsense"}, {}, 400, "unknown_category"),
        ({"tier": "nonsense"}, {}, 400, "unknown_tier"),
        ({}, {"model": "nobody"}, 404, "model_not_found"),
        ({"max_cost_nano_usd": 0}, {}, 402, "max_cost_exceeded"),
        ({}, {"model": "cloud-2"}, 503, "no_backend_available"),
    ],
)
def test_a_refusal_is_explained_too(fields, asked, status, code):
    answer = told(chat(EXTRACT, **asked), **fields)
    assert (answer["refused"]["status"], answer["refused"]["code"]) == (status, code)
    assert answer["candidates"] == []
    assert {one["backend"] for one in answer["excluded"]} == set(BOOK.backends)
    assert all(one["because"] for one in answer["excluded"])


def test_a_budget_says_how_much_is_left_and_a_floor_reserves_nothing():
    free = told()["budget"]
    assert (free["service"], free["limited"], free["available_usd"]) == ("default", False, None)
    near = told(outlook=Outlook(purses={"default": Purse(10**9)}))["budget"]
    assert (near["limited"], near["available_usd"], near["exhausted"]) == (True, "1", False)
    assert float(near["reserved_usd"]) > 0
    past = told(chat("Write a poem."), Outlook(purses={"default": Purse(0, exhausted=True)}))
    assert (past["reason"][0], past["budget"]["exhausted"], past["budget"]["reserved_usd"]) == (
        "budget_downgrade", True, "0",
    )  # fmt: skip


def test_a_cap_that_would_be_put_in_and_who_would_have_served_are_told():
    assert told(chat("Write a poem."), max_cost_nano_usd=5_000_000)["max_tokens"] > 1024
    observed = told(by=book(routing={"mode": "observe"}, savings={"baseline": "cloud-1"}))
    assert (observed["tier"], observed["candidates"][0]["backend"]) == ("small", "cloud-1")
    assert observed["observed"]["tier"] == "small"
    assert observed["observed"]["backend"] in {"small-1", "small-2"}
