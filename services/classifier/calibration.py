"""How many tokens a backend's provider counts, where we estimate so many. Pure.

We count bytes; a provider counts what its tokenizer makes of them, with its chat template and what it puts in of its
own. Both differ by model and not by the hour, so they are learned from the usage that comes back: a line by least
squares, which fades, and what the worst of late was above it. For reserving alone: what a decision is made of
is recorded, and must not depend on what somebody has learned.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil
from typing import Final

from shared.contracts import TokensCounted

REMEMBERS: Final = 0.98  # of the line, at each new count: some fifty matter
FORGIVES: Final = 0.998  # likewise of what the worst was above it: some five hundred
# Tokens. Without variety nothing is known of a slope, and one token of ours is taken for one of theirs.
AS_ESTIMATED: Final = 100.0
STEEPEST: Final = 8.0  # tokens of theirs for one of ours; bytes have no more than four
MOST_ADDED: Final = 8_192  # tokens of theirs beside the text: one absurd count must not lock a budget for hundreds
ROUNDING: Final = 1e-6  # what floats may add


class Calibration:
    """By backend. What nothing is known of is as it was estimated."""

    __slots__ = ("_lines",)

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}

    def learn(self, counts: Iterable[TokensCounted]) -> None:
        for count in counts:
            line = self._lines.get(count.backend)
            if line is None:
                line = self._lines[count.backend] = _Line()
            line.learn(count.estimated, count.reported)

    def input_tokens(self, backend: str, estimated: int) -> int:
        """What is to be reserved for. Never less than `estimated`."""
        line = self._lines.get(backend)
        if line is None:
            return estimated
        return max(estimated, ceil(min(line.tokens(estimated) - ROUNDING, STEEPEST * estimated + MOST_ADDED)))


class _Line:
    """`reported` is about start + slope times `estimated`, and of late at most `over` times that."""

    __slots__ = ("over", "slope", "start", "weight", "x", "xx", "xy", "y")

    def __init__(self) -> None:
        self.weight = self.x = self.y = self.xx = self.xy = (
            0.0  # faded sums; a count weighs the less, the longer it is
        )
        self.start, self.slope, self.over = 0.0, 1.0, 1.0

    def tokens(self, estimated: int) -> float:
        return (self.start + self.slope * estimated) * self.over

    def learn(self, estimated: int, reported: int) -> None:
        weight = 1 / max(estimated, 1)
        self.weight = self.weight * REMEMBERS + weight
        self.x = self.x * REMEMBERS + weight * estimated
        self.y = self.y * REMEMBERS + weight * reported
        self.xx = self.xx * REMEMBERS + weight * estimated * estimated
        self.xy = self.xy * REMEMBERS + weight * estimated * reported
        mean_x, mean_y = self.x / self.weight, self.y / self.weight
        spread = max(self.xx - self.x * mean_x, 0.0)
        slope = (self.xy - self.x * mean_y + AS_ESTIMATED) / (spread + AS_ESTIMATED)
        self.slope = min(max(slope, 0.0), STEEPEST, mean_y / mean_x)  # so that nothing has less than no tokens
        self.start = mean_y - self.slope * mean_x
        fits = self.start + self.slope * estimated
        self.over = max(1 + (self.over - 1) * FORGIVES, reported / fits if fits else 1.0)
