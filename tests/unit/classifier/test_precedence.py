"""Pin, capability, budget, promotion, the caller's floor, rule, category: of each two, the stronger one decides."""

from __future__ import annotations

from typing import Any

import pytest

from services.classifier import core
from services.classifier.outlook import Outlook, Purse
from tests.unit.classifier.policies import BACKENDS, book, chat, excluded_from, plan, received, refused

POEM = "Write a poem about rain."  # general: large
EXTRACT = "Extract the invoice number: Invoice 4711 of Acme."  # extraction: small
TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}
FORCED = {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "f"}}}
SMALL = frozenset({"small-1", "small-2"})
OUT = Outlook(suspended={"extraction": SMALL, "general": frozenset({"small-2"})})
SPENT = Outlook(purses={"default": Purse(0, exhausted=True)})
LEGAL = {"name": "legal", "when": {"service": "legal"}}


def rules(**rule: Any) -> dict[str, Any]:
    return {"rules": [{**LEGAL, **rule}]}


@pytest.mark.parametrize(
    ("asked", "fields", "more", "outlook", "first", "reasons"),
    [
        pytest.param({"text": POEM, "model": "small-2"}, {}, {}, OUT, "small-2", ("pin",), id="pin > promotion"),
        pytest.param(
            {"text": POEM, "model": "small-2"}, {"tier": "cloud"}, {}, None, "small-2", ("pin",), id="pin > floor"
        ),
        pytest.param(
            {"text": POEM, "model": "small-2"}, {"service": "legal"}, rules(tier="cloud"), None, "small-2",
            ("pin",), id="pin > rule",
        ),
        pytest.param(
            {"text": POEM, **FORCED}, {}, {}, SPENT, None, ("budget_exhausted",), id="capability > budget"
        ),
        pytest.param(
            {"text": EXTRACT, **FORCED}, {}, {}, OUT, "large-1", ("capability", "category"),
            id="capability > promotion",
        ),
        pytest.param(
            {"text": EXTRACT, **FORCED}, {"tier": "small"}, {}, None, "large-1",
            ("capability", "caller", "category"), id="capability > floor",
        ),
        pytest.param(
            {"text": EXTRACT, **FORCED}, {"service": "legal"}, rules(backends=["small-1"]), None, "large-1",
            ("capability", "rule", "category"), id="capability > rule",
        ),
        pytest.param(
            {"text": POEM}, {}, {}, SPENT, "small", ("budget_downgrade", "category"), id="budget > category"
        ),
        pytest.param(
            {"text": POEM}, {}, {}, Outlook(suspended={"general": SMALL}, purses=SPENT.purses), "small",
            ("budget_downgrade", "category"), id="budget > promotion",
        ),
        pytest.param(
            {"text": POEM}, {"tier": "cloud"}, {}, SPENT, "small", ("budget_downgrade", "caller", "category"),
            id="budget > floor",
        ),
        pytest.param(
            {"text": POEM}, {"service": "legal"}, rules(tier="cloud"),
            Outlook(purses={"legal": Purse(0, exhausted=True)}), "small", ("budget_downgrade", "rule", "category"),
            id="budget > rule",
        ),
        pytest.param(
            {"text": EXTRACT}, {"tier": "small"}, {}, OUT, "large-1", ("promoted", "caller", "category"),
            id="promotion > floor",
        ),
        pytest.param(
            {"text": EXTRACT}, {"service": "legal"}, rules(backends=["small-2"]), OUT, "large-1",
            ("promoted", "rule", "category"), id="promotion > rule",
        ),
        pytest.param({"text": EXTRACT}, {}, {}, OUT, "large-1", ("promoted", "category"), id="promotion > category"),
        pytest.param(
            {"text": EXTRACT}, {"tier": "cloud", "service": "legal"}, rules(tier="large"), None, "cloud-1",
            ("caller", "category"), id="floor > rule",
        ),
        pytest.param(
            {"text": EXTRACT, "model": "small"}, {"service": "legal"}, rules(tier="large"), None, "large-1",
            ("rule", "category"), id="of floor and rule the higher",
        ),
        pytest.param(
            {"text": EXTRACT}, {"tier": "large", "service": "legal"}, rules(backends=["small-1", "cloud-1"]), None,
            "cloud-1", ("rule", "category"), id="floor > a rule's backends",
        ),
        pytest.param(
            {"text": EXTRACT}, {"service": "legal"}, rules(tier="cloud"), None, "cloud-1", ("rule", "category"),
            id="rule > category",
        ),
        pytest.param(
            {"text": EXTRACT}, {"category": "code", "service": "legal"}, rules(tier="small"), None, "small",
            ("rule", "category"), id="rule > the caller's category",
        ),
        pytest.param(
            {"text": EXTRACT, "model": "auto:quality"}, {"service": "legal"}, rules(tier="small"), None, "large-1",
            ("caller", "category"), id="auto:quality > a lower rule",
        ),
        pytest.param(
            {"text": POEM, "model": "auto:cheap"}, {"service": "legal"}, rules(tier="cloud"), None, "cloud-1",
            ("rule", "category"), id="rule > auto:cheap",
        ),
    ],
)  # fmt: skip
def test_the_stronger_of_two_decides(
    asked: dict[str, Any],
    fields: dict[str, Any],
    more: dict[str, Any],
    outlook: Outlook | None,
    first: str | None,
    reasons: tuple[str, ...],
) -> None:
    answer = core.decide(received(**fields), chat(**asked), book(**more), outlook or Outlook())
    if first is None:
        assert refused(answer).refusal.code == reasons[0]
        return
    made = plan(chat(**asked), book(**more), outlook or Outlook(), **fields)
    assert made.candidates[0] == first or made.tier == first
    assert made.reasons == reasons


def test_a_rule_of_backends_gives_their_order_and_the_rest_steps_in_after_them() -> None:
    by = book(**rules(backends=["cloud-1", "small-2"]))
    made = plan(chat(EXTRACT), by, service="legal")
    assert made.candidates == ("cloud-1", "small-2", "large-1", "small-1")
    assert (made.tier, made.reasons) == ("cloud", ("rule", "category"))


@pytest.mark.parametrize(
    ("when", "fields", "model", "holds"),
    [
        ({"service": "legal"}, {"service": "legal"}, "", True),
        ({"service": "legal"}, {}, "", False),
        ({"priority": "interactive"}, {"priority": "interactive"}, "", True),
        ({"priority": "interactive"}, {}, "", False),
        ({"category": "extraction"}, {}, "", True),
        ({"category": "extraction"}, {"category": "code"}, "", False),
        ({"category": "code"}, {"category": "code"}, "", True),
        ({"model": "gpt-*"}, {}, "gpt-4o", True),
        ({"model": "gpt-*"}, {}, "auto", False),
        ({"headers": {"X-Team": "search"}}, {"headers": (("x-team", "search"),)}, "", True),
        ({"headers": {"X-Team": "search"}}, {"headers": (("x-team", "sales"),)}, "", False),
        ({"headers": {"X-Team": "search"}}, {}, "", False),
        ({"service": "legal", "category": "code"}, {"service": "legal"}, "", False),
        ({}, {}, "", True),
    ],
)
def test_a_rule_holds_where_all_its_conditions_do(
    when: dict[str, Any], fields: dict[str, Any], model: str, holds: bool
) -> None:
    by = book(aliases={"gpt-*": "auto"}, rules=[{"name": "r", "when": when, "tier": "cloud"}])
    assert ("rule" in plan(chat(EXTRACT, model=model), by, **fields).reasons) is holds


def test_the_first_rule_that_holds_counts() -> None:
    by = book(rules=[{**LEGAL, "tier": "large"}, {**LEGAL, "name": "second", "tier": "cloud"}])
    assert plan(chat(EXTRACT), by, service="legal").tier == "large"


# The moment -------------------------------------------------------------------------------------------------


def test_who_is_suspended_is_left_out_and_says_so() -> None:
    one_out = Outlook(suspended={"extraction": frozenset({"small-1"})})
    made = plan(chat(EXTRACT), book(), one_out)
    assert (made.candidates[0], made.tier) == ("small-2", "small")
    left_out = {one.backend: one.because for one in excluded_from(received(), chat(EXTRACT), book(), one_out)}
    assert left_out["small-1"] == "its quality is suspended for extraction"
    assert set(plan(chat("Classify: spam or ham?"), book(), one_out).candidates[:2]) == SMALL


def test_the_next_tier_above_takes_over_who_ails() -> None:
    made = plan(chat(EXTRACT), book(), Outlook(ailing=SMALL))
    assert (made.candidates, made.reasons) == (("large-1", "cloud-1"), ("failover", "category"))


@pytest.mark.parametrize("model", ["auto", "small-1"])
def test_where_only_the_moment_is_in_the_way_it_is_503_and_worth_another_try(model: str) -> None:
    everybody = Outlook(ailing=frozenset(BACKENDS))
    refusal = refused(core.decide(received(), chat(EXTRACT, model=model), book(), everybody)).refusal
    assert (refusal.status, refusal.code, refusal.may_retry) == (503, "no_backend_available", True)
    assert refusal.retry_after_s == 1
    assert "small-1: it does not answer at the moment" in refusal.message


def test_where_no_adapter_is_there_it_is_the_operators_503() -> None:
    refusal = refused(core.decide(received(), chat(model="cloud-2"), book())).refusal
    assert (refusal.status, refusal.retry_after_s) == (503, 30)
    assert "no adapter for anthropic yet" in refusal.message


def test_a_backend_that_would_serve_but_ails_makes_it_503_not_the_callers_fault() -> None:
    refusal = refused(
        core.decide(received(), chat(EXTRACT, **FORCED), book(), Outlook(ailing=frozenset({"large-1", "cloud-1"})))
    ).refusal
    assert refusal.status == 503
    assert "small-1: lacks tools" in refusal.message
