"""The decision as callers meet it: tier mates of different price, names of other people's models, explanations."""

import json
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest
from openai import OpenAI

from tests.support.caller import Caller, ask, chat
from tests.support.stack import Stack
from tests.support.upstream import Gate, Upstream, answer, gated, refuse
from tests.support.wait import wait_until

ROOM = 8  # of the cheapest
PRICES = {"mate-1": 10, "mate-2": 20, "mate-3": 30, "large-1": 100}


def config(mates: list[Upstream]) -> str:
    backends = "".join(
        f"""
  - name: {name}
    tier: {"large" if name == "large-1" else "small"}
    provider: openai-compatible
    base_url: {mates[min(place, 2)].url}
    model: {name}-model
    price: {{input_per_1m: {price}, output_per_1m: {2 * price}}}
    context_window: 100000
    capabilities: [json_schema, tools]
    max_concurrent: {ROOM if name == "mate-1" else 64}"""
        for place, (name, price) in enumerate(PRICES.items())
    )
    return f"""
tiers: [small, large]
backends:{backends}
categories: {{general: small, extraction: small, summarisation: small, classification: small, reasoning: large}}
aliases: {{"gpt-4o*": auto, "claude-*": auto}}
rules:
  - {{name: search team, when: {{headers: {{X-Team: search}}}}, tier: large}}
"""


@pytest.fixture(scope="module")
def mates() -> Iterator[list[Upstream]]:
    with Upstream() as first, Upstream() as second, Upstream() as third:
        yield [first, second, third]


@pytest.fixture(scope="module")
def stack(mates: list[Upstream]) -> Iterator[Stack]:
    with Stack(config(mates)) as stack:
        yield stack


@pytest.fixture(autouse=True)
def fresh(mates: list[Upstream]) -> None:
    for number, mate in enumerate(mates, 1):
        mate.reset()
        mate.always(answer(f"from {number}"))


def get(url: str, body: bytes | None = None) -> tuple[int, dict]:
    request = urllib.request.Request(url, body, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def test_300_identical_requests_all_go_to_the_cheapest_mate(stack, mates):
    def some(number: int) -> list[str]:
        with Caller(stack.url) as caller:
            return [caller.ask().headers["x-tierwise-backend"] for _ in range(number)]

    with ThreadPoolExecutor(4) as pool:
        served = Counter(name for names in pool.map(some, [75] * 4) for name in names)
    assert served == {"mate-1": 300}
    assert [len(mate.requests) for mate in mates] == [300, 0, 0]


def test_the_next_mate_serves_while_the_cheapest_is_full_and_no_longer(stack, mates):
    gate = Gate()
    mates[0].always(gated(gate, answer("from 1")))
    with ThreadPoolExecutor(ROOM) as pool:
        held = [pool.submit(ask, stack.url) for _ in range(ROOM)]
        wait_until(lambda: len(mates[0].requests) == ROOM, "the cheapest to be full")
        more = ask(stack.url)
        assert (more.text, more.headers["x-tierwise-backend"]) == ("from 2", "mate-2")
        gate.release(ROOM)
        assert {one.result(30).text for one in held} == {"from 1"}
    gate.release()
    assert ask(stack.url).text == "from 1"
    assert not mates[2].requests


def test_the_next_mate_serves_where_the_cheapest_fails(stack, mates):
    mates[0].always(refuse(500))
    served = ask(stack.url)
    assert (served.text, served.headers["x-tierwise-backend"]) == ("from 2", "mate-2")
    assert served.headers["x-tierwise-reason"].split(",")[0] == "failover"


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4o-mini", "claude-sonnet-4-5-20250929"])
def test_an_unmodified_client_is_routed_by_its_models_name(stack, model):
    with OpenAI(base_url=f"{stack.url}/v1", api_key="none", max_retries=0) as client:
        response = client.chat.completions.with_raw_response.create(
            model=model, messages=[{"role": "user", "content": "Say hello."}]
        )
    assert response.parse().choices[0].message.content == "from 1"
    assert response.headers["x-tierwise-backend"] == "mate-1"
    assert "alias" in response.headers["x-tierwise-reason"].split(",")


def test_a_name_without_an_alias_is_404_with_the_known_ones(stack):
    with OpenAI(base_url=f"{stack.url}/v1", api_key="none") as client, pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="gpt-3.5-turbo", messages=[{"role": "user", "content": "Say hello."}])
    for name in ("auto", "small", "mate-1", "mate-1-model", "gpt-4o*", "claude-*"):
        assert name in caught.value.message


def test_a_rule_sees_the_header_that_it_names(stack):
    assert ask(stack.url, x_team="search").headers["x-tierwise-tier"] == "large"
    assert ask(stack.url, x_team="search").headers["x-tierwise-reason"].startswith("rule")
    assert ask(stack.url, x_team="sales").headers["x-tierwise-tier"] == "small"


def test_an_explanation_says_what_would_be_done_and_does_nothing(stack, mates):
    status, told = get(f"{stack.url}/api/explain", json.dumps(chat(model="gpt-4o", n=2)).encode())
    assert status == 200
    assert (told["tier"], told["candidates"][0]["backend"]) == ("small", "mate-1")
    assert [one["backend"] for one in told["candidates"]] == ["mate-1", "mate-2", "mate-3", "large-1"]
    assert told["policy_version"] > 0
    assert told["decided_in_us"] > 0
    assert not any(mate.requests for mate in mates)
    served = ask(stack.url, chat(model="gpt-4o", n=2))
    assert served.headers["x-tierwise-reason"].split(",") == told["reason"]
    assert served.headers["x-tierwise-category"] == told["category"]


def test_an_explanation_of_a_refused_request_says_how_it_is_refused(stack):
    status, told = get(f"{stack.url}/api/explain", json.dumps(chat(model="nobody")).encode())
    assert status == 200
    assert (told["refused"]["status"], told["refused"]["code"]) == (404, "model_not_found")
    assert {one["backend"] for one in told["excluded"]} == set(PRICES)


def test_a_large_body_is_explained_by_its_head(stack):
    long = chat(messages=[{"role": "user", "content": "Prove that " + "x" * 1_000_000 + " is prime, step by step."}])
    status, told = get(f"{stack.url}/api/explain", json.dumps(long).encode())
    assert (status, told["category"]) == (200, "reasoning")
    assert told["refused"]["code"] == "no_capable_backend"


@pytest.mark.parametrize("body", [b"{", b"", b"[]", b'{"messages": 5}'])
def test_what_is_no_chat_request_cannot_be_explained(stack, body):
    status, told = get(f"{stack.url}/api/explain", body)
    assert status == 400
    assert set(told["error"]) == {"message", "type", "param", "code", "request_id"}


def test_a_served_request_is_told_with_its_attempts_and_its_cost(stack, mates):
    mates[0].script(refuse(500))
    served = ask(stack.url, chat(model="gpt-4o", max_tokens=50), tierwise_service="billing")
    url = f"{stack.url}/api/requests/{served.request_id}"
    wait_until(lambda: get(url)[0] == 200, "its row")
    told = get(url)[1]
    assert (told["service"], told["backend"], told["status"]) == ("billing", "mate-2", 200)
    assert told["reason"] == served.headers["x-tierwise-reason"].split(",")
    assert [(one["backend"], one["outcome"]) for one in told["attempts"]] == [
        ("mate-1", "failed"),
        ("mate-2", "answered"),
    ]
    assert told["cost_usd"] == served.headers["x-tierwise-cost-usd"]
    assert told["saved_usd"] == served.headers["x-tierwise-saved-usd"]
    assert (told["decision"]["model_asked"], told["decision"]["max_tokens"]) == ("gpt-4o", 50)


@pytest.mark.parametrize(
    ("request_id", "status", "code"),
    [("req_0000000000000000002a", 404, "request_not_found"), ("nonsense", 400, "invalid_request_id")],
)
def test_a_request_that_nobody_knows_is_refused_with_a_sentence(stack, request_id, status, code):
    got, told = get(f"{stack.url}/api/requests/{request_id}")
    assert (got, told["error"]["code"]) == (status, code)
