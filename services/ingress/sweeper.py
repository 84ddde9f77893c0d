"""How long a connection may keep us waiting; one timer looks after all of them. (A timer a request is too dear.)

Pure but for the timer: a connection is asked once a second, and counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final, Protocol

SWEEP_EVERY_S: Final = 1.0
# In sweeps, so in seconds while the loop is not late; when it is, everyone has more time.
IDLE: Final = 75  # nothing being asked, nothing answered: as nginx has it
HEAD: Final = 30  # a request line and its headers, from their first byte
BODY: Final = 30  # and one more for each BODY_RATE bytes that have come
BODY_RATE: Final = 4096
ROOM: Final = 30  # until there is room for a large body
UNREAD: Final = 75  # not one byte of what is written for it was taken
LINGER: Final = 5  # after a refusal, for a client that is still sending


class Watched(Protocol):
    def swept(self) -> None:
        """A second has passed."""


class Sweeper:
    """Turns while there are connections."""

    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, connections: Iterable[Watched]) -> None:
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(SWEEP_EVERY_S, self.sweep, connections)

    def sweep(self, connections: Iterable[Watched]) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        watched = list(connections)
        if watched:
            self.watch(connections)
        for connection in watched:
            try:
                connection.swept()
            except Exception as error:  # noqa: BLE001 - one connection's; the loop's handler logs it
                asyncio.get_running_loop().call_exception_handler(
                    {"message": "a connection could not be swept", "exception": error}
                )


def is_too_slow(sweeps: int, body_bytes: int, longest_s: float, *, in_head: bool) -> bool:
    """Whether a request that began to come `sweeps` ago should have been here by now."""
    if in_head:
        return sweeps > HEAD
    return sweeps > min(BODY + body_bytes // BODY_RATE, longest_s)


class Pace:
    """Whether somebody takes what is written for them."""

    __slots__ = ("_sweeps", "_taken")

    def __init__(self) -> None:
        self._taken = 0
        self._sweeps = 0

    def is_stuck(self, written: int, unsent: int) -> bool:
        """Bytes that were ever written, and those that the transport holds now; asked once a sweep."""
        taken = written - unsent
        self._sweeps = self._sweeps + 1 if unsent and taken == self._taken else 0
        self._taken = taken
        return self._sweeps > UNREAD
