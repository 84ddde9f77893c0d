"""Our own labelled requests: 350 easy ones and 400 hard, of some 450 ways to ask, in fifteen languages.

Many are hostile, which is to say that they look like what they are not.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.classifier.judged import Judged, judge_all, savings_recall, unsafe

# Families with hard requests that are taken for easy ones: known, and not worth a rule that costs more elsewhere.
KNOWN_UNSAFE = {
    "classify_nothing_youre_a_pirate",
    "compare_docs",
    "drifted_chat",
    "passing_words_q",
    "you_name_variables_return_one",
}
LEAST_RECALL = 0.72
MOST_UNSAFE = 0.02


@pytest.fixture(scope="module")
def judged() -> list[Judged]:
    return judge_all(Path(__file__).with_name("labelled.jsonl"))


def test_the_examples_are_many_and_various(judged: list[Judged]) -> None:
    assert len(judged) >= 650
    assert len({one.family for one in judged}) >= 390
    assert sum(one.is_hard for one in judged) >= 330


def test_no_hard_request_is_taken_for_an_easy_one_but_those_that_are_known(judged: list[Judged]) -> None:
    assert {one.family for one in judged if one.is_unsafe} <= KNOWN_UNSAFE
    assert unsafe(judged).share <= MOST_UNSAFE


def test_most_easy_requests_are_known_as_such(judged: list[Judged]) -> None:
    assert savings_recall(judged).share >= LEAST_RECALL
