"""`tierwise init` with the demo's models running, servers of other kinds, keys set, and strangers on the ports."""

import asyncio
from pathlib import Path

import pytest

from services.ingress.catalogue import completed
from shared import policy_file
from shared.policy import Backend, Policy, PriceSetting
from tests.support.hostile import Hostile
from tests.support.model_servers import OLLAMA, VLLM, model_server
from tests.support.running import complete, running
from tierwise.demo import demo_models, model_part
from tierwise.init import Options, init
from tierwise.ports import FreePorts
from tierwise.progress import Progress

SECRETS = {"OPENAI_API_KEY": "sk-s3cr3t-openai", "MISTRAL_API_KEY": "s3cr3t-mistral"}


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The URLs of its two model servers."""
    folder, ports = tmp_path_factory.mktemp("models"), FreePorts()
    small, large = demo_models(ports.take(), ports.take(), None)
    with running(model_part(small), folder / "small.log"), running(model_part(large), folder / "large.log"):
        yield [f"http://127.0.0.1:{model.port}" for model in (small, large)]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs it on no port but those that are named; the exit code, what it said, and the file."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(capsys, *probes, environment=None, **options):
        output = options.pop("output", tmp_path / "tierwise.yaml")
        chosen = Options(output=output, probes=probes, ports=(), **options)
        code = init(chosen, environment or {}, Progress())
        return code, capsys.readouterr().out, output

    return run


def test_the_demos_servers_and_two_keys_become_a_config_without_a_secret(run, capsys, demo):
    code, said, output = run(capsys, *demo, environment=SECRETS)
    assert code == 0, said
    policy = policy_file.read(output, SECRETS).policy
    assert [(one.provider, one.model) for one in policy.backends[:2]] == [
        ("llamacpp", "smollm2-135m"),
        ("llamacpp", "smollm2-135m-large"),
    ]
    assert {one.provider for one in policy.backends[2:]} == {"openai", "mistral"}
    # SmolLM2's template has no tools, and llama.cpp would pass over them without a word.
    assert (policy.backends[0].context_window, policy.backends[0].capabilities) == (4096, ("json_schema",))
    assert policy.backends[0].max_concurrent == 2
    assert policy.quality.reference in {one.name for one in policy.backends[:2]}
    assert "s3cr3t" not in output.read_text() + said
    assert [line.split()[0] for line in said.splitlines()[:4]] == [
        "llamacpp",
        "llamacpp",
        "OPENAI_API_KEY",
        "MISTRAL_API_KEY",
    ]


def test_an_openai_base_url_without_a_scheme_is_told_and_hides_nothing(run, capsys, demo):
    url = demo[0].removeprefix("http://") + "/v1"
    code, said, output = run(capsys, demo[0], environment={"OPENAI_BASE_URL": url, "OPENAI_API_KEY": "sk-s3cr3t"})
    assert code == 0, said
    assert "${OPENAI_BASE_URL}: is no address: it must begin with http:// or https://" in said
    assert "is written: 1 backend in 1 tier." in said
    assert f"base_url: {demo[0]}/v1" in output.read_text()


def test_a_server_that_answers_with_and_without_v1_is_one(run, capsys, demo):
    code, said, output = run(capsys, demo[0], environment={"OPENAI_BASE_URL": demo[0]})
    assert code == 0, said
    assert "is written: 1 backend in 1 tier." in said
    assert "${OPENAI_BASE_URL}" in output.read_text()


def test_where_no_request_could_go_anywhere_yet_that_is_said(run, capsys):
    code, said, _ = run(capsys, environment={"ANTHROPIC_API_KEY": "s3cr3t"})
    assert code == 0, said
    assert "no adapter for it yet, so no request goes there" in said
    assert "None of them can be asked yet" in said
    _, said, _ = run(capsys, environment=SECRETS, force=True)
    assert "adapter" not in said


def test_a_second_run_refuses_to_overwrite_and_says_how(run, capsys, demo):
    first = run(capsys, demo[0])
    before = first[2].read_text()
    code, said, output = run(capsys, demo[0], environment=SECRETS)
    assert code == 1
    assert "--force overwrites it, --output FILE writes another" in said
    assert output.read_text() == before
    code, _, output = run(capsys, demo[0], environment=SECRETS, force=True)
    assert code == 0
    assert output.read_text() != before


def test_a_real_llama_cpp_tells_a_policy_what_it_leaves_out(demo):
    price = PriceSetting(input_per_1m=1, output_per_1m=1)
    asked = Backend(name="b", tier="t", provider="llamacpp", model="any", base_url=f"{demo[0]}/v1", price=price)
    done = complete(completed(Policy(tiers=("t",), backends=(asked,)), {}))
    (backend,) = done.policy.backends
    assert (backend.context_window, backend.capabilities, done.unanswered) == (4096, ("json_schema",), ())


def test_ollama_and_vllm_are_told_apart_and_asked_their_own_way(run, capsys):
    with model_server(OLLAMA) as ollama, model_server(VLLM) as vllm:
        code, said, output = run(capsys, ollama, vllm)
    assert code == 0, said
    policy = policy_file.read(output, {}).policy
    backends = {one.model: one for one in policy.backends}
    assert sorted(backends) == ["qwen-9b", "qwen3:8b"]
    assert (backends["qwen3:8b"].provider, backends["qwen3:8b"].context_window) == ("ollama", 16384)
    assert (backends["qwen-9b"].provider, backends["qwen-9b"].lora_adapters) == ("vllm", ("sdr",))
    assert "with LoRA sdr" in said


def test_a_tierwise_is_never_taken_for_a_model_server(run, capsys):
    with model_server(VLLM, headers={"server": "tierwise"}) as ourselves, model_server(VLLM) as vllm:
        code, said, output = run(capsys, ourselves, vllm)
    assert code == 0, said
    assert f"{ourselves}/v1: is a Tierwise itself" in said
    assert ourselves not in output.read_text()


def test_a_server_that_asks_for_a_key_is_named_and_passed_over(run, capsys):
    with model_server(VLLM, key="s3cr3t") as vllm:
        code, said, output = run(capsys, vllm)
    assert code == 1
    assert "asks for a key" in said
    assert not output.exists()


def test_openai_base_url_is_asked_with_its_key_and_neither_is_written(run, capsys):
    with model_server({"/v1/models": {"data": [{"id": "gpt-oss-20b"}]}}, key="sk-s3cr3t") as server:
        url = server.replace("//", "//user:s3cr3t@")
        environment = {"OPENAI_BASE_URL": f"{url}/v1", "OPENAI_API_KEY": "sk-s3cr3t"}
        code, said, output = run(capsys, environment=environment)
    assert code == 0, said
    assert "s3cr3t" not in output.read_text() + said
    (backend,) = policy_file.read(output, environment).policy.backends
    assert (backend.provider, backend.base_url) == ("openai-compatible", "${OPENAI_BASE_URL}")


async def html(peer):
    await peer.byte()
    peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: 15\r\n\r\n<html>Hi</html>")
    peer.end()


async def silent(peer):
    await peer.gone()


async def redirecting(peer):
    await peer.byte()
    peer.say(b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n")
    peer.end()


async def endless(peer):
    await peer.byte()
    peer.say(b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 9_000_000)
    peer.end()


async def test_where_only_strangers_answer_nothing_is_written_and_it_says_what_to_start(run, capsys):
    async with Hostile(html) as a, Hostile(silent) as b, Hostile(redirecting) as c, Hostile(endless) as d:
        probes = [server.url for server in (a, b, c, d)]
        code, said, output = await asyncio.to_thread(run, capsys, *probes)
    assert code == 1
    assert said.count("nothing answers there that lists models") == 4
    assert "export a provider's key" in said
    assert not output.exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"reference": "gpt-9"}, "--reference: there is no 'gpt-9'; name one of openai-gpt-6-luna"),
        ({"output": Path("/proc/none/tierwise.yaml")}, "cannot be written: No such file or directory"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(run, capsys, options, said):
    code, told, output = run(capsys, environment=SECRETS, **options)
    assert code == 1
    assert said in told
    assert not output.exists()


@pytest.mark.parametrize("client", ["claude", "cursor", "continue", "aider", "openwebui"])
def test_a_clients_side_is_printed_and_nothing_is_written(run, capsys, client):
    code, said, output = run(capsys, clients=(client,), environment={"TIERWISE_URL": "http://10.0.0.1:9000/"})
    assert code == 0
    assert "http://10.0.0.1:9000" in said
    assert not output.exists()
