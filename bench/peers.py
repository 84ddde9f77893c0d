"""TensorZero and LiteLLM, each in a virtual environment of its own that is made when it is first wanted.

No observability, no database, no outgoing calls: what they cost at least. LiteLLM has as many workers as the machine
has cores, TensorZero threads as it likes.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.load import Door
from bench.processes import START_WITHIN_S, CannotRun, check_alive, free_port, last_words, listening, running
from bench.subject import PATH, Backends, Running

INSTALLS = {"tensorzero": "tensorzero==2026.6.0", "litellm": "litellm[proxy]==1.106.2"}
INSTALL_WITHIN_S = 900.0

TENSORZERO = """
[gateway]
disable_pseudonymous_usage_analytics = true
observability.enabled = false
"""
TENSORZERO_MODEL = """
[models.{name}]
routing = ["mock"]
[models.{name}.providers.mock]
type = "openai"
api_base = "{url}/v1/"
model_name = "mock"
api_key_location = "none"
"""
LITELLM_MODEL = """
  - model_name: {name}
    litellm_params: {{model: openai/mock, api_base: "{url}/v1", api_key: none}}
"""
# The wheel has the Rust gateway, and this private function to start it on a free port.
START_TENSORZERO = """
import signal, sys
from tensorzero.tensorzero import _start_http_gateway
gateway = _start_http_gateway(
    config_file=sys.argv[1], clickhouse_url=None, postgres_url=None, valkey_url=None, async_setup=False
)
print("listens at", gateway.base_url, flush=True)
signal.pause()
"""


@contextmanager
def tensorzero(to: Backends, folder: Path, cache: Path) -> Iterator[Running]:
    python = _environment("tensorzero", cache) / "bin/python"
    config, log = folder / "tensorzero.toml", folder / "tensorzero.log"
    models = [TENSORZERO_MODEL.format(name=name, url=server.url) for name, server in to.items()]
    config.write_text(TENSORZERO + "".join(models))
    with running([str(python), "-c", START_TENSORZERO, str(config)], log, cwd=folder) as process:
        url = _told_url(process, log) + "/chat/completions"
        doors = {name: Door(url, f"tensorzero::model_name::{name}", {}) for name in to}
        yield Running(doors, {"tensorzero": process.pid})


@contextmanager
def litellm(to: Backends, folder: Path, cache: Path) -> Iterator[Running]:
    command = _environment("litellm", cache) / "bin/litellm"
    config, log, port, key = (
        folder / "litellm.yaml",
        folder / "litellm.log",
        free_port(),
        f"sk-{secrets.token_hex(16)}",
    )
    models = [LITELLM_MODEL.format(name=name, url=server.url) for name, server in to.items()]
    config.write_text("model_list:" + "".join(models))
    environment = {
        **os.environ,
        "LITELLM_MASTER_KEY": key,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_MODE": "PRODUCTION",
        "LITELLM_LOG": "ERROR",
    }
    told = ["--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    told += ["--num_workers", str(os.cpu_count() or 1)]
    with listening([str(command), *told], port, log=log, environment=environment) as server:
        headers = {"Authorization": f"Bearer {key}"}
        doors = {name: Door(server.url + PATH, name, headers) for name in to}
        yield Running(doors, {"litellm": server.pid})


def _environment(peer: str, cache: Path) -> Path:
    """Where `peer` is installed. Raises CannotRun."""
    wanted = INSTALLS[peer]
    environment = cache.absolute() / f"{peer}-{wanted.partition('==')[2]}"
    done = environment / "installed"
    if done.exists():
        return environment
    shutil.rmtree(environment, ignore_errors=True)
    environment.parent.mkdir(parents=True, exist_ok=True)
    pip = [str(environment / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wanted]
    for command in ([sys.executable, "-m", "venv", str(environment)], pip):
        try:
            made = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_WITHIN_S, check=False)
        except subprocess.TimeoutExpired as error:
            raise CannotRun(f"{wanted} is not installed after {INSTALL_WITHIN_S:g} s") from error
        if made.returncode:
            raise CannotRun(f"{wanted} cannot be installed: {made.stderr.strip()[-500:]}")
    done.touch()
    return environment


def _told_url(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + START_WITHIN_S
    while time.monotonic() < deadline:
        check_alive(process, log)
        if found := re.search(r"^listens at (\S+)", log.read_text(), re.MULTILINE):
            return found[1].rstrip("/")
        time.sleep(0.05)
    raise CannotRun(f"does not listen after {START_WITHIN_S:g} s{last_words(log)}")
