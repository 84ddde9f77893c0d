"""tierwise.yaml changes under load: no request fails, and each is decided by the old version or by the new one."""

import http.client
import json
import os
import signal
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from typing import Any, Self

import pytest

from tests.support.caller import Caller, chat
from tests.support.router import Router, keys, running_router
from tests.support.running import running
from tests.support.upstream import as_asked
from tests.support.wait import wait_until
from tierwise.lineup import SERVICES, Wiring, service_parts
from tierwise.ports import FreePorts

CALLERS = 8
RELOADS = 12


@pytest.fixture
def router() -> Iterator[Router]:
    with running_router() as one:
        yield one


@dataclass
class Asked:
    """One request: when it was begun, what went wrong (nothing), and which version decided it."""

    began: float
    wrong: str
    version: int


class Callers:
    """They ask again and again, plain and streamed in turn, on connections of their own."""

    def __init__(self, url: str) -> None:
        self.asked: list[Asked] = []
        self._url = url
        self._leaving = threading.Event()
        self._threads = [threading.Thread(target=self._call, daemon=True) for _ in range(CALLERS)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        self.wait_for_answers_after(time.monotonic())
        return self

    def __exit__(self, *_: object) -> None:
        self._leaving.set()
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive(), "a caller hangs"

    def after(self, moment: float) -> list[Asked]:
        return [one for one in list(self.asked) if one.began >= moment]

    def wait_for_answers_after(self, moment: float) -> None:
        wait_until(lambda: len(self.after(moment)) >= 3 * CALLERS, "requests that were begun later")

    def wait_for_version(self, version: int) -> None:
        """Until nobody is answered by another any more."""
        wait_until(
            lambda: {one.version for one in list(self.asked)[-5 * CALLERS :]} == {version},
            f"all to be decided by version {version}",
        )

    def _call(self) -> None:
        with Caller(self._url) as caller:
            streamed = False
            while not self._leaving.is_set():
                streamed = not streamed
                began = time.monotonic()
                caller.send(chat(stream=streamed))
                try:
                    head = caller.head()
                    body = caller.read().body
                except (OSError, http.client.HTTPException) as error:
                    self.asked.append(Asked(began, repr(error), 0))
                    return
                whole = body.endswith(b"data: [DONE]\n\n") if streamed else head.status == 200
                wrong = "" if head.status == 200 and whole else f"{head.status} {body[-300:]!r}"
                self.asked.append(Asked(began, wrong, int(head.headers.get("x-tierwise-policy", 0))))


def shown(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{url}/api/policy", timeout=30) as answer:
        policy: dict[str, Any] = json.load(answer)
        return policy


def replace(file: Path, text: str) -> None:
    """As editors do."""
    new = file.with_suffix(".new")
    new.write_text(text)
    new.replace(file)


@contextmanager
def another(
    service: str, router: Router, folder: Path, config: Path | None = None
) -> Iterator[tuple[Popen[bytes], str]]:
    """One more process of a service, and the URL that it has if it is an ingress."""
    ports = FreePorts()
    wiring = Wiring(
        nats_url=router.stack.run["nats_url"],
        database_url="",
        config=config or folder / "none",
        host="127.0.0.1",
        port=ports.take(),
        insecure=False,
    )
    parts = service_parts(wiring, {**os.environ, **keys()}, {name: ports.take() for name in SERVICES}, ())
    [part] = [part for part in parts if part.name == service]
    with running(part, folder / f"another-{service}.log") as process:
        yield process, f"http://{wiring.host}:{wiring.port}"


def test_a_reload_under_load_fails_no_request_and_is_in_force_everywhere(router, tmp_path):
    """Two of every service that decides or carries out; prices, limits and tiers change, and one file is faulty."""
    router.first.always(as_asked(after_s=0.02))
    router.second.always(as_asked(after_s=0.02))
    file = Path(shown(router.url)["file"])
    text = file.read_text()
    texts = [
        text.replace("input_per_1m: 10,", "input_per_1m: 11,"),
        text.replace("max_concurrent: 64", "max_concurrent: 32"),
        text.replace("general: small", "general: large"),
        text.replace("tier: small\n", "tier: large\n", 1),
        text + "aliases: {auto-*: auto}\n",
    ]
    with (
        another("dispatcher", router, tmp_path),
        another("classifier", router, tmp_path),
        Callers(router.url) as callers,
    ):
        for new in texts:
            old = shown(router.url)["version"]
            replace(file, new)
            written = time.monotonic()
            version = old + 1
            callers.wait_for_version(version)
            assert shown(router.url)["version"] == version
            assert {one.version for one in callers.after(written)} <= {old, version}
        replace(file, "tiers: [small")
        wait_until(lambda: shown(router.url)["refused"], "the refusal")
        refused = time.monotonic()
        callers.wait_for_answers_after(refused)
        assert {one.version for one in callers.after(refused)} == {version}
    assert not [one for one in callers.asked if one.wrong]
    assert len({one.version for one in callers.asked}) == 1 + len(texts)


def test_reloads_that_follow_one_another_at_once_fail_no_request_either(router, tmp_path):
    """Plans of a version that was replaced twice meanwhile are still carried out."""
    router.first.always(as_asked(after_s=0.02))
    router.second.always(as_asked(after_s=0.02))
    file = Path(shown(router.url)["file"])
    text = file.read_text()
    with (
        another("dispatcher", router, tmp_path),
        another("classifier", router, tmp_path) as (classifier, _),
        Callers(router.url) as callers,
    ):
        for i in range(RELOADS):
            old = shown(router.url)["version"]
            replace(file, text.replace("input_per_1m: 10,", f"input_per_1m: {11 + i},"))
            wait_until(lambda old=old: shown(router.url)["version"] > old, "the next version")
            if i == RELOADS // 2:  # it hears of nothing for a moment, and then decides by an old version
                classifier.send_signal(signal.SIGSTOP)
            if i == RELOADS // 2 + 3:
                classifier.send_signal(signal.SIGCONT)
        callers.wait_for_answers_after(time.monotonic())
    assert not [one for one in callers.asked if one.wrong]
    assert len({one.version for one in callers.asked}) > RELOADS // 2


def test_another_ingress_publishes_when_the_leader_dies_or_stands_still(router, tmp_path):
    file = Path(shown(router.url)["file"])
    text = file.read_text()
    with another("ingress", router, tmp_path, file) as (process, url):
        first = shown(router.url)
        wait_until(lambda: shown(url)["leader"] == first["leader"], "the second to follow")
        assert shown(url)["policy"] == first["policy"]
        assert shown(url)["since"] == first["since"]
        router.stack.kill_and_wait_for_next("ingress")
        wait_until(lambda: shown(url)["leader"] not in {None, first["leader"]}, "another to lead")
        replace(file, text.replace("input_per_1m: 10,", "input_per_1m: 11,"))
        wait_until(lambda: shown(url)["version"] == first["version"] + 1, "the change")
        wait_until(router.answers, "the first to be there again")
        wait_until(lambda: shown(router.url)["version"] == first["version"] + 1, "it to follow")
        second_leads = shown(url)["leader"] == instance_of(tmp_path / "another-ingress.log")
        stands = process.pid if second_leads else router.stack.processes["ingress"]
        goes_on = router.url if second_leads else url
        os.kill(stands, signal.SIGSTOP)
        try:
            before = shown(goes_on)["leader"]
            wait_until(lambda: shown(goes_on)["leader"] not in {None, before}, "the other one to lead")
            replace(file, text)
            wait_until(lambda: shown(goes_on)["version"] == first["version"] + 2, "the change")
        finally:
            os.kill(stands, signal.SIGCONT)
        leader = shown(goes_on)["leader"]
        for one in (router.url, url):
            wait_until(lambda one=one: shown(one)["leader"] == leader, "both to agree again")
            wait_until(lambda one=one: shown(one)["version"] == first["version"] + 2, "both to follow")


def instance_of(log: Path) -> str:
    """The name by which a process would lead."""
    [serving] = [line for line in log.read_text().splitlines() if '"serving"' in line]
    return str(json.loads(serving)["instance"])
