"""Naming the task: our own examples, each with what it must be, or what it must never be."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.classifier import evidence, shape
from services.classifier.features import SYSTEM_HEAD, SYSTEM_TAIL, USER_HEAD, USER_TAIL
from shared.contracts import CATEGORIES
from tests.unit.classifier.policies import chat

EASY = {"extraction", "summarisation", "classification"}
MOST_PHRASES = 200
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=2000)
MINUTES = "Ana opened the meeting at nine. The budget was agreed after a short talk, and Ben takes the minutes. " * 12


def category(text: str, **fields: Any) -> str:
    return evidence.weigh(chat(text, **fields)).category


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        ("extraction", "Extract the sender, the date and the total from this receipt: Kiosk Nord, 3 May, 14.20 EUR"),
        ("extraction", f"{MINUTES}\n\nExtract everybody's name as JSON."),
        (
            "extraction",
            "Fill in the form with what the guest says: 'Table for four, tonight at eight, under Okafor.'",
        ),
        ("extraction", "List all names that are mentioned in the text.\n\nMr Weiss met Dr Lindqvist in Turku."),
        ("summarisation", f"Summarize this in two sentences.\n\n{MINUTES}"),
        ("summarisation", f"{MINUTES}\n\nTL;DR"),
        ("summarisation", f"{MINUTES}\n\nWrite a summary of the meeting."),
        ("summarisation", f"Give me the key points of these notes:\n{MINUTES}"),
        ("classification", "Classify this message as complaint, praise or question: 'The parcel never came.'"),
        ("classification", "What is the sentiment of this review? 'Lovely staff, dreadful coffee.'"),
        ("classification", "Spam or not? 'You won a cruise, click here.'"),
        ("classification", "Which category fits: garden, kitchen, office? 'A pair of pruning shears.'"),
        ("code", "Write a Python function that merges two sorted lists."),
        ("code", "Debug this: `for i in range(10) print(i)`"),
        ("code", "Refactor the class below so that the SQL query is built in one place."),
        ("reasoning", "Prove that the sum of two odd numbers is even."),
        ("reasoning", "A tank holds 40 litres and loses 3 litres per hour. How long until 25 litres remain?"),
        ("reasoning", "Why did the Hanseatic League decline? Weigh two explanations."),
        ("general", "Write a poem about a lighthouse keeper."),
        ("general", "Hello!"),
        ("general", "Translate 'good morning' into Finnish."),
        ("general", ""),
        ("general", "Was macht man an einem Regentag in Bergen?"),
    ],
)
def test_our_own_examples(expected: str, text: str) -> None:
    assert category(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "Summarize the proof of Fermat's little theorem and explain why each step holds.",
        "Extract the flaw from this argument and prove that the conclusion does not follow.",
        "Classify this finite group step by step.",
        "Classify the bug in this stack trace and fix the code.",
        "Extract the race condition: debug this deadlock in our scheduler.",
        "Extract the clauses of this contract and say which are enforceable.",
        "Summarize the patient's history and give the most likely diagnosis.",
        "Summarize Moby-Dick.",
        "Extract the method into a class: refactor this Java code.",
        "Label the options, then recommend which one we should take and why.",
        "Classify the risks in this plan and propose a strategy.",
        "Summarize these numbers and calculate the probability of a loss.",
        "Extract the requirements and design a system for them.",
        f"Extract the decisions.\n\n{MINUTES}\n\nThen recommend what Ben should do next, and justify it.",
        "Write a story in which a detective classifies footprints.",
    ],
)
def test_a_hard_request_is_never_pulled_into_an_easy_category(text: str) -> None:
    assert category(text) not in EASY


def test_a_schema_on_open_generation_is_no_extraction() -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "ideas", "schema": {"type": "object"}}}
    tool = {"type": "function", "function": {"name": "ideas", "parameters": {}}}
    forced = {"type": "function", "function": {"name": "ideas"}}
    assert category("Give three names for a bakery as a JSON object.", response_format=schema) == "general"
    assert category("Give three names for a bakery.", tools=[tool], tool_choice=forced) == "general"


def test_offered_tools_mean_that_something_is_to_be_done() -> None:
    tool = {"type": "function", "function": {"name": "send_mail", "parameters": {}}}
    assert category("Extract the address and send the offer there.", tools=[tool]) == "general"


def test_a_document_in_the_middle_names_no_task() -> None:
    document = "x " * 150 + "classify the sentiment " * 5 + "x " * 150
    assert category(f"Who is this letter to?\n\n{document}\n\nReply with the person.") not in EASY


def test_words_are_read_whole() -> None:
    assert evidence.weigh(chat("The reclassifying unproven sentimental abstraction.")).cues == (
        shape.NO_MATERIAL,
        shape.NO_TEXT,
    )


def test_a_verdict_names_its_evidence_and_its_scores() -> None:
    verdict = evidence.weigh(
        chat("Extract every figure, please: as it stands here, and explain what each one of them is.")
    )
    assert [cue.name for cue in verdict.cues] == ["extract", "extraction", "explain"]
    assert verdict.scores == (9, 0, 0, 8, 0, 0)


@pytest.mark.parametrize("cue", evidence.CUES, ids=lambda cue: cue.name)
def test_every_phrase_of_the_table_is_found(cue: evidence.Cue) -> None:
    assert len(cue.name) <= 16
    for phrase in cue.phrases[:: len(cue.phrases) // MOST_PHRASES + 1]:  # lists spelt out make thousands of some
        words = phrase.lstrip("^").replace("$", "").replace("|", ":").strip()
        asked = f"{words}" if "$" in phrase or "?" in phrase else f"{words} x"
        form = {"type": "json_schema", "json_schema": {"name": words}}
        verdict = evidence.weigh(chat("So it is.", response_format=form) if cue.form_only else chat(asked))
        assert cue in verdict.cues, phrase


@given(TEXT, TEXT)
def test_any_text_gets_a_category(system: str, user: str) -> None:
    asked = chat(messages=[{"role": "system", "content": system}, {"role": "user", "content": user}])
    verdict = evidence.weigh(asked)
    assert verdict.category in CATEGORIES
    assert len(evidence.names(verdict)) <= evidence.LONGEST_EVIDENCE
    assert len(asked.system) + len(asked.user) <= SYSTEM_HEAD + SYSTEM_TAIL + USER_HEAD + USER_TAIL + 62


@pytest.mark.parametrize("word", ["step by ", "\u00e9", "a", " ", "extract ", "\U0001f600"])
def test_a_hostile_text_takes_no_longer_than_its_ends(word: str) -> None:
    asked = chat(word * 100_000)
    begun = time.process_time()
    for _ in range(100):
        evidence.weigh(asked)
    assert time.process_time() - begun < 0.5  # 5 ms each, a hundred times what it takes


@pytest.mark.parametrize(
    "marks",
    [
        "“{}”",
        "{}—formally",
        "\N{NO-BREAK SPACE}{}",
        "{}…",
        "{}\N{IDEOGRAPHIC FULL STOP}",
        "\N{FULLWIDTH LEFT PARENTHESIS}{}",
        "«{}»",
    ],
)
def test_a_word_is_found_beside_whatever_punctuation(marks):
    asked = f"Summarise this text in a nutshell, and {marks.format('prove')} its claim."
    assert category(asked) == "reasoning"


def test_typographers_apostrophes_are_apostrophes():
    curly, straight = (
        evidence.weigh(chat(f"don{mark}t prove it")).cues for mark in "\N{RIGHT SINGLE QUOTATION MARK}'"
    )
    assert curly == straight


@pytest.mark.parametrize("before", range(190, 206))
def test_half_a_word_is_no_word(before):
    """Wherever the ends of a long text are cut: `proven` is not `prove`."""
    asked = "Summarise: " + "a" * (before - 11) + " proven " + "b " * 400
    assert "prove" not in {cue.name for cue in evidence.weigh(chat(asked)).cues}
