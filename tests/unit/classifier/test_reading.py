"""Which phrases are found in a text, and system prompts that are kept as they were read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.classifier import evidence, features, wording
from services.classifier.reading import IN_SYSTEM, Reader
from tests.unit.classifier.policies import chat

READER = Reader(["^sort", "sort of", "sort of file", "a file", "end $", "tl | dr"])
WORDS = st.lists(
    st.sampled_from(
        ["sort", "of", "Classify", "no", "please", "you", "summary", "spam", ".", ":", "\n", "(", "prove"]
    )
).map(" ".join)


def found(text: bytes, **more: frozenset[bytes]) -> list[str]:
    readings = READER.read(text, READER.scan(text), **more)[0]
    return [READER.phrases[reading // 2] + "!" * (reading % 2) for reading in readings]


@pytest.mark.parametrize(
    ("text", "phrases"),
    [
        ("Sort these", ["^sort!"]),  # `!`: it begins its sentence
        ("Well. Sort these", ["^sort!"]),
        ("Please sort these", ["^sort!"]),
        ("Your task is to sort these", ["^sort!"]),
        ("Read and sort these", ["^sort"]),  # `and` may lead an instruction in, but begins none
        ("They sort these", []),
        ("A tool that sort these", []),
        ("Do not sort these", []),
        ("Some sort of thing", ["sort of"]),
        ("Not any sort of file", ["sort of file"]),  # only the longest
        ("No sort of file", []),
        ("In which sort of a file", ["sort of", "a file"]),
        ("This is the end.", ["end $"]),
        ("The end is near", []),
        ("tl; dr", ["tl | dr"]),
        ("tl dr", []),
    ],
)
def test_a_phrase_is_found_where_it_means_what_it_says(text, phrases):
    assert found(wording.of_turn(text)) == phrases


def test_a_system_prompt_tells_of_work_in_the_third_person():
    text = "A tool that sort these."
    assert found(wording.of_system(text), leads=IN_SYSTEM) == ["^sort"]


def messages(system: str, user: str) -> features.ChatRequest:
    return chat(messages=[{"role": "system", "content": system}, {"role": "user", "content": user}])


@given(WORDS, WORDS, WORDS)
def test_a_system_prompt_that_is_known_is_read_as_if_it_were_new(system, user, another):
    evidence.read_system.cache_clear()
    new = evidence.weigh(messages(system, user)), evidence.explain(messages(system, user))
    evidence.weigh(messages(system, another))
    assert (evidence.weigh(messages(system, user)), evidence.explain(messages(system, user))) == new


def test_our_own_examples_are_judged_alike_with_known_system_prompts_and_with_new_ones():
    lines = Path(__file__).with_name("labelled.jsonl").read_bytes().splitlines()
    bodies = [json.dumps(json.loads(line)["request"]).encode() for line in lines]
    chats = [features.read(body, len(body)) for body in bodies]
    new = []
    for each in chats:
        evidence.read_system.cache_clear()
        new.append(evidence.weigh(each))
    assert [evidence.weigh(each) for each in chats] == new
    assert [evidence.weigh(each) for each in chats] == new
    assert evidence.read_system.cache_info().hits > 50


def test_no_more_system_prompts_are_kept_than_a_few_hundred():
    for number in range(700):
        evidence.weigh(messages(f"You sort mail, {number}. " + "\N{EURO SIGN} " * 2000, "A letter."))
    kept = evidence.read_system.cache_info()
    assert kept.currsize == kept.maxsize == 500
    assert len(messages("\N{EURO SIGN} " * 2000, "").system) <= 961
