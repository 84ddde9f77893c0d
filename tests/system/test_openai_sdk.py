"""The `openai` package as it is, with nothing but a base URL, against the real models of `tierwise up --demo`.

What a model of 135M parameters says is not asserted; what shape it has is. Then the same SDK's typed errors, where
its own retries are part of what is promised.
"""

import json
from collections.abc import Iterator

import openai
import pytest
from openai import OpenAI

from tests.support.router import Router
from tests.support.stack import Stack
from tests.support.upstream import MODEL, answer, raw, refuse, stalled, stream

GREEDY = {"temperature": 0, "seed": 1}  # a model that is asked twice says the same
HELLO = [{"role": "user", "content": "Say hello in one short sentence."}]
PERSON = {
    "name": "person",
    "schema": {
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 20},
            "zip": {"type": "string", "pattern": "^[0-9]{5}$"},
            "member": {"type": "boolean"},
        },
        "required": ["name", "zip", "member"],
        "additionalProperties": False,
    },
}
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@pytest.fixture(scope="module")
def demo() -> Iterator[Stack]:
    with Stack(options=["--demo"]) as stack:
        yield stack


@pytest.fixture
def client(demo: Stack) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{demo.url}/v1", api_key="none", timeout=60, max_retries=0) as client:
        yield client


# Real models ------------------------------------------------------------------------------------------------


def test_a_chat_is_answered_by_a_real_model(client):
    response = client.chat.completions.with_raw_response.create(model="auto", messages=HELLO, max_tokens=12, **GREEDY)
    completion = response.parse()
    assert completion.object == "chat.completion"
    assert completion.choices[0].message.role == "assistant"
    assert completion.choices[0].message.content
    assert completion.usage
    assert 0 < completion.usage.completion_tokens <= 12
    assert response.headers["x-tierwise-tier"] in {"small", "large"}
    assert response.headers["x-tierwise-attempts"] == "1"
    assert float(response.headers["x-tierwise-cost-usd"]) > 0
    assert completion._request_id == response.headers["x-tierwise-request-id"]


def test_the_tiers_have_models_of_their_own(client):
    for tier in ("small", "large"):
        response = client.chat.completions.with_raw_response.create(
            model=f"{tier}-1", messages=HELLO, max_tokens=2, **GREEDY
        )
        assert response.headers["x-tierwise-tier"] == tier
        assert response.headers["x-tierwise-reason"] == "pin"


@pytest.mark.parametrize("wanted", [True, False])
def test_a_stream_has_usage_in_its_last_chunk_where_it_was_asked_for_and_nowhere_else(client, wanted):
    options = {"stream_options": {"include_usage": True}} if wanted else {}
    chunks = list(
        client.chat.completions.create(model="auto", messages=HELLO, max_tokens=8, stream=True, **options, **GREEDY)
    )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    *others, last = chunks
    assert not any(chunk.usage for chunk in others)
    if wanted:
        assert last.usage
        assert 0 < last.usage.completion_tokens <= 8
        assert last.choices == []
    else:
        assert last.usage is None
        assert last.choices[0].finish_reason


def test_a_json_schema_is_kept_to(client):
    completion = client.chat.completions.create(
        model="auto",
        messages=[{"role": "user", "content": "Extract as JSON: Ann lives in 10115 and is a member."}],
        response_format={"type": "json_schema", "json_schema": PERSON},
        max_tokens=200,
        **GREEDY,
    )
    person = json.loads(completion.choices[0].message.content or "")
    assert set(person) == {"name", "zip", "member"}
    assert len(person["zip"]) == 5
    assert person["zip"].isdigit()
    assert isinstance(person["member"], bool)


def test_a_request_with_tools_is_answered_in_their_shape(client):
    """SmolLM2 rarely calls one; where it does, the call is whole."""
    completion = client.chat.completions.create(
        model="auto",
        messages=[{"role": "user", "content": "What is the weather in Paris?"}],
        tools=[WEATHER],
        max_tokens=40,
        **GREEDY,
    )
    [choice] = completion.choices
    assert choice.finish_reason in {"stop", "length", "tool_calls"}
    assert choice.message.content or choice.message.tool_calls
    for call in choice.message.tool_calls or []:
        assert call.function.name == "get_weather"


def test_the_models_are_listed(client):
    names = [model.id for model in client.models.list()]
    assert names[:3] == ["auto", "auto:cheap", "auto:quality"]
    assert {"small", "large", "small-1", "large-1"} <= set(names)


# Wire and typed errors ---------------------------------------------------------------------------------------


@pytest.fixture
def eager(router: Router) -> Iterator[OpenAI]:
    """As it is by default: it tries twice more where it may."""
    with OpenAI(base_url=f"{router.url}/v1", api_key="none", timeout=60) as client:
        yield client


def test_tools_go_up_as_they_are_and_a_call_of_one_comes_back(router, eager):
    call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city":"Paris"}'}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    choice = {"index": 0, "finish_reason": "tool_calls", "message": message}
    whole = {"id": "c", "object": "chat.completion", "created": 1, "model": MODEL, "choices": [choice]}
    router.first.script(raw(json.dumps(whole).encode()))
    completion = eager.chat.completions.create(
        model="auto", messages=HELLO, tools=[WEATHER], tool_choice="required", parallel_tool_calls=False
    )
    sent = router.first.requests[0].json
    assert sent["tools"] == [WEATHER]
    assert (sent["tool_choice"], sent["parallel_tool_calls"]) == ("required", False)
    assert completion.choices[0].finish_reason == "tool_calls"
    [came] = completion.choices[0].message.tool_calls or []
    assert came.model_dump() == call


def test_bad_input_is_a_bad_request_error_that_names_the_parameter(router, eager):
    with pytest.raises(openai.BadRequestError) as caught:
        eager.chat.completions.create(model="auto", messages=HELLO, temperature="hot")  # type: ignore[call-overload]
    error = caught.value
    assert (error.status_code, error.type, error.param) == (400, "invalid_request_error", "temperature")
    assert "temperature" in error.message
    assert error.request_id
    assert not router.first.requests


def test_an_unknown_model_is_a_not_found_error(eager):
    with pytest.raises(openai.NotFoundError) as caught:
        eager.chat.completions.create(model="gpt-nonsense", messages=HELLO)
    assert caught.value.code == "model_not_found"


def test_an_unknown_route_is_a_not_found_error(eager):
    with pytest.raises(openai.NotFoundError):
        eager.moderations.create(input="hello")


def test_a_rate_limit_is_a_rate_limit_error_that_the_sdk_has_waited_for(router, eager):
    router.first.always(refuse(429, "slow down", retry_after="0"))
    with pytest.raises(openai.RateLimitError):
        eager.chat.completions.create(model="first-1", messages=HELLO)
    assert len(router.first.requests) == 3


def test_the_sdk_gets_its_answer_when_a_failing_backend_comes_back(router, eager):
    router.first.script(refuse(500))
    completion = eager.chat.completions.create(model="first-1", messages=HELLO)
    assert completion.choices[0].message.content == "hello"
    assert len(router.first.requests) == 2


def test_a_deadline_that_passed_is_not_paid_again(router, eager):
    router.first.always(stalled())
    with pytest.raises(openai.InternalServerError) as caught:
        eager.chat.completions.create(
            model="first-1",  # with another candidate, that one would answer
            messages=HELLO,
            extra_headers={"X-Tierwise-Deadline-Ms": "2000"},
        )
    assert caught.value.status_code == 504
    assert caught.value.code == "deadline_exceeded"
    assert len(router.first.requests) == 1


def test_a_stream_that_breaks_is_an_api_error_in_the_middle_of_it(router, eager):
    router.first.script(stream(["one "], ends="cut"))
    came = []
    with pytest.raises(openai.APIError) as caught:
        came += [chunk.choices[0].delta.content for chunk in eager.chat.completions.create(
            model="auto", messages=HELLO, stream=True
        )]  # fmt: skip
    assert "broke off" in caught.value.message
    assert caught.value.code == "stream_interrupted"
    assert not router.second.requests


def test_what_the_sdk_sends_besides_reaches_the_backend(router, eager):
    router.first.script(answer("hi"))
    completion = eager.chat.completions.create(
        model="auto", messages=HELLO, logit_bias={"50256": -100}, seed=7, extra_body={"top_k": 3}
    )
    assert completion.model == MODEL
    sent = router.first.requests[0].json
    assert (sent["logit_bias"], sent["seed"], sent["top_k"]) == ({"50256": -100}, 7, 3)
    assert router.first.requests[0].headers["authorization"] == "Bearer key-of-first-1", "ours, not the caller's"
