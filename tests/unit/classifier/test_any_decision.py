"""Whatever is asked, under whatever policy, at whatever moment: what every decision keeps to."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from services.classifier import core
from services.classifier.book import Book, compile_policy
from services.classifier.explain import explain
from services.classifier.listed import largest_cap, worst_case
from services.classifier.measured import measure, recall
from services.classifier.outlook import Outlook, Purse
from shared import policy
from shared.contracts import Features, PlanRefused, Refusal, RequestPlanned, encode
from tests.unit.classifier.policies import chat, received

EXAMPLES = 300
REASONS = {
    "category", "rule", "caller", "alias", "pin", "lora", "promoted", "budget_downgrade", "max_cost", "failover",
    "capability", "context", "session", "observe",
}  # fmt: skip
TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}
CALL = {"role": "assistant", "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f"}}]}
IMAGE = [{"type": "text", "text": "Extract the total."}, {"type": "image_url", "image_url": {"url": "https://x/y"}}]
NAMES = ["a", "b", "c", "d", "e"]
TIERS = ["small", "large", "cloud"]
CATEGORIES = ["extraction", "summarisation", "classification", "reasoning", "code", "general"]
PROVIDERS = ["vllm", "ollama", "llamacpp", "openai-compatible", "openai", "groq", "mistral", "anthropic"]

decode_features = msgspec.msgpack.Decoder(Features).decode

backend = st.fixed_dictionaries(
    {
        "tier": st.sampled_from(TIERS),
        "provider": st.sampled_from(PROVIDERS),
        "model": st.sampled_from(["m", "n", "a model"]),
        "base_url": st.just("http://127.0.0.1:1/v1"),
        "price": st.fixed_dictionaries(
            {"input_per_1m": st.sampled_from([0, 0.5, 3]), "output_per_1m": st.sampled_from([0, 0.5, 20])}
        ),
    },
    optional={
        "context_window": st.sampled_from([0, 30, 4096, 100_000]),
        "capabilities": st.lists(st.sampled_from(["json_schema", "tools", "vision"]), unique=True),
        "lora_adapters": st.lists(st.sampled_from(["sdr", "closer"]), unique=True),
    },
)
service = st.sampled_from(["", "legal", "billing"])
when = st.fixed_dictionaries(
    {},
    optional={
        "service": st.sampled_from(["legal", "default"]),
        "category": st.sampled_from(CATEGORIES),
        "priority": st.sampled_from(["interactive", "normal"]),
        "model": st.sampled_from(["*", "gpt-*", "auto"]),
        "headers": st.just({"X-Team": "search"}),
    },
)
some = st.sets(st.sampled_from(NAMES), max_size=2).map(frozenset)


@st.composite
def books(draw: st.DrawFn) -> Book:
    backends = draw(st.dictionaries(st.sampled_from(NAMES), backend, min_size=1))
    tiers = [tier for tier in TIERS if any(one["tier"] == tier for one in backends.values())]
    known = st.sampled_from(sorted(backends))
    rule = st.fixed_dictionaries(
        {"name": st.just("r"), "when": when},
        optional={"tier": st.sampled_from(tiers), "backends": st.lists(known, min_size=1, unique=True)},
    )
    tree = {
        "tiers": tiers,
        "backends": [{"name": name, **one} for name, one in backends.items()],
        "categories": draw(st.dictionaries(st.sampled_from(CATEGORIES), st.sampled_from(tiers))),
        "aliases": draw(
            st.dictionaries(st.sampled_from(["gpt-*", "*", "claude-*"]), st.sampled_from(["auto", *tiers]))
        ),
        "rules": draw(st.lists(rule, max_size=3)),
        "routing": {"mode": draw(st.sampled_from(["active", "active", "observe"]))},
    }
    try:
        return compile_policy(policy.from_tree(tree, {}), 7)
    except policy.PolicyFault:
        assume(False)
        raise


outlooks = st.builds(
    Outlook,
    suspended=st.dictionaries(st.sampled_from(CATEGORIES), some, max_size=3),
    ailing=some,
    load=st.dictionaries(st.sampled_from(NAMES), st.floats(0, 100)),
    adapters=st.dictionaries(
        st.sampled_from(NAMES),
        st.dictionaries(st.sampled_from(["sdr", "new"]), st.sampled_from([1.0, 0.8, 0.6, 0.0])),
    ),
    purses=st.dictionaries(
        st.sampled_from(["default", "legal"]),
        st.builds(
            Purse,
            st.sampled_from([0, 1000, 10**6, 10**12]),
            exhausted=st.booleans(),
            floor_tier=st.sampled_from([-1, 0]),
            rejects=st.booleans(),
        ),
    ),
)
words = st.sampled_from(["extract", "classify", "summarize", "prove", "debug", "poem", "why", "\u00e9", "x" * 400])
turns = st.lists(
    st.sampled_from(
        [
            {"role": "user", "content": "Extract the date: May 4."},
            {"role": "user", "content": IMAGE},
            {"role": "assistant", "content": "Here it is."},
            {"role": "system", "content": "Be brief."},
            CALL,
            {"role": "tool", "tool_call_id": "1", "content": "found " * 30},
        ]
    ),
    min_size=1,
    max_size=7,
)
bodies = st.fixed_dictionaries(
    {},
    optional={
        "messages": turns,
        "model": st.sampled_from(["", "auto", "auto:cheap", "auto:quality", *TIERS, *NAMES, "m", "a model", "sdr",
                                  "new", "gpt-4o", "nobody", "\U0001f600" * 30]),
        "max_tokens": st.sampled_from([1, 100, 9000, 2**31 - 1]),
        "n": st.sampled_from([1, 3]),
        "seed": st.just(1),
        "tools": st.just([TOOL]),
        "tool_choice": st.sampled_from(["auto", "required"]),
        "logprobs": st.booleans(),
        "logit_bias": st.just({"1": 1}),
        "response_format": st.just({"type": "json_schema", "json_schema": {"name": "s", "schema": {}}}),
        "stream": st.booleans(),
    },
)  # fmt: skip
heads = st.fixed_dictionaries(
    {"request_id": st.text("abc123", min_size=1, max_size=6), "service": service},
    optional={
        "priority": st.sampled_from(["", "interactive", "bulk"]),
        "category": st.sampled_from([*CATEGORIES, "summarization", "nonsense"]),
        "tier": st.sampled_from(["", "", *TIERS, "nonsense"]),
        "max_cost_nano_usd": st.sampled_from([-1, 0, 10_000, 3_000_000, 10**9]),
        "headers": st.sampled_from([(), (("x-team", "search"),), (("x-team", "sales"),)]),
    },
)


@settings(max_examples=EXAMPLES)
@given(st.lists(words, min_size=1, max_size=8).map(" ".join), bodies, heads, books(), outlooks)
def test_every_decision_is_sound_the_same_again_and_explained(
    text: str, body: dict[str, Any], head: dict[str, Any], by: Book, outlook: Outlook
) -> None:
    asked, got = chat(text, **body), received(**head)
    answer = core.decide(got, asked, by, outlook)
    assert encode(answer) == encode(core.decide(got, asked, by, outlook))
    told = explain(got, asked, by, outlook, decided_in_us=1.0)
    assert {one.backend for one in told.excluded} | {one.backend for one in told.candidates} == set(by.backends)
    assert not {one.backend for one in told.excluded} & {one.backend for one in told.candidates}
    assert all(one.because for one in told.excluded)
    assert msgspec.json.decode(msgspec.json.encode(told))["policy_version"] == 7
    if isinstance(answer, PlanRefused):
        event(answer.refusal.code)
        assert answer.refusal.status in {400, 402, 404, 503}
        assert (answer.refusal.retry_after_s > 0) == (answer.refusal.status == 503)
        assert told.refused is not None
        assert not told.candidates
        return
    event(answer.reasons[0])
    assert tuple(one.backend for one in told.candidates) == answer.candidates
    assert (told.tier, told.reason, told.category) == (answer.tier, answer.reasons, answer.category)
    check_sound(answer, asked, got, by, outlook)


def check_sound(answer: RequestPlanned, asked: Any, got: Any, by: Book, outlook: Outlook) -> None:
    came = measure(got, asked)
    assert not isinstance(came, Refusal)
    measured = came[0]
    assert set(answer.reasons) <= REASONS
    assert len(set(answer.candidates)) == len(answer.candidates) > 0
    assert len(answer.features) <= 300
    for name in answer.candidates:
        one = by.backends[name]
        assert not one.unfit
        assert one.capabilities is None or one.capabilities.issuperset(asked.needs)
        assert not one.not_heeded & asked.fields
        assert not 0 < one.context_window <= asked.input_tokens
        assert name not in outlook.ailing
        assert answer.output_cap <= largest_cap(one, measured)
        if measured.max_cost_nano_usd >= 0:
            assert worst_case(one, measured, answer.output_cap) <= measured.max_cost_nano_usd
    if answer.reasons[0] == "observe":
        below = {by.backends[name].tier < by.baseline.tier for name in answer.candidates}
        assert len(below) == 1
    purse = outlook.purses.get(answer.service)
    if purse is not None and answer.reasons[0] != "budget_downgrade":
        left = 0 if purse.exhausted else purse.available_nano_usd
        assert answer.reserved_nano_usd <= answer.dearest_nano_usd <= left
    if asked.output_cap:
        assert not answer.output_cap
    elif measured.max_cost_nano_usd >= 0 or (purse is not None and answer.reasons[0] != "budget_downgrade"):
        assert answer.output_cap or all(by.backends[name].context_window for name in answer.candidates)


@settings(max_examples=EXAMPLES)
@given(st.lists(words, min_size=1, max_size=8).map(" ".join), bodies, heads, books(), outlooks)
def test_what_was_recorded_is_decided_as_it_was(
    text: str, body: dict[str, Any], head: dict[str, Any], by: Book, outlook: Outlook
) -> None:
    asked, got = chat(text, **body), received(**head)
    answer = core.decide(got, asked, by, outlook)
    if isinstance(answer, PlanRefused):
        return
    recorded = recall(
        decode_features(answer.features),
        request_id=answer.request_id,
        service=answer.service,
        priority=answer.priority,
        category=answer.category,
    )
    came = measure(got, asked)
    assert not isinstance(came, Refusal)
    assert recorded == msgspec.structs.replace(came[0], model=recorded.model)
    assert came[0].model.startswith(recorded.model)
    again = core.decide_measured(recorded, by, outlook)
    assert isinstance(again, core.Decision)
    assert tuple(one.name for one in again.candidates) == answer.candidates
    assert (by.tiers[again.tier], again.reasons) == (answer.tier, answer.reasons)
    assert (again.reserved_nano_usd, again.output_cap) == (answer.reserved_nano_usd, answer.output_cap)
    assert again.route.adapter == answer.model
