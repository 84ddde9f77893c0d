from services.dispatcher.backends import Backends
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


async def test_the_last_two_versions_are_kept_in_the_order_in_which_they_came():
    """Their numbers begin anew where NATS has lost its store."""
    backends = Backends({"HOST": "http://127.0.0.1:9/v1"})
    policy = from_tree(TREE, {"HOST": "http://127.0.0.1:9/v1"})
    for version in (56, 57, 1):
        backends.publish(policy, version)
    assert backends.of(1) is not None
    assert backends.of(57) is not None
    assert backends.of(56) is None


async def test_a_missing_secret_is_a_fault_that_names_it_and_shows_no_value():
    backends = Backends({})
    backends.publish(from_tree(TREE, {"HOST": "http://secret:password@127.0.0.1"}), 1)
    [fault] = backends.faults
    assert "${HOST} is not set" in fault
    assert "password" not in fault
    assert backends.of(1)["a"].origin is None
