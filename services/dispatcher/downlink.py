"""Frames on their way to the caller's ingress, as credit allows. What has no credit waits here, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from shared.contracts import (
    BODY_WINDOW_BYTES,
    MAX_INLINE_BYTES,
    STREAM_CREDIT,
    AnswerHead,
    BodyWanted,
    Frame,
    PlanRefused,
    encode,
    pack,
)


class Downlink:
    """One flight's: from its own inbox, where credit arrives, to its caller's."""

    __slots__ = ("_bus_publish", "_credit", "_mark", "_reply", "_to", "_waiting", "ended")

    def __init__(self, publish: Callable[[bytes, bytes, bytes], None], to: bytes, reply: bytes, send: int) -> None:
        self._bus_publish = publish
        self._to = to
        self._reply = reply
        self._mark = send
        self._credit = STREAM_CREDIT
        self._waiting: deque[bytes] = deque()
        self.ended = False  # the last frame has been given, though it may wait here

    @property
    def is_stalled(self) -> bool:
        return bool(self._waiting)

    @property
    def is_done(self) -> bool:
        return self.ended and not self._waiting

    def want_body(self, offset: int, whole: int) -> None:
        length = min(BODY_WINDOW_BYTES, whole - offset)
        self._publish(self._frame(Frame.BODY_WANTED, encode(BodyWanted(offset, length))))

    def refuse(self, refused: PlanRefused) -> None:
        self.ended = True
        self._publish(self._frame(Frame.REFUSED, encode(refused)))

    def answer(self, head: AnswerHead, body: bytes) -> None:
        """The whole: in one frame, or begun and ended."""
        if len(body) <= MAX_INLINE_BYTES:
            self.ended = True
            self._publish(self._frame(Frame.ANSWER, pack(head, body)))
        else:
            self.begin(head)
            self.end(body)

    def begin(self, head: AnswerHead) -> None:
        self._publish(self._frame(Frame.HEAD, encode(head)))

    def chunk(self, data: bytes) -> None:
        for i in range(0, len(data), MAX_INLINE_BYTES):
            self._send(self._frame(Frame.CHUNK, data[i : i + MAX_INLINE_BYTES]))

    def end(self, last: bytes) -> None:
        """`last` and that nothing follows."""
        whole = max(0, len(last) - 1) // MAX_INLINE_BYTES * MAX_INLINE_BYTES
        self.chunk(last[:whole])
        self.ended = True
        self._send(self._frame(Frame.END, last[whole:]))

    def end_at_once(self, last: bytes) -> None:
        """What waits is dropped: the answer is not going to be whole anyway."""
        self._waiting.clear()
        self._credit = max(self._credit, 1)
        self.end(last)

    def grant(self, chunks: int) -> None:
        self._credit += chunks
        while self._waiting and self._credit > 0:
            self._credit -= 1
            self._publish(self._waiting.popleft())

    def drop(self) -> None:
        """Nobody takes it any more."""
        self._waiting.clear()
        self.ended = True

    def _send(self, frame: bytes) -> None:
        if self._credit > 0 and not self._waiting:
            self._credit -= 1
            self._publish(frame)
        else:
            self._waiting.append(frame)

    def _publish(self, frame: bytes) -> None:
        self._bus_publish(self._to, frame, self._reply)

    def _frame(self, kind: int, payload: bytes) -> bytes:
        return bytes((kind, self._mark)) + payload
