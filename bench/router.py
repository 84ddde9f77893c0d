"""Tierwise as `tierwise up` starts it, and what its NATS tells of the stream of usage and of slow consumers."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from bench.load import Door
from bench.processes import CannotRun, check_alive, last_words, running
from bench.subject import FAST, OWN, PATH, Backends, Running

FRAME = ("ingress", "classifier", "dispatcher", "nats")  # what a request passes
SUPERVISOR = "supervisor"
START_WITHIN_S = 120.0

# Two tiers, so that the model's name chooses the backend while each request is classified all the same.
CONFIG = """
server: {{port: 8080}}
tiers: [small, large]
backends:
  - {{name: fast, tier: small, provider: openai-compatible, base_url: "{fast}/v1", model: mock, max_concurrent: 4096,
     price: {{input_per_1m: 0.1, output_per_1m: 0.4}}, context_window: 100000000}}
  - {{name: own, tier: large, provider: openai-compatible, base_url: "{own}/v1", model: mock-large,
     max_concurrent: 4096, price: {{input_per_1m: 1.0, output_per_1m: 4.0}}, context_window: 100000000}}
categories: {{extraction: small, summarisation: small, classification: small, reasoning: small, code: small,
              general: small}}
"""
MODELS = {FAST: "auto", OWN: "auto:quality"}


@contextmanager
def tierwise(to: Backends, folder: Path) -> Iterator[Running]:
    config, state, log = folder / "tierwise.yaml", folder / "state", folder / "tierwise.log"
    config.write_text(CONFIG.format(fast=to[FAST].url, own=to[OWN].url))
    command = [str(Path(sys.executable).parent / "tierwise"), "up", "--no-demo"]
    command += ["--config", str(config), "--state", str(state), "--port", "0"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TIERWISE_")}
    with running(command, log, environment) as process:
        run = _when_ready(process, state / "run.json", log)
        doors = {name: Door(run["url"] + PATH, model, {}) for name, model in MODELS.items()}
        named = {each["name"]: each["pid"] for each in run["processes"]}
        yield Running(doors, {**named, SUPERVISOR: process.pid}, state)


def _when_ready(process: subprocess.Popen[bytes], run_file: Path, log: Path) -> dict[str, Any]:
    deadline = time.monotonic() + START_WITHIN_S
    while time.monotonic() < deadline:
        check_alive(process, log)
        if run_file.exists():
            run: dict[str, Any] = json.loads(run_file.read_text())
            try:
                if httpx.get(run["url"] + "/readyz", timeout=5, trust_env=False).status_code == 200:
                    return run
            except httpx.TransportError:
                pass
        time.sleep(0.2)
    raise CannotRun(f"is not ready after {START_WITHIN_S:g} s{last_words(log)}")


class Stores:
    """What the NATS and the ledger of a running Tierwise tell."""

    def __init__(self, state: Path) -> None:
        found = re.search(r'^http: "([^"]+)"', (state / "nats/nats.conf").read_text(), re.MULTILINE)
        assert found is not None, "nats.conf names no monitoring port"
        self._nats = f"http://{found[1]}"
        run = json.loads((state / "run.json").read_text())
        self._ledger = next(each["ops_url"] for each in run["processes"] if each["name"] == "ledger")
        self._http = httpx.Client(timeout=10, trust_env=False)

    def slow_consumers(self) -> int:
        """Connections that NATS has dropped because they did not keep up, since its start."""
        return int(self._http.get(f"{self._nats}/varz").json()["slow_consumers"])

    def usage_waiting(self) -> int:
        """Messages of usage that the ledger has not acknowledged."""
        said = self._http.get(f"{self._nats}/jsz", params={"consumers": "true", "accounts": "true"}).json()
        consumers = [
            consumer
            for account in said.get("account_details", [])
            for stream in account.get("stream_detail", [])
            for consumer in stream.get("consumer_detail") or []
            if consumer["stream_name"] == "USAGE" and consumer["name"] == "ledger"
        ]
        return sum(consumer["num_pending"] + consumer["num_ack_pending"] for consumer in consumers)

    def records(self) -> int:
        """Usage records in the books since the ledger's start, as its metrics say."""
        text = self._http.get(f"{self._ledger}/metrics").text
        found = re.search(r"^tierwise_ledger_records_total (\S+)", text, re.MULTILINE)
        return int(float(found[1])) if found else 0

    def until_drained(self, within_s: float) -> bool:
        """Whether the ledger has taken in all that there is."""
        deadline = time.monotonic() + within_s
        while self.usage_waiting():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True
