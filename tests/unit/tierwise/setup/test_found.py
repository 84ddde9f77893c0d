"""What the environment and names tell: keys, places to look at, sizes, and the models to begin with."""

import pytest

from services.ingress.model_facts import by_provider
from shared.policy import LOCAL_PROVIDERS
from tierwise.setup.hosted import DEAREST_OUTPUT, blended, cheapest_and_dearest
from tierwise.setup.keys import ProviderKey, provider_keys
from tierwise.setup.probe import NotAnAddress, places
from tierwise.setup.sizes import estimated_price, parameters_by_name, written

B = 1_000_000_000


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("smollm2-135m", 135_000_000),
        ("llama3.1:70b", 70 * B),
        ("qwen2.5-coder-1.5b-instruct-q4_k_m.gguf", 1.5 * B),
        ("mixtral-8x7b", 56 * B),
        ("Qwen/Qwen3-30B-A3B", 30 * B),
        ("gemma3n:e4b", 4 * B),
        ("Qwen3.8-2.4T-A95B", 2400 * B),
        ("qwen2.5-7b-instruct-1m", 7 * B),
        ("phi-4", 0),
        ("llama-4bit", 0),
        ("model-v2b3", 0),
        ("", 0),
    ],
)
def test_a_models_name_tells_its_size(name, parameters):
    assert parameters_by_name(name) == parameters


@pytest.mark.parametrize(
    ("parameters", "shown"), [(135_000_000, "135M"), (1_543_714_304, "1.54B"), (70 * B, "70B"), (2400 * B, "2400B")]
)
def test_a_size_is_written_as_people_do(parameters, shown):
    assert written(parameters) == shown


@pytest.mark.parametrize(("parameters", "price"), [(1, (0.001, 0.002)), (8 * B, (0.04, 0.08)), (70 * B, (0.35, 0.7))])
def test_a_local_model_is_never_free(parameters, price):
    estimated = estimated_price(parameters)
    assert (estimated.input_per_1m, estimated.output_per_1m) == price


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({}, []),
        ({"OPENAI_API_KEY": " "}, []),
        ({"OPENAI_API_KEY": "k"}, [("openai", "OPENAI_API_KEY")]),
        ({"GOOGLE_API_KEY": "k"}, [("gemini", "GOOGLE_API_KEY")]),
        ({"GOOGLE_API_KEY": "k", "GEMINI_API_KEY": "k"}, [("gemini", "GEMINI_API_KEY")]),
        ({"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "https://api.openai.com/v1/"}, [("openai", "OPENAI_API_KEY")]),
        ({"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "http://10.0.0.7/v1"}, []),  # it is that server's
        ({"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "http://[bad"}, []),
        ({"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "localhost:8000/v1"}, []),
        ({"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": " "}, [("openai", "OPENAI_API_KEY")]),
        (
            {f"{name}_API_KEY": "k" for name in ("FIREWORKS", "TOGETHER", "GROQ", "MISTRAL", "ANTHROPIC")},
            [(name, f"{name.upper()}_API_KEY") for name in ("anthropic", "mistral", "groq", "together", "fireworks")],
        ),
    ],
)
def test_keys_are_found_by_the_providers_own_variables(environment, found):
    assert provider_keys(environment) == tuple(ProviderKey(*one) for one in found)


@pytest.mark.parametrize(
    ("probe", "asked", "written"),
    [
        ("http://10.0.0.7:8000", "http://10.0.0.7:8000/v1", "http://10.0.0.7:8000/v1"),
        ("http://10.0.0.7:8000/v1/", "http://10.0.0.7:8000/v1", "http://10.0.0.7:8000/v1"),
        ("10.0.0.7:8000", "http://10.0.0.7:8000/v1", "http://10.0.0.7:8000/v1"),
        ("https://models.example/llm", "https://models.example/llm/v1", "https://models.example/llm/v1"),
        ("http://u:secret@host:1/v1?key=secret#secret", "http://u:secret@host:1/v1", "http://host:1/v1"),
        ("http://[::1]:8000", "http://[::1]:8000/v1", "http://[::1]:8000/v1"),
    ],
)
def test_a_probed_url_is_written_without_its_credentials(probe, asked, written):
    (place,) = places({}, [probe], ports=())
    assert (place.url, place.written, place.stripped) == (asked, written, asked != written)


@pytest.mark.parametrize("probe", ["", "ftp://host", "http://", "http://host:port", "http://[::1"])
def test_what_is_no_url_is_refused_with_an_example(probe):
    with pytest.raises(NotAnAddress, match="--probe takes a URL"):
        places({}, [probe])


def test_each_place_is_asked_once_and_openai_base_url_stays_a_variable():
    environment = {"OPENAI_BASE_URL": "http://user:pass@localhost:8001/v1/", "OPENAI_API_KEY": "k"}
    there = places(environment, ["http://127.0.0.1:8000"])
    assert [(place.written, place.key_variable) for place in there] == [
        ("http://127.0.0.1:11434/v1", ""),
        ("http://127.0.0.1:8000/v1", ""),
        ("${OPENAI_BASE_URL}", "OPENAI_API_KEY"),
        ("http://127.0.0.1:8002/v1", ""),
        ("http://127.0.0.1:8080/v1", ""),
    ]


def test_an_openai_base_url_that_is_no_address_takes_no_servers_place():
    there = places({"OPENAI_BASE_URL": "127.0.0.1:8000/v1"}, [], ports=(8000,))
    assert [place.written for place in there] == ["http://127.0.0.1:8000/v1", "${OPENAI_BASE_URL}"]


@pytest.mark.parametrize("provider", sorted(by_provider()))
def test_every_provider_has_a_cheap_and_a_dear_model_to_begin_with(provider):
    assert provider not in LOCAL_PROVIDERS
    cheap, dear = cheapest_and_dearest(provider)
    assert 0 < blended(cheap.price) < blended(dear.price)
    assert dear.price.output_per_1m <= DEAREST_OUTPUT
    for one in (cheap, dear):
        known = by_provider()[provider][one.model]
        assert known.tool_call
        assert known.lifecycle.status == "active"
        assert "preview" not in one.model
        assert one.context_window >= 100_000
