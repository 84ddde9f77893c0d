"""The one clock of all pools: what has been quiet for too long is looked for a few times a second, all at once."""

from __future__ import annotations

import asyncio
import math
from typing import ClassVar, Final, Protocol
from weakref import WeakKeyDictionary

SWEEP_EVERY_S: Final = 0.2


class Swept(Protocol):
    def sweep(self) -> None: ...


class Sweeper:
    """Counts its own turns, so a loop that was held up ends nothing too early."""

    _by_loop: ClassVar[WeakKeyDictionary[asyncio.AbstractEventLoop, Sweeper]] = WeakKeyDictionary()

    def __init__(self, every_s: float = SWEEP_EVERY_S) -> None:
        self.tick = 0
        self._every_s = every_s
        self._swept: set[Swept] = set()
        self._timer: asyncio.TimerHandle | None = None

    @classmethod
    def shared(cls) -> Sweeper:
        loop = asyncio.get_running_loop()
        sweeper = cls._by_loop.get(loop)
        if sweeper is None:
            sweeper = cls._by_loop[loop] = cls()
        return sweeper

    def add(self, swept: Swept) -> None:
        self._swept.add(swept)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._every_s, self._run)

    def remove(self, swept: Swept) -> None:
        self._swept.discard(swept)
        if not self._swept and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def ticks(self, seconds: float) -> int:
        """So many turns from now, `seconds` have passed for sure."""
        return math.ceil(seconds / self._every_s) + 1

    def passed(self, since: int, seconds: float) -> bool:
        return self.tick - since >= self.ticks(seconds)

    def sweep(self) -> None:
        self.tick += 1
        for swept in tuple(self._swept):
            swept.sweep()

    def _run(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._every_s, self._run)
        self.sweep()
