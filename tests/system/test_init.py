"""What `tierwise init` writes on a machine where the demo runs: the command itself, and a Tierwise on its config."""

import os
import subprocess
import sys
from pathlib import Path

import httpx
import yaml

from tests.support.stack import Stack
from tierwise.setup.keys import ALL

COMMAND = str(Path(sys.executable).parent / "tierwise")
KEYS = {"OPENAI_API_KEY": "sk-s3cr3t-1", "TOGETHER_API_KEY": "s3cr3t-2"}


def init(folder, *arguments):
    environment = {name: value for name, value in os.environ.items() if name not in {*ALL, "OPENAI_BASE_URL"}}
    return subprocess.run(
        [COMMAND, "init", *arguments],
        cwd=folder,
        env={**environment, **KEYS},
        check=False,
        capture_output=True,
        text=True,
    )


def test_beside_the_running_demo_it_writes_a_config_that_a_tierwise_runs_on(tmp_path):
    with Stack() as demo:
        models = model_urls(demo)
        probes = [f"--probe={url}" for url in (demo.url, *models)]
        done = init(tmp_path, *probes)
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"{demo.url}/v1: is a Tierwise itself" in done.stdout
        config = tmp_path / "tierwise.yaml"
        text = config.read_text()
        assert demo.url not in text
        assert all(f"base_url: {url}/v1" in text for url in models)
        assert "s3cr3t" not in text + done.stdout + done.stderr

        again = init(tmp_path, *probes)
        assert (again.returncode, config.read_text()) == (1, text)
        assert "--force" in again.stdout

        with Stack(config, environment=KEYS) as routed:
            answer = httpx.post(
                f"{routed.url}/v1/chat/completions",
                json={
                    "model": "gpt-4o",
                    "messages": [{"role": "user", "content": "Classify as spam or not spam: win a prize now"}],
                    "max_tokens": 5,
                },
                timeout=60,
                trust_env=False,
            )
            assert answer.status_code == httpx.codes.OK, answer.text
            assert answer.headers["x-tierwise-backend"].startswith("llamacpp-smollm2-135m")


def model_urls(demo):
    backends = yaml.safe_load((demo.state / "demo.yaml").read_text())["backends"]
    return [backend["base_url"].removesuffix("/v1") for backend in backends]
