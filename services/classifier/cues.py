"""A cue: phrases that speak for one kind of task, with a weight that a person can read.

The tables are easy_tasks.py, hard_tasks.py and other_languages.py. How phrases are found is reading.py's; what a
category needs to be named is evidence.py's.
"""

from __future__ import annotations

import re
from itertools import product
from typing import Final

import msgspec

from services.classifier.words import WORDS
from shared.contracts import CATEGORIES

EXTRACTION, SUMMARISATION, CLASSIFICATION, REASONING, CODE, GENERAL = range(len(CATEGORIES))

VETO: Final = 20  # more than any easy evidence is meant to outweigh
_LIST: Final = re.compile(r"\{(\w+)\}")


class Cue(msgspec.Struct, frozen=True):
    """Phrases that count `weight` for `category`, once, however many of them are found."""

    name: str
    category: int
    weight: int
    phrases: tuple[str, ...]
    far: bool = False  # counts in what may be a document too
    form: bool = False  # counts in the names of a form's fields
    form_only: bool = False
    names: bool = True  # says by itself which task it is; others only support what says so


def cue(
    name: str, category: int, weight: int, phrases: str, *,
    far: bool = False, form: bool = False, form_only: bool = False, names: bool = True,
) -> Cue:  # fmt: skip
    """Phrases are parted by `;`. `{text}` stands for each of words.py's texts in turn."""
    spelt = [one for phrase in phrases.split(";") if phrase.strip() for one in _spelt_out(" ".join(phrase.split()))]
    return Cue(name, category, weight, tuple(dict.fromkeys(spelt)), far, form or form_only, form_only, names)


def _spelt_out(phrase: str) -> list[str]:
    parts = _LIST.split(phrase)  # what stands between lists, and the lists' names
    choices = [WORDS[part] if place % 2 else (part,) for place, part in enumerate(parts)]
    return ["".join(chosen) for chosen in product(*choices)]
