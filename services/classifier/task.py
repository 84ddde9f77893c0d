"""Which words of a request are its instructions, and which its material? Pure text; what they mean is cues.py's.

Instructions stand in the system prompt, before the material, or behind it. Material is what is set off by quotation
marks, fences or tags, what follows a label such as `Text:`, and what lies between the first and the last paragraph.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from services.classifier.features import USER_HEAD, ChatRequest, between_words

LONGEST_HEAD: Final = 360  # characters of instructions before the material, and behind it
LONGEST_TAIL: Final = 220
SENTENCES: Final = 3  # of a turn that is one paragraph: its instructions may go on in the same line as the material
LONG_QUOTATION: Final = 60  # a shorter one is a label, a title, or the very thing that is asked about
_SHORT_PARAGRAPH: Final = 200
_MOST_QUOTATIONS: Final = 8
_MOST_TAGS: Final = 12

_QUOTES: Final = (
    ('"""', '"""'), ("```", "```"), ('"', '"'),
    ("\N{LEFT DOUBLE QUOTATION MARK}", "\N{RIGHT DOUBLE QUOTATION MARK}"),
    ("\N{LEFT CORNER BRACKET}", "\N{RIGHT CORNER BRACKET}"),
)  # fmt: skip
# A line that says what follows it: `Text: …`, `Article`, `### Email`. Not `Question:`: what follows that is asked.
_LABEL: Final = """
    text article document source input passage e-mail email mail message transcript paragraph content review abstract
    story post tweet conversation dialogue comment note notes report letter ticket log logs data sentence context
    thread body subject from file excerpt snippet description product title statement claim utterance query headline
    user customer speaker plot request job recipe invoice receipt contract clause caption example ad chat kommentar
    nachricht texte texto testo tekst текст metin النص पाठ 文本 文章 本文 テキスト 텍스트 본문
"""
_WHOSE: Final = ("", "the ", "my ", "input ", "source ", "raw ", "customer ", "user ", "full ")
_LABELS: Final = frozenset(f"{whose}{label}" for whose in _WHOSE for label in _LABEL.split())
_LONGEST_LABEL: Final = 48  # characters of a line, with all that may stand around it
_SPACES: Final = "".join(filter(str.isspace, map(chr, range(0x3001))))
_BEFORE_LABEL: Final = _SPACES + "#*-=_"
_MOST_BEFORE_LABEL: Final = 8
_BEHIND_LABEL: Final = _SPACES + "*"
_MOST_BEHIND_LABEL: Final = 3
_COLONS: Final = frozenset(":\N{FULLWIDTH COLON}")
# A turn of a conversation: `Anna: …`, `#Person1#: …`, `[10:02] Agent: …`.
_TURN: Final = re.compile(r"(?!(?i:q|question|problem|task)\b)[\[(#*]{0,2}\w[\w .:#'\-\])]{0,24}[:：]\s+\S")  # noqa: RUF001
# How instructions go on after a blank line.
_GOES_ON: Final = re.compile(
    r"[\s*#\->]{0,4}(?:#|you (?:are|will|must|should|can|have|need)|"
    r"your (?:task|job|goal|role|answer|output|response|reply)|return|respond|reply|output|answer|use|only|do not|"
    r"don't|never|if|categor|labels?\b|options|class|choose|format|rules|instructions|constraints|guidelines|task|"
    r"be |keep|make sure|please|note|each|for each|fields|keys|schema|possible|allowed|"
    r"the (?:answer|output|following|categor|labels|options|possible|response|summary)|"
    r"here (?:is|are)|example|extract|classif|summar|identify|definition)",
    re.IGNORECASE,
)
_SENTENCE_END: Final = re.compile(r"[.!?。！？](?:\s|$)|[。！？]")  # noqa: RUF001


class Task(msgspec.Struct, frozen=True, gc=False):
    before: str  # instructions ahead of the material; of a short turn all of it
    behind: str  # and behind it; may be empty
    material: str  # as much of it as was kept


def read(chat: ChatRequest) -> Task:
    """The parts of the user's turn, in time linear in what features.py kept of it."""
    user = chat.user
    if len(user) > LONG_QUOTATION:
        user = _without_quoted(user)
    lines: list[str] = []
    breaks: set[int] = set()  # the lines that a blank one stands before
    for line in user.split("\n"):
        if not line or line.isspace():
            breaks.add(len(lines))
        else:
            lines.append(line)
    if len(lines) <= 1:
        return _one_paragraph(lines[0] if lines else "")
    before, at = _before(lines, breaks)
    behind, end = _behind(lines, at)
    return Task(before, behind, "\n".join(lines[at:end]))


def _one_paragraph(text: str) -> Task:
    if len(text) <= LONGEST_HEAD:
        return Task(text, "", "")
    ends = [match.end() for match in _SENTENCE_END.finditer(text, 0, LONGEST_HEAD)]
    head = ends[min(SENTENCES, len(ends)) - 1] if ends else between_words(text, LONGEST_HEAD)
    tail = max(between_words(text, len(text) - LONGEST_TAIL), head)
    starts = [match.end() for match in _SENTENCE_END.finditer(text, tail, len(text) - 1)]
    tail = starts[-1] if starts else tail
    return Task(text[:head], text[tail:], text[head:tail])


def _before(lines: list[str], breaks: set[int]) -> tuple[str, int]:
    """The first paragraphs that are instructions, and where the material begins."""
    taken = 0
    for place, line in enumerate(lines):
        if _is_label(line) or (place and place in breaks and not _GOES_ON.match(line)):
            return "\n".join(lines[:place]), place
        if place and _is_turn(line) and place + 1 < len(lines) and _is_turn(lines[place + 1]):
            return "\n".join(lines[:place]), place
        if place and (taken + len(line) > LONGEST_HEAD or len(line) > _SHORT_PARAGRAPH):
            return "\n".join(lines[:place]), place
        taken += len(line)
        if taken > LONGEST_HEAD:
            head = _one_paragraph(line)
            lines[place] = head.material
            return "\n".join([*lines[:place], head.before]), place
    return "\n".join(lines), len(lines)


def _is_label(line: str) -> bool:
    """Looked up, for a pattern of sixty words costs 2 us a line, and there are a dozen lines."""
    said, colon, _ = line[:_LONGEST_LABEL].replace("\N{FULLWIDTH COLON}", ":").partition(":")
    if not colon and len(line) > _LONGEST_LABEL:
        return False
    begun = said.lstrip(_BEFORE_LABEL)
    label = begun.rstrip(_BEHIND_LABEL)
    return (
        label.lower() in _LABELS
        and len(said) - len(begun) <= _MOST_BEFORE_LABEL
        and len(begun) - len(label) <= _MOST_BEHIND_LABEL
    )


def _is_turn(line: str) -> bool:
    return not _COLONS.isdisjoint(line[:_LONGEST_LABEL]) and bool(_TURN.match(line)) and not _GOES_ON.match(line)


def _behind(lines: list[str], at: int) -> tuple[str, int]:
    """The last paragraphs that are instructions, and where the material ends."""
    taken = 0
    end = len(lines)
    while end > at:
        line = lines[end - 1]
        if taken + len(line) > LONGEST_TAIL or _is_label(line) or _is_turn(line):
            break
        taken += len(line)
        end -= 1
        if taken > LONGEST_TAIL // 2:
            break
    if end == len(lines) and at < end and len(lines[-1]) > LONGEST_TAIL:
        last = _one_paragraph(lines[-1])
        lines[-1] = last.before + last.material
        return last.behind, end
    return "\n".join(lines[end:]), end


# What is set off --------------------------------------------------------------------------------------------


def _without_quoted(text: str) -> str:
    for opening, closing in _QUOTES:
        # Most texts have not even its first character, which takes a tenth of the time to find out.
        if opening[0] in text and opening in text:
            text = _without(text, opening, closing)
    return _without_tagged(text) if "</" in text else text


def _without(text: str, opening: str, closing: str) -> str:
    kept: list[str] = []
    at = 0
    for _ in range(_MOST_QUOTATIONS):
        begin = text.find(opening, at)
        end = text.find(closing, begin + len(opening)) if begin >= 0 else -1
        if end < 0:
            break
        after = end + len(closing)
        kept += (text[at:begin], "\n") if end - begin >= LONG_QUOTATION else (text[at:after],)
        at = after
    return "".join([*kept, text[at:]]) if at else text


def _without_tagged(text: str) -> str:
    end = text.find("</")
    for _ in range(_MOST_TAGS):
        stop = text.find(">", end)
        if end < 0 or stop < 0:
            break
        name = text[end + 2 : stop]
        begin = text.find(f"<{name}>")
        if begin < 0 and end > USER_HEAD:  # its beginning was cut out with the middle of a long turn
            begin = text.find("\n", USER_HEAD, end)
        if begin >= 0 and end - begin >= LONG_QUOTATION and "instruction" not in name and "task" not in name:
            text = f"{text[:begin]}\n{text[stop + 1 :]}"
            end = text.find("</", begin)
        else:
            end = text.find("</", stop)
    return text
