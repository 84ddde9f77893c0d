from types import SimpleNamespace

import msgspec
import pytest

from services.classifier import features
from services.ingress import publisher
from shared import policy_file
from shared.budgets import Limits
from shared.policy import (
    Policy,
    PolicyFault,
    PriceSetting,
    decode_published,
    encode_published,
    from_tree,
    resolve,
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
        (tree(frobnicate=[]), "frobnicate", "no such key; the keys here are tiers, "),
        (backend(colour="x"), "backends[0] (small-1).colour", "no such key; the keys here are name, "),
        (price(input="x"), "backends[0] (small-1).price.input", "no such key"),
        (tree(budgets={"default": {"daily": 1}}), "budgets.default.daily", "no such key"),
        (
            tree(rules=[{"name": "a", "when": {"servise": "x"}}]),
            "rules[0] (a).when.servise",
            "did you mean `service`?",
        ),
        (backend(provider="opnai"), "backends[0] (small-1).provider", "did you mean openai?"),
        (backend(tier="smal"), "backends[0] (small-1).tier", "no tier 'smal'"),
        (backend(max_concurrent="many"), "backends[0] (small-1).max_concurrent", "a whole number, not text"),
        (backend(max_concurrent=0), "backends[0] (small-1).max_concurrent", "at least 1"),
        (backend(base_url="ftp://x"), "backends[0] (small-1).base_url", "http://"),
        (backend(model="${NOT_SET}"), "backends[0] (small-1).model", "${NOT_SET} is not set"),
        (backend(base_url="http://"), "backends[0] (small-1).base_url", "http://"),
        (backend(base_url="http:///v1"), "backends[0] (small-1).base_url", "no address that can be called"),
        (backend(base_url="http://x:99999/v1"), "backends[0] (small-1).base_url", "no address that can be called"),
        (backend(base_url="http://x:0"), "backends[0] (small-1).base_url", "no address that can be called"),
        (backend(base_url="http://[::1/v1"), "backends[0] (small-1).base_url", "no address that can be called"),
        (backend(base_url="http://x/v1?a=b"), "backends[0] (small-1).base_url", "no address that can be called"),
        (backend(base_url="http://x/v 1"), "backends[0] (small-1).base_url", "no address that can be called"),
        (backend(base_url="http://me:secret@x/v1"), "backends[0] (small-1).base_url", "write ${NAME} in their place"),
        (backend(base_url="http://secret@${HOST}"), "backends[0] (small-1).base_url", "write ${NAME} in their place"),
        (backend(base_url="me:secret@x"), "backends[0] (small-1).base_url", "http://"),
        (backend(name=""), "backends[0].name", "1 to 64 printable"),
        (backend(name="a\r\nx-evil: 1"), "backends[0].name", "holds a line break"),
        (backend(name="a\n"), "backends[0].name", "holds a line break"),
        (backend(name=" a"), "backends[0] ( a).name", "without a space at either end"),
        (backend(name="a" * 65), "backends[0].name", "1 to 64 printable"),
        (tree(tiers=["small", "gro\u00df"]), "tiers[1]", "printable ASCII"),
        (backend(model="a\rb"), "backends[0] (small-1).model", "holds a line break"),
        (backend(model="grö\u00dfer"), "backends[0] (small-1).model", "1 to 256 printable"),
        (backend(api_key="sk-secret\n"), "backends[0] (small-1).api_key", "holds a line break"),
        (backend(model="a" * 257), "backends[0] (small-1).model", "1 to 256 printable"),
        (backend(lora_adapters=["a", "b\n"]), "backends[0] (small-1).lora_adapters[1]", "holds a line break"),
        (tree(rules=[{"name": "a\nb", "when": {}}]), "rules[0].name", "holds a line break"),
        (tree(aliases={"gpt-*": "smal"}), "aliases.gpt-*", "nothing is called 'smal'"),
        (tree(aliases={"gpt-*": "gpt-4", "gpt-4": "auto"}), "aliases.gpt-*", "nothing is called 'gpt-4'"),
        (price(input_per_1m=float("nan")), "backends[0] (small-1).price.input_per_1m", "a number of at least 0"),
        (price(output_per_1m=float("inf")), "backends[0] (small-1).price.output_per_1m", "a number of at least 0"),
        (
            price(cached_input_per_1m=-0.1),
            "backends[0] (small-1).price.cached_input_per_1m",
            "a number of at least 0",
        ),
        (price(cached_input_per_1m=1e6 + 1), "backends[0] (small-1).price.cached_input_per_1m", "most 1000000"),
        (price(input_per_1m=1e6 + 1), "backends[0] (small-1).price.input_per_1m", "at most 1000000"),
        (backend(context_window=-1), "backends[0] (small-1).context_window", "a number of at least 0"),
        (backend(context_window=10**400), "backends[0] (small-1).context_window", f"at most {2**53}"),
        (tree(budgets={"default": {"daily_usd": float("inf")}}), "budgets.default.daily_usd", "at most 1000000000"),
        (tree(server={"request_timeout_s": 0}), "server.request_timeout_s", "more than 0 and at most 86400"),
        (tree(server={"request_timeout_s": 86_401}), "server.request_timeout_s", "more than 0 and at most 86400"),
        (tree(server={"request_timeout_s": float("nan")}), "server.request_timeout_s", "more than 0 and at most"),
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


@pytest.mark.parametrize("service", ["ü" * 128, "team/a", "=1+1", " büro ", "財務"])
def test_whatever_service_a_request_can_name_can_have_a_budget(service):
    named = features.read(msgspec.json.encode(asking(tierwise_service=service)), 0).wishes.service
    assert named == service
    policy = from_tree(two(budgets={service: {"daily_usd": 1}}, rate_limits={service: RATE}), {})
    assert Limits(policy.budgets).of(named).daily_nano_usd == 10**9


@pytest.mark.parametrize("service", ["ü" * 129, "a\nb", "a\0", "\ud800"])
def test_a_service_that_can_have_no_budget_can_be_named_by_no_request(service):
    with pytest.raises((features.BadRequest, UnicodeEncodeError, msgspec.MsgspecError)):
        features.read(msgspec.json.encode(asking(tierwise_service=service)), 0)
    with pytest.raises(PolicyFault):
        from_tree(two(budgets={service: {"daily_usd": 1}}), {})


def asking(**metadata):
    return {"model": "auto", "messages": [{"role": "user", "content": "Hi"}], "metadata": metadata}


RATE = {"requests_per_second": 1, "burst": 1}


def test_a_key_that_is_written_out_is_told_of_and_not_shown():
    [told] = written_out_keys(from_tree(backend(api_key="sk-secret"), {}))
    assert told.startswith("backends[0] (small-1).api_key: ")
    assert "sk-secret" not in told
    assert not written_out_keys(from_tree(backend(api_key="${KEY}"), {}))
    assert not written_out_keys(from_tree(tree(), {}))


TWO = {
    "tiers": ["small", "large"],
    "backends": [LOCAL, {**LOCAL, "name": "large-1", "tier": "large", "model": "qwen-70b"}],
}


def two(**changes):
    return {**TWO, **changes}


def rule(**changes):
    return two(rules=[{"name": "a", "when": {"service": "x"}, "tier": "small", **changes}])


def budgets(**downgrades):
    return two(budgets={name: {"daily_usd": 1, "downgrade_to": floor} for name, floor in downgrades.items()})


def dear(name, tier, usd):
    return {**LOCAL, "name": name, "tier": tier, "price": {"input_per_1m": usd, "output_per_1m": usd}}


@pytest.mark.parametrize(
    ("broken", "where", "what"),
    [
        (two(tiers=["small", "large", "small"]), "tiers[2]", "small < large < small"),
        (rule(tier="lrge"), "rules[0] (a).tier", "did you mean large?"),
        (rule(backends=["small-2"]), "rules[0] (a).backends[0]", "there is no backend 'small-2'"),
        (rule(backends=["small-1", "small-1"]), "rules[0] (a).backends[1]", "stands there twice"),
        (rule(tier=None), "rules[0] (a)", "leads nowhere"),
        (rule(when={"headers": {f"x-{n}": "y" for n in range(9)}}), "rules", "at most 8"),
        (rule(when={"model": ""}), "rules[0] (a).when.model", "is empty"),
        (rule(when={"category": "poetry"}), "rules[0] (a).when.category", "'poetry' is not known"),
        (rule(when={"headers": {"X Team": "a"}}), "rules[0] (a).when.headers.X Team", "no header's name"),
        (rule(when={"headers": {"Authorization": "a"}}), "rules[0] (a).when.headers.Authorization", "secrets"),
        (rule(when={"headers": {"x-a": "a", "X-A": "b"}}), "rules[0] (a).when.headers.X-A", "twice"),
        (two(rules=[{"name": "a", "when": {"service": "x"}, "tier": "small"}] * 2), "rules[1] (a).name", "two rules"),
        (budgets(a="smal"), "budgets.a.downgrade_to", "did you mean small?"),
        (budgets(a="large"), "budgets.a.downgrade_to", "'large' is the last tier, the dearest"),
        (budgets(a="b", b="small"), "budgets.a.downgrade_to", "'b' is a budget; name one of small"),
        (budgets(a="b", b="c", c="a"), "budgets.a.downgrade_to", "a → b → c → a"),
        (budgets(a="a"), "budgets.a.downgrade_to", "a → a"),
        (tree(budgets={"a": {"daily_usd": 1, "downgrade_to": "small"}}), "budgets.a.downgrade_to", "the only tier"),
        (
            {**budgets(a="small"), "backends": [dear("s", "small", 3), dear("l", "large", 2)]},
            "budgets.a.downgrade_to",
            "go up in price",
        ),
        (
            two(budgets={"a": {"daily_usd": 1, "timezone": "Europe/Berln"}}),
            "budgets.a.timezone",
            "mean Europe/Berlin?",
        ),
        (two(budgets={"a": {"daily_usd": 1, "timezone": "../etc"}}), "budgets.a.timezone", "no time zone"),
        (two(budgets={"a": {"daily_usd": -1}}), "budgets.a.daily_usd", "at least 0"),
        (two(budgets={"a": {}}), "budgets.a.daily_usd", "is missing; for example `daily_usd: 50`"),
        (two(budgets={"a": {"daily_usd": 1, "on_exhausted": "stop"}}), "budgets.a.on_exhausted", "downgrade, reject"),
        (two(budgets={"a\n": {"daily_usd": 1}}), "budgets.'a", "cannot be seen"),
        (two(budgets={"\0": {"daily_usd": 1}}), "budgets.'\\x00'", "cannot be seen"),
        (two(rate_limits={"\0": {"requests_per_second": 1, "burst": 1}}), "rate_limits.'\\x00'", "cannot be seen"),
        (two(budgets={"": {"daily_usd": 1}}), "budgets.", "1 to 128 printable"),
        (two(budgets={"ü" * 129: {"daily_usd": 1}}), "budgets.üüü", "1 to 128 printable"),
        (two(rate_limits={"ü" * 129: {"requests_per_second": 1}}), "rate_limits.üüü", "1 to 128 printable"),
        (two(aliases={"a": "b", "b": "a"}), "aliases.a", "a → b → a"),
        (two(aliases={"a": "b", "b": "auto"}), "aliases.a", "name what it leads to: 'auto'"),
        (two(aliases={"a\ud800": "auto"}), "aliases.'a", "cannot be seen"),
        (two(aliases={"a": "small-2"}), "aliases.a", "did you mean small-1?"),
        (two(rate_limits={"a": {"requests_per_second": 1, "burst": 0}}), "rate_limits.a.burst", "at least 1"),
        (two(rate_limits={"a": {"requests_per_second": 0, "burst": 1}}), "rate_limits.a.requests", "more than 0"),
        (two(quality={"reference": "ref"}), "quality.reference", "no backend 'ref'"),
        (two(quality={"sample_rate": 1.5}), "quality.sample_rate", "at most 1"),
        (two(quality={"threshold": 1}), "quality.threshold", "less than 1"),
        (two(quality={"threshold": 0}), "quality.threshold", "more than 0"),
        (two(quality={"window": 1}), "quality.window", "at least 10"),
        (two(quality={"escalate": ["poetry"]}), "quality.escalate[0]", "'poetry' is not known"),
        (two(cache={"ttl_s": 0}), "cache.ttl_s", "more than 0"),
        (two(batch={"max_requests": 0}), "batch.max_requests", "at least 1"),
        (two(retention={"requests_days": 0}), "retention.requests_days", "at least 1"),
        (two(retention={"store_bodies": "no"}), "retention.store_bodies", "true or false"),
        (two(server={"port": 70_000}), "server.port", "at most 65535"),
        (two(server={"port": 8080.5}), "server.port", "a whole number"),
        (two(server={"request_timeout_s": "1e3"}), "server.request_timeout_s", "write it out in digits"),
        (two(server={"cors_origins": ["https://x.example/"]}), "server.cors_origins[0]", "without a path"),
        (two(server={"cors_origins": "*"}), "server.cors_origins", "must be a list"),
        (two(server=[]), "server", "must be a mapping of host, port"),
        (two(budgets=None), "budgets", "not an empty value"),
        (two(aliases={4: "auto"}), "aliases.4", "put it into quotes"),
        (two(tiers=["small", 4]), "tiers[1]", "must be text, not a number; put it into quotes"),
        (two(tiers="small"), "tiers", "must be a list"),
        (backend(api_key="${A-B}"), "backends[0] (small-1).api_key", "write ${NAME}"),
        (tree(backends=[5]), "backends[0]", "must be a mapping of name, tier"),
    ],
)
def test_what_does_not_go_together_is_told_where_it_stands(broken, where, what):
    with pytest.raises(PolicyFault) as caught:
        from_tree(broken, {})
    assert [fault for fault in caught.value.faults if fault.startswith(where) and what in fault], caught.value.faults
    assert not any("\n" in fault or "\0" in fault for fault in caught.value.faults), caught.value.faults


def test_all_faults_are_told_at_once_and_nothing_that_only_follows_from_them():
    broken = {
        "tiers": ["small", "large", "cloud"],
        "backends": [
            {**LOCAL, "modle": "x", "max_concurrent": "many", "provider": "vlm"},
            {
                "nmae": "large-1",
                "tier": 5,
                "provider": "vllm",
                "model": "${MODEL}",
                "price": "cheap",
                "base_url": "x",
            },
            "cloud-1",
        ],
        "rules": [{"name": "a", "when": {"category": "poetry"}, "backends": ["cloud-1"]}],
        "savings": {"baseline": "cloud-1"},
        "budgets": {"default": {"daily_usd": "much", "timezone": "Mars"}},
    }
    del broken["backends"][0]["model"]
    with pytest.raises(PolicyFault) as caught:
        from_tree(broken, {})
    assert [fault.partition(": ")[0] for fault in caught.value.faults] == [
        "backends[0] (small-1).provider",
        "backends[0] (small-1).modle",
        "backends[0] (small-1).max_concurrent",
        "backends[1].nmae",
        "backends[1].tier",
        "backends[1].model",
        "backends[1].price",
        "backends[2]",
        "rules[0] (a).when.category",
        "budgets.default.daily_usd",
        "backends[1].base_url",
        "budgets.default.timezone",
    ]


def test_a_value_from_the_environment_is_told_by_its_name():
    environment = {"SECRET": "sk-live-12345", "PORT": "http"}
    broken = backend(tier="${SECRET}", model="a ${SECRET}\n", provider="${SECRET}", max_concurrent="${SECRET}")
    with pytest.raises(PolicyFault) as caught:
        from_tree(broken, environment)
    assert len(caught.value.faults) >= 4
    assert "sk-live" not in str(caught.value)
    assert "${SECRET}" in str(caught.value)


def test_a_name_in_braces_is_of_the_type_that_its_place_asks_for():
    environment = {"MODEL": "4711", "PORT": "9090", "ON": "true", "ORIGINS": '["https://x.example"]', "TIER": "small"}
    server = {"port": "${PORT}", "cors_origins": "${ORIGINS}"}
    read = from_tree(
        {**backend(model="${MODEL}", thinking="${ON}"), "server": server, "categories": {"code": "${TIER}"}},
        environment,
    )
    assert (read.backends[0].model, read.backends[0].thinking) == ("4711", True)
    assert (read.server.port, read.server.cors_origins) == (9090, ("https://x.example",))
    assert read.categories == {"code": "small"}


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
    written = backend(api_key="${KEY}", base_url="https://${USER}:${PASSWORD}@${HOST}/v1")
    assert from_tree(written, {}).backends[0].api_key == "${KEY}"
    for environment, missing in (
        ({"KEY": "", "USER": "me", "HOST": "x"}, ["PASSWORD"]),
        ({}, ["USER", "PASSWORD", "HOST", "KEY"]),
    ):
        with pytest.raises(PolicyFault) as caught:
            from_tree(written, environment, with_secrets=True)
        for name, fault in zip(missing, sorted(caught.value.faults, key=lambda one: "KEY" in one), strict=True):
            assert f"${{{name}}} is not set in the environment; export {name}=… and try again" in fault
    set_here = {"KEY": "k", "USER": "me", "PASSWORD": "y", "HOST": "x"}
    assert from_tree(written, set_here, with_secrets=True) == from_tree(written, {})


def test_up_refuses_an_unset_key_and_the_ingress_does_not(tmp_path):
    config = tmp_path / "tierwise.yaml"
    config.write_bytes(msgspec.json.encode(backend(api_key="${KEY}")))
    (fault,) = up._faults(config, {})
    assert fault.startswith(f"{config}:1: backends[0] (small-1).api_key: ${{KEY}} is not set")
    assert up._faults(config, {"KEY": "k"}) == []
    assert policy_file.read(config, {}).policy.backends[0].api_key == "${KEY}"


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
        tiers=["small", "large"],
        backends=[LOCAL, {**LOCAL, "name": "large-1", "tier": "large"}],
        server={"host": "127.0.0.1", "port": 8080, "max_body_bytes": 1, "request_timeout_s": 600, "cors_origins": []},
        routing={"mode": "observe"},
        aliases={"gpt-4o*": "auto"},
        categories={"extraction": "small"},
        rules=[
            {"name": "a", "when": {"service": "legal", "category": "code", "headers": {"X-A": "x"}}, "tier": "small"},
            {"name": "b", "when": {"priority": "bulk", "model": "chat-*"}, "backends": ["large-1", "small-1"]},
        ],
        budgets={"default": {"daily_usd": 50, "on_exhausted": "downgrade", "downgrade_to": "small", "timezone": "UTC",
                             "when_ledger_is_away": "reject"}},
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
