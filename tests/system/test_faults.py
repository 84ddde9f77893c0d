"""Processes die under load: each answered request is in the ledger, and it is there once."""

import signal
import time
from collections.abc import Iterator

import pytest

from services.ingress.calls import AGAIN_WITHIN_S
from tests.support.caller import chat, data, texts
from tests.support.router import Router, running_router
from tests.support.upstream import Gate, as_asked, gated, stalled, stream
from tests.support.wait import PATIENCE_S, wait_until

SLOWLY = as_asked(after_s=0.03)
# Two shared cores on which a whole system has just lost a process. Who waited for the deadline would wait for 60 s.
SLACK_S = 8.0


@pytest.fixture(scope="module")
def survivor() -> Iterator[Router]:
    """One router for all these deaths: it must live through one after the other. Its books are checked as a whole."""
    with running_router() as router:
        yield router


@pytest.fixture
def router(survivor: Router) -> Router:
    survivor.first.always(SLOWLY)
    survivor.second.always(SLOWLY)
    survivor.wait_until_it_answers()
    return survivor


@pytest.fixture(scope="module")
def answered() -> list[str]:
    """Every request that got its answer, whatever died meanwhile."""
    return []


@pytest.mark.parametrize("name", ["ledger", "validator", "batcher", "classifier", "ingress"])
def test_a_service_that_is_killed_under_load_comes_back_and_no_answer_is_lost(router, answered, name):
    with router.crowd() as crowd:
        new = router.stack.kill_and_wait_for_next(name)
        router.wait_until_it_answers()
        crowd.wait_for_answers()
    assert router.stack.processes[name] == new, "it died once"
    answered += crowd.answered
    if name in {"ledger", "validator", "batcher"}:
        assert not crowd.refused, "nobody waits for these"
    if name != "ingress":
        crowd.check_that_all_was_said()
    router.check_books(answered)


def test_a_stream_that_a_killed_dispatcher_had_begun_ends_in_time(router):
    """What it had not begun to answer is sent again: test_takeover.py."""
    steps = Gate()
    router.first.script(stream(["one ", "two"], gate=steps))
    streamed = router.caller()
    streamed.send(chat(stream=True))
    steps.release()
    assert streamed.head().status == 200
    assert texts([streamed.event(), streamed.event()]) == "one "

    killed_at = time.monotonic()
    router.stack.kill("dispatcher")
    events = streamed.events()
    assert time.monotonic() - killed_at < 1.5 + SLACK_S
    assert data(events[-1])["error"]["code"] == "holder_died"
    assert "data: [DONE]" not in events
    streamed.__exit__()
    router.wait_until_it_answers()


def test_what_a_frozen_dispatcher_held_is_answered_in_time_and_not_carried_on_when_it_thaws(router):
    """It is taken for dead. What it still has upstream then is for nobody, and must not go on costing."""
    router.first.script(stalled(), stream(["one ", "two"], gate=(steps := Gate())))
    asked = len(router.first.requests)
    plain, streamed = router.caller(), router.caller()
    plain.send()
    wait_until(lambda: len(router.first.requests) == asked + 1, "the request to reach the backend")
    streamed.send(chat(stream=True))
    steps.release()
    assert texts([streamed.head() and streamed.event(), streamed.event()]) == "one "

    router.stack.kill("dispatcher", signal.SIGSTOP)
    frozen_at = time.monotonic()
    try:
        events = streamed.events()
        assert time.monotonic() - frozen_at < 1.5 + SLACK_S
        refused = plain.answer()
        assert time.monotonic() - frozen_at < 1.5 + AGAIN_WITHIN_S + SLACK_S
        assert refused.status == 503
        assert refused.error["code"] == "holder_died"
        assert data(events[-1])["error"]["code"] == "holder_died"
    finally:
        router.stack.kill("dispatcher", signal.SIGCONT)
    for request in router.first.requests[asked : asked + 2]:
        assert request.was_cut.wait(PATIENCE_S), "the call goes on, and nobody waits for it"
    assert router.row(refused.request_id)["status"] == 499
    for caller in (plain, streamed):
        caller.__exit__()
    router.wait_until_it_answers()


def test_a_frozen_classifier_is_taken_for_dead_and_serves_again_when_it_thaws(router):
    router.stack.kill("classifier", signal.SIGSTOP)
    try:
        refused = router.ask()
        assert refused.took_s < 1.5 + AGAIN_WITHIN_S + SLACK_S
        assert refused.status == 503
        assert refused.error["code"] == "holder_died"
    finally:
        router.stack.kill("classifier", signal.SIGCONT)
    router.wait_until_it_answers()
    router.row(router.ask().request_id)  # what the dispatcher has recorded before this one is there too
    row = "SELECT status FROM tierwise.requests WHERE request_id = $1"
    carried_out = [found["status"] for found in router.rows(row, refused.request_id)]
    assert carried_out in ([], [499]), "its plan came after its caller had been told no, and was begun at most"


def test_a_dispatcher_that_is_killed_under_load_comes_back_and_no_answer_is_lost(router, answered):
    with router.crowd() as crowd:
        router.stack.kill_and_wait_for_next("dispatcher")
        router.wait_until_it_answers()
        crowd.wait_for_answers()
    answered += crowd.answered
    crowd.check_that_all_was_said()
    assert crowd.slowest_s < 1.5 + AGAIN_WITHIN_S + SLACK_S
    router.check_books(answered, every_call=False)  # what died with it was paid, and nobody knows how much


def test_nats_is_killed_under_load(router, answered):
    """In-flight requests fail within a second, the next ones work when it is back, and no answer is lost."""
    gate, steps = Gate(), Gate()
    router.first.script(gated(gate), stream(["one ", "two"], gate=steps))
    plain, streamed = router.caller(), router.caller()
    asked = len(router.first.requests)
    plain.send()
    wait_until(lambda: len(router.first.requests) > asked, "the request to reach the backend")
    streamed.send(chat(stream=True))
    steps.release()
    assert streamed.head().status == 200
    assert texts([streamed.event(), streamed.event()]) == "one "
    with router.crowd() as crowd:
        killed_at = time.monotonic()
        router.stack.kill("nats")
        refused = plain.answer()
        events = streamed.events()
        assert time.monotonic() - killed_at < 1 + SLACK_S
        assert refused.status == 503
        assert refused.error["code"] == "bus_unavailable"
        assert int(refused.headers["retry-after"]) > 0
        assert data(events[-1])["error"]["code"] == "bus_unavailable"
        router.wait_until_it_answers()
        crowd.wait_for_answers()
    for caller in (plain, streamed):
        caller.__exit__()
    crowd.check_that_all_was_said()
    assert crowd.slowest_s < 1 + SLACK_S
    assert any(request.was_cut.is_set() for request in router.first.requests), "nobody waits for those any more"
    answered += crowd.answered
    router.check_books(answered, every_call=False)


def test_everything_dies_at_once(router, answered):
    """All services and NATS: the ledger still has what was answered before, during and after."""
    with router.crowd() as crowd:
        before = router.stack.processes
        for name in before:
            if name != "postgres":
                router.stack.kill(name)
        wait_until(lambda: all_new(before, router.stack.processes), "everything to be started again")
        router.wait_until_it_answers()
        crowd.wait_for_answers()
    answered += crowd.answered
    router.check_books(answered, every_call=False)


def all_new(before: dict[str, int], now: dict[str, int]) -> bool:
    return all(now.get(name) not in {None, pid} for name, pid in before.items() if name != "postgres")


def test_postgresql_is_killed_under_load_and_nobody_who_asks_notices(router, answered):
    with router.crowd() as crowd:
        router.stack.kill_and_wait_for_next("postgres")
        crowd.wait_for_answers(200)
    assert not crowd.refused
    answered += crowd.answered
    router.check_books(answered, every_call=False)
