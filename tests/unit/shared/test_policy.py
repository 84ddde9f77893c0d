import msgspec
import pytest

from shared.policy import Policy, PolicyFault, decode_published, from_tree, resolve

LOCAL = {
    "name": "small-1",
    "tier": "small",
    "provider": "vllm",
    "base_url": "http://127.0.0.1:8001/v1",
    "model": "qwen-9b",
    "price": {"input_per_1m": 0.005, "output_per_1m": 0.005},
}


def tree(**changes):
    return {"tiers": ["small"], "backends": [LOCAL], **changes}


def backend(**changes):
    return tree(backends=[{**LOCAL, **changes}])


def without(key):
    return tree(backends=[{name: value for name, value in LOCAL.items() if name != key}])


def test_the_smallest_policy_is_accepted():
    assert from_tree(tree(), {}).backends[0].name == "small-1"


@pytest.mark.parametrize(
    ("broken", "where", "what"),
    [
        (None, "", "the file is empty"),
        ([], "", "the file is a list"),
        ({"backends": [LOCAL]}, "", "tiers"),
        (tree(tiers=[]), "tiers", "at least one tier"),
        (tree(tiers=["small", "small"]), "tiers", "named twice"),
        (tree(teirs=[]), "", "teirs"),
        (backend(modle="x"), "backends[0]", "modle"),
        (backend(provider="gpt"), "backends[0].provider", "gpt"),
        (backend(tier="smal"), "backends[0] (small-1).tier", "no tier 'smal'"),
        (backend(max_concurrent="many"), "backends[0].max_concurrent", "int"),
        (backend(max_concurrent=0), "backends[0] (small-1).max_concurrent", "at least 1"),
        (backend(base_url="ftp://x"), "backends[0] (small-1).base_url", "http://"),
        (backend(api_key="${NOT_SET}"), "backends[0].api_key", "${NOT_SET} is not set"),
        (without("price"), "backends[0] (small-1).price", "needs a price"),
        (without("base_url"), "backends[0] (small-1).base_url", "is needed"),
        (tree(backends=[LOCAL, LOCAL]), "backends[1] (small-1).name", "two backends"),
        (tree(tiers=["small", "large"]), "tiers", "tier 'large' has no backend"),
        (tree(categories={"code": "large"}), "categories.code", "no tier 'large'"),
        (tree(categories={"poetry": "small"}), "categories", "poetry"),
        (tree(savings={"baseline": "x"}), "savings.baseline", "no backend 'x'"),
        (tree(server={"max_body_bytes": 0}), "server.max_body_bytes", "at least 1"),
    ],
)
def test_a_fault_is_a_sentence_that_says_where_and_what(broken, where, what):
    with pytest.raises(PolicyFault) as caught:
        from_tree(broken, {})
    assert any(where in fault and what in fault for fault in caught.value.faults), caught.value.faults


def test_all_faults_are_told_at_once():
    with pytest.raises(PolicyFault) as caught:
        from_tree(tree(tiers=["small", "large"], backends=[{**LOCAL, "max_concurrent": 0}]), {})
    assert len(caught.value.faults) == 2


def test_a_name_in_braces_is_replaced_but_never_in_a_secret():
    environment = {"KEY": "sk-secret", "MODEL": "qwen-9b", "MANY": "12", "HOST": "10.0.0.1"}
    policy = from_tree(
        backend(api_key="${KEY}", model="${MODEL}", max_concurrent="${MANY}", base_url="http://${HOST}/v1"),
        environment,
    )
    published = msgspec.json.encode(policy)
    assert b"sk-secret" not in published
    assert b"10.0.0.1" not in published
    found = decode_published(published).backends[0]
    assert (found.model, found.max_concurrent) == ("qwen-9b", 12)
    assert resolve(found.api_key, environment) == "sk-secret"
    assert resolve(found.url, environment) == "http://10.0.0.1/v1"


def test_a_name_that_is_not_set_is_named_and_no_value_is():
    with pytest.raises(PolicyFault, match=r"\$\{MISSING\} is not set"):
        resolve("${MISSING}", {"OTHER": "sk-secret"})


def test_every_key_of_the_interface_is_accepted():
    whole = tree(
        server={"host": "127.0.0.1", "port": 8080, "max_body_bytes": 1, "request_timeout_s": 600, "cors_origins": []},
        routing={"mode": "observe"},
        aliases={"gpt-4o*": "auto"},
        categories={"extraction": "small"},
        rules=[{"name": "a", "when": {"service": "legal", "category": "code"}, "tier": "small"}],
        budgets={"default": {"daily_usd": 50, "on_exhausted": "reject", "downgrade_to": "small", "timezone": "UTC"}},
        rate_limits={"default": {"requests_per_second": 100, "burst": 200}},
        quality={"sample_rate": 0.05, "reference": "small-1", "threshold": 0.9, "window": 500, "daily_usd": 5,
                 "max_share_of_savings": 0.1, "escalate": [], "exclude_services": []},
        cache={"enabled": True, "ttl_s": 3600, "max_entries": 10, "max_bytes": 10},
        batch={"max_wait_s": 60, "max_requests": 1000, "max_file_bytes": 1},
        savings={"baseline": "small-1"},
        auth={"required": False},
        retention={"requests_days": 90, "samples_days": 14, "store_bodies": False},
    )  # fmt: skip
    assert isinstance(from_tree(whole, {}), Policy)
