"""Who is measured: the backend alone, nginx in front of it, Tierwise in front of it. A peer is one more `Subject`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.mock_upstream import Server, has_nginx, nginx_proxy
from bench.processes import ended

FRAME = ("ingress", "classifier", "dispatcher", "nats")  # what DESIGN calls the frame: all that a request passes
START_WITHIN_S = 120.0

CONFIG = """
server: {{port: 8080}}
tiers: [small]
backends:
  - {{name: mock, tier: small, provider: openai-compatible, base_url: "{url}/v1", model: mock, max_concurrent: 256,
     price: {{input_per_1m: 0.1, output_per_1m: 0.4}}, context_window: 32768}}
categories: {{general: small}}
"""


@dataclass(frozen=True)
class Running:
    url: str
    pids: dict[str, int] = field(default_factory=dict)  # processes by name


@dataclass(frozen=True)
class Subject:
    name: str
    start: Callable[[], AbstractContextManager[Running]]  # runs while entered


def subjects(mock: Server, folder: Path) -> list[Subject]:
    """In the order of the table; the first is what the others are compared with."""
    found = [Subject("direct", lambda: nullcontext(Running(mock.url)))]
    if has_nginx():
        found.append(Subject("nginx proxy_pass", lambda: _nginx(mock, folder)))
    found.append(Subject("Tierwise", lambda: _tierwise(mock, folder)))
    return found


@contextmanager
def _nginx(mock: Server, folder: Path) -> Iterator[Running]:
    with nginx_proxy(folder, mock) as proxy:
        yield Running(proxy.url, {"nginx": proxy.pid})


@contextmanager
def _tierwise(mock: Server, folder: Path) -> Iterator[Running]:
    config, state, log = folder / "tierwise.yaml", folder / "state", folder / "tierwise.log"
    config.write_text(CONFIG.format(url=mock.url))
    command = [str(Path(sys.executable).parent / "tierwise"), "up", "--no-demo"]
    command += ["--config", str(config), "--state", str(state), "--port", "0"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TIERWISE_")}
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=environment)
        with ended(process):
            run = _when_ready(process, state / "run.json", log)
            yield Running(run["url"], {each["name"]: each["pid"] for each in run["processes"]})


def _when_ready(process: subprocess.Popen[bytes], run_file: Path, log: Path) -> dict[str, Any]:
    import httpx

    deadline = time.monotonic() + START_WITHIN_S
    while time.monotonic() < deadline and process.poll() is None:
        if run_file.exists():
            run: dict[str, Any] = json.loads(run_file.read_text())
            try:
                if httpx.get(run["url"] + "/readyz", timeout=5).status_code == 200:
                    return run
            except httpx.TransportError:
                pass
        time.sleep(0.2)
    raise RuntimeError(f"tierwise up is not ready; it said:\n{log.read_text()[-3000:]}")
