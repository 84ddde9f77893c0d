import subprocess
import sys

import pytest

from services.ingress.catalogue import with_prices
from shared.policy import Backend, Policy, PolicyFault, PriceSetting

OURS = PriceSetting(input_per_1m=7, output_per_1m=8)


def policy(*backends):
    return Policy(
        tiers=("only",), backends=tuple(Backend(name=f"b{i}", tier="only", **one) for i, one in enumerate(backends))
    )


def looked_up(provider, model, **given):
    (backend,) = with_prices(policy({"provider": provider, "model": model, **given})).backends
    return backend


@pytest.mark.parametrize(
    ("provider", "model", "standard", "batch"),
    [
        ("openai", "gpt-6-luna", (0.10, 0.50), (0.05, 0.25)),
        ("openai", "gpt-4o-mini", (0.15, 0.60), (0.075, 0.30)),
        ("openai", "gpt-6.1-terra", (1, 5), (0.5, 2.5)),
        ("anthropic", "claude-opus-5-5", (4, 20), (2, 10)),
        ("anthropic", "claude-haiku-4-5", (1, 5), (0.5, 2.5)),
        ("gemini", "gemini-3.5-flash-lite", (0.30, 2.50), (0.15, 1.25)),
        ("gemini", "gemini-2.5-pro", (1.25, 10), (0.625, 5)),
        ("mistral", "mistral-large-latest", (0.50, 1.50), (0.25, 0.75)),
        ("mistral", "mistral-medium-latest", (1.5, 7.5), (0.75, 3.75)),
        ("groq", "openai/gpt-oss-120b", (0.15, 0.60), (0.075, 0.30)),
        ("together", "openai/gpt-oss-120b", (0.15, 0.60), (None, None)),
        ("together", "moonshotai/Kimi-K3", (3, 15), (None, None)),
        ("together", "meta-llama/Llama-3.3-70B-Instruct-Turbo", (0.88, 0.88), (0.44, 0.44)),
        ("fireworks", "accounts/fireworks/models/gpt-oss-120b", (0.15, 0.60), (0.075, 0.30)),
        ("fireworks", "accounts/fireworks/models/glm-5p3", (1.40, 4.40), (0.70, 2.20)),
    ],
)
def test_a_hosted_model_has_its_price_at_once_and_in_a_batch(provider, model, standard, batch):
    price = looked_up(provider, model).price
    assert (price.input_per_1m, price.output_per_1m) == pytest.approx(standard)
    assert (price.batch_input_per_1m, price.batch_output_per_1m) == (
        batch if batch[0] is None else pytest.approx(batch)
    )
    if batch[0] is not None:
        assert price.batch_cached_input_per_1m <= price.cached_input_per_1m


@pytest.mark.parametrize(
    ("provider", "model", "context", "output", "capabilities"),
    [
        ("openai", "gpt-4o", 128_000, 16_384, ("json_schema", "tools", "vision")),
        ("openai", "gpt-4o-2024-08-06", 128_000, 16_384, ("json_schema", "tools", "vision")),
        ("anthropic", "claude-haiku-4-5", 200_000, 64_000, ("json_schema", "tools", "vision")),
        ("groq", "openai/gpt-oss-20b", 131_072, 65_536, ("json_schema", "tools")),
        ("together", "zai-org/GLM-5.3", 1_048_576, 262_144, ("json_schema", "tools")),
        # Nobody says whether it takes a schema: it is not ruled out.
        ("fireworks", "accounts/fireworks/models/gpt-oss-120b", 131_072, 32_768, ("json_schema", "tools")),
        ("mistral", "mistral-small-2603", 256_000, 256_000, ("json_schema", "tools", "vision")),
        # Newer than the table: genai-prices knows its window, and nobody what it can do.
        ("openai", "gpt-6.1-terra", 1_050_000, 0, None),
    ],
)
def test_a_hosted_model_has_its_limits_and_capabilities(provider, model, context, output, capabilities):
    backend = looked_up(provider, model)
    assert (backend.context_window, backend.max_output_tokens) == (context, output)
    assert backend.capabilities == capabilities


def test_a_model_that_genai_prices_does_not_know_is_priced_by_the_table():
    price = looked_up("together", "openai/gpt-oss-20b").price
    assert (price.input_per_1m, price.output_per_1m, price.batch_input_per_1m) == (0.05, 0.2, None)


def test_what_the_file_says_wins():
    given = {"price": OURS, "context_window": 5, "capabilities": (), "max_output_tokens": 6}
    backend = looked_up("openai", "gpt-4o", **given)
    assert {key: getattr(backend, key) for key in given} == given


@pytest.mark.parametrize("given", [{"context_window": 5}, {"capabilities": ("tools",)}])
def test_what_the_file_leaves_out_beside_its_own_price_is_looked_up(given):
    backend = looked_up("openai", "gpt-4o", price=OURS, **given)
    assert backend.price == OURS
    assert backend.context_window == given.get("context_window", 128_000)
    assert backend.capabilities == given.get("capabilities", ("json_schema", "tools", "vision"))


def test_an_unknown_model_with_a_price_of_the_files_is_no_fault_and_stays_unknown():
    backend = looked_up("openai", "our-fine-tune", price=OURS)
    assert (backend.context_window, backend.capabilities, backend.max_output_tokens) == (0, None, 0)


def test_each_model_whose_price_nobody_knows_is_a_fault_that_says_how_to_mend_it():
    models = [("openai", "gpt-none"), ("openai", "gpt-4o"), ("groq", "nothing")]
    with pytest.raises(PolicyFault) as raised:
        with_prices(policy(*({"provider": provider, "model": model} for provider, model in models)))
    assert [fault.split(":")[0] for fault in raised.value.faults] == [
        "backends[0] (b0).price",
        "backends[2] (b2).price",
    ]
    assert all("give it: price: {input_per_1m:" in fault for fault in raised.value.faults)


def test_nothing_is_loaded_to_look_up_until_there_is_something():
    """The libraries are 20 MB with what they read, and httpx is 5: an ingress whose file says it all has none."""
    script = """
import sys
from services.ingress.catalogue import with_prices
from shared.policy import Backend, Policy, PriceSetting
price = PriceSetting(input_per_1m=1, output_per_1m=1)
local = Backend(name="a", tier="t", provider="vllm", model="m", base_url="http://127.0.0.1:1", price=price)
told = Backend(name="b", tier="t", provider="openai", model="m", price=price, context_window=1, capabilities=())
with_prices(Policy(tiers=("t",), backends=(local, told)))
assert not {"httpx", "pydantic", "genai_prices", "rates"} & set(sys.modules), sorted(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_of_the_library_with_the_table_no_code_is_run():
    script = """
import sys
from services.ingress.model_facts import by_provider
assert all(len(models) > 10 for models in by_provider().values()) and len(by_provider()) == 7
assert "rates" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
