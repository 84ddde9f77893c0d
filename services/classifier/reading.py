"""Phrases found in a text: which, and whether each is an instruction that begins its sentence. Pure.

What a text looks like here is wording.py's; what a phrase means, evidence.py's.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Final, TypeAlias

from ahocorasick_rs import BytesAhoCorasick, Implementation

from services.classifier.leads import LAST_WORDS, NEGATIONS, OF_ROLES, STRONG, WEAK
from services.classifier.wording import BEGINNINGS, MARKS, PART

Match: TypeAlias = tuple[int, int, int]  # the automaton's number, where it begins and ends
# A phrase's place in the reader's list, doubled; odd where it begins its sentence as an instruction. It is a place in
# tables of what phrases mean, too: a third of the time that looking up their words took.
Reading: TypeAlias = int

IN_TURN: Final = WEAK  # what may lead an instruction in, besides STRONG
IN_SYSTEM: Final = WEAK | OF_ROLES


def _endings(words: Iterable[bytes]) -> frozenset[bytes]:
    """Their last two letters: most words end otherwise, and need not be cut out to be looked up."""
    return frozenset((b" " + word)[-2:] for word in words)


_ENDINGS_OF_NEGATIONS: Final = _endings(NEGATIONS)
_ENDINGS_OF_LEADS: Final = _endings(LAST_WORDS)
_FIRST_WITHOUT_SPACES: Final = "\N{THAI CHARACTER KO KAI}"


class Reader:
    """Finds phrases. One is written as it is read: lower case, one space between words, and

    * `^` before it: only where it is an instruction, that is at the beginning of a sentence or behind words that
      lead one in (`please`, `your task is to`);
    * `$` behind it: only as the last words of the last user turn, a colon or a full stop aside;
    * `|` in it: the end of a sentence or line, or what brackets, quotes and colons part.

    What is negated (`no`, `do not`, `without`) is not found. Scripts without spaces are found within a run.
    """

    def __init__(self, phrases: Iterable[str]) -> None:
        self.phrases: Final = tuple(phrases)
        # By the automaton's number. Is it an instruction's? How do words end that decide whether it is found?
        self._meanings: list[tuple[Reading, bool, frozenset[bytes]]] = []
        patterns: list[bytes] = []
        for place, phrase in enumerate(self.phrases):
            for spelt in _spellings(phrase):
                patterns.append(_pattern(spelt))
                instruction = phrase.startswith("^")
                endings = _ENDINGS_OF_LEADS if instruction else _ENDINGS_OF_NEGATIONS
                self._meanings.append((2 * place, instruction, endings))
        # All phrases in one pass, and why not by the DFA: docs/decisions/0007-one-automaton-for-all-cues.md.
        self._find = BytesAhoCorasick(patterns, implementation=Implementation.ContiguousNFA).find_matches_as_indexes

    def numbers(self, phrases: Container[str]) -> frozenset[int]:
        """What `scan` calls any spelling of these phrases."""
        return frozenset(
            number for number, (reading, _, _) in enumerate(self._meanings) if self.phrases[reading // 2] in phrases
        )

    def scan(self, text: bytes) -> list[Match]:
        """All that could be a phrase."""
        return self._find(text, overlapping=True)

    def read(self, text: bytes, matches: list[Match], leads: frozenset[bytes] = IN_TURN) -> list[list[Reading]]:
        """The phrases among `matches` by the part of the text that each is in. Of one within another only the longer.

        `leads`: what may lead an instruction in, besides those that always do.
        """
        meanings = self._meanings
        kept: list[tuple[Reading, int, int]] = []
        last_start = last_end = -1
        for number, start, end in matches:  # in the order of their ends, of those with one end the longest first
            if end == last_end and start > last_start:
                continue  # within the last
            reading, instruction, endings = meanings[number]
            if text[start - 1] in BEGINNINGS:
                reading += instruction
            elif (
                text[start - 2 : start] in endings
                and (lead := text[text.rfind(b" ", 0, start) + 1 : start]) in LAST_WORDS
            ):
                word = start - len(lead) - 1
                two = text.rfind(b" ", 0, word) if word > 0 else -1
                two_leads = text[two + 1 : start]
                if lead in NEGATIONS or two_leads in NEGATIONS:
                    continue
                if instruction:
                    three_leads = text[(text.rfind(b" ", 0, two) if two > 0 else -1) + 1 : start]
                    if lead in STRONG or two_leads in STRONG or three_leads in STRONG:
                        reading += 1
                    elif lead not in leads and two_leads not in leads:
                        continue
            elif instruction:
                continue
            while last_start >= start and (last_start, last_end) != (start, end):  # within this one
                kept.pop()
                _, last_start, last_end = kept[-1] if kept else (0, -1, -1)
            kept.append((reading, start, end))
            last_start, last_end = start, end
        return _by_part(text, kept)


def _by_part(text: bytes, kept: list[tuple[Reading, int, int]]) -> list[list[Reading]]:
    stop = text.find(PART)
    if stop == len(text) - 1:
        return [[reading for reading, _, _ in kept]]
    found: list[list[Reading]] = [[] for _ in range(text.count(PART))]
    part = 0
    for reading, start, _ in kept:
        while start > stop:
            part += 1
            stop = text.find(PART, stop + 1)
        found[part].append(reading)
    return found


def _spellings(phrase: str) -> tuple[str, ...]:
    words = phrase.removeprefix("^").strip()
    parts = [part.strip() for part in words.split("|")]
    spelt: tuple[str, ...] = (parts[0],)
    for part in parts[1:]:
        spelt = tuple(f"{before} {mark.decode()} {part}".strip() for before in spelt for mark in MARKS)
    return spelt


def _pattern(words: str) -> bytes:
    return words.encode() if words[0] >= _FIRST_WITHOUT_SPACES else b" %b " % words.encode()
