"""Room for large and for slow bodies: so many bytes of them are held at once, and the rest is not read meanwhile.

First come, first served, whatever the sizes: a large one is never overtaken for ever by smaller ones. A claim is
made once, for all that a body may need; nobody holds room and waits for more, so there is no deadlock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

# 64 bodies of 20 MiB at once: 550 MB over ingress, classifier, dispatcher and NATS; with 192 MiB they were 627.
BUDGET_BYTES: Final = 160 * 1024 * 1024


class Claim:
    """One body's. `on_room` is called, once, when a claim that had to wait has its room."""

    __slots__ = ("has_room", "on_room", "size")

    def __init__(self, size: int, on_room: Callable[[], None]) -> None:
        self.size = size
        self.on_room = on_room
        self.has_room = False


class Admission:
    def __init__(self, budget: int = BUDGET_BYTES) -> None:
        self._budget = budget
        self.held = 0  # bytes
        self._line: deque[Claim] = deque()

    @property
    def waiting(self) -> int:
        return len(self._line)

    def enter(self, claim: Claim) -> bool:
        """Whether there is room at once. What is larger than the whole budget is admitted alone."""
        claim.size = min(claim.size, self._budget)
        self._line.append(claim)
        if len(self._line) == 1 and self._has_room_for(claim):
            self._admit()
        return claim.has_room

    def shrink(self, claim: Claim, size: int) -> None:
        """The body is whole, and smaller than it might have been."""
        if claim.has_room and size < claim.size:
            self.held -= claim.size - size
            claim.size = size
            self._serve()

    def leave(self, claim: Claim) -> None:
        """The body is no longer held, or nobody waits for its room."""
        if claim.has_room:
            claim.has_room = False
            self.held -= claim.size
            claim.size = 0
        elif claim in self._line:
            self._line.remove(claim)
        self._serve()

    def _serve(self) -> None:
        while self._line and self._has_room_for(self._line[0]):
            self._admit().on_room()

    def _admit(self) -> Claim:
        claim = self._line.popleft()
        claim.has_room = True
        self.held += claim.size
        return claim

    def _has_room_for(self, claim: Claim) -> bool:
        return self.held + claim.size <= self._budget
