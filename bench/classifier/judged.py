"""Labelled requests, and what the classifier makes of each."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec

from bench.classifier.families import family
from services.classifier import evidence, features
from services.classifier.evidence import Verdict
from services.classifier.features import ChatRequest

EASY: Final = frozenset({"extraction", "summarisation", "classification"})
RESAMPLES: Final = 2000

_Decided: TypeAlias = tuple[ChatRequest, Verdict, float]  # in so many microseconds


class Unlabelled(Exception):
    """The file is not what a report can be made of; says where and why."""


class Labelled(msgspec.Struct, frozen=True):
    """A line of the data: `category` is what a careful person calls the request. `source` names its template."""

    category: str
    request: dict[str, Any]
    id: str = ""
    source: str = ""
    family: str = ""  # given, or known from the source


@dataclass(frozen=True)
class Judged:
    item: Labelled
    chat: ChatRequest
    verdict: Verdict
    decided_in_us: float  # its system prompt never seen before
    known_in_us: float  # its system prompt read before, as from an application that sends the same one each time

    @property
    def family(self) -> str:
        return self.item.family or family(self.item.source)

    @property
    def is_hard(self) -> bool:
        return self.item.category not in EASY

    @property
    def sent_easy(self) -> bool:
        return self.verdict.category in EASY

    @property
    def is_unsafe(self) -> bool:
        """A hard request in an easy category: the mistake that a caller pays with a bad answer."""
        return self.is_hard and self.sent_easy

    @property
    def is_missed(self) -> bool:
        """An easy request that goes to a dear model: the mistake that costs money."""
        return not self.is_hard and not self.sent_easy

    @property
    def margin(self) -> int:
        """How far the evidence for an easy category outweighs what speaks against it."""
        easy, hard = self.verdict.scores[:3], self.verdict.scores[3:]
        return max(easy) - sum(hard)


def judge_all(path: Path) -> list[Judged]:
    """Every line of `path`. Raises Unlabelled for one that is no labelled request, and where there is none."""
    decode = msgspec.json.Decoder(Labelled).decode
    items: list[Labelled] = []
    new: list[_Decided] = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if line.strip():
            try:
                items.append(decode(line))
                evidence.read_system.cache_clear()
                new.append(_decide(items[-1]))
            except (msgspec.DecodeError, features.BadRequest) as error:
                raise Unlabelled(f"{path}:{number}: is no labelled request: {error}") from None
    if not items:
        raise Unlabelled(f"{path}: has no labelled request in it")
    for item in items:  # from here on all system prompts are known, as far as they are kept
        _decide(item)
    known = [_decide(item) for item in items]
    return [
        Judged(item, chat, verdict, took, known_took)
        for item, (chat, verdict, took), (_, _, known_took) in zip(items, new, known, strict=True)
    ]


def _decide(item: Labelled) -> _Decided:
    body = json.dumps(item.request).encode()
    began = time.perf_counter_ns()
    chat = features.read(body, len(body))
    verdict = evidence.weigh(chat)
    return chat, verdict, (time.perf_counter_ns() - began) / 1000


@dataclass(frozen=True)
class Rate:
    """A share with the 95 % interval of a bootstrap over families (percentiles of RESAMPLES resamples)."""

    hits: int
    of: int
    low: float
    high: float

    @property
    def share(self) -> float:
        return self.hits / self.of if self.of else 0.0

    def __str__(self) -> str:
        if not self.of:
            return "none"
        return f"{self.share:6.1%}  {self.low:.1%} to {self.high:.1%}  ({self.hits} of {self.of})"


def rate(judged: Iterable[Judged], counts: Callable[[Judged], bool], hits: Callable[[Judged], bool]) -> Rate:
    """How many of those that count are hits. Families are drawn, for items of one are not independent."""
    by_family: dict[str, tuple[int, int]] = {}
    for one in judged:
        if counts(one):
            hit, of = by_family.get(one.family, (0, 0))
            by_family[one.family] = hit + hits(one), of + 1
    pairs = list(by_family.values())
    low, high = _interval(pairs)
    return Rate(sum(hit for hit, _ in pairs), sum(of for _, of in pairs), low, high)


def unsafe(judged: Sequence[Judged]) -> Rate:
    return rate(judged, lambda one: one.is_hard, lambda one: one.sent_easy)


def savings_recall(judged: Sequence[Judged]) -> Rate:
    return rate(judged, lambda one: not one.is_hard, lambda one: one.sent_easy)


def _interval(pairs: list[tuple[int, int]]) -> tuple[float, float]:
    if not pairs:
        return 0.0, 0.0
    draw = random.Random(1)  # so that a report can be compared with the last
    shares = []
    for _ in range(RESAMPLES):
        sample = draw.choices(pairs, k=len(pairs))
        shares.append(sum(hit for hit, _ in sample) / sum(of for _, of in sample))
    shares.sort()
    return shares[int(0.025 * RESAMPLES)], shares[int(0.975 * RESAMPLES) - 1]
