"""From what is found to a config that the policy's own reader accepts."""

import re
from datetime import date
from fnmatch import fnmatchcase

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from services.ingress.catalogue import with_prices
from services.ingress.local_answers import LocalModel, usable_name
from shared import policy_file
from shared.policy import AUTO_NAMES, written_out_keys
from tierwise.setup.hosted import cheapest_and_dearest
from tierwise.setup.keys import ALL, provider_keys
from tierwise.setup.plan import ALIASES, NoSuchReference, plan
from tierwise.setup.probe import Server, places
from tierwise.setup.text import config_text

B = 1_000_000_000
TODAY, TABLE = date(2026, 11, 26), "2026-09-28"


def server(*models, provider="vllm", port=8000, environment=None):
    (place,) = places(environment or {}, [] if environment else [f"http://127.0.0.1:{port}"], ports=())
    return Server(place, provider, models)


def model(name, **told):
    return LocalModel(name=name, **told)


def planned(servers=(), environment=None, **options):
    hosted = [(key, cheapest_and_dearest(key.provider)) for key in provider_keys(environment or {})]
    return plan(servers, hosted, **options)


def read(text, environment=None):
    """As `tierwise check` does."""
    policy = policy_file.read_bytes(text.encode(), "tierwise.yaml", environment or {}, with_secrets=True).policy
    assert written_out_keys(policy) == []
    return with_prices(policy)


def written(servers=(), environment=None, **options):
    text = config_text(planned(servers, environment, **options), TODAY, TABLE)
    return text, read(text, environment)


OPENAI = {"OPENAI_API_KEY": "sk-1"}
SMALL, MIDDLE, LARGE = model("qwen3:1.7b"), model("qwen3:8b"), model("llama3.3:70b")


@pytest.mark.parametrize(
    ("servers", "environment", "tiers", "categories"),
    [
        ([server(SMALL)], {}, ["local"], ["local", "local", "local"]),
        ([server(SMALL), server(model("qwen3:2b"), port=8001)], {}, ["local"], ["local", "local", "local"]),
        ([server(SMALL), server(LARGE, port=8001)], {}, ["small", "large"], ["small", "large", "large"]),
        ([server(LARGE, MIDDLE, SMALL)], {}, ["small", "medium", "large"], ["small", "medium", "large"]),
        ([], OPENAI, ["small", "large"], ["small", "large", "large"]),
        ([], {"ANTHROPIC_API_KEY": "k"}, ["small", "large"], ["small", "large", "large"]),
        ([], OPENAI | {"ANTHROPIC_API_KEY": "k"}, ["small", "medium", "large"], ["small", "medium", "large"]),
        ([server(SMALL)], OPENAI, ["local", "cloud-small", "cloud-large"], ["local", "cloud-small", "cloud-large"]),
        # A local model that costs more to run than a hosted one is no bargain.
        (
            [server(SMALL), server(LARGE, port=8001)],
            OPENAI,
            ["small", "cloud-small", "large", "cloud-large"],
            ["small", "large", "cloud-large"],
        ),
    ],
)
def test_tiers_are_made_by_price_and_size(servers, environment, tiers, categories):
    _, policy = written(servers, environment)
    assert list(policy.tiers) == tiers
    assert [policy.categories[one] for one in ("extraction", "general", "reasoning")] == categories
    assert (
        policy.categories["summarisation"] == policy.categories["classification"] == policy.categories["extraction"]
    )
    assert policy.categories["code"] == policy.categories["reasoning"]


def test_the_size_that_a_server_tells_counts_more_than_the_name():
    _, policy = written([server(model("a-70b", parameters=B)), server(model("b-1b", parameters=70 * B), port=8001)])
    assert {backend.model: backend.tier for backend in policy.backends} == {"a-70b": "small", "b-1b": "large"}


def test_what_the_server_tells_of_a_model_stands_in_its_backend():
    told = model(
        "gemma",
        context_window=4096,
        capabilities=("json_schema",),
        lora_adapters=("a: b", "sdr"),
        parameters=4 * B,
        slots=2,
    )
    text, policy = written([server(told, provider="llamacpp")])
    (backend,) = policy.backends
    assert (backend.provider, backend.url) == ("llamacpp", "http://127.0.0.1:8000/v1")
    assert (backend.context_window, backend.capabilities, backend.max_concurrent) == (4096, ("json_schema",), 2)
    assert backend.lora_adapters == ("a: b", "sdr")
    assert backend.price.input_per_1m == 0.02
    assert "estimated by its size: 4B" in text


def test_a_model_of_no_known_size_is_taken_for_eight_billion_and_it_says_so():
    text, policy = written([server(model("phi-4"))])
    assert policy.backends[0].price.output_per_1m == 0.08
    assert "not told, taken for 8B" in text


def test_every_provider_with_a_key_gets_its_cheapest_and_its_dearest_with_prices_left_out():
    environment = dict.fromkeys(ALL, "k")
    text, policy = written([], environment)
    tree = yaml.safe_load(text)
    assert len(tree["backends"]) == 2 * 7
    assert all("price" not in backend for backend in tree["backends"])
    assert all(re.fullmatch(r"\$\{[A-Z]+_API_KEY\}", backend["api_key"]) for backend in tree["backends"])
    assert list(policy.tiers) == ["small", "medium", "large"]
    usual = {one.name: (3 * one.price.input_per_1m + one.price.output_per_1m) / 4 for one in policy.backends}
    assert [
        all(usual[one.name] < least for one in policy.backends if one.tier == tier)
        for tier, least in (("small", 1), ("medium", 4), ("large", 20))
    ] == [True, True, True]
    assert text.count(" in, ") == 2 * 7  # what was looked up is told beside it


@pytest.mark.parametrize("name", ["gpt-4o", "claude-sonnet-5-5", "gemini-2.5-pro", "gpt-6-luna"])
def test_what_unmodified_clients_send_is_routed(name):
    _, policy = written([server(SMALL)])
    assert {policy.aliases[alias] for alias in policy.aliases if fnmatchcase(name, alias)} == {"auto"}


def test_no_backend_has_a_name_that_an_alias_takes_away():
    _, policy = written([server(model("gpt-4o"), model("claude-x"))], dict.fromkeys(ALL, "k"))
    assert not [one.name for one in policy.backends if any(fnmatchcase(one.name, alias) for alias in ALIASES)]


@pytest.mark.parametrize(
    ("servers", "environment", "wanted", "reference"),
    [
        ([server(SMALL, LARGE)], OPENAI, None, "vllm-llama3.3-70b"),
        ([server(SMALL, LARGE)], OPENAI, "qwen3:1.7b", "vllm-qwen3-1.7b"),
        ([server(SMALL, LARGE)], OPENAI, "openai-gpt-6-luna", "openai-gpt-6-luna"),
        ([], OPENAI, "gpt-6-luna", "openai-gpt-6-luna"),
        ([], OPENAI, None, None),
    ],
)
def test_the_reference_is_the_dearest_local_model_unless_told_otherwise(servers, environment, wanted, reference):
    text, policy = written(servers, environment, reference=wanted)
    assert (policy.quality and policy.quality.reference) == reference
    if reference is None:
        assert "# quality: {" in text


def test_a_reference_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(NoSuchReference, match=r"name one of vllm-qwen3-1\.7b"):
        planned([server(SMALL)], reference="gpt-9")


def test_of_a_server_with_many_models_a_few_are_taken_and_the_others_named():
    sizes = (1, 2, 3, 4, 5, 6, 70)
    text, policy = written([server(*(model(f"m-{size}b") for size in sizes))])
    assert sorted(backend.model for backend in policy.backends) == ["m-1b", "m-4b", "m-70b"]
    assert "left out to begin with: m-2b, m-3b, m-5b, m-6b." in text


def test_savings_are_counted_against_the_cheapest_backend_of_the_last_tier():
    _, policy = written([], {"OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "k"})
    last = [backend for backend in policy.backends if backend.tier == policy.tiers[-1]]
    baseline = policy.backend(policy.savings.baseline)
    assert baseline.price.output_per_1m == min(backend.price.output_per_1m for backend in last)


def test_openai_base_url_and_its_key_stay_in_the_environment():
    environment = {"OPENAI_BASE_URL": "https://user:pass@gateway.example/v1", "OPENAI_API_KEY": "sk-9"}
    text, policy = written([server(SMALL, provider="openai-compatible", environment=environment)], environment)
    (backend,) = policy.backends
    assert (backend.base_url, backend.api_key) == ("${OPENAI_BASE_URL}", "${OPENAI_API_KEY}")
    assert "gateway.example" not in text


@pytest.mark.parametrize(
    "name", ["-", "?", "a: b", "a #b", "[a", "{a", "yes", "1e3", "2026-11-26", "!x", "&x", "*x", "'", '"', "%"]
)
def test_a_name_that_yaml_would_read_otherwise_is_quoted(name):
    _, policy = written([server(model(name, lora_adapters=(name,)))])
    assert (policy.backends[0].model, policy.backends[0].lora_adapters) == (name, (name,))


NAMES = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=80).filter(usable_name)
MODELS = st.builds(
    LocalModel,
    name=NAMES,
    context_window=st.integers(0, 2**31 - 1),
    capabilities=st.none() | st.just(("json_schema", "tools")),
    lora_adapters=st.lists(NAMES, max_size=3, unique=True).map(tuple),
    parameters=st.integers(0, 10**15),
    slots=st.integers(0, 1000),
)
SECRETS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=12, max_size=40).map("s3cr3t-".__add__)
ENVIRONMENTS = st.dictionaries(st.sampled_from([*ALL, "OTHER_SECRET", "TIERWISE_ADMIN_TOKEN"]), SECRETS)


@given(
    servers=st.lists(
        st.builds(
            server,
            st.shared(MODELS, key="first"),
            MODELS,
            provider=st.sampled_from(["vllm", "ollama", "llamacpp", "openai-compatible"]),
            port=st.integers(1, 65535),
        ),
        max_size=3,
    ),
    environment=ENVIRONMENTS,
    user=SECRETS,
)
def test_whatever_is_found_is_a_config_that_holds_and_has_no_value_of_the_environment(servers, environment, user):
    (place,) = places({}, [f"http://{re.sub('[^a-z0-9-]', '', user)}:s3cr3t-x@127.0.0.1:8000"], ports=())
    servers = [*servers, Server(place, "vllm", (SMALL,))]
    text, policy = written(servers, environment)
    assert "s3cr3t" not in text
    names = [backend.name for backend in policy.backends]
    assert len(set(names)) == len(names)
    assert not {*names} & {*policy.tiers, *AUTO_NAMES}
    found = {one.name for each in servers for one in each.models}
    assert {backend.model for backend in policy.backends if backend.is_local} <= found
