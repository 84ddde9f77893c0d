"""Instructions and material told apart."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.classifier import task
from services.classifier.features import SYSTEM_HEAD, SYSTEM_TAIL, USER_HEAD, USER_TAIL
from tests.unit.classifier.policies import chat

PROSE = "The ferry left at six and was late. Nobody minded, for the sea was calm and the bar was open. " * 5
TEXT = st.text(st.sampled_from('ab .!?\n"`<>/:#“”「」'), max_size=1500)


def parts(text: str) -> tuple[str, str]:
    """What stands before the material, and what behind it."""
    read = task.read(chat(text))
    return read.before.strip(), read.behind.strip()


@pytest.mark.parametrize(
    ("text", "before", "behind"),
    [
        ("Who wrote this?", "Who wrote this?", ""),
        (f"Shorten this.\n\n{PROSE}", "Shorten this.", ""),
        (f"Shorten this.\n\n{PROSE}\n\nIn one line.", "Shorten this.", "In one line."),
        (f"# Task\nShorten.\n\n# Rules\n- one line\n\n# Text\n{PROSE}", "# Task\nShorten.\n# Rules\n- one line", ""),
        ("Shorten it.\nText: The ferry left at six.\nSummary:", "Shorten it.", "Summary:"),
        (f"Shorten it.\nText: The ferry left.\n{PROSE}", "Shorten it.", ""),
        (f'Is this rude? "{PROSE}"', "Is this rude?", ""),
        (f"<mail>{PROSE}</mail>\nIs it rude?", "Is it rude?", ""),
        ("Shorten it.\nAnn: Is it open?\nBob: Why not?\nIn one line.", "Shorten it.", "In one line."),
        ("Rules: be brief\nTask: shorten\nOutput: a line", "Rules: be brief\nTask: shorten\nOutput: a line", ""),
        (f"Is it rude?\n```\n{PROSE}\n```", "Is it rude?", ""),
    ],
)  # fmt: skip
def test_material_is_what_is_set_off(text: str, before: str, behind: str) -> None:
    assert parts(text) == (before, behind)


def test_where_the_material_comes_first_its_first_sentences_may_be_instructions() -> None:
    before, behind = parts(f"{PROSE}\n\nIn one line, please.")
    assert PROSE.startswith(before)
    assert len(before) < len(PROSE) / 2
    assert behind == "In one line, please."


def test_a_turn_of_one_paragraph_begins_or_ends_with_its_instructions() -> None:
    before, behind = parts(f"Shorten this text. {PROSE}Keep it to one line")
    assert before.startswith("Shorten this text.")
    assert behind == "Keep it to one line"


def test_what_is_cut_out_with_the_middle_of_a_long_turn_may_have_opened_a_tag() -> None:
    long = PROSE * 5
    assert parts(f"Is it rude?\n<mail>\n{long}\nWhy would you do that?\n</mail>\nOne word.")[1] == "One word."


@given(TEXT)
def test_nothing_is_invented(text: str) -> None:
    read = task.read(chat(text))
    assert len(read.before) + len(read.behind) + len(read.material) <= len(text) + 20
    assert set(read.before + read.behind + read.material) <= set(text) | {"\n"}


@pytest.mark.parametrize("unit", ['"a', "<a></a>", "```", "a.\n", "“", "</", "\n", ": "])
def test_a_hostile_text_takes_no_longer_than_its_ends(unit: str) -> None:
    asked = chat(unit * 50_000)
    assert len(asked.user) <= SYSTEM_HEAD + SYSTEM_TAIL + USER_HEAD + USER_TAIL
    begun = time.process_time()
    for _ in range(100):
        task.read(asked)
    assert time.process_time() - begun < 0.5  # 5 ms each, a hundred times what it takes
