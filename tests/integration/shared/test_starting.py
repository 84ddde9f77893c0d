"""Services whose parts are not there: each says so, and ends when it is told to."""

import asyncio
import json
import os
import signal
import socketserver
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import contextmanager

import nats
import pytest
from nats.errors import NoRespondersError
from nats.errors import TimeoutError as NatsTimeout

from shared.contracts import RequestPlanned, RequestReceived
from shared.hot_service import POLICY_WAITS_S
from shared.streams import CURRENT, POLICY, ensure_bucket
from tests.support.nobody import nobody
from tests.support.router import config
from tests.support.wait import PATIENCE_S, eventually, wait_until
from tierwise.ports import FreePorts

HOT = ("ingress", "classifier", "dispatcher")
COLD = ("ledger", "validator", "batcher")
ENDS_WITHIN_S = 8.0  # whoever waits for an answer of NATS waits for ten seconds
PRICE = {"input_per_1m": 1, "output_per_1m": 1}
BACKEND = {"name": "b", "tier": "t", "provider": "vllm", "model": "m", "base_url": "http://x/v1", "price": PRICE}
PUBLISHED = {"tiers": ["t"], "backends": [BACKEND]}


class Service:
    def __init__(self, name, folder, nats_url):
        ports = FreePorts()
        self.ops_port = ports.take()
        self.log = folder / f"{name}.log"
        file = folder / "tierwise.yaml"
        file.write_text(config("http://127.0.0.1:1", "http://127.0.0.1:1", "http://127.0.0.1:1"))
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TIERWISE_")}
        environment |= {
            "TIERWISE_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
            "TIERWISE_OPS_PORT": str(self.ops_port),
            "TIERWISE_PORT": str(ports.take()),
            "TIERWISE_CONFIG": str(file),
        }
        if nats_url:
            environment["TIERWISE_NATS_URL"] = nats_url
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", f"services.{name}"], env=environment, stdout=out, stderr=out
            )

    def waits_for(self):
        try:
            with OPENER.open(f"http://127.0.0.1:{self.ops_port}/readyz") as answer:
                return set(json.load(answer)["waiting_for"])
        except OSError:
            assert self.process.poll() is None, self.log.read_text()
            return None

    def ends(self):
        """Its exit code after a SIGTERM, and what it wrote."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60)
        assert time.monotonic() - began < ENDS_WITHIN_S
        return code, self.log.read_text()


class Unraised(urllib.request.HTTPErrorProcessor):
    def http_response(self, request, response):
        return response


OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), Unraised())


@contextmanager
def service(name, folder, nats_url):
    one = Service(name, folder, nats_url)
    try:
        yield one
    finally:
        one.process.kill()
        one.process.wait()


@pytest.mark.parametrize("name", HOT + COLD)
def test_without_the_address_of_nats_it_ends_with_a_sentence(name, tmp_path):
    with service(name, tmp_path, None) as one:
        assert one.process.wait(60) == 1
        assert one.log.read_text().startswith(f"{name}: TIERWISE_NATS_URL is not set; for example ")
        assert len(one.log.read_text().splitlines()) == 1


@pytest.mark.parametrize("name", HOT + COLD)
def test_while_nats_is_away_it_says_so_and_can_be_ended(name, tmp_path):
    with nobody() as port, service(name, tmp_path, f"nats://127.0.0.1:{port}") as one:
        wait_until(lambda: "nats" in (one.waits_for() or ()), "the wait for NATS")
        code, written = one.ends()
    assert code == 0, written
    assert "Traceback" not in written
    assert {json.loads(line)["service"] for line in written.splitlines()} == {name}


class WithoutJetStream(socketserver.ThreadingTCPServer):
    """A NATS that answers pings, and nothing else."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Connection)
        self.asked = threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Connection(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(b'INFO {"server_id":"x","version":"2.11.0","headers":true,"max_payload":1048576}\r\n')
        for line in self.rfile:
            if line.startswith(b"PING"):
                self.wfile.write(b"PONG\r\n")
            elif b"$JS.API" in line:
                self.server.asked.set()


@pytest.mark.parametrize("name", HOT)
def test_while_jetstream_is_away_it_can_be_ended(name, tmp_path):
    with WithoutJetStream() as server, service(name, tmp_path, f"nats://127.0.0.1:{server.server_address[1]}") as one:
        assert server.asked.wait(PATIENCE_S), one.log.read_text()
        code, written = one.ends()
        server.shutdown()
    assert code == 0, written
    assert "Traceback" not in written


@pytest.mark.parametrize(
    ("name", "subject"),
    [("classifier", f"{RequestReceived.subject}.interactive"), ("dispatcher", RequestPlanned.subject)],
)
async def test_it_joins_the_others_once_it_has_a_policy(name, subject, nats_url, tmp_path):
    client = await nats.connect(nats_url)
    began = time.monotonic()
    with service(name, tmp_path, nats_url) as one:
        await eventually(lambda: one.waits_for() == {"policy"}, "all but the policy")
        assert not await is_answered_for(client, subject) or time.monotonic() - began > POLICY_WAITS_S
        bucket = await ensure_bucket(client.jetstream(), POLICY)
        await bucket.put(CURRENT, json.dumps(PUBLISHED).encode())
        await eventually(lambda: is_answered_for(client, subject), "the service to join")
        await eventually(lambda: one.waits_for() == set(), "the policy")
        await asyncio.to_thread(one.ends)
    await client.close()


async def is_answered_for(client, subject):
    """Whether anyone has subscribed to it. What is sent is nothing that a service can read."""
    try:
        await client.request(subject, b"", timeout=0.05)
    except NoRespondersError:
        return False
    except NatsTimeout:
        return True
