"""A provider's stream of server-sent events, read as it passes: where content begins, what it cost, how it ended.

Pure: bytes in, bytes out. `[DONE]` is kept back, because our closing comment goes before it. Wire format: the HTML
standard's "Server-sent events", with OpenAI's chat.completion.chunk as data.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw

from services.dispatcher.providers.openai import UpstreamError, Usage, UsageFields, read_error

MAX_EVENT_BYTES: Final = 4 * 1024 * 1024
DONE: Final = b"data: [DONE]\n\n"
_EMPTY: Final = frozenset({b"", b"null", b'""', b"[]", b"{}"})


class EventTooLarge(Exception):
    """An event that does not end within MAX_EVENT_BYTES: no provider sends such a thing."""


class _Choice(msgspec.Struct, gc=False):
    delta: dict[str, Raw] | None = None
    text: str | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None
    usage: UsageFields | None = None
    error: Raw = Raw()


_chunk = msgspec.json.Decoder(_Chunk)


class EventStream:
    """One answer's events. `feed` returns what may go to the caller now."""

    __slots__ = ("_buffer", "_hide_usage", "began", "content_events", "done", "error", "finished", "usage")

    def __init__(self, *, hide_usage: bool) -> None:
        self._buffer = b""
        self._hide_usage = hide_usage
        self.began = False  # content was seen: from here on there is no other candidate
        self.finished = False  # a finish_reason was seen
        self.done = False  # [DONE] was seen
        self.content_events = 0
        self.usage: Usage | None = None
        self.error: UpstreamError | None = None

    def feed(self, data: bytes) -> bytes:
        """The whole events in `data` and what was left before it. Raises EventTooLarge."""
        buffer = self._buffer + data if self._buffer else data
        if b"\r" in buffer:
            buffer = buffer.replace(b"\r\n", b"\n")
        end = buffer.rfind(b"\n\n") + 2
        if end < 2:
            if len(buffer) > MAX_EVENT_BYTES:
                raise EventTooLarge
            self._buffer = buffer
            return b""
        self._buffer = buffer[end:]
        block = buffer[:end] if self._buffer else buffer
        if self._hide_usage:
            block = block.replace(b',"usage":null', b"")
        if self.began and b'"usage"' not in block and b"[DONE]" not in block and b'"error"' not in block:
            self.content_events += block.count(b"data:")
            if not self.finished and (b'"finish_reason":"' in block or b'"finish_reason": "' in block):
                self.finished = True
            return block
        return b"".join([event for event in _events(block) if self._keep(event)])

    def _keep(self, event: bytes) -> bool:
        """Notes what `event` says; whether it is for the caller."""
        data = _data(event)
        if not data:
            return True  # a comment or an event without data
        if data == b"[DONE]":
            self.done = True
            return False
        if self.done:
            return False
        try:
            chunk = _chunk.decode(data)
        except msgspec.DecodeError:
            chunk = _Chunk()
            if not _is_object(data):
                self.error = UpstreamError("the provider sent an event that is not JSON")
                return False
        if bytes(chunk.error) not in _EMPTY:
            self.error = read_error(data)
            return False
        if chunk.usage is not None:
            self.usage = chunk.usage.usage() or self.usage
            if not chunk.choices:
                return not self._hide_usage
        for choice in chunk.choices or ():
            if choice.finish_reason:
                self.finished = self.began = True
            if _has_content(choice):
                self.began = True
                self.content_events += 1
        return True


def _events(block: bytes) -> list[bytes]:
    return [event + b"\n\n" for event in block.split(b"\n\n") if event.strip(b"\n")]


def _data(event: bytes) -> bytes:
    lines = [line[5:].removeprefix(b" ") for line in event.split(b"\n") if line.startswith(b"data:")]
    return lines[0] if len(lines) == 1 else b"\n".join(lines)


def _has_content(choice: _Choice) -> bool:
    if choice.text:
        return True
    return any(key != "role" and bytes(value) not in _EMPTY for key, value in (choice.delta or {}).items())


def _is_object(data: bytes) -> bool:
    try:
        return isinstance(msgspec.json.decode(data), dict)
    except (msgspec.DecodeError, RecursionError):
        return False
