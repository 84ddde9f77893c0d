"""Whatever stands in a file, it is a policy or a PolicyFault of whole sentences: nothing else is ever raised."""

import copy

import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from shared import policy_file
from shared.policy import Policy, PolicyFault, decode_published, encode_published, from_tree

PRICE = {"input_per_1m": 1, "output_per_1m": 2, "cached_input_per_1m": 0.5}


def _backend(name, tier):
    return {"name": name, "tier": tier, "provider": "vllm", "base_url": "http://x/v1", "model": "m", "price": PRICE,
            "api_key": "${KEY}", "capabilities": ["tools"], "lora_adapters": ["a"], "thinking": False}  # fmt: skip


WHOLE = {
    "tiers": ["small", "large"],
    "backends": [_backend("small-1", "small"), _backend("large-1", "large")],
    "server": {"host": "127.0.0.1", "port": 8080, "cors_origins": ["*"]},
    "routing": {"mode": "active"},
    "aliases": {"gpt-*": "auto", "x": "small"},
    "categories": {"code": "large"},
    "rules": [{"name": "r", "when": {"service": "a", "headers": {"X-A": "b"}}, "tier": "large"}],
    "budgets": {"default": {"daily_usd": 5, "downgrade_to": "small", "timezone": "UTC"}},
    "rate_limits": {"default": {"requests_per_second": 1, "burst": 1}},
    "quality": {"reference": "large-1"},
    "cache": {"ttl_s": 5},
    "batch": {"max_requests": 5},
    "savings": {"baseline": "large-1"},
    "auth": {"required": False},
    "retention": {"requests_days": 5},
}
junk = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=80),
        st.sampled_from(
            ["small", "large", "small-1", "a", "gpt-*", "default", "auto", "${KEY}", "${", "${NONE}", "\0"]
        ),
    ),
    lambda below: st.one_of(st.lists(below, max_size=3), st.dictionaries(st.text(max_size=5), below, max_size=3)),
    max_leaves=5,
)


def places(node, path=()):
    yield path
    for key, below in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield from places(below, (*path, key))


PLACES = [path for path in places(WHOLE) if path]


@given(st.lists(st.tuples(st.sampled_from(PLACES), st.one_of(st.just("remove"), st.just("again"), junk)), max_size=4))
@example([])
def test_any_change_of_a_good_file_makes_a_policy_or_whole_sentences(changes):
    tree = copy.deepcopy(WHOLE)
    for path, new in changes:
        change(tree, path, new)
    for environment in ({"KEY": "sk-secret-value"}, {}):
        told = ["nothing"]
        try:
            policy = from_tree(tree, environment, with_secrets=True)
        except PolicyFault as fault:
            told = fault.faults
        else:
            assert decode_published(encode_published(policy)) == policy
        assert told
        assert all(one.isprintable() for one in told), told
        assert not any("sk-secret" in one for one in told), told


def change(tree, path, new):
    node = tree
    for key in path[:-1]:
        node = node[key] if isinstance(node, dict) and key in node else node
        if isinstance(node, list) and isinstance(key, int) and key < len(node):
            node = node[key]
    key = path[-1]
    if isinstance(node, dict):
        if new == "remove":
            node.pop(key, None)
        else:
            node[key] = copy.deepcopy(node.get(key)) if new == "again" else new
    elif isinstance(node, list) and isinstance(key, int) and key < len(node):
        if new == "remove":
            del node[key]
        elif new == "again":
            node.append(copy.deepcopy(node[key]))
        else:
            node[key] = new


@given(st.one_of(st.binary(max_size=200), st.text(max_size=200), junk.map(yaml.safe_dump)))
def test_any_content_of_a_file_makes_a_policy_or_whole_sentences(content):
    data = content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")
    told: list[str] = []
    try:
        assert isinstance(policy_file.read_bytes(data, "tierwise.yaml", {}).policy, Policy)
    except PolicyFault as fault:
        told = fault.faults
    assert all(one.startswith("tierwise.yaml:") and one.isprintable() for one in told), told
