import subprocess
import sys

import pytest

from services.dispatcher.backends import VERSIONS_KEPT, Backends
from services.dispatcher.proxied import ProxiedOrigin
from services.dispatcher.upstream import Origin
from shared.policy import from_tree

TREE = {
    "tiers": ["small"],
    "backends": [
        {
            "name": "a",
            "tier": "small",
            "provider": "vllm",
            "base_url": "${HOST}",
            "model": "m",
            "price": {"input_per_1m": 1, "output_per_1m": 1},
        }
    ],
}


async def test_the_last_versions_are_kept_in_the_order_in_which_they_came():
    """Their numbers begin anew where NATS has lost its store."""
    backends = Backends({"HOST": "http://127.0.0.1:9/v1"})
    policy = from_tree(TREE, {"HOST": "http://127.0.0.1:9/v1"})
    for version in (56, 57, *range(1, VERSIONS_KEPT)):
        backends.publish(policy, version)
    assert backends.of(VERSIONS_KEPT - 1) is not None
    assert backends.of(57) is not None
    assert backends.of(56) is None


async def test_a_missing_secret_is_a_fault_that_names_it_and_shows_no_value():
    backends = Backends({})
    backends.publish(from_tree(TREE, {"HOST": "http://secret:password@127.0.0.1"}), 1)
    [fault] = backends.faults
    assert "${HOST} is not set" in fault
    assert "password" not in fault
    assert backends.of(1)["a"].origin is None


@pytest.mark.parametrize("url", ["http://model.example/a\x7fb", "http://xn--ab-.example"])
async def test_a_url_that_httpx_does_not_take_is_a_fault_of_its_backend(url):
    environment = {"HOST": url, "HTTP_PROXY": "http://127.0.0.1:3128"}
    backends = Backends(environment)
    backends.publish(from_tree(TREE, environment), 1)
    [fault] = backends.faults
    assert fault == "backend a: its base_url or api_key cannot be used in a request"


@pytest.mark.parametrize(("host", "kind"), [
    ("http://model.example/v1", ProxiedOrigin), ("http://127.0.0.1:9/v1", Origin), ("http://direct.example", Origin),
])  # fmt: skip
async def test_a_backend_goes_out_by_its_proxy_where_it_has_one(host, kind):
    environment = {"HOST": host, "HTTP_PROXY": "http://127.0.0.1:3128", "NO_PROXY": "direct.example"}
    backends = Backends(environment)
    backends.publish(from_tree(TREE, environment), 1)
    assert type(backends.of(1)["a"].origin) is kind
    await backends.close()


async def test_a_proxy_that_cannot_be_used_is_a_fault_of_its_backend_without_its_login():
    environment = {"HOST": "http://model.example", "ALL_PROXY": "gopher://me:secret@proxy"}
    backends = Backends(environment)
    backends.publish(from_tree(TREE, environment), 1)
    [fault] = backends.faults
    assert fault.startswith("backend a: the proxy set for it")
    assert "secret" not in fault


def test_who_has_no_proxy_does_not_load_what_serves_them():
    program = "import sys, services.dispatcher.app; sys.exit('httpx' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
