"""The operators' door, while the loop changes what it reads."""

import json
import threading
import urllib.request

import pytest
from prometheus_client import CollectorRegistry, Gauge

from shared.ops import OpsServer, Readiness
from shared.settings import OpsSettings


@pytest.fixture
def readiness():
    return Readiness("nats")


@pytest.fixture
def url(readiness):
    registry = CollectorRegistry()
    Gauge("in_hand", "Requests in hand", registry=registry).set(3)
    server = OpsServer(OpsSettings("127.0.0.1", 0), "dispatcher", readiness, registry)
    yield f"http://127.0.0.1:{server.port}"
    server.close()


def get(url):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), Unraised())
    with opener.open(url) as answer:
        return answer.status, answer.read().decode()


class Unraised(urllib.request.HTTPErrorProcessor):
    def http_response(self, request, response):
        return response


def test_it_says_what_is_waited_for_and_what_is_counted(url, readiness):
    status, body = get(f"{url}/readyz")
    assert (status, json.loads(body)["waiting_for"]) == (503, ["nats"])
    readiness.done("nats")
    assert get(f"{url}/readyz")[0] == 200
    assert "in_hand 3.0" in get(f"{url}/metrics")[1]
    assert get(f"{url}/else")[0] == 404


def test_it_answers_while_the_loop_changes_what_is_waited_for(url, readiness):
    ended = threading.Event()

    def change():
        while not ended.is_set():
            for part in ("nats", "policy", "database"):
                readiness.lost(part)
                readiness.done(part)

    changing = threading.Thread(target=change)
    changing.start()
    try:
        for _ in range(100):
            assert get(f"{url}/readyz")[0] in {200, 503}
    finally:
        ended.set()
        changing.join()
