"""Evidence that is no phrase: whether there is a form to fill in, material to work on, tools to act with. Pure."""

from __future__ import annotations

from typing import Final

from services.classifier.cues import CODE, EXTRACTION, GENERAL, SUMMARISATION, VETO, Cue
from services.classifier.features import ChatRequest

FORM_FOR_TEXT: Final = Cue("form for a text", EXTRACTION, 6, ())  # nothing is asked, so the text is what fills it
FORM_FOR_ANSWER: Final = Cue("form for answers", GENERAL, 1, ())  # a schema on open generation is no extraction
OFFERED_TOOLS: Final = Cue("offered tools", GENERAL, VETO, ())  # somebody acts with them
LOOKS_LIKE_CODE: Final = Cue("looks like code", CODE, 9, ())
CONVERSATION: Final = Cue("conversation", GENERAL, 3, ())
NO_MATERIAL: Final = Cue("no material", GENERAL, 0, ())  # an answer is to be known, not found
NO_TEXT: Final = Cue("no text", SUMMARISATION, -8, ())  # to summarise Moby-Dick from memory is to know it
LONG_TEXT: Final = Cue("long text", SUMMARISATION, 1, ())

LONG_CHARS: Final = 600
SHORT_CHARS: Final = 60
NO_MATERIAL_CHARS: Final = 160
CONVERSATION_MESSAGES: Final = 4
TURNS_OF_ONE: Final = 2  # messages of a request with a system prompt and nothing said before
FEWEST_MARKS: Final = 6
CHARS_A_MARK: Final = 40

# What parts instructions from material.
_SETS_OFF: Final = frozenset(':\n"`<[{(“「：«‘—')  # noqa: RUF001
# What a turn begins with that wants something new, rather than is something to be filled in.
_ASKING: Final = frozenset({
    "give", "name", "list", "tell", "find", "show", "provide", "what", "who", "how", "when", "where", "which",
    "let's", "plan", "think", "suggest", "recommend", "create", "generate", "write", "make", "add", "start", "i'd",
})  # fmt: skip
_LONGEST_ASKING: Final = max(map(len, _ASKING)) + 1


def cues(chat: ChatRequest, *, asks: bool) -> list[Cue]:
    """`asks`: is anything wanted besides that the form be filled in?"""
    found = []
    if chat.form:
        found.append(FORM_FOR_ANSWER if asks or _begins_by_asking(chat.user) else FORM_FOR_TEXT)
    if chat.offers_tools and not chat.forces_tool:
        found.append(OFFERED_TOOLS)
    if _looks_like_code(chat.user):
        found.append(LOOKS_LIKE_CODE)
    if chat.messages == 1:
        if chat.user_chars < NO_MATERIAL_CHARS and not _sets_off(chat.user):
            found.append(NO_MATERIAL)
    elif chat.messages > CONVERSATION_MESSAGES:
        found.append(CONVERSATION)
    if chat.messages <= TURNS_OF_ONE and chat.user_chars < SHORT_CHARS:
        found.append(NO_TEXT)
    if chat.user_chars > LONG_CHARS:
        found.append(LONG_TEXT)
    return found


def _begins_by_asking(text: str) -> bool:
    return text[:_LONGEST_ASKING].lower().partition(" ")[0] in _ASKING


def _sets_off(text: str) -> bool:
    """Could a part of it be material?"""
    return not _SETS_OFF.isdisjoint(text) or " '" in text or "? " in text


def _looks_like_code(text: str) -> bool:
    """Calls, assignments and ends of statements, one in CHARS_A_MARK characters: neither prose nor JSON has as many.

    What stands between fences is material, of code too: its language may be what is asked for.
    """
    marks = text.count("(") + text.count(";") + text.count("=")
    return marks >= FEWEST_MARKS and marks * CHARS_A_MARK >= len(text) and "```" not in text
