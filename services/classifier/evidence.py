"""What kind of task is it? The evidence of cues.py weighed; no model, no clock, no policy.

A category is named where its evidence is strong and little speaks against it; all else is `general`. A hard request
in a cheap tier is the error that matters, so easy categories must clear a margin and hard cues need none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from services.classifier import reading, shape
from services.classifier.cues import REASONING, VETO, Cue
from services.classifier.easy_tasks import EASY_TASKS
from services.classifier.features import ChatRequest
from services.classifier.hard_tasks import HARD_TASKS
from services.classifier.other_languages import OTHER_LANGUAGES
from services.classifier.reading import BEFORE, BEHIND, FORM, MATERIAL, SYSTEM, Reader, Reading
from shared.contracts import CATEGORIES

EASY: Final = frozenset({"extraction", "summarisation", "classification"})
CUES: Final = (*EASY_TASKS, *HARD_TASKS, *OTHER_LANGUAGES)

EASY_MARGIN: Final = 3  # what an easy category must have over everything that speaks against it
KNOWN_MARGIN: Final = 6  # that much more where there is no material: an answer must be known then, not found
CLEAR_MARGIN: Final = 2  # the same, of a part that holds instructions and no material
HARD_MARGIN: Final = 3  # what reasoning or code must have to be called by its name
PLAIN: Final = 12  # what weighs so much is no passing word where instructions are expected
ORDER: Final = 6  # and what weighs so much in a system prompt is wanted besides a form
SHORT_TURN: Final = 300  # characters: a longer one behind a clear system prompt is material, whatever it orders
LONGEST_EVIDENCE: Final = 8  # names that travel in Features, which have 300 bytes for all

_PARTS: Final = (SYSTEM, BEFORE, BEHIND, MATERIAL, FORM)


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """The category, what each one scored (in the order of CATEGORIES), and the cues that were found."""

    category: str
    scores: tuple[int, ...]
    cues: tuple[Cue, ...]


class Found(msgspec.Struct, frozen=True, gc=False):
    """One piece of evidence, for people: `found` are the words by which it was found."""

    rule: str
    category: str
    weight: int
    found: tuple[str, ...]


def weigh(chat: ChatRequest) -> Verdict:
    """The category of a request, in time linear in what `features` kept of it."""
    return _weigh(chat, _read(chat))


def explain(chat: ChatRequest) -> tuple[Found, ...]:
    """The evidence for a request with the phrases it was found by."""
    readings = _read(chat)
    verdict = _weigh(chat, readings)
    phrases: dict[str, list[str]] = {}
    for phrase, where, _ in readings:
        for number in _cues(phrase, where):
            phrases.setdefault(CUES[number].name, []).append(_plain(phrase))
    return tuple(
        Found(cue.name, CATEGORIES[cue.category], cue.weight, tuple(dict.fromkeys(phrases.get(cue.name, ()))))
        for cue in verdict.cues
    )


def _plain(phrase: str) -> str:
    """A phrase as it was said, without the marks of cues.py."""
    return " ".join(phrase.translate({ord(mark): " " for mark in "^$|"}).split())


def _read(chat: ChatRequest) -> list[Reading]:
    """Most requests have no word of an easy task, and then it does not matter which of them are instructions."""
    text = reading.whole(chat)
    matches = _reader.scan(text)
    if chat.form or not _NAMING.isdisjoint([match[0] for match in matches]):
        text = reading.parted(chat)
        matches = _reader.scan(text)
    return _reader.read(text, matches)


def _weigh(chat: ChatRequest, readings: list[Reading]) -> Verdict:
    """Whose instructions are clear by themselves is believed: what else is there then is material, which may speak of
    anything. First the system prompt is heard, then what stands before the material, then what stands behind it; of
    the others only what is plainly another instruction counts, and speaks against an easy task.
    """
    everything = {number for phrase, where, _ in readings for number in _BY_PART[where][phrase]}
    if not chat.form and everything.isdisjoint(_NAMING_CUES):
        return _verdict(chat, everything, readings)
    found = _by_part(readings)
    system = found[SYSTEM] | found[FORM]
    if found[SYSTEM] and _is_clear(system):
        if chat.user_chars <= SHORT_TURN:
            system |= _orders(readings, (BEFORE, BEHIND))
        return _verdict(chat, system, readings)
    if found[BEHIND]:
        before = system | found[BEFORE]
        if _is_clear(before):
            asks = ("? $", BEHIND, False) in readings and ("| question |", BEHIND, False) not in readings
            before |= found[BEHIND] if asks else _orders(readings, (BEHIND,), PLAIN)
            return _verdict(chat, before, readings)
        if _orders(readings, (BEFORE,)):  # hard work, whatever the material says
            return _verdict(chat, before, readings)
        behind = system | found[BEHIND]
        if _is_clear(behind):
            return _verdict(chat, behind, readings)
    return _verdict(chat, everything, readings)


def _by_part(readings: list[Reading]) -> list[set[int]]:
    """The cues of each part, as places in CUES."""
    found: list[set[int]] = [set() for _ in _PARTS]
    for phrase, where, _ in readings:
        found[where].update(_cues(phrase, where))
    return found


def _orders(readings: list[Reading], parts: tuple[int, ...], plain: int = VETO + 1) -> set[int]:
    """Hard work that is asked for there: what begins as an instruction, and what weighs `plain` or more."""
    return {
        number
        for phrase, where, begins in readings
        if where in parts
        for number in _cues(phrase, where)
        if CUES[number].category >= REASONING and (begins or CUES[number].weight >= plain)
    }


def _is_clear(found: set[int]) -> bool:
    cues = [CUES[number] for number in found]
    return _settle(cues, _scores(cues), CLEAR_MARGIN) in EASY


def _verdict(chat: ChatRequest, found: set[int], readings: list[Reading]) -> Verdict:
    cues = [CUES[number] for number in sorted(found)]
    cues += shape.cues(chat, asks=bool(chat.form) and _asks(readings))
    scores = _scores(cues)
    margin = EASY_MARGIN + KNOWN_MARGIN if shape.NO_MATERIAL in cues else EASY_MARGIN
    return Verdict(_settle(cues, scores, margin), tuple(scores), tuple(cues))


def _asks(readings: list[Reading]) -> bool:
    """Is anything wanted besides that a form be filled in?"""
    if _orders(readings, (SYSTEM, BEFORE, BEHIND)):
        return True
    return any(
        phrase == "? $" or (where == SYSTEM and any(_is_order(CUES[number]) for number in _cues(phrase, where)))
        for phrase, where, _ in readings
    )


def _is_order(cue: Cue) -> bool:
    return cue.category >= REASONING and cue.weight >= ORDER


def names(verdict: Verdict) -> tuple[str, ...]:
    """The heaviest cues' names, as many as travel with a plan."""
    cues = verdict.cues
    if len(cues) > LONGEST_EVIDENCE:
        cues = tuple(sorted(cues, key=_lightness)[:LONGEST_EVIDENCE])
    return tuple([cue.name for cue in cues])


def _scores(cues: list[Cue]) -> list[int]:
    """What each category has, in the order of CATEGORIES."""
    scores = [0, 0, 0, 0, 0, 0]
    for cue in cues:
        scores[cue.category] += cue.weight
    return scores


def _settle(cues: list[Cue], scores: list[int], margin: int = EASY_MARGIN) -> str:
    extraction, summarisation, classification, reasoning, code, general = scores
    best = max(extraction, summarisation, classification)
    if best > 0:
        easy = best + (max(extraction, 0) + max(summarisation, 0) + max(classification, 0) - best) // 2
        if easy >= reasoning + code + general + margin and any(map(_names_easy, cues)):
            if best == classification:
                return "classification"
            return "extraction" if best == extraction else "summarisation"
    if code >= HARD_MARGIN and code > reasoning and code > general:
        return "code"
    if reasoning >= HARD_MARGIN and reasoning > general:
        return "reasoning"
    return "general"


def _names_easy(cue: Cue) -> bool:
    return cue.names and cue.category < REASONING and cue.weight > 0


def _lightness(cue: Cue) -> int:
    return -cue.weight


_reader: Final = Reader(dict.fromkeys(phrase for cue in CUES for phrase in cue.phrases))


def _numbers(counts: Callable[[Cue], bool]) -> dict[str, tuple[int, ...]]:
    found: dict[str, list[int]] = {phrase: [] for cue in CUES for phrase in cue.phrases}
    for number, cue in enumerate(CUES):
        if counts(cue):
            for phrase in cue.phrases:
                found[phrase].append(number)
    return {phrase: tuple(numbers) for phrase, numbers in found.items()}


# What names an easy task.
_NAMING_CUES: Final = frozenset(number for number, cue in enumerate(CUES) if cue.names and cue.category < REASONING)
_NAMING: Final = _reader.numbers(
    {phrase for cue in CUES if cue.names and cue.category < REASONING for phrase in cue.phrases}
)

_IN_FORM: Final = _numbers(lambda cue: cue.form)
_IN_MATERIAL: Final = _numbers(lambda cue: cue.far)
_TOLD: Final = _numbers(lambda cue: not cue.form_only)
_BY_PART: Final = (_TOLD, _TOLD, _TOLD, _IN_MATERIAL, _IN_FORM)


def _cues(phrase: str, where: int) -> tuple[int, ...]:
    """What a phrase means where it was found, as places in CUES."""
    return _BY_PART[where][phrase]
