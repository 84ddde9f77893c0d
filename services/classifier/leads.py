"""Words around a phrase that decide what it is: what leads an instruction in, and what takes a phrase back."""

from __future__ import annotations

from typing import Final


def _words(text: str) -> frozenset[bytes]:
    return frozenset(" ".join(lead.split()).encode() for lead in text.split(";"))


# What comes before an instruction, besides the beginning of its sentence. Three words at most.
STRONG: Final = _words("""
        please; kindly; you will; you must; you should; you are to; you need to; you have to; task is to; job is to;
        goal is to; role is to; purpose is to; objective is to; duty is to; need to; want to; want you to;
        like you to; like to; need you to; asked to; tasked to; tasked with; instructed to; can you; could you;
        would you; will you; help me; help me to; help us; let's; now; then; always; task; bitte; veuillez; merci de;
        por favor; per favore; s'il te plaît; s'il vous plaît; пожалуйста; proszę; lütfen; graag; kannst du;
        können sie; peux tu; pouvez vous; puedes; podrías; puede; você pode; pode; puoi; можешь; możesz; kun je
    """)
# The same, less surely. Two words at most, as all below.
WEAK: Final = _words("""
        and; or; first; next; just; simply; only; also; carefully; briefly; concisely; quickly; correctly; accurately;
        automatically; is to; task to; try to; you can; und; et; и; a sentence; a text; a passage; a paragraph;
        an article; a review; a tweet; a document; a note; an abstract; a conversation; a dialogue; a question;
        a message; a post; a comment; an email; a list; an utterance; a headline; the sentence; the text; the passage;
        the paragraph; the article; the review; the tweet; the document; the abstract; the conversation; the dialogue;
        the question; following sentence; following text; following passage; following paragraph; following article;
        following review; following tweet; news article; clinical note; scientific abstract; product review;
        the description; a description; the message; the email; the input; two sentences; a story; the story;
        a report; given text; given sentence; given passage; given article; the context; a statement; a claim;
        the options; a query; a pair; the transcript; title; text; sentence; question; review; tweet; article;
        paragraph; passage; abstract; document; conversation; dialogue; headline; utterance; ad; it; in this task
    """)
# What tells of an assistant's work, in a system prompt. Elsewhere it is somebody else's: `an app that extracts …`.
OF_ROLES: Final = _words("""
        you; that; who; which; for; by; and; or; designed to; built to; trained to; able to; responsible for; helps;
        to; tool; assistant; service; bot
    """)
# What takes back what follows.
NEGATIONS: Final = _words("""
        no; not; don't; never; without; nor; not add; not give; not provide; not include; not write; not offer;
        not make; avoid; instead of; rather than; kein; keine; nicht; ohne; sans; pas de; sin; sem; senza; geen;
        zonder; bez; nie; не; без
    """)
# How any of them ends: behind another word there is nothing to be looked up.
LAST_WORDS: Final = frozenset(lead.rpartition(b" ")[2] for lead in STRONG | WEAK | OF_ROLES | NEGATIONS)
