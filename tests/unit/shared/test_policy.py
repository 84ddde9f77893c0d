from types import SimpleNamespace

import msgspec
import pytest

from services.ingress import publisher
from shared import policy_file
from shared.policy import (
    Policy,
    PolicyFault,
    PriceSetting,
    decode_published,
    encode_published,
    from_tree,
    resolve,
    unset_secrets,
    written_out_keys,
)
from shared.policy_watch import PolicyWatch
from tierwise import up

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


def price(**changes):
    return backend(price={**LOCAL["price"], **changes})


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
        (tree(teirs=[]), "teirs", "no such key; the keys here are tiers, "),
        (backend(modle="x"), "backends[0].modle", "no such key; the keys here are name, "),
        (price(input="x"), "backends[0].price.input", "no such key"),
        (tree(budgets={"default": {"daily": 1}}), "budgets.default.daily", "no such key"),
        (tree(rules=[{"name": "a", "when": {"servise": "x"}}]), "rules[0].when.servise", "no such key"),
        (backend(provider="gpt"), "backends[0].provider", "gpt"),
        (backend(tier="smal"), "backends[0] (small-1).tier", "no tier 'smal'"),
        (backend(max_concurrent="many"), "backends[0].max_concurrent", "int"),
        (backend(max_concurrent=0), "backends[0] (small-1).max_concurrent", "at least 1"),
        (backend(base_url="ftp://x"), "backends[0] (small-1).base_url", "http://"),
        (backend(model="${NOT_SET}"), "backends[0].model", "${NOT_SET} is not set"),
        (backend(base_url="http://me:secret@x/v1"), "backends[0] (small-1).base_url", "write ${NAME} in their place"),
        (backend(base_url="http://secret@${HOST}"), "backends[0] (small-1).base_url", "write ${NAME} in their place"),
        (backend(base_url="me:secret@x"), "backends[0] (small-1).base_url", "http://"),
        (backend(name=""), "backends[0].name", "1 to 64 printable"),
        (backend(name="a\r\nx-evil: 1"), "backends[0].name", "1 to 64 printable"),
        (backend(name="a\n"), "backends[0].name", "1 to 64 printable"),
        (backend(name=" a"), "backends[0].name", "without a space at either end"),
        (backend(name="a" * 65), "backends[0].name", "1 to 64 printable"),
        (tree(tiers=["small", "gro\u00df"]), "tiers[1]", "printable ASCII"),
        (backend(model="a\rb"), "backends[0] (small-1).model", "1 to 256 printable"),
        (backend(model="a" * 257), "backends[0] (small-1).model", "1 to 256 printable"),
        (backend(lora_adapters=["a", "b\n"]), "backends[0] (small-1).lora_adapters[1]", "1 to 256 printable"),
        (tree(rules=[{"name": "a\nb", "when": {}}]), "rules[0].name", "1 to 64 printable"),
        (tree(aliases={"gpt-*": "smal"}), "aliases.gpt-*", "nothing is called 'smal'"),
        (tree(aliases={"gpt-*": "gpt-4", "gpt-4": "auto"}), "aliases.gpt-*", "nothing is called 'gpt-4'"),
        (price(input_per_1m=float("nan")), "backends[0].price.input_per_1m", "a number from 0"),
        (price(output_per_1m=float("inf")), "backends[0].price.output_per_1m", "a number from 0"),
        (price(cached_input_per_1m=-0.1), "backends[0].price.cached_input_per_1m", "a number from 0"),
        (price(cached_input_per_1m=1e6 + 1), "backends[0] (small-1).price", "above 1000000"),
        (price(input_per_1m=1e6 + 1), "backends[0] (small-1).price", "above 1000000"),
        (backend(context_window=-1), "backends[0].context_window", "a number from 0"),
        (backend(context_window=10**400), "backends[0].context_window", "a number from 0"),
        (tree(budgets={"default": {"daily_usd": float("inf")}}), "budgets.default.daily_usd", "a number from 0"),
        (tree(server={"request_timeout_s": 0}), "server.request_timeout_s", "more than 0 and at most 86400"),
        (tree(server={"request_timeout_s": 86_401}), "server.request_timeout_s", "more than 0 and at most 86400"),
        (tree(server={"request_timeout_s": float("nan")}), "server.request_timeout_s", "a number from 0"),
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
    assert any(fault.startswith(where) and what in fault for fault in caught.value.faults), caught.value.faults
    assert not any("secret" in fault or "\n" in fault for fault in caught.value.faults), caught.value.faults


def test_a_key_that_is_written_out_is_told_of_and_not_shown():
    [told] = written_out_keys(from_tree(backend(api_key="sk-secret"), {}))
    assert told.startswith("backends[0] (small-1).api_key: ")
    assert "sk-secret" not in told
    assert not written_out_keys(from_tree(backend(api_key="${KEY}"), {}))
    assert not written_out_keys(from_tree(tree(), {}))


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


def test_who_only_reads_needs_no_keys_and_who_starts_everything_is_told_what_is_missing():
    read = from_tree(backend(api_key="${KEY}", base_url="https://${USER}:${PASSWORD}@${HOST}/v1"), {})
    assert unset_secrets(read, {"KEY": "", "USER": "me", "HOST": "x"}) == [
        "backends[0] (small-1).base_url: ${PASSWORD} is not set in the environment; export PASSWORD=… and try again"
    ]
    assert unset_secrets(read, {"KEY": "k", "USER": "me", "PASSWORD": "y", "HOST": "x"}) == []
    assert len(unset_secrets(read, {})) == 4


def test_up_refuses_an_unset_key_and_the_ingress_does_not(tmp_path):
    config = tmp_path / "tierwise.yaml"
    config.write_bytes(msgspec.json.encode(backend(api_key="${KEY}")))
    (fault,) = up._faults(config, {})
    assert "${KEY} is not set" in fault
    assert up._faults(config, {"KEY": "k"}) == []
    assert publisher.load(config, {})[0].backends[0].api_key == "${KEY}"


def test_a_file_that_is_not_yaml_is_refused_without_quoting_it(tmp_path):
    config = tmp_path / "tierwise.yaml"
    for text in ("tiers: [small]\napi_key: 'sk-secret", "api_key: sk-secret: x", "day: 2026-13-45"):
        config.write_text(text)
        with pytest.raises(PolicyFault, match="is not YAML") as caught:
            policy_file.read(config, {})
        assert "sk-secret" not in str(caught.value)


@pytest.mark.parametrize(
    "target", ["auto", "default", "auto:cheap", "auto:quality", "small", "small-1", "qwen-9b", "sdr"]
)
def test_an_alias_may_name_whatever_a_caller_may(target):
    assert from_tree({**backend(lora_adapters=["sdr"]), "aliases": {"gpt-*": target}}, {}).aliases == {
        "gpt-*": target
    }


def test_what_a_later_version_publishes_can_be_read():
    later = msgspec.to_builtins(from_tree(tree(), {}))
    later["tomorrow"] = {"x": 1}
    later["backends"][0]["price"]["image_per_1m"] = 3
    assert decode_published(msgspec.json.encode(later)) == from_tree(tree(), {})


async def test_what_nobody_could_read_is_not_published():
    policy = from_tree(tree(), {})
    assert decode_published(encode_published(policy)) == policy
    unknown = PriceSetting(input_per_1m=float("nan"), output_per_1m=1)  # JSON has no such number
    broken = msgspec.structs.replace(policy.backends[0], price=unknown)
    with pytest.raises(PolicyFault, match=r"cannot be published: backends\[0\].price.input_per_1m"):
        await publisher.publish(None, msgspec.structs.replace(policy, backends=(broken,)))  # no bucket is touched


@pytest.mark.parametrize("payload", [b"", b"{}", b"\xff", b'{"tiers": 5, "backends": []}'])
def test_a_watch_passes_over_a_policy_that_it_cannot_read(payload, caplog):
    heard = []
    watch = PolicyWatch(SimpleNamespace(on_back=lambda _: None), lambda _, version: heard.append(version))
    good = encode_published(from_tree(tree(), {}))
    for version, sent in enumerate([good, payload, good], start=1):
        watch._take(sent, version)
    assert heard == [1, 3]
    assert "policy version 2 cannot be read" in caplog.text


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
