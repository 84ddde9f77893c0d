"""A real small language model, as the demo runs it."""

import signal

import httpx
import pytest

from tests.support.running import running
from tierwise.demo import demo_models, model_part
from tierwise.model_server import SLOT_TOKENS
from tierwise.ports import FreePorts


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    ports = FreePorts()
    small, _ = demo_models(ports.take(), ports.take(), None)
    with running(model_part(small), tmp_path_factory.mktemp("model") / "log") as process:
        yield small
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == -signal.SIGTERM


@pytest.fixture
def client(small):
    with httpx.Client(base_url=f"http://127.0.0.1:{small.port}", timeout=60, trust_env=False) as client:
        yield client


def test_it_answers_under_its_alias_with_the_context_that_the_config_promises(client, small):
    (model,) = client.get("/v1/models").json()["data"]
    assert model["id"] == small.alias
    assert model["meta"]["n_ctx"] == SLOT_TOKENS
    assert model["meta"]["n_ctx_train"] >= SLOT_TOKENS


def test_it_chats_and_counts_its_tokens(client):
    question = {"role": "user", "content": "Name three primary colours."}
    answer = client.post("/v1/chat/completions", json={"messages": [question], "max_tokens": 12}).json()
    assert answer["choices"][0]["message"]["content"].strip()
    assert 1 <= answer["usage"]["completion_tokens"] <= 12


def test_a_json_schema_binds_it(client):
    schema = {"type": "object", "properties": {"n": {"type": "integer", "maximum": 9}}, "required": ["n"]}
    answer = client.post(
        "/v1/chat/completions",
        json={
            "messages": [{"role": "user", "content": "A number?"}],
            "max_tokens": 30,
            "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}},
        },
    )
    assert answer.json()["choices"][0]["message"]["content"].lstrip().startswith("{")


def test_it_takes_tools(client):
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
    answer = client.post(
        "/v1/chat/completions",
        json={"messages": [{"role": "user", "content": "Weather?"}], "tools": [tool], "max_tokens": 5},
    )
    assert answer.status_code == httpx.codes.OK
