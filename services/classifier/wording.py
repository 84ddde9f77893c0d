"""Text as the cues read it: words in lower case with one space between them, sentences and lines marked off. Pure.

Time is linear in what features.py kept, at most some 2,500 characters; nothing backtracks.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

BRACKET: Final = b"^"  # what brackets part: no instruction begins there
MARK: Final = b"|"  # what colons and the like part
STOP: Final = b"/"  # between sentences
LINE: Final = b"~"  # between lines
MARKS: Final = (BRACKET, MARK, STOP, LINE)  # the weakest first
BEGINNINGS: Final = b"|/~?"  # a sentence begins behind them
PART: Final = b"\x01"  # ends a part; no text has it, for control characters are read as spaces
_SEPARATORS: Final = b" ^|/~"


def of_system(text: str) -> bytes:
    return _spaced(b"~%b \x01" % _words(text))


def of_turn(text: str) -> bytes:
    """A user's turn; `$` stands behind its last words."""
    return _spaced(b"~%b $ \x01" % _words(text).rstrip(_SEPARATORS))


def of_parts(before: str, behind: str, material: str, form: str) -> bytes:
    """The same of a turn in parts, with a form: one behind the other. `$` stands behind the last instructions."""
    first, last = _words(before).rstrip(_SEPARATORS), _words(behind).rstrip(_SEPARATORS)
    ends_first, ends_last = (b"", b" $ ") if last else (b" $ ", b"")
    return _spaced(
        b"~%b%b \x01~%b%b \x01~%b \x01|%b \x01" % (first, ends_first, last, ends_last, _words(material), _words(form))
    )


# Words ------------------------------------------------------------------------------------------------------

# Bytes, for one table lower-cases and parts them at 1 ns a character; a regular expression needs 90.
_READ_AS: Final = bytes(
    byte + 32 if 65 <= byte <= 90
    else byte if byte >= 128 or chr(byte).isalnum() or chr(byte) in "'+?"
    else LINE[0] if chr(byte) in "\n\r"
    else STOP[0] if chr(byte) in ".!"
    else BRACKET[0] if chr(byte) in "()[]{}<>"
    else MARK[0] if chr(byte) in ":;|#*"
    else 32
    for byte in range(256)
)  # fmt: skip

_APOSTROPHE: Final = "\N{RIGHT SINGLE QUOTATION MARK}".encode()
# What ends a sentence elsewhere, and what parts words; read as ours. Those of East Asia are of full width.
_AS_OURS: Final = tuple(
    (theirs.encode(), ours)
    for theirs, ours in (
        ("\N{FULLWIDTH QUESTION MARK}", b"?"),
        ("\N{ARABIC QUESTION MARK}", b"?"),
        ("\N{IDEOGRAPHIC FULL STOP}", b". "),
        ("\N{FULLWIDTH FULL STOP}", b". "),
        ("\N{FULLWIDTH EXCLAMATION MARK}", b". "),
        ("\N{FULLWIDTH SEMICOLON}", b". "),
        ("\N{ARABIC FULL STOP}", b". "),
        ("\N{ARABIC COMMA}", b" "),
        ("\N{ARABIC SEMICOLON}", b". "),
    )
)
# What typographers, word processors and East Asian texts put between words and sentences, as UTF-8, with its first
# byte: Latin-1's spaces and marks (U+00A0 to U+00BF), general punctuation (U+2000 to U+206F), CJK punctuation (U+3000
# to U+303F) and its full-width forms (U+FF00 to U+FF1F). What is no space is a mark. Most texts have none of a kind,
# and to look for one byte costs a hundredth of what the pattern does.
_OTHERS: Final = (
    (b"\xc2", re.compile(rb"\xc2[\xa0-\xaf]"), re.compile(rb"\xc2[\xb0-\xbf]")),
    (b"\xe2", re.compile(rb"\xe2\x80[\x80-\x94\xa6-\xaf]"), re.compile(rb"\xe2(?:\x80[\x95-\xbf]|\x81[\x80-\xaf])")),
    (b"\xe3", re.compile(rb"\xe3\x80[\x80\x81]"), re.compile(rb"\xe3\x80[\x83-\xbf]")),
    (b"\xef", re.compile(rb"\xef\xbc\x8c"), re.compile(rb"\xef\xbc[\x80-\x9e]")),
)


def _words(text: str) -> bytes:
    if text.isascii():
        return text.encode().translate(_READ_AS)
    read = text.lower().encode().replace(_APOSTROPHE, b"'")
    for theirs, ours in _AS_OURS:
        read = read.replace(theirs, ours)
    for first, spaces, marks in _OTHERS:
        if first in read:
            read = marks.sub(MARK, spaces.sub(b" ", read))
    return read.translate(_READ_AS)


# Spaces -----------------------------------------------------------------------------------------------------

_MARKS_IN_A_ROW: Final = re.compile(rb"[\^|/~?] [\^|/~][ \^|/~?]*")


def _spaced(read: bytes) -> bytes:
    """Words and marks with one space between them, and of marks that stand together the strongest."""
    read = read.replace(b"?", b" ?").replace(STOP, b" /").replace(MARK, b" | ").replace(BRACKET, b" ^ ")
    read = read.replace(LINE, b" ~ ")
    while b"  " in read:
        read = read.replace(b"  ", b" ")
    if BRACKET in read or MARK in read or read.count(LINE) > 1:
        return _MARKS_IN_A_ROW.sub(_strongest, read)
    while b"/ /" in read:  # plain prose: a third of what the pattern costs
        read = read.replace(b"/ /", b"/")
    return read.replace(b"? /", b"?")


def _strongest(found: re.Match[bytes]) -> bytes:
    return _strongest_of(found[0])


# The same few rows are in most texts: 0.3 us each to look up, 2 to work out. Of at most 2 KB each: half a megabyte.
@lru_cache(maxsize=256)
def _strongest_of(marks: bytes) -> bytes:
    while b"^ ^" in marks:
        marks = marks.replace(b"^ ^", b"^")
    marks = marks.replace(b"^ |", b"|").replace(b"| ^", b"|").replace(b"^ /", b"/")
    marks = marks.replace(b"^ ~", b"~").replace(b"~ ^", b"~")
    while b"| |" in marks:
        marks = marks.replace(b"| |", b"|")
    marks = marks.replace(b"| /", b"/").replace(b"/ |", b"/").replace(b"| ~", b"~").replace(b"~ |", b"~")
    while b"/ /" in marks:
        marks = marks.replace(b"/ /", b"/")
    marks = marks.replace(b"/ ~", b"~")
    while b"~ ~" in marks:
        marks = marks.replace(b"~ ~", b"~")
    return marks.replace(b"? /", b"?")
