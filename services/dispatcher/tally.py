"""What providers counted, told to those who reserve: some samples ten times a second, not each request's."""

from __future__ import annotations

import asyncio
from typing import Final

from shared.contracts import TokensCounted, TokensTold, encode
from shared.hotbus import HotBus

TOLD_EVERY_S: Final = 0.1
MOST_OF_A_BACKEND: Final = 8  # in one message; more would teach nothing

_SUBJECT: Final = TokensTold.subject.encode()


class Tally:
    def __init__(self, bus: HotBus) -> None:
        self._bus = bus
        self._counts: dict[str, list[TokensCounted]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(TOLD_EVERY_S, self.start)
        self.tell()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self.tell()

    def add(self, backend: str, estimated: int, reported: int) -> None:
        """Tokens of one call's input."""
        counts = self._counts.get(backend)
        if counts is None:
            self._counts[backend] = [TokensCounted(backend, estimated, reported)]
        elif len(counts) < MOST_OF_A_BACKEND:
            counts.append(TokensCounted(backend, estimated, reported))

    def tell(self) -> None:
        if self._counts:
            told = TokensTold(tuple([count for counts in self._counts.values() for count in counts]))
            self._counts.clear()
            self._bus.publish(_SUBJECT, encode(told))
