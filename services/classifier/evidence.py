"""What kind of task is it? The evidence of cues.py weighed; no model, no clock, no policy.

A category is named where its evidence is strong and little speaks against it; all else is `general`. A hard request
in a cheap tier is the error that matters, so easy categories must clear a margin and hard cues need none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from operator import itemgetter
from typing import Final, TypeAlias

import msgspec

from services.classifier import shape, task, wording
from services.classifier.cues import REASONING, VETO, Cue
from services.classifier.easy_tasks import EASY_TASKS
from services.classifier.features import ChatRequest
from services.classifier.hard_tasks import HARD_TASKS
from services.classifier.other_languages import OTHER_LANGUAGES
from services.classifier.reading import IN_SYSTEM, Reader, Reading
from services.classifier.task import Task
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

# What was read in the system prompt, before the material, behind it, in the material, and in a form.
Readings: TypeAlias = Sequence[Reading]
Parts: TypeAlias = tuple[Readings, Readings, Readings, Readings, Readings]
Table: TypeAlias = list[tuple[int, ...]]  # by a reading: places in CUES


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
    parts = _read(chat)
    verdict = _weigh(chat, parts)
    phrases: dict[str, list[str]] = {}
    for readings, means in zip(parts, _BY_PART, strict=True):
        for reading in readings:
            for number in means[reading]:
                phrases.setdefault(CUES[number].name, []).append(_plain(_reader.phrases[reading // 2]))
    return tuple(
        Found(cue.name, CATEGORIES[cue.category], cue.weight, tuple(dict.fromkeys(phrases.get(cue.name, ()))))
        for cue in verdict.cues
    )


def _plain(phrase: str) -> str:
    """A phrase as it was said, without the marks of cues.py."""
    return " ".join(phrase.translate({ord(mark): " " for mark in "^$|"}).split())


# What is read -----------------------------------------------------------------------------------------------


def _read(chat: ChatRequest) -> Parts:
    """Most requests have no word of an easy task, and then it does not matter which of them are instructions."""
    names_task, system = read_system(chat.system) if chat.system else (False, ())
    if names_task or chat.form:
        return system, *_read_parts(task.read(chat), chat.form)
    text = wording.of_turn(chat.user)
    matches = _reader.scan(text)
    if not _NAMING.isdisjoint(map(_number, matches)):
        parts = task.read(chat)
        if parts.before != chat.user:
            return system, *_read_parts(parts, "")
    return system, _reader.read(text, matches)[0], (), (), ()


def _read_parts(parts: Task, form: str) -> tuple[Readings, Readings, Readings, Readings]:
    text = wording.of_parts(parts.before, parts.behind, parts.material, form)
    before, behind, material, of_form = _reader.read(text, _reader.scan(text))
    return before, behind, material, of_form


# An application sends the same system prompt with each request: read once, it costs nothing. 500 prompts, of at most
# 960 characters each, are 2 MB where none is in Latin letters, and most often a quarter of that.
@lru_cache(maxsize=500)
def read_system(prompt: str) -> tuple[bool, Readings]:
    """What a system prompt says, and whether it has a word of an easy task."""
    text = wording.of_system(prompt)
    matches = _reader.scan(text)
    return not _NAMING.isdisjoint(map(_number, matches)), tuple(_reader.read(text, matches, IN_SYSTEM)[0])


# What it comes to -------------------------------------------------------------------------------------------


def _weigh(chat: ChatRequest, parts: Parts) -> Verdict:
    """Whose instructions are clear by themselves is believed: what else is there then is material, which may speak of
    anything. First the system prompt is heard, then what stands before the material, then what stands behind it; of
    the others only what is plainly another instruction counts, and speaks against an easy task.
    """
    everything = set().union(*[
        means[reading] for means, readings in zip(_BY_PART, parts, strict=True) for reading in readings
    ])  # fmt: skip
    if not chat.form and everything.isdisjoint(_NAMING_CUES):
        return _verdict(chat, everything, parts)
    in_system, in_before, in_behind, _, in_form = parts
    told = _cues(_TOLD, in_system)
    system = told | _cues(_IN_FORM, in_form) if in_form else told
    if told and _is_clear(system):
        if chat.user_chars <= SHORT_TURN:
            system = system | _cues(_ORDERS, in_before) | _cues(_ORDERS, in_behind)
        return _verdict(chat, system, parts)
    if in_behind and (behind := _cues(_TOLD, in_behind)):
        before = system | _cues(_TOLD, in_before)
        if _is_clear(before):
            asks = _ASKS in in_behind and _QUESTION not in in_behind
            more = behind if asks else _cues(_PLAIN_ORDERS, in_behind)
            return _verdict(chat, before | more, parts)
        if _cues(_ORDERS, in_before):  # hard work, whatever the material says
            return _verdict(chat, before, parts)
        behind |= system
        if _is_clear(behind):
            return _verdict(chat, behind, parts)
    return _verdict(chat, everything, parts)


def _cues(means: Table, readings: Readings) -> set[int]:
    """What phrases mean by a table, as places in CUES."""
    return set().union(*[means[reading] for reading in readings])


def _is_clear(found: set[int]) -> bool:
    if found.isdisjoint(_NAMING_CUES):
        return False
    cues = [CUES[number] for number in found]
    return _settle(cues, _scores(cues), CLEAR_MARGIN) in EASY


def _verdict(chat: ChatRequest, found: set[int], parts: Parts) -> Verdict:
    cues = [CUES[number] for number in sorted(found)]
    of_shape = shape.cues(chat, asks=bool(chat.form) and _asks(parts))
    cues += of_shape
    scores = _scores(cues)
    margin = EASY_MARGIN + KNOWN_MARGIN if shape.NO_MATERIAL in of_shape else EASY_MARGIN
    return Verdict(_settle(cues, scores, margin), tuple(scores), tuple(cues))


def _asks(parts: Parts) -> bool:
    """Is anything wanted besides that a form be filled in?"""
    system, before, behind, _, _ = parts
    return bool(
        _cues(_ORDERS, [*system, *before, *behind])
        or any(_ASKS in readings for readings in parts)
        or any(_is_order(CUES[number]) for number in _cues(_TOLD, system))
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


_number: Final = itemgetter(0)  # of a match


# What phrases mean ------------------------------------------------------------------------------------------

_reader: Final = Reader(dict.fromkeys(phrase for cue in CUES for phrase in cue.phrases))
_ASKS: Final = 2 * _reader.phrases.index("? $")
_QUESTION: Final = 2 * _reader.phrases.index("| question |")

# What names an easy task.
_NAMING_CUES: Final = frozenset(number for number, cue in enumerate(CUES) if cue.names and cue.category < REASONING)
_NAMING: Final = _reader.numbers(
    {phrase for cue in CUES if cue.names and cue.category < REASONING for phrase in cue.phrases}
)


def _meant() -> list[tuple[int, ...]]:
    """Of each phrase the cues that it stands for."""
    found: dict[str, list[int]] = {phrase: [] for phrase in _reader.phrases}
    for number, cue in enumerate(CUES):
        for phrase in cue.phrases:
            found[phrase].append(number)
    return [tuple(numbers) for numbers in found.values()]


_MEANT: Final = _meant()


def _table(counts: Callable[[Cue, bool], bool]) -> Table:
    """Of each reading those cues that count; `counts` is told whether it begins its sentence as an instruction."""

    @cache  # thousands of phrases mean the same, and are to share one tuple
    def counted(meant: tuple[int, ...], begins: bool) -> tuple[int, ...]:  # noqa: FBT001 - a key
        return tuple([number for number in meant if counts(CUES[number], begins)])

    return [counted(meant, begins) for meant in _MEANT for begins in (False, True)]


def _is_hard(cue: Cue) -> bool:
    return cue.category >= REASONING and not cue.form_only


_TOLD: Final = _table(lambda cue, _: not cue.form_only)
_IN_MATERIAL: Final = _table(lambda cue, _: cue.far)
_IN_FORM: Final = _table(lambda cue, _: cue.form)
_BY_PART: Final = (_TOLD, _TOLD, _TOLD, _IN_MATERIAL, _IN_FORM)
# Hard work that is asked for: what begins as an instruction, and what weighs so much that it need not.
_ORDERS: Final = _table(lambda cue, begins: _is_hard(cue) and (begins or cue.weight > VETO))
_PLAIN_ORDERS: Final = _table(lambda cue, begins: _is_hard(cue) and (begins or cue.weight >= PLAIN))
