import pytest

from services.dispatcher.core import Verdict, choose, judge, of_caller, of_failures
from services.dispatcher.providers.openai import UpstreamError


@pytest.mark.parametrize(
    ("statuses", "verdict"),
    [
        ((200, 201), Verdict.ANSWERED),
        ((400, 404, 409, 413, 422), Verdict.CALLERS),
        ((401, 402, 403), Verdict.OPERATORS),
        ((429,), Verdict.OVERLOADED),
        ((408, 500, 502, 503, 504, 529, 301, 405), Verdict.FAILED),
    ],
)
def test_a_status_says_whose_fault_it_is(statuses, verdict):
    assert {judge(status) for status in statuses} == {verdict}


@pytest.mark.parametrize(
    ("full", "chosen"), [("", "cheap"), ("cheap", "dear"), ("cheap dear", "cheap"), ("dear", "cheap")]
)
def test_a_dearer_backend_is_used_only_while_the_cheaper_is_full(full, chosen):
    assert choose(("cheap", "dear"), lambda name: name in full.split()) == chosen


def test_the_callers_fault_keeps_its_status_and_words():
    refusal = of_caller(422, UpstreamError("bad schema", "invalid_request_error", "bad", "tools"), "b")
    assert (refusal.status, refusal.message, refusal.code, refusal.param) == (422, "bad schema", "bad", "tools")


@pytest.mark.parametrize(
    ("verdicts", "status", "code"),
    [
        ((Verdict.OPERATORS, Verdict.OPERATORS), 503, "backend_refused_key"),
        ((Verdict.OPERATORS, Verdict.FAILED), 503, "no_backend_available"),
        ((Verdict.FAILED, Verdict.OVERLOADED), 429, "rate_limit_exceeded"),
        ((), 503, "no_backend_available"),
    ],
)
def test_when_nobody_answered_the_caller_learns_why_and_when_to_return(verdicts, status, code):
    refusal = of_failures(verdicts, ("a", "b")[: len(verdicts)], 0, "it answered 500")
    assert (refusal.status, refusal.code) == (status, code)
    assert refusal.retry_after_s > 0


def test_a_providers_retry_after_is_passed_on():
    assert of_failures((Verdict.OVERLOADED,), ("a",), 17, "").retry_after_s == 17
