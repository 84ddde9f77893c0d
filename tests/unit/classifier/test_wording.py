"""Texts as the cues read them."""

from __future__ import annotations

import time
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.classifier import wording

MARKS = st.text(st.sampled_from("a ,.!?:(\n[|"), max_size=60)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("Shorten THIS, please", " ~ shorten this please $ "),
        ("First. Then?", " ~ first / then ? $ "),
        ("Fields: (a) one\n\n- two.", " ~ fields | a ^ one ~ two $ "),
        ("Is it?.. No", " ~ is it ? no $ "),
        ("“So”\N{EM DASH}it\N{RIGHT SINGLE QUOTATION MARK}s", " ~ so | it's $ "),
        ("总结\N{FULLWIDTH COLON}一下", " ~ 总结 | 一下 $ "),
        ("这是文章。请总结", " ~ 这是文章 / 请总结 $ "),
        ("…", " ~ $ "),
        ("", " ~ $ "),
    ],
)
def test_words_stand_apart_and_of_marks_only_the_strongest_is_left(text, read):
    assert wording.of_turn(text) == read.encode() + wording.PART


@pytest.mark.parametrize("marks", ["".join(four) for four in product("(:.\n ", repeat=4)])
def test_a_line_ends_a_sentence_that_ends_a_clause_and_a_bracket_gives_way_to_all(marks):
    """A bracket behind a full stop stays: `He left. (So did she.)` No instruction begins there."""
    left = (
        b"~" if "\n" in marks else b"/" if "." in marks else b"|" if ":" in marks else b"^" if "(" in marks else b""
    )
    read = wording.of_turn(f"a{marks} b").split()
    assert read[2:3] == ([left] if left else [b"b"])


@given(MARKS, MARKS, MARKS, MARKS)
def test_a_part_is_read_the_same_alone_and_among_others(before, behind, material, form):
    """So what one says can be kept, whatever comes with it."""
    parts = wording.of_parts(before, behind, material, form).split(wording.PART)
    assert len(parts) == 5
    assert parts[:2] == [
        wording.of_parts(before, "x" if parts[1].strip(b" ~") else "", "", "").split(wording.PART)[0],
        wording.of_parts("", behind, "", "").split(wording.PART)[1],
    ]
    assert parts[2] == wording.of_parts("", "", material, "").split(wording.PART)[2]
    assert parts[3] == wording.of_parts("", "", "", form).split(wording.PART)[3]


@given(st.text(max_size=300))
def test_no_text_ends_a_part(text):
    assert wording.of_system(text).count(wording.PART) == wording.of_turn(text).count(wording.PART) == 1


@pytest.mark.parametrize("unit", [". ", "(", "?.", ":\n", "^|/~", "“", "\N{IDEOGRAPHIC FULL STOP}", "e\N{BULLET}"])
def test_a_hostile_text_takes_time_by_its_length(unit):
    text = unit * (50_000 // len(unit))
    begun = time.process_time()
    for _ in range(4):
        wording.of_turn(text)
    assert time.process_time() - begun < 0.4  # 0.1 s each, ten times what it takes
