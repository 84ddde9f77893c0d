"""The decision: names, tiers, who can serve, who is cheapest, what is refused, and that all is explained."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.classifier import core, evidence
from services.classifier.book import compile_policy
from services.classifier.listed import LARGEST_AMOUNT, worst_case
from services.classifier.outlook import Outlook
from shared import policy
from shared.contracts import Features, PlanRefused, RequestPlanned, encode
from tests.unit.classifier.policies import BACKENDS, book, chat, excluded_from, measured, plan, received, refused

BOOK = book()
decode_features = msgspec.msgpack.Decoder(Features).decode
POEM = "Write a poem about rain."
EXTRACT = "Extract the invoice number: Invoice 4711 of Acme."
TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}
FORCED = {"type": "function", "function": {"name": "f"}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "s", "schema": {}}}
IMAGE = [{"type": "text", "text": "Extract the total."}, {"type": "image_url", "image_url": {"url": "https://x/y"}}]


@pytest.mark.parametrize(
    ("model", "text", "tier", "first", "reasons"),
    [
        ("", EXTRACT, "small", {"small-1", "small-2"}, ("category",)),
        ("auto", EXTRACT, "small", {"small-1", "small-2"}, ("category",)),
        ("default", POEM, "large", {"large-1"}, ("category",)),
        ("auto:cheap", POEM, "small", {"small-1", "small-2"}, ("caller", "category")),
        ("auto:cheap", EXTRACT, "small", {"small-1", "small-2"}, ("caller", "category")),
        ("auto:quality", EXTRACT, "large", {"large-1"}, ("caller", "category")),
        ("auto:quality", POEM, "cloud", {"cloud-1"}, ("caller", "category")),
        ("cloud", EXTRACT, "cloud", {"cloud-1"}, ("caller", "category")),
        ("small", POEM, "large", {"large-1"}, ("category",)),
        ("small-2", POEM, "small", {"small-2"}, ("pin",)),
        ("qwen-9b", POEM, "small", {"small-1", "small-2"}, ("pin",)),
        ("sdr", POEM, "small", {"small-1"}, ("lora",)),
        ("gpt-4o-mini", POEM, "large", {"large-1"}, ("category", "alias")),
        ("gpt-4-turbo", POEM, "small", {"small-2"}, ("alias", "pin")),
        ("gpt-3", EXTRACT, "large", {"large-1"}, ("alias", "caller", "category")),
    ],
)
def test_what_a_name_in_model_means(
    model: str, text: str, tier: str, first: set[str], reasons: tuple[str, ...]
) -> None:
    by = book(aliases={"gpt-4o*": "auto", "gpt-4*": "small-2", "gpt-?": "large"})
    made = plan(chat(text, model=model), by)
    assert made.candidates[0] in first
    assert (made.tier, made.reasons) == (tier, reasons)


@pytest.mark.parametrize("model", ["gpt-9", "Small-1", "auto:best", "*", "x" * 100_000, "small-1 "])
def test_an_unknown_model_is_404_with_the_known_names(model: str) -> None:
    refusal = refused(core.decide(received(), chat(model=model), BOOK)).refusal
    assert (refusal.status, refusal.code, refusal.param) == (404, "model_not_found", "model")
    assert "auto, auto:cheap, auto:quality, small, large, cloud, small-1" in refusal.message
    assert len(refusal.message) < 1000


def test_an_alias_may_catch_everything() -> None:
    assert plan(chat(EXTRACT, model="whatever"), book(aliases={"*": "auto"})).tier == "small"


@pytest.mark.parametrize("said", ["summarisation", "summarization"])
@pytest.mark.parametrize("in_header", [True, False])
def test_the_callers_category_is_taken_in_both_spellings(said: str, in_header: bool) -> None:
    if in_header:
        made = plan(chat(POEM, metadata={"tierwise_category": "code"}), BOOK, category=said)
    else:
        made = plan(chat(POEM, metadata={"tierwise_category": said}), BOOK)
    assert (made.category, made.tier, made.reasons) == ("summarisation", "small", ("caller", "category"))


@pytest.mark.parametrize("where", ["header", "metadata"])
def test_the_callers_tier_is_a_floor_also_for_failover(where: str) -> None:
    if where == "header":
        made = plan(chat(EXTRACT), BOOK, tier="large")
    else:
        made = plan(chat(EXTRACT, metadata={"tierwise_tier": "large"}), BOOK)
    assert made.candidates == ("large-1", "cloud-1")
    assert made.reasons == ("caller", "category")


@pytest.mark.parametrize("what", ["category", "tier", "priority"])
@pytest.mark.parametrize("where", ["header", "metadata"])
def test_an_unknown_word_of_the_caller_is_400_with_the_valid_ones(what: str, where: str) -> None:
    fields = {"priority": "", what: "finest"} if where == "header" else {"priority": ""}
    body = {"metadata": {f"tierwise_{what}": "finest"}} if where == "metadata" else {}
    refusal = refused(core.decide(received(**fields), chat(**body), BOOK)).refusal
    assert (refusal.status, refusal.code) == (400, f"unknown_{what}")
    assert {"category": "extraction", "tier": "small, large, cloud", "priority": "bulk"}[what] in refusal.message


def test_service_and_priority_come_from_the_header_then_the_body_then_the_default() -> None:
    said = {"metadata": {"tierwise_service": "billing", "tierwise_priority": "background"}}
    by_body = plan(chat(**said), BOOK, priority="")
    assert (by_body.service, by_body.priority) == ("billing", "background")
    by_header = plan(chat(**said), BOOK, service="legal", priority="interactive")
    assert (by_header.service, by_header.priority) == ("legal", "interactive")
    by_nobody = plan(chat(), BOOK, priority="")
    assert (by_nobody.service, by_nobody.priority) == ("default", "normal")


def test_categories_without_a_tier_of_their_own_are_cheap_only_when_easy() -> None:
    by = book(categories={"code": "large"})
    assert {name: by.tiers[place] for name, place in by.tier_of.items()} == {
        "extraction": "small",
        "summarisation": "small",
        "classification": "small",
        "reasoning": "cloud",
        "code": "large",
        "general": "cloud",
    }


def test_the_chain_goes_up_before_it_goes_down() -> None:
    made = plan(chat(POEM), BOOK)
    assert made.candidates[:2] == ("large-1", "cloud-1")
    assert set(made.candidates[2:]) == {"small-1", "small-2"}


def test_price_decides_within_a_tier_for_this_request() -> None:
    dear_to_ask = {**BACKENDS["small-1"], "price": {"input_per_1m": 2, "output_per_1m": 1}}
    dear_to_hear = {**BACKENDS["small-1"], "price": {"input_per_1m": 1, "output_per_1m": 9}}
    by = book({"asking": dear_to_ask, "hearing": dear_to_hear})
    assert plan(chat(f"{EXTRACT} {'word ' * 4000}"), by).candidates[0] == "hearing"
    assert plan(chat(POEM), by).candidates[0] == "asking"


def test_equal_prices_take_turns_by_the_requests_id() -> None:
    asked = chat(EXTRACT)
    firsts = [plan(asked, BOOK, request_id=f"req_{n}").candidates[0] for n in range(400)]
    assert 150 < firsts.count("small-1") < 250
    assert firsts == [plan(asked, BOOK, request_id=f"req_{n}").candidates[0] for n in range(400)]


@pytest.mark.parametrize(
    ("fields", "candidates", "reason"),
    [
        ({"tools": [TOOL], "tool_choice": FORCED}, ("large-1", "cloud-1"), "capability"),
        ({"messages": [{"role": "user", "content": IMAGE}]}, ("cloud-1",), "capability"),
        ({"text": f"{EXTRACT} {'word ' * 10_000}"}, ("large-1", "cloud-1"), "context"),
        ({"max_tokens": 100_000}, ("large-1", "cloud-1"), "context"),
        ({"max_tokens": 1_000_000}, ("small-1", "small-2", "large-1", "cloud-1"), "category"),
    ],
)  # fmt: skip
def test_who_cannot_serve_is_left_out_and_the_reason_says_so(
    fields: dict[str, Any], candidates: tuple[str, ...], reason: str
) -> None:
    made = plan(chat(**{"text": EXTRACT, **fields}), BOOK)
    assert sorted(made.candidates) == sorted(candidates)
    assert made.reasons[0] == reason


def test_unknown_capabilities_rule_nothing_out() -> None:
    unknown = {**BACKENDS["small-1"], "capabilities": None, "context_window": 0}
    by = book({"small-1": unknown})
    assert plan(chat(tools=[TOOL], response_format=SCHEMA), by).candidates == ("small-1",)


def test_nobody_can_serve_is_400_and_says_what_each_lacks() -> None:
    by = book({"small-1": BACKENDS["small-1"], "cloud-2": BACKENDS["cloud-2"]})
    refusal = refused(core.decide(received(), chat(tools=[TOOL]), by)).refusal
    assert (refusal.status, refusal.code) == (400, "no_capable_backend")
    assert "small-1: lacks tools" in refusal.message
    assert "cloud-2: no adapter for anthropic yet" in refusal.message


def test_a_pin_that_cannot_serve_is_400_and_goes_nowhere_else() -> None:
    refusal = refused(core.decide(received(), chat(model="small-1", tools=[TOOL]), BOOK)).refusal
    assert (refusal.status, refusal.code, refusal.param) == (400, "no_capable_backend", "model")


def test_a_pin_is_never_anything_else() -> None:
    assert set(plan(chat(model="qwen-9b"), BOOK).candidates) == {"small-1", "small-2"}


@pytest.mark.parametrize(
    ("model", "sent"),
    [("sdr", "sdr"), ("gpt-4", "sdr"), ("small-1", ""), ("qwen-9b", ""), ("gpt-3", ""), ("auto", ""), ("small", "")],
)
def test_a_plan_says_which_adapter_to_ask_for(model: str, sent: str) -> None:
    by = book(aliases={"gpt-4": "sdr", "gpt-3": "qwen-9b"})
    assert plan(chat(EXTRACT, model=model), by).model == sent


def test_a_backend_is_stronger_than_an_adapter_of_its_name() -> None:
    by = book({**BACKENDS, "large-1": {**BACKENDS["large-1"], "lora_adapters": ["small-2"]}})
    made = plan(chat(model="small-2"), by)
    assert (made.candidates, made.model) == (("small-2",), "")


@pytest.mark.parametrize(
    ("said", "deadline_ms"), [(None, 60_000), (30_000, 30_000), ("30000", 30_000), (90_000, 60_000), ("1", 1)]
)
def test_the_shorter_deadline_counts(said: Any, deadline_ms: int) -> None:
    made = plan(chat(metadata={"tierwise_deadline_ms": said}), BOOK, deadline_ms=60_000)
    assert made.deadline_ms == deadline_ms


def test_the_header_about_the_cache_is_stronger() -> None:
    asked = chat(metadata={"tierwise_cache": "no-store , bypass"})
    assert plan(asked, BOOK).cache == "no-store,bypass"
    assert plan(asked, BOOK, cache="bypass").cache == "bypass"


def test_the_reservation_is_the_worst_case_of_the_dearest_in_the_first_tier() -> None:
    dearer = {**BACKENDS["small-2"], "price": {"input_per_1m": 1, "output_per_1m": 2}}
    by = book({**BACKENDS, "small-2": dearer})
    made = plan(chat(EXTRACT, max_tokens=100, n=3), by)
    assert made.candidates[:2] == ("small-1", "small-2")
    assert made.reserved_nano_usd == made.input_tokens * 1000 + 3 * 100 * 2000
    uncapped = plan(chat(EXTRACT), by)
    assert uncapped.reserved_nano_usd == uncapped.input_tokens * 1000 + 8192 * 2000
    unknown = {**dearer, "context_window": 0}
    assert plan(chat(EXTRACT), book({"small-2": unknown})).reserved_nano_usd == made.input_tokens * 1000 + 4096 * 2000


def test_a_reservation_stays_within_what_a_message_can_hold() -> None:
    absurd = {**BACKENDS["small-1"], "price": {"input_per_1m": 1e6, "output_per_1m": 1e6}}
    made = plan(chat(EXTRACT, max_tokens=2**31 - 1, n=128), book({"small-1": absurd}))
    assert made.reserved_nano_usd == LARGEST_AMOUNT
    assert encode(made)


@pytest.mark.parametrize("in_header", [True, False])
def test_a_cost_limit_leaves_out_the_dear_ones(in_header: bool) -> None:
    if in_header:
        made = plan(chat(POEM, max_tokens=1000), BOOK, max_cost_nano_usd=100_000)
    else:
        made = plan(chat(POEM, max_tokens=1000, metadata={"tierwise_max_cost_usd": "0.0001"}), BOOK)
    assert (made.tier, made.reasons) == ("small", ("max_cost", "category"))
    assert set(made.candidates) == {"small-1", "small-2"}


@pytest.mark.parametrize("model", ["auto", "cloud-1"])
def test_a_cost_limit_below_all_is_402_and_not_to_be_tried_again(model: str) -> None:
    answer = refused(core.decide(received(max_cost_nano_usd=1), chat(model=model), BOOK))
    assert (answer.refusal.status, answer.refusal.code) == (402, "max_cost_exceeded")
    assert not answer.refusal.may_retry
    assert (answer.category, answer.policy_version) == ("extraction", 7)


def test_observing_serves_from_the_baseline_and_keeps_what_would_have_been() -> None:
    by = book(routing={"mode": "observe"}, savings={"baseline": "cloud-1"})
    made = plan(chat(EXTRACT, max_tokens=10), by)
    assert made.candidates[0] == "cloud-1"
    assert len(set(made.candidates)) == len(made.candidates)
    assert (made.category, made.tier, made.reasons) == ("extraction", "small", ("observe", "category"))
    assert made.reserved_nano_usd == made.input_tokens * 2500 + 10 * 10_000


def test_observing_re_routes_no_pin_and_asks_no_baseline_that_cannot() -> None:
    by = book(routing={"mode": "observe"})
    assert by.baseline.name == "cloud-2"
    assert plan(chat(model="small-1"), by).candidates == ("small-1",)
    made = plan(chat(EXTRACT), by)
    assert (made.candidates[0], made.tier, made.reasons[0]) == ("cloud-1", "small", "observe")


def test_while_observing_who_steps_in_for_the_baseline_is_near_it_and_not_what_would_have_been() -> None:
    """Full is a matter of its max_concurrent, and happens every day: nobody has dared to send that to small."""
    by = book(routing={"mode": "observe"}, savings={"baseline": "large-1"})
    assert plan(chat(EXTRACT), by).candidates == ("large-1", "cloud-1")
    left_out = {one.backend: one.because for one in excluded_from(received(), chat(EXTRACT), by)}
    assert "below that of the baseline, large-1" in left_out["small-1"]
    down = Outlook(ailing=frozenset({"large-1", "cloud-1"}))
    assert {*plan(chat(EXTRACT), by, down).candidates} == {"small-1", "small-2"}
    picture = [{"type": "text", "text": "Classify it."}, {"type": "image_url", "image_url": {"url": "data:,"}}]
    seeing = {**BACKENDS, "small-2": {**BACKENDS["small-2"], "capabilities": ["vision"]}}
    by = book(seeing, routing={"mode": "observe"}, savings={"baseline": "large-1"})
    made = plan(chat("", messages=[{"role": "user", "content": picture}]), by)
    assert (made.candidates, made.reasons[0]) == (("cloud-1",), "observe")


def test_the_baseline_is_the_dearest_of_the_last_tier_unless_it_is_named() -> None:
    assert plan(chat(), BOOK).baseline == "cloud-2"
    assert plan(chat(), book(savings={"baseline": "large-1"})).baseline == "large-1"


def test_a_backend_without_a_price_is_sent_nothing() -> None:
    tree = {
        "tiers": ["only"],
        "backends": [
            {"name": "hosted", "tier": "only", "provider": "openai", "model": "m"},
            {"name": "local", "tier": "only", "provider": "vllm", "model": "m", "base_url": "http://x",
             "price": {"input_per_1m": 1, "output_per_1m": 1}},
        ],
    }  # fmt: skip
    by = compile_policy(policy.from_tree(tree, {}), 1)
    made = plan(chat(), by)
    assert made.candidates == ("local",)
    (excluded,) = excluded_from(received(), chat(), by)
    assert made.candidates == ("local",)
    assert (excluded.backend, "price" in excluded.because) == ("hosted", True)


def test_a_plan_carries_what_came_and_what_was_measured() -> None:
    asked = chat(EXTRACT, stream=True, stream_options={"include_usage": True}, temperature=0, max_tokens=9)
    made = plan(asked, BOOK, deadline_ms=5, framed=True, send=1, cache="bypass", body_bytes=77, door="messages")
    assert (made.deadline_ms, made.framed, made.send, made.cache, made.body_bytes) == (5, True, 1, "bypass", 77)
    assert (made.door, made.policy_version, made.streamed, made.usage_wanted) == ("messages", 7, True, True)
    measured = decode_features(made.features)
    assert (measured.evidence, measured.max_tokens, measured.temperature_zero) == (
        ("extract", "extraction", "particulars", "no text"),
        9,
        True,
    )


WORDS = st.sampled_from(
    ["extract", "classify", "summarize", "prove", "debug", "sql", "poem", "why", "label", "\u00e9", "x" * 900]
)
ASKED = st.fixed_dictionaries(
    {"text": st.lists(WORDS, max_size=12).map(" ".join)},
    optional={
        "model": st.sampled_from(["auto", "auto:cheap", "auto:quality", "small", "cloud", "small-1", "qwen-9b", "sdr",
                                  "cloud-2", "gpt-4o", "nobody", "\U0001f600" * 40]),
        "max_tokens": st.sampled_from([1, 100, 9000, 200_000, 2**31 - 1]),
        "n": st.sampled_from([1, 128]),
        "tools": st.just([TOOL]),
        "response_format": st.just(SCHEMA),
        "stream": st.booleans(),
    },
)  # fmt: skip
FIELDS = st.fixed_dictionaries(
    {"request_id": st.text(max_size=8)},
    optional={
        "category": st.sampled_from(["code", "summarization", "nonsense"]),
        "tier": st.sampled_from(["small", "cloud", "nonsense"]),
        "max_cost_nano_usd": st.sampled_from([-1, 0, 10_000, 10_000_000]),
    },
)
BOOKS = st.sampled_from(
    [BOOK, book(aliases={"gpt-*": "auto"}), book(routing={"mode": "observe"}, savings={"baseline": "cloud-1"})]
)


@given(ASKED, FIELDS, BOOKS)
def test_every_decision_is_sound_and_explained(fields: dict[str, Any], head: dict[str, Any], by: Any) -> None:
    asked, got = chat(**fields), received(**head)
    answer = core.decide(got, asked, by)
    assert answer == core.decide(got, asked, by)
    if isinstance(answer, PlanRefused) and answer.refusal.code.startswith("unknown_"):
        assert answer.refusal.status == 400
        return
    left_out = excluded_from(got, asked, by)
    assert all(one.because for one in left_out)
    if isinstance(answer, PlanRefused):
        assert answer.refusal.status in {400, 402, 404, 503}
        assert {one.backend for one in left_out} == set(BACKENDS)
        return
    assert isinstance(answer, RequestPlanned)
    assert answer.candidates
    assert len(set(answer.candidates)) == len(answer.candidates)
    assert {one.backend for one in left_out} == set(BACKENDS) - set(answer.candidates)
    assert len(encode(answer.features)) <= 300
    for name in answer.candidates:
        backend = by.backends[name]
        assert backend.capabilities is None or backend.capabilities.issuperset(asked.needs)
        assert not 0 < backend.context_window <= asked.input_tokens
        if got.max_cost_nano_usd >= 0:
            assert worst_case(backend, measured(got, asked), answer.output_cap) <= got.max_cost_nano_usd


def test_the_largest_features_are_300_bytes_at_most() -> None:
    everything = " ".join(phrase for cue in evidence.CUES for phrase in cue.phrases[:1])
    content = [{"type": "text", "text": everything}, {"type": "image_url", "image_url": {"url": "data:,"}}]
    asked = chat(
        model="\U0001f600" * 60,
        messages=[{"role": "user", "content": content}] * 400,
        max_tokens=2**31 - 1,
        tools=[TOOL],
        response_format=SCHEMA,
        stream=True,
        temperature=0,
    )
    by = book({"cloud-1": {**BACKENDS["cloud-1"], "context_window": 0}}, aliases={"*": "auto"}, categories={})
    measured = decode_features(plan(asked, by).features)
    assert len(measured.evidence) == evidence.LONGEST_EVIDENCE
    assert len(encode(measured)) <= 300


@pytest.mark.parametrize(("waited_ms", "left_ms"), [(0, 5_000), (3_000, 2_000), (9_000, 1)])
def test_a_deadline_in_the_body_does_not_begin_anew_when_a_request_is_sent_again(waited_ms, left_ms):
    asked = chat(EXTRACT, metadata={"tierwise_deadline_ms": "5000"})
    assert plan(asked, BOOK, deadline_ms=60_000, waited_ms=waited_ms).deadline_ms == left_ms


@pytest.mark.parametrize(("category", "hand_on"), [("extraction", 0), ("reasoning", 2)])
def test_what_is_full_hands_on_to_its_like_or_better_alone(category: str, hand_on: int) -> None:
    """Hard work begins above the small tier, whose backends step in where the others fail."""
    made = plan(chat("…"), BOOK, category=category)
    assert len(made.candidates) > 1
    assert made.hand_on == hand_on
