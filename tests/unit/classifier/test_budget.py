"""What a request may cost: caps that are put in, budgets near their end or past it, what the caller allows."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from services.classifier import core
from services.classifier.listed import LARGEST_CAP, LEAST_CAP, worst_case
from services.classifier.outlook import Outlook, Purse
from shared.contracts import RequestPlanned, encode
from tests.unit.classifier.policies import BACKENDS, book, chat, excluded_from, measured, plan, received, refused

POEM = "Write a poem about rain."
EXTRACT = "Extract the invoice number: Invoice 4711 of Acme."
BOOK = book()
LARGE = BACKENDS["large-1"]  # 0.5 USD a million tokens: 500 nano-dollars each


def purse(**fields: Any) -> Outlook:
    return Outlook(purses={"default": Purse(**{"available_nano_usd": 0, **fields})})


def cost_of(made: RequestPlanned, name: str, asked: Any) -> int:
    return worst_case(BOOK.backends[name], measured(received(), asked), made.output_cap)


# The caller's limit -----------------------------------------------------------------------------------------


def test_a_limit_that_covers_the_longest_answer_puts_no_cap_in() -> None:
    made = plan(chat(POEM), BOOK, max_cost_nano_usd=10**9)
    assert (made.tier, made.output_cap, made.reasons) == ("large", 0, ("category",))


def test_below_that_the_answer_is_capped_before_anybody_is_left_out() -> None:
    asked = chat(POEM)
    made = plan(asked, BOOK, max_cost_nano_usd=5_000_000)  # of 131,072 tokens' 65,536,000
    assert (made.candidates[0], made.reasons) == ("large-1", ("category",))
    assert made.output_cap == (5_000_000 - asked.input_tokens * 500) // 500
    assert made.reserved_nano_usd <= 5_000_000
    assert all(cost_of(made, name, asked) <= 5_000_000 for name in made.candidates)


def test_an_answer_is_not_capped_below_what_its_category_needs() -> None:
    least = LEAST_CAP["general"]
    asked = chat(POEM)
    enough = asked.input_tokens * 500 + least * 500
    assert plan(asked, BOOK, max_cost_nano_usd=enough).output_cap == least
    below = plan(asked, BOOK, max_cost_nano_usd=enough - 1)
    assert (below.tier, below.reasons, below.output_cap) == ("small", ("max_cost", "category"), 0)


@pytest.mark.parametrize("category", sorted(LEAST_CAP))
def test_no_category_is_capped_below_1024_tokens(category: str) -> None:
    assert 1024 <= LEAST_CAP[category] <= LARGEST_CAP


def test_a_cap_of_the_callers_own_is_not_touched() -> None:
    asked = chat(EXTRACT, model="auto:quality", max_tokens=5000)  # 4,000 would do, and be paid for
    made = plan(asked, BOOK, max_cost_nano_usd=2_000_000)
    assert (made.tier, made.output_cap, made.reasons) == ("small", 0, ("max_cost", "caller", "category"))


def test_a_cap_leaves_room_for_the_prompt_in_the_window() -> None:
    small = {**LARGE, "context_window": 4096}
    made = plan(chat(POEM, n=2), book({"small-window": small}), max_cost_nano_usd=4_100_000)
    assert 0 < made.output_cap < 4096 - made.input_tokens


def test_what_the_model_itself_ends_in_time_needs_no_cap() -> None:
    short = {**LARGE, "max_output_tokens": 4096}
    made = plan(chat(POEM), book({"short": short}), max_cost_nano_usd=5_000_000)
    assert made.output_cap == 0
    assert made.reserved_nano_usd == plan(chat(POEM, max_tokens=4096), book({"short": short})).reserved_nano_usd
    assert plan(chat(POEM), book({"open": LARGE}), max_cost_nano_usd=5_000_000).output_cap > 4096


@pytest.mark.parametrize(
    ("less", "why"),
    [({"context_window": 4096}, "window is 4096"), ({"max_output_tokens": 2000}, "end at 2000 tokens")],
)
def test_who_would_refuse_the_cap_is_not_in_the_plan(less: dict[str, int], why: str) -> None:
    dearer = {"price": {"input_per_1m": 0.501, "output_per_1m": 0.5}}
    by = book({"first": LARGE, "second": {**LARGE, **dearer, **less}})
    asked = received(max_cost_nano_usd=9_000_000)
    assert plan(chat(POEM), by, max_cost_nano_usd=9_000_000).candidates == ("first",)
    assert [(one.backend, why in one.because) for one in excluded_from(asked, chat(POEM), by)] == [("second", True)]
    short = plan(chat(POEM, max_tokens=1000), by, max_cost_nano_usd=5_000_000)
    assert short.candidates == ("first", "second")


@pytest.mark.parametrize(("wanted", "candidates"), [(4096, 2), (5000, 1)])
def test_a_cap_of_the_callers_own_goes_where_the_model_answers_for_so_long(wanted: int, candidates: int) -> None:
    by = book({"short": {**LARGE, "max_output_tokens": 4096}, "long": {**LARGE, "max_output_tokens": 8192}})
    made = plan(chat(POEM, max_tokens=wanted), by)
    assert len(made.candidates) == candidates
    assert candidates == 2 or made.candidates == ("long",)


def test_where_nobody_knows_how_long_an_answer_gets_a_limit_ends_it() -> None:
    endless = {**LARGE, "context_window": 0}
    by = book({"endless": endless})
    assert plan(chat(POEM), by).output_cap == 0
    assert plan(chat(POEM), by, max_cost_nano_usd=10**12).output_cap == LARGEST_CAP
    assert plan(chat(POEM, max_tokens=50), by, max_cost_nano_usd=10**12).output_cap == 0
    assert plan(chat(POEM), by, purse(available_nano_usd=5_000_000)).output_cap < 10_000


def test_several_choices_cost_as_often() -> None:
    asked = chat(POEM, n=2)
    made = plan(asked, BOOK, max_cost_nano_usd=6_200_000)
    assert made.output_cap == (6_200_000 - asked.input_tokens * 500) // 1000


# The budget -------------------------------------------------------------------------------------------------


def test_no_purse_is_no_limit() -> None:
    assert plan(chat(POEM), BOOK, Outlook(purses={"billing": Purse(0, exhausted=True)})).tier == "large"


def test_while_there_is_enough_a_budget_changes_nothing() -> None:
    limited = plan(chat(POEM), BOOK, purse(available_nano_usd=10**12))
    assert limited.dearest_nano_usd == max([cost_of(limited, name, chat(POEM)) for name in limited.candidates])
    assert encode(replace(limited, dearest_nano_usd=0)) == encode(plan(chat(POEM), BOOK))


def test_what_is_left_caps_the_answer_and_leaves_the_dear_ones_out() -> None:
    made = plan(chat(POEM), BOOK, purse(available_nano_usd=5_000_000))
    assert (made.tier, made.reasons) == ("large", ("category",))
    assert made.output_cap > 0
    assert "cloud-1" not in made.candidates
    assert made.reserved_nano_usd <= 5_000_000


@pytest.mark.parametrize(
    "state", [{"exhausted": True}, {"available_nano_usd": 1000}, {"available_nano_usd": 200_000}]
)
def test_what_is_left_is_too_little_for_the_tier_so_the_floor_answers(state: dict[str, Any]) -> None:
    made = plan(chat(POEM), BOOK, purse(**state))
    assert (made.tier, made.reasons) == ("small", ("budget_downgrade", "category"))
    assert set(made.candidates) == {"small-1", "small-2"}


def test_the_floor_is_the_one_that_the_budget_names() -> None:
    made = plan(chat(POEM), BOOK, purse(exhausted=True, floor_tier=1), tier="cloud")
    assert (made.tier, made.reasons[0]) == ("large", "budget_downgrade")


def test_a_floor_that_cannot_serve_gives_way_to_the_cheapest_that_can() -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    made = plan(chat(POEM, tools=[tool]), BOOK, purse(exhausted=True, floor_tier=0), tier="cloud")
    assert (made.tier, made.reasons[0]) == ("large", "budget_downgrade")


@pytest.mark.parametrize(
    ("text", "state"),
    [
        (EXTRACT, {"exhausted": True}),  # the floor is where it would have gone anyway
        (POEM, {"exhausted": True, "floor_tier": 1}),
        (POEM, {"exhausted": True, "floor_tier": 2}),
        (POEM, {"exhausted": True, "rejects": True}),
        (POEM, {"available_nano_usd": 1000, "rejects": True}),
    ],
)
def test_a_floor_that_is_not_cheaper_or_none_at_all_is_402(text: str, state: dict[str, Any]) -> None:
    spent = {"limit_nano_usd": 10**9, "spent_nano_usd": 9 * 10**8, "reserved_nano_usd": 10**8,
             "resets_at": "2026-11-27T00:00:00Z"}  # fmt: skip
    refusal = refused(core.decide(received(), chat(text), BOOK, purse(**spent, **state))).refusal
    assert (refusal.status, refusal.code, refusal.may_retry) == (402, "budget_exhausted", False)
    for said in ("'default'", "0.9 USD", "0.1 reserved", "of 1", "2026-11-27"):
        assert said in refusal.message


FREE = {"price": {"input_per_1m": 0, "output_per_1m": 0}}


@pytest.mark.parametrize("rejects", [False, True])
@pytest.mark.parametrize("asked", [{}, {"model": "small-1"}, {"max_tokens": 90}])
def test_what_costs_nothing_is_within_a_budget_of_which_nothing_is_left(rejects: bool, asked: dict[str, Any]) -> None:
    by = book({**BACKENDS, "small-1": {**BACKENDS["small-1"], **FREE}})
    made = plan(chat(EXTRACT, **asked), by, purse(exhausted=True, rejects=rejects))
    assert (made.tier, made.candidates, "budget_downgrade" in made.reasons) == ("small", ("small-1",), False)
    assert (made.reserved_nano_usd, made.dearest_nano_usd) == (0, 0), "what else might be called is left out"


def test_what_was_asked_for_costs_something_though_the_floor_is_free() -> None:
    by = book({**BACKENDS, "small-1": {**BACKENDS["small-1"], **FREE}})
    made = plan(chat(POEM), by, purse(exhausted=True))
    assert (made.candidates[0], made.reasons[0]) == ("small-1", "budget_downgrade")
    answer = core.decide(received(), chat(POEM), by, purse(exhausted=True, rejects=True))
    assert refused(answer).refusal.code == "budget_exhausted"


def test_a_pin_is_never_re_routed_by_a_budget() -> None:
    refusal = refused(core.decide(received(), chat(POEM, model="large-1"), BOOK, purse(exhausted=True))).refusal
    assert (refusal.status, refusal.code) == (402, "budget_exhausted")


def test_the_callers_limit_binds_the_floor_too() -> None:
    answer = core.decide(received(max_cost_nano_usd=1), chat(POEM), BOOK, purse(exhausted=True))
    assert refused(answer).refusal.code == "max_cost_exceeded"


def test_observing_spends_no_more_than_the_budget_has() -> None:
    by = book(routing={"mode": "observe"}, savings={"baseline": "cloud-1"})
    assert plan(chat(POEM), by, purse(exhausted=True)).reasons[0] == "budget_downgrade"
    short = plan(chat(POEM), by, purse(available_nano_usd=5_000_000))
    assert (short.candidates[0], short.reasons) == (
        "large-1",
        ("observe", "category"),
    )  # the baseline would cost more
    assert plan(chat(POEM), by, purse(available_nano_usd=10**12)).candidates[0] == "cloud-1"


def test_each_backend_that_money_leaves_out_says_so() -> None:
    by_floor = {
        one.backend: one.because for one in excluded_from(received(), chat(POEM), BOOK, purse(exhausted=True))
    }
    assert by_floor["large-1"] == "the budget of default is spent, and its floor is small"
    by_rest = excluded_from(received(), chat(POEM), BOOK, purse(available_nano_usd=5_000_000))
    assert "the budget of default has no room" in {one.backend: one.because for one in by_rest}["cloud-1"]
    by_caller = excluded_from(received(max_cost_nano_usd=5_000_000), chat(POEM), BOOK)
    assert "the request allows 0.005" in {one.backend: one.because for one in by_caller}["cloud-1"]
