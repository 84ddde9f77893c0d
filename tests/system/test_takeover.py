"""Deaths that no caller of a plain request notices: another dispatcher takes over, and what was answered is paid."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from subprocess import Popen

import pytest

from tests.support.caller import Caller, chat
from tests.support.own_nats import own_nats
from tests.support.router import Router, keys, running_router
from tests.support.running import running, start, stop
from tests.support.upstream import Gate, as_asked, gated
from tests.support.wait import wait_until
from tierwise.embedded.nats import nats_part
from tierwise.lineup import SERVICES, Wiring, service_parts
from tierwise.ports import FreePorts

KILLS = 20
LAST_ANSWERS = 50
AT_ONCE = 6


@pytest.fixture
def router() -> Iterator[Router]:
    with running_router() as one:
        yield one


@contextmanager
def another_dispatcher(router: Router, folder: Path) -> Iterator[Popen[bytes]]:
    """Started by us, so that no supervisor waits before it starts one that dies so often."""
    ports = FreePorts()
    wiring = Wiring(
        nats_url=router.stack.run["nats_url"],
        database_url="",
        config=folder / "none",
        host="127.0.0.1",
        port=ports.take(),
        insecure=False,
    )
    parts = service_parts(wiring, {**os.environ, **keys()}, {name: ports.take() for name in SERVICES}, ())
    [part] = [part for part in parts if part.name == "dispatcher"]
    with running(part, folder / "another.log") as process:
        yield process


def test_two_dispatchers_under_load_one_is_killed_twenty_times_and_no_plain_request_fails(router, tmp_path):
    """Streams that the killed one had begun end with an error event: nobody can take those over."""
    router.first.always(as_asked(after_s=0.03))
    with router.crowd() as crowd:
        for _ in range(KILLS):
            with another_dispatcher(router, tmp_path) as process:
                crowd.wait_for_answers(40)
                process.kill()
                crowd.wait_for_each()  # what it held is sent again once: the next death must not meet it
    assert not {refused for refused in crowd.refused if not refused.startswith("stream ")}, crowd.refused
    router.check_books(crowd.answered, every_call=False)
    [again] = router.rows("SELECT count(*) AS requests FROM tierwise.ledger_requests WHERE send = 1")
    assert again["requests"] >= KILLS, "the killed ones held some"


def test_where_the_only_dispatcher_is_killed_the_next_one_answers_what_it_held(router, tmp_path):
    """It is there in time: on a busy machine the supervisor's takes longer to start than is waited."""
    gate = Gate()
    router.first.script(*[gated(gate)] * AT_ONCE)
    with several_callers(router) as callers:
        for caller in callers:
            caller.send()
        wait_until(lambda: len(router.first.requests) == AT_ONCE, "the requests to reach the backend")
        with another_dispatcher(router, tmp_path):
            router.stack.kill("dispatcher")
            answered = [caller.answer() for caller in callers]
    assert [one.status for one in answered] == [200] * AT_ONCE
    assert len(router.first.requests) == 2 * AT_ONCE
    sent = router.rows(
        "SELECT send, count(*) AS n FROM tierwise.ledger_requests WHERE request_id = ANY($1) GROUP BY send",
        [router.row(one.request_id)["request_id"] for one in answered],
    )
    assert sent == [{"send": 1, "n": AT_ONCE}]


def test_a_request_that_must_not_be_paid_twice_is_refused_instead(router):
    gate = Gate()
    router.first.script(gated(gate))
    with router.caller() as caller:
        caller.send(idempotency_key="order-4711")
        wait_until(lambda: router.first.requests, "the request to reach the backend")
        router.stack.kill("dispatcher")
        refused = caller.answer()
    assert (refused.status, refused.error["code"]) == (503, "holder_died")
    assert len(router.first.requests) == 1


def test_nats_dies_at_the_moment_of_the_last_answer_and_the_ledger_has_it_all_the_same(tmp_path):
    """Fifty times. The dispatcher keeps what JetStream has not acknowledged, and sends it again."""
    server = own_nats(tmp_path)
    part, log = nats_part(server), tmp_path / "nats.log"
    nats = start(part, log)
    answered: list[str] = []
    try:
        with running_router({"TIERWISE_NATS_URL": server.url}) as router, several_callers(router) as callers:
            for time in range(LAST_ANSWERS):
                for caller in callers:
                    caller.send(chat())
                last = callers[time % AT_ONCE]  # the others' answers may be under way, or still to come
                answered += its_id(last)
                nats.kill()
                nats.wait()
                for caller in callers:
                    if caller is not last:
                        answered += its_id(caller)
                nats = start(part, log)
                router.wait_until_it_answers()
            router.check_books(answered, every_call=False)
    finally:
        stop(part, nats)
    assert len(answered) >= LAST_ANSWERS


@contextmanager
def several_callers(router: Router) -> Iterator[list[Caller]]:
    with ExitStack() as held:
        yield [held.enter_context(router.caller()) for _ in range(AT_ONCE)]


def its_id(caller: Caller) -> list[str]:
    """The id of a request that was answered; nothing where it was refused."""
    got = caller.answer()
    assert got.status in {200, 503}, got.body
    return [got.request_id] if got.status == 200 else []
