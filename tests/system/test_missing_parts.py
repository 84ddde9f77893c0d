"""A router without one of its parts says so at once, with a time to come back; and serves as soon as it is there."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest

from tests.support.caller import Crowd, ask, chat
from tests.support.own_nats import own_nats
from tests.support.router import config, keys
from tests.support.running import running
from tests.support.upstream import Upstream, as_asked
from tests.support.wait import wait_until
from tierwise.embedded.nats import nats_part
from tierwise.lineup import SERVICES, Wiring, service_parts
from tierwise.ports import FreePorts
from tierwise.probes import answers_ok

AT_ONCE_S = 10.0  # on a busy machine; a request that waited would wait for its deadline, 60 s


@dataclass
class ByHand:
    """Services started one by one, without a supervisor that would start the missing ones."""

    url: str
    start: Callable[[str], None]
    another: Callable[[str], AbstractContextManager[object]]  # one more of a service, while entered

    def waits_for(self) -> list[str]:
        waiting: list[str] = httpx.get(f"{self.url}/readyz", trust_env=False).json()["waiting_for"]
        return waiting

    def check_refused(self, code: str) -> None:
        began = time.monotonic()
        refused = ask(self.url)
        assert time.monotonic() - began < AT_ONCE_S
        assert refused.status == 503
        assert refused.error["code"] == code
        assert refused.error["type"] == "server_error"
        assert int(refused.headers["retry-after"]) > 0

    def wait_until_it_waits_for(self, *names: str) -> None:
        wait_until(lambda: sorted(self.waits_for()) == sorted(names), f"only {names} to be missing")


@contextmanager
def by_hand(nats_url: str, folder: Path, upstream: Upstream) -> Iterator[ByHand]:
    ports = FreePorts()
    file = folder / "tierwise.yaml"
    file.write_text(config(upstream.url, upstream.url, upstream.url))
    wiring = Wiring(
        nats_url=nats_url,
        database_url="postgresql://nobody@127.0.0.1:1/none",
        config=file,
        host="127.0.0.1",
        port=ports.take(),
        insecure=False,
    )
    environment = {**os.environ, **keys()}
    ops_ports = {name: ports.take() for name in SERVICES}
    parts = {part.name: part for part in service_parts(wiring, environment, ops_ports, ())}
    url = f"http://127.0.0.1:{wiring.port}"
    with ExitStack() as held:

        def start(name: str) -> None:
            part = parts[name]
            alive = part if name != "ingress" else replace(part, probe=answers_ok(f"{url}/healthz"))
            held.enter_context(running(alive, folder / f"{name}.log"))

        def another(name: str) -> AbstractContextManager[object]:
            port = ports.take()
            [part] = [
                one for one in service_parts(wiring, environment, {**ops_ports, name: port}, ()) if one.name == name
            ]
            return running(part, folder / f"another {name}.log")

        yield ByHand(url, start, another)


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as one:
        yield one


@pytest.fixture
def hand(nats_url: str, tmp_path: Path, upstream: Upstream) -> Iterator[ByHand]:
    with by_hand(nats_url, tmp_path, upstream) as one:
        yield one


def test_without_a_classifier_and_then_without_a_dispatcher_it_is_said_at_once(hand):
    hand.start("ingress")
    hand.wait_until_it_waits_for("classifier", "dispatcher")
    hand.check_refused("no_classifier")
    hand.start("classifier")
    hand.wait_until_it_waits_for("dispatcher")
    hand.check_refused("no_dispatcher")
    assert ask(hand.url, chat(model="nonsense")).status == 404, "that is known without a dispatcher"
    hand.start("dispatcher")
    hand.wait_until_it_waits_for()
    assert ask(hand.url).status == 200, "no ledger, no validator, no batcher: nobody waits for these"


def test_an_ingress_that_has_not_reached_nats_says_so_and_serves_once_it_has(tmp_path, upstream, server_folder):
    server = own_nats(server_folder / "late")
    with by_hand(server.url, tmp_path, upstream) as hand, ExitStack() as held:
        hand.start("ingress")
        hand.check_refused("bus_unavailable")
        assert "nats" in hand.waits_for()
        held.enter_context(running(nats_part(server), tmp_path / "nats.log"))
        hand.wait_until_it_waits_for("classifier", "dispatcher")
        hand.start("classifier")
        hand.start("dispatcher")
        hand.wait_until_it_waits_for()
        assert ask(hand.url).status == 200


def test_a_second_classifier_and_a_second_dispatcher_come_and_go_under_load_and_nobody_notices(hand, upstream):
    upstream.always(as_asked(after_s=0.01))
    for name in ("ingress", "classifier", "dispatcher"):
        hand.start(name)
    hand.wait_until_it_waits_for()
    with Crowd(hand.url) as crowd:
        for name in ("classifier", "dispatcher"):
            with hand.another(name):
                crowd.wait_for_answers(200)
            crowd.wait_for_answers(200)
    assert not crowd.refused
