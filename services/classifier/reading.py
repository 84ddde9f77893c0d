"""Text as the cues read it: words in lower case, sentences and lines marked off, and where each phrase was found.

Time is linear in what features.py kept, at most some 2,500 characters; nothing backtracks.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable
from typing import Final, TypeAlias

from ahocorasick_rs import BytesAhoCorasick, Implementation

from services.classifier import task
from services.classifier.features import ChatRequest
from services.classifier.leads import LAST_WORDS, NEGATIONS, OF_ROLES, STRONG, WEAK

Match: TypeAlias = tuple[int, int, int]  # the automaton's number, where it begins and ends
Reading: TypeAlias = tuple[str, int, bool]  # a phrase, its part, does it begin its sentence as an instruction

SYSTEM, BEFORE, BEHIND, MATERIAL, FORM = range(5)  # where a phrase was found


_IN_SYSTEM: Final = WEAK | OF_ROLES


class Reader:
    """Finds phrases. One is written as it is read: lower case, one space between words, and

    * `^` before it: only where it is an instruction, that is at the beginning of a sentence or behind words that
      lead one in (`please`, `your task is to`);
    * `$` behind it: only as the last words of the last user turn, a colon or a full stop aside;
    * `|` in it: the end of a sentence or line, or what brackets, quotes and colons part.

    What is negated (`no`, `do not`, `without`) is not found. Scripts without spaces are found within a run.
    """

    def __init__(self, phrases: Iterable[str]) -> None:
        self._meanings: list[
            tuple[str, bool]
        ] = []  # by the automaton's number: the phrase, and is it an instruction's
        patterns: list[bytes] = []
        for phrase in phrases:
            for spelt in _spellings(phrase):
                patterns.append(_pattern(spelt))
                self._meanings.append((phrase, phrase.startswith("^")))
        # All phrases in one pass, 3 ns a character: docs/decisions/0007-one-automaton-for-all-cues.md.
        self._find = BytesAhoCorasick(patterns, implementation=Implementation.ContiguousNFA).find_matches_as_indexes

    def numbers(self, phrases: Container[str]) -> frozenset[int]:
        """What `scan` calls any spelling of these phrases."""
        return frozenset(number for number, (phrase, _) in enumerate(self._meanings) if phrase in phrases)

    def scan(self, text: bytes) -> list[Match]:
        """All that could be a phrase."""
        return self._find(text, overlapping=True)

    def read(self, text: bytes, matches: list[Match]) -> list[Reading]:
        """The phrases among `matches`: which, where, and whether it is an instruction that begins its sentence.

        Of one within another only the longer.
        """
        meanings = self._meanings
        kept: list[tuple[str, int, int, bool]] = []
        last_start = last_end = -1
        system_ends = text.find(_PARTS[0])
        for number, start, end in matches:  # in the order of their ends, of those with one end the longest first
            if end == last_end and start > last_start:
                continue  # within the last
            phrase, instruction = meanings[number]
            begins = text[start - 1] in _BEGINNINGS
            if not begins:
                word = text.rfind(b" ", 0, start)
                one_lead = text[word + 1 : start]
                if one_lead in LAST_WORDS:
                    two = text.rfind(b" ", 0, word) if word > 0 else -1
                    two_leads = text[two + 1 : start]
                    if one_lead in NEGATIONS or two_leads in NEGATIONS:
                        continue
                    if instruction:
                        three_leads = text[(text.rfind(b" ", 0, two) if two > 0 else -1) + 1 : start]
                        begins = one_lead in STRONG or two_leads in STRONG or three_leads in STRONG
                        may_lead = WEAK if start > system_ends else _IN_SYSTEM
                        if not begins and one_lead not in may_lead and two_leads not in may_lead:
                            continue
                elif instruction:
                    continue
            while kept and kept[-1][1] >= start and (kept[-1][1], kept[-1][2]) != (start, end):
                kept.pop()  # within this one
            kept.append((phrase, start, end, instruction and begins))
            last_start, last_end = start, end
        found: list[Reading] = []
        where, stop = SYSTEM, system_ends
        for phrase, start, _, begins in kept:
            while start > stop >= 0:
                where += 1
                stop = text.find(_PARTS[where]) if where < FORM else -1
            found.append((phrase, where, begins))
        return found


def _spellings(phrase: str) -> tuple[str, ...]:
    words = phrase.removeprefix("^").strip()
    parts = [part.strip() for part in words.split("|")]
    marks = [mark.decode() for mark in (_BRACKET, _MARK, _STOP, _LINE)]
    spelt: tuple[str, ...] = (parts[0],)
    for part in parts[1:]:
        spelt = tuple(f"{before} {mark} {part}".strip() for before in spelt for mark in marks)
    return spelt


def _pattern(words: str) -> bytes:
    return words.encode() if words[0] >= _FIRST_WITHOUT_SPACES else b" %b " % words.encode()


# Text -------------------------------------------------------------------------------------------------------

_FIRST_WITHOUT_SPACES: Final = "\N{THAI CHARACTER KO KAI}"
_MARK: Final = b"|"  # what colons and the like part
_STOP: Final = b"/"  # between sentences
_LINE: Final = b"~"  # between lines
_BRACKET: Final = b"^"  # what brackets part: no instruction begins there
_MARKS: Final = b" ^|/~"
_BEGINNINGS: Final = b"|/~?"
_LINES_OF_ONE: Final = 2  # marks of lines that a text of one line has: at its beginning, and where the turn begins
_PARTS: Final = (b"\x01", b"\x02", b"\x03", b"\x04")  # behind SYSTEM, BEFORE, BEHIND, MATERIAL

# Bytes, for one table lower-cases and parts them at 1 ns a character; a regular expression needs 90.
_READ_AS: Final = bytes(
    byte + 32 if 65 <= byte <= 90
    else byte if byte >= 128 or chr(byte).isalnum() or chr(byte) in "'+?"
    else _LINE[0] if chr(byte) in "\n\r"
    else _STOP[0] if chr(byte) in ".!"
    else _BRACKET[0] if chr(byte) in "()[]{}<>"
    else _MARK[0] if chr(byte) in ":;|#*"
    else 32
    for byte in range(256)
)  # fmt: skip

# What typographers, word processors and East Asian texts put between words and sentences, as UTF-8: Latin-1's spaces
# and marks (U+00A0 to U+00BF), general punctuation (U+2000 to U+206F), CJK punctuation (U+3000 to U+303F) and its
# full-width forms (U+FF00 to U+FF1F).
_OTHER_SPACES: Final = re.compile(rb"\xc2[\xa0-\xaf]|\xe2\x80[\x80-\x94\xa6-\xaf]|\xe3\x80[\x80\x81]|\xef\xbc\x8c")
_OTHER_STOPS: Final = re.compile(rb"\xe3\x80\x82|\xef\xbc[\x81\x8e\x9b]")
_OTHER_MARKS: Final = re.compile(
    rb"\xc2[\xb0-\xbf]|\xe2\x80[\x95-\xbf]|\xe2\x81[\x80-\xaf]|\xe3\x80[\x82-\xbf]|\xef\xbc[\x80-\x9e]"
)
_APOSTROPHE: Final = "\N{RIGHT SINGLE QUOTATION MARK}".encode()
_QUESTIONS: Final = ("\N{FULLWIDTH QUESTION MARK}".encode(), "\N{ARABIC QUESTION MARK}".encode())


def whole(chat: ChatRequest) -> bytes:
    """The system prompt and the user's turn, not parted: enough where nothing speaks for an easy task."""
    user = _words(chat.user).rstrip(_MARKS)
    return _spaced(b"~%b \x01~%b $ \x02" % (_words(chat.system), user))


def parted(chat: ChatRequest) -> bytes:
    """All that is read, its parts one behind the other; `$` stands behind the turn's last words."""
    parts = task.read(chat)
    system, material, form = _words(parts.system), _words(parts.material), _words(chat.form)
    before, behind = _words(parts.before).rstrip(_MARKS), _words(parts.behind).rstrip(_MARKS)
    ends_before, ends_behind = (b"", b" $ ") if behind else (b" $ ", b"")
    return _spaced(
        b"~%b \x01~%b%b \x02~%b%b \x03~%b \x04|%b "
        % (system, before, ends_before, behind, ends_behind, material, form)
    )


def _spaced(read: bytes) -> bytes:
    """Words and marks with one space between them, and of marks that stand together the strongest.

    To look for a pair costs 0.4 us, for one byte a twentieth of it: so first whether there can be such a pair.
    """
    read = read.replace(b"?", b" ?").replace(_STOP, b" /").replace(_MARK, b" | ").replace(_BRACKET, b" ^ ")
    read = read.replace(_LINE, b" ~ ")
    while b"  " in read:
        read = read.replace(b"  ", b" ")
    if _BRACKET in read:
        while b"^ ^" in read:
            read = read.replace(b"^ ^", b"^")
        read = read.replace(b"^ |", b"|").replace(b"| ^", b"|").replace(b"^ /", b"/")
        read = read.replace(b"^ ~", b"~").replace(b"~ ^", b"~")
    if _MARK in read:
        while b"| |" in read:
            read = read.replace(b"| |", b"|")
        read = read.replace(b"| /", b"/").replace(b"/ |", b"/").replace(b"| ~", b"~").replace(b"~ |", b"~")
    while b"/ /" in read:
        read = read.replace(b"/ /", b"/")
    if read.count(_LINE) > _LINES_OF_ONE:
        read = read.replace(b"/ ~", b"~")
        while b"~ ~" in read:
            read = read.replace(b"~ ~", b"~")
    return read.replace(b"? /", b"?") if b"?" in read else read


def _words(text: str) -> bytes:
    if text.isascii():
        return text.encode().translate(_READ_AS)
    read = text.lower().encode().replace(_APOSTROPHE, b"'")
    for question in _QUESTIONS:
        read = read.replace(question, b"?")
    read = _OTHER_STOPS.sub(_STOP, _OTHER_SPACES.sub(b" ", read))
    return _OTHER_MARKS.sub(_MARK, read).translate(_READ_AS)
