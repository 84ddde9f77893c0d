"""How a call of a backend can fail without an answer. Each is handed to `Call.on_failure`; none leaves a pool raised.

UpstreamFailure
├── Busy             every connection is taken, and so is the queue for them
├── ConnectFailed    refused, unreachable, no such name, TLS
├── TimedOut         in which phase says `phase`
├── Disconnected     the connection ended before the answer did; `began`: a part of it had come
├── ProtocolBroken   what came is not HTTP, or more of it than we take
├── Unreadable       what came is in an encoding that was not asked for
└── CallbackRaised   our own code raised in the course of it; the backend is not to blame

A message names the backend's host and port, never a path, a header or a body: those hold keys and prompts.
"""

from __future__ import annotations

from typing import Literal

Phase = Literal["connect", "first_byte", "between_bytes"]


class UpstreamFailure(Exception):
    """A backend that did not answer, or not to the end. `kind` is what a caller may know of it: no address."""

    kind = "it did not answer"

    @property
    def message(self) -> str:
        return str(self)


class Busy(UpstreamFailure):
    kind = "it is busy"


class ConnectFailed(UpstreamFailure):
    kind = "it cannot be reached"


class TimedOut(UpstreamFailure):
    kind = "it took too long"

    def __init__(self, message: str, phase: Phase) -> None:
        super().__init__(message)
        self.phase = phase


class Disconnected(UpstreamFailure):
    kind = "it closed the connection"

    def __init__(self, message: str, *, began: bool) -> None:
        super().__init__(message)
        self.began = began


class ProtocolBroken(UpstreamFailure):
    kind = "its answer was no HTTP"


class Unreadable(UpstreamFailure):
    kind = "its answer is in an encoding that was not asked for"


class CallbackRaised(UpstreamFailure):
    pass
