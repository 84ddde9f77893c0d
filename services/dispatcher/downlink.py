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
    caller_inbox,
    encode,
    mark,
    pack,
)


class Downlink:
    """One flight's: from its own inbox, where credit arrives, to its caller's."""

    __slots__ = ("_bus_publish", "_credit", "_reply", "_request_id", "_send_number", "_to", "_waiting", "ended")

    def __init__(
        self, publish: Callable[[bytes, bytes, bytes], None], request_id: bytes, send: int, reply: bytes
    ) -> None:
        """`reply` is the prefix of this process' inboxes: the request's id is added to it."""
        self._bus_publish = publish
        self._to = caller_inbox(request_id)
        self._reply = reply
        self._request_id = request_id
        self._send_number = send
        self._credit = STREAM_CREDIT
        self._waiting: deque[bytes] | None = None  # what has no credit
        self.ended = False  # the last frame has been given, though it may wait here

    @property
    def is_stalled(self) -> bool:
        return bool(self._waiting)

    @property
    def is_done(self) -> bool:
        return self.ended and not self._waiting

    def want_body(self, offset: int, whole: int) -> None:
        length = min(BODY_WINDOW_BYTES, whole - offset)
        wanted = self._mark(Frame.BODY_WANTED) + encode(BodyWanted(offset, length))
        self._bus_publish(self._to, wanted, self._reply + self._request_id)

    def refuse(self, refused: PlanRefused) -> None:
        self.ended = True
        self._bus_publish(self._to, self._mark(Frame.REFUSED) + encode(refused), b"")

    def answer(self, head: AnswerHead, body: bytes) -> None:
        """The whole: in one frame, or begun and ended."""
        if len(body) <= MAX_INLINE_BYTES:
            self.ended = True
            self._bus_publish(self._to, pack(head, body, self._mark(Frame.ANSWER)), b"")
        else:
            self.begin(head)
            self.end(body)

    def begin(self, head: AnswerHead) -> None:
        self._bus_publish(self._to, self._mark(Frame.HEAD) + encode(head), self._reply + self._request_id)

    def chunk(self, data: bytes) -> None:
        marked = self._mark(Frame.CHUNK)
        if len(data) <= MAX_INLINE_BYTES:
            self._send(marked + data)
            return
        for i in range(0, len(data), MAX_INLINE_BYTES):
            self._send(marked + data[i : i + MAX_INLINE_BYTES])

    def end(self, last: bytes) -> None:
        """`last` and that nothing follows."""
        whole = max(0, len(last) - 1) // MAX_INLINE_BYTES * MAX_INLINE_BYTES
        if whole:
            self.chunk(last[:whole])
        self.ended = True
        self._send(self._mark(Frame.END) + last[whole:])

    def end_at_once(self, last: bytes) -> None:
        """What waits is dropped: the answer is not going to be whole anyway."""
        self._waiting = None
        self._credit = max(self._credit, 1)
        self.end(last)

    def grant(self, chunks: int) -> None:
        self._credit += chunks
        while self._waiting and self._credit > 0:
            self._credit -= 1
            self._bus_publish(self._to, self._waiting.popleft(), b"")

    def drop(self) -> None:
        """Nobody takes it any more."""
        self._waiting = None
        self.ended = True

    def _send(self, frame: bytes) -> None:
        if self._credit > 0 and not self._waiting:
            self._credit -= 1
            self._bus_publish(self._to, frame, b"")
            return
        if self._waiting is None:
            self._waiting = deque()
        self._waiting.append(frame)

    def _mark(self, kind: int) -> bytes:
        return mark(kind, self._send_number, self._request_id)
