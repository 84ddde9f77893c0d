"""A policy completed by what its local servers say: servers as they are, and as they must not be."""

import asyncio

import msgspec
import pytest

from services.ingress.catalogue import completed
from services.ingress.local_servers import LONGEST_REPLY
from shared.policy import Backend, Policy, PolicyFault, PriceSetting
from tests.support.hostile import Hostile
from tests.support.model_servers import OLLAMA, VLLM, model_server

PRICE = PriceSetting(input_per_1m=0.01, output_per_1m=0.01)


def local(name, provider, url, model, **given):
    return Backend(name=name, tier="t", provider=provider, base_url=f"{url}/v1", model=model, price=PRICE, **given)


def policy(*backends):
    return Policy(tiers=("t",), backends=backends)


async def test_each_kind_of_server_is_asked_for_its_model():
    with model_server(VLLM) as vllm, model_server(OLLAMA) as ollama:
        done = await completed(
            policy(
                local("v", "vllm", vllm, "qwen-9b"),
                local("o", "ollama", ollama, "qwen3:8b"),
                local("c", "openai-compatible", vllm, "qwen-9b"),
                Backend(name="h", tier="t", provider="openai", model="gpt-4o"),
            ),
            {},
        )
    v, o, c, h = done.policy.backends
    assert (v.context_window, v.capabilities, v.lora_adapters) == (32768, None, ("sdr",))
    assert (o.context_window, o.capabilities) == (16384, ("json_schema", "tools"))
    assert c.context_window == 32768
    assert h.price is not None
    assert done.unanswered == ()


async def test_what_the_file_says_wins_and_adapters_come_beside_its_own():
    with model_server(VLLM) as vllm:
        given = local("v", "vllm", vllm, "qwen-9b", context_window=7, capabilities=(), lora_adapters=("ours", "sdr"))
        (backend,) = (await completed(policy(given), {})).policy.backends
    assert backend == given


async def test_keys_and_addresses_come_from_the_environment_and_do_not_get_into_the_policy():
    with model_server(VLLM, key="k-1") as vllm:
        asked = Backend(
            name="v", tier="t", provider="vllm", base_url="${VLLM}/v1", api_key="${KEY}", model="qwen-9b", price=PRICE
        )
        done = await completed(policy(asked), {"VLLM": vllm, "KEY": "k-1"})
        (backend,) = done.policy.backends
        assert (backend.context_window, backend.base_url, backend.api_key) == (32768, "${VLLM}/v1", "${KEY}")
        for environment in ({}, {"VLLM": vllm}, {"VLLM": vllm, "KEY": "wrong"}, {"VLLM": vllm, "KEY": "no\nheader"}):
            assert (await completed(policy(asked), environment)).unanswered == ("v",)


async def test_a_server_that_is_not_there_is_named_if_something_is_still_unknown():
    gone = "http://127.0.0.1:1"
    backends = [
        local("knows-nothing", "vllm", gone, "m"),
        local("knows-one", "llamacpp", gone, "m", context_window=5),
        local("knows-all", "ollama", gone, "m", context_window=5, capabilities=()),
    ]
    done = await completed(policy(*backends), {})
    assert done.unanswered == ("knows-nothing", "knows-one")
    assert done.policy.backends == tuple(backends)


async def test_a_model_that_the_server_does_not_have_is_unanswered_but_where_lists_say_little():
    with model_server(VLLM) as vllm, model_server(OLLAMA) as ollama:
        backends = [
            local("v", "vllm", vllm, "other"),
            local("o", "ollama", ollama, "other"),
            local("c", "openai-compatible", vllm, "other"),
        ]
        assert (await completed(policy(*backends), {})).unanswered == ("v", "o")


async def test_a_hosted_model_without_a_known_price_is_refused():
    with pytest.raises(PolicyFault, match="no price is known for openai's model"):
        await completed(policy(Backend(name="h", tier="t", provider="openai", model="gpt-none")), {})


async def silent(peer):
    await peer.gone()


async def drips(peer):
    peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
    while True:
        peer.say(b" ")
        await asyncio.sleep(0.05)


async def endless(peer):
    await peer.byte()
    peer.say(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    for _ in range(LONGEST_REPLY // 65536 + 2):
        peer.say(b"10000\r\n" + b"[" * 65536 + b"\r\n")


def says(answer):
    async def script(peer):
        await peer.byte()
        peer.say(answer)
        peer.end()

    return script


def body(content, status=b"200 OK", *lines):
    return b"\r\n".join([b"HTTP/1.1 " + status, b"content-length: %d" % len(content), *lines, b"", content])


@pytest.mark.parametrize("provider", ["vllm", "ollama", "llamacpp", "openai-compatible"])
@pytest.mark.parametrize(
    "script",
    [
        silent,
        drips,
        endless,
        says(b"SSH-2.0-OpenSSH_10.1\r\n"),
        says(b""),
        says(body(b"<html>It works!</html>")),
        says(body(b'{"data": [')),
        says(body(b"[" * 100_000)),
        says(body(b"", b"302 Found", b"location: http://127.0.0.1:1/elsewhere")),
        says(body(b"\x1f\x8b\x00", b"200 OK", b"content-encoding: gzip")),
        says(body(b'{"error": {"message": "Loading model"}}', b"503 Service Unavailable")),
        says(b"HTTP/1.1 200 OK\r\n" + b"x-a: " + b"a" * 200_000 + b"\r\n\r\n"),
        says(b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n"),
    ],
)
async def test_a_stranger_on_the_port_neither_hangs_nor_breaks_it(script, provider):
    async with Hostile(script) as server:
        done = await completed(policy(local("b", provider, server.url.removesuffix("/v1"), "m")), {})
    assert done.unanswered == ("b",)


@pytest.mark.parametrize(("more", "window"), [(0, 32768), (1, 0)])
async def test_an_answer_that_is_too_long_is_not_read(more, window):
    listed = msgspec.json.encode(VLLM["/v1/models"])
    async with Hostile(says(body(listed.ljust(LONGEST_REPLY + more)))) as server:
        done = await completed(policy(local("b", "vllm", server.url.removesuffix("/v1"), "qwen-9b")), {})
    assert done.policy.backends[0].context_window == window


async def test_a_redirect_is_not_followed_and_no_key_goes_along():
    with model_server(VLLM) as elsewhere:
        script = says(body(b"", b"302 Found", b"location: %s/v1/models" % elsewhere.encode()))
        async with Hostile(script) as server:
            done = await completed(policy(local("b", "vllm", server.url.removesuffix("/v1"), "qwen-9b")), {})
    assert done.unanswered == ("b",)


async def test_all_are_asked_at_once():
    """Each gets its answer only when all have come."""
    waiting = []

    async def together(peer):
        await peer.byte()
        waiting.append(peer)
        if len(waiting) == 30:
            for one in waiting:
                one.say(body(msgspec.json.encode(VLLM["/v1/models"])))

    async with Hostile(together) as server:
        url = server.url.removesuffix("/v1")
        done = await completed(policy(*(local(f"b{n}", "vllm", url, "qwen-9b") for n in range(30))), {})
    assert done.unanswered == ()
    assert {backend.context_window for backend in done.policy.backends} == {32768}
