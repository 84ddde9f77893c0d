"""Who comes first among equals, and which fields of a request rule a backend out."""

from __future__ import annotations

from typing import Any

import pytest

from services.classifier.outlook import CLEAR, Outlook
from tests.unit.classifier.policies import BACKENDS, book, chat, excluded_from, plan, received

EXTRACT = "Extract the invoice number: Invoice 4711 of Acme."
TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}
CALL = {"role": "assistant", "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f"}}]}
SMALL = BACKENDS["small-1"]
MATES = {f"mate-{n}": {**SMALL, "capabilities": ["tools", "json_schema"]} for n in range(4)}
EVEN = book(MATES)


def firsts(by: Any, outlook: Outlook = CLEAR, times: int = 200, **asked: Any) -> list[str]:
    return [plan(chat(**asked), by, outlook, request_id=f"req_{n}").candidates[0] for n in range(times)]


def conversation(*more: dict[str, Any], first: str = "Book a table.") -> list[dict[str, Any]]:
    return [{"role": "system", "content": "You help."}, {"role": "user", "content": first}, *more]


def test_equals_take_turns_and_each_gets_its_share() -> None:
    got = firsts(EVEN, text=EXTRACT, times=400)
    assert all(60 < got.count(mate) < 140 for mate in MATES)


def test_of_two_that_are_drawn_the_one_with_less_to_do_is_first() -> None:
    busy = Outlook(load={"mate-0": 9.0, "mate-1": 5.0, "mate-2": 5.0, "mate-3": 0.0})
    got = firsts(EVEN, busy, text=EXTRACT, times=400)
    assert got.count("mate-0") == 0  # whoever is drawn with it has less to do
    assert 160 < got.count("mate-3") < 240  # half of all pairs have it


def test_load_never_puts_a_dearer_one_first() -> None:
    by = book({"cheap": SMALL, "dear": {**SMALL, "price": {"input_per_1m": 1, "output_per_1m": 1}}})
    assert set(firsts(by, Outlook(load={"cheap": 1e9}), text=EXTRACT)) == {"cheap"}


def test_a_conversation_stays_with_its_backend_whatever_the_load_and_the_id() -> None:
    turn = conversation({"role": "assistant", "content": "Where?"}, {"role": "user", "content": "In Rome."})
    later = [*turn, {"role": "assistant", "content": "When?"}, {"role": "user", "content": "At eight."}]
    seen = {
        *firsts(EVEN, messages=turn, times=20),
        *firsts(EVEN, Outlook(load={"mate-0": 9, "mate-1": 9}), messages=later, times=20),
    }
    assert len(seen) == 1
    assert plan(chat(messages=turn), EVEN).reasons[-1] == "session"


def test_other_conversations_go_to_other_backends() -> None:
    got = {
        plan(chat(messages=conversation(CALL | {"content": "Done."}, first=f"Book table {n}.")), EVEN).candidates[0]
        for n in range(40)
    }
    assert got == set(MATES)


def test_a_conversation_is_moved_by_nobody_elses_coming_or_going() -> None:
    fewer = book({name: mate for name, mate in MATES.items() if name != "mate-2"})
    for n in range(40):
        asked = chat(messages=conversation(CALL | {"content": "Done."}, first=f"Book table {n}."))
        before = plan(asked, EVEN).candidates[0]
        if before != "mate-2":
            assert plan(asked, fewer).candidates[0] == before


@pytest.mark.parametrize("backends", [MATES, {**BACKENDS, **MATES}])
def test_a_tools_result_goes_to_the_model_that_asked_for_it(backends: dict[str, Any]) -> None:
    by = book(backends)
    asked = chat(messages=conversation(), tools=[TOOL])
    first = plan(asked, by, request_id="req_1")
    result = {"role": "tool", "tool_call_id": "1", "content": "Found: " + "a table " * 400}
    answered = chat(messages=conversation(CALL, result, CALL, result, CALL, result), tools=[TOOL])
    assert answered.tool_turn
    assert not asked.tool_turn
    then = plan(answered, by, Outlook(load={"mate-0": 9, "mate-1": 9}), request_id="req_2")
    assert then.candidates == first.candidates
    assert (then.category, then.tier, then.reasons) == (first.category, first.tier, first.reasons)


def test_between_a_call_and_its_result_only_a_suspension_or_a_failure_changes_the_model_and_says_so() -> None:
    asked = chat(messages=conversation(CALL, {"role": "tool", "tool_call_id": "1", "content": "ok"}), tools=[TOOL])
    stays = plan(asked, EVEN).candidates[0]
    out = frozenset({stays})
    category = plan(asked, EVEN).category
    suspended = plan(asked, EVEN, Outlook(suspended={category: out}))
    assert (suspended.candidates[0] != stays, suspended.reasons[0]) == (True, "promoted")
    ailing = plan(asked, EVEN, Outlook(ailing=out))
    assert (ailing.candidates[0] != stays, ailing.reasons[0]) == (True, "failover")


# LoRA -------------------------------------------------------------------------------------------------------

TUNED = {f"mate-{n}": {**SMALL, "lora_adapters": ["sdr"] if n < 3 else []} for n in range(4)}


def test_an_adapter_that_is_active_is_first_then_where_there_is_room_and_a_full_one_last() -> None:
    states = {"mate-0": {"sdr": 0.0}, "mate-1": {"sdr": 0.6}, "mate-2": {"sdr": 1.0}, "mate-3": {"sdr": 0.8}}
    made = plan(chat(model="sdr"), book(TUNED), Outlook(adapters=states))
    assert made.candidates == ("mate-2", "mate-3", "mate-1", "mate-0")
    assert (made.model, made.reasons) == ("sdr", ("lora",))


def test_price_is_before_an_adapters_state_but_a_full_one_is_last_all_the_same() -> None:
    dear = {**SMALL, "lora_adapters": ["sdr"], "price": {"input_per_1m": 1, "output_per_1m": 1}}
    by = book({"cheap": {**SMALL, "lora_adapters": ["sdr"]}, "dear": dear})
    waits = Outlook(adapters={"cheap": {"sdr": 0.6}, "dear": {"sdr": 1.0}})
    full = Outlook(adapters={"cheap": {"sdr": 0.0}, "dear": {"sdr": 1.0}})
    assert plan(chat(model="sdr"), by, waits).candidates == ("cheap", "dear")
    assert plan(chat(model="sdr"), by, full).candidates == ("dear", "cheap")


def test_an_adapter_that_only_a_server_reports_is_a_name_too() -> None:
    made = plan(chat(model="new"), book(TUNED), Outlook(adapters={"mate-3": {"new": 0.8}}))
    assert (made.candidates, made.model) == (("mate-3",), "new")


# Fields -----------------------------------------------------------------------------------------------------


def kind(provider: str) -> dict[str, Any]:
    return {**SMALL, "provider": provider, "capabilities": ["json_schema", "tools", "vision"]}


@pytest.mark.parametrize(
    ("provider", "field", "heeds"),
    [
        ("ollama", {"n": 2}, False),
        ("ollama", {"n": 1}, True),
        ("ollama", {"seed": 1}, True),
        ("ollama", {"logit_bias": {"5": 1}}, False),
        ("ollama", {"logit_bias": None}, True),
        ("ollama", {"logit_bias": {}}, True),
        ("ollama", {"logprobs": True}, True),
        ("ollama", {"tools": [TOOL]}, True),
        ("ollama", {"tools": [TOOL], "tool_choice": "auto"}, True),
        ("ollama", {"tools": [TOOL], "tool_choice": "required"}, False),
        ("ollama", {"tool_choice": "none"}, True),
        ("ollama", {"modalities": ["text", "audio"]}, False),
        ("ollama", {"modalities": ["text"]}, True),
        ("ollama", {"parallel_tool_calls": False}, False),
        ("ollama", {"parallel_tool_calls": True}, True),
        ("ollama", {"web_search_options": {}}, False),
        ("llamacpp", {"n": 2}, False),
        ("llamacpp", {"logit_bias": {"5": 1}}, True),
        ("groq", {"logprobs": True}, False),
        ("groq", {"logprobs": False}, True),
        ("mistral", {"seed": 1}, False),
        ("mistral", {"n": 2}, True),
        ("vllm", {"n": 2, "seed": 1, "logprobs": True, "logit_bias": {}}, True),
        ("openai", {"n": 2, "seed": 1, "logprobs": True, "modalities": ["audio"]}, True),
    ],
)
def test_a_backend_that_would_ignore_a_field_is_not_asked(provider: str, field: dict[str, Any], heeds: bool) -> None:
    by = book({"one": kind(provider), "other": {**kind("openai"), "price": {"input_per_1m": 9, "output_per_1m": 9}}})
    made = plan(chat(**field), by)
    assert made.candidates == (("one", "other") if heeds else ("other",))
    if not heeds:
        [left_out] = excluded_from(received(), chat(**field), by)
        assert left_out.because.startswith(f"{provider} does not heed ")


@pytest.mark.parametrize(
    "field", ["logprobs", "logit_bias", "modalities", "parallel_tool_calls", "web_search_options"]
)
@pytest.mark.parametrize("value", [None, 5, "x", [], {}, True, [1, {"a": None}]])
def test_a_field_of_any_type_is_the_backends_to_refuse(field: str, value: Any) -> None:
    assert plan(chat(**{field: value}), book()).candidates
