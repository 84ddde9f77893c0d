"""The head of a body too large for one message: what the classifier reads of it. Pure.

The fields that the classifier's features.py reads, with long texts cut to their first and last 8 KiB, image and
file data replaced by type and size, and the middle of long lists left out. All of the body is checked as JSON; but
only what is kept is ever decoded, so that a body of 32 MiB costs no multiple of its size, however dense it is.
"""

from __future__ import annotations

import codecs
import re
from itertools import zip_longest
from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw, UnsetType

from shared.contracts import MAX_INLINE_BYTES, Refusal

KEPT_BYTES: Final = 8 * 1024  # at either end of a text
_SHORTEST: Final = 32
_LONGEST_LIST: Final = 1024
_LARGEST_OBJECT: Final = 32  # fewer keys than this are never cut: a message without its role would be none
_DEEPEST: Final = 64  # nothing that decides lies deeper

_SMALL_BYTES: Final = 8 * 1024  # a value up to this is decoded as it is
_STRUCTURE: Final = 1024 * 1024  # bytes of small values that are decoded, and a few for each mark that is looked at
_MARK: Final = 8
_DEEPEST_LARGE: Final = 6  # messages[].content[].image_url.url
# What stands for the end of a list that cannot be read: that it is there must not be lost.
_UNREAD: Final[dict[str, tuple[Any, ...]]] = {
    "messages": ({"role": "user", "content": ""},),
    "tools": ({"type": "function"},),
    "functions": ({},),
    "tool_calls": ({},),
}
_PIECE: Final = 1024 * 1024

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode

# A text as a whole, or a mark of JSON's structure, of JSON that is known to be valid; read forwards and backwards.
# Backwards, a quote is within the text if an odd number of backslashes comes (that is: stands before it).
_FORWARDS: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[][{},]', re.DOTALL)
_BACKWARDS: Final = re.compile(rb'"(?:[^"]++|"(?=(?:\\\\)*+\\))*+"|[][{},]', re.DOTALL)
_BLANKS: Final = re.compile(rb"[ \t\r\n]*+")


class _Outline(msgspec.Struct, gc=False, omit_defaults=True):
    """What features.py reads of any object of a chat body; test_head.py compares the two."""

    # Of the body.
    model: Raw | UnsetType = UNSET
    messages: Raw | UnsetType = UNSET
    tools: Raw | UnsetType = UNSET
    functions: Raw | UnsetType = UNSET
    tool_choice: Raw | UnsetType = UNSET
    function_call: Raw | UnsetType = UNSET
    response_format: Raw | UnsetType = UNSET
    stream: Raw | UnsetType = UNSET
    stream_options: Raw | UnsetType = UNSET
    max_tokens: Raw | UnsetType = UNSET
    max_completion_tokens: Raw | UnsetType = UNSET
    temperature: Raw | UnsetType = UNSET
    seed: Raw | UnsetType = UNSET
    n: Raw | UnsetType = UNSET
    metadata: Raw | UnsetType = UNSET
    logprobs: Raw | UnsetType = UNSET
    logit_bias: Raw | UnsetType = UNSET
    modalities: Raw | UnsetType = UNSET
    parallel_tool_calls: Raw | UnsetType = UNSET
    web_search_options: Raw | UnsetType = UNSET
    # Of a message, a part, a tool, a format, a choice.
    role: Raw | UnsetType = UNSET
    content: Raw | UnsetType = UNSET
    tool_calls: Raw | UnsetType = UNSET
    type: Raw | UnsetType = UNSET
    text: Raw | UnsetType = UNSET
    image_url: Raw | UnsetType = UNSET
    url: Raw | UnsetType = UNSET
    function: Raw | UnsetType = UNSET
    name: Raw | UnsetType = UNSET
    json_schema: Raw | UnsetType = UNSET
    include_usage: Raw | UnsetType = UNSET
    # Of the metadata.
    tierwise_service: Raw | UnsetType = UNSET
    tierwise_priority: Raw | UnsetType = UNSET
    tierwise_category: Raw | UnsetType = UNSET
    tierwise_tier: Raw | UnsetType = UNSET
    tierwise_max_cost_usd: Raw | UnsetType = UNSET
    tierwise_deadline_ms: Raw | UnsetType = UNSET
    tierwise_cache: Raw | UnsetType = UNSET


_outline = msgspec.json.Decoder(_Outline).decode


class BadBody(Exception):
    """Not JSON, or not an object; `refusal` says which."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


def cut(body: bytes | bytearray) -> bytes:
    """At most MAX_INLINE_BYTES of `body`, as JSON. Raises BadBody."""
    try:
        _check_utf8(body)
        whole = _Reader().members(_outline(body), 0)
    except msgspec.ValidationError:
        raise BadBody(
            Refusal(400, "invalid_json", "the body must be a JSON object with `model` and `messages`")
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadBody(Refusal(400, "invalid_json", f"the body is not valid JSON: {error}")) from None
    kept, longest = KEPT_BYTES, _LONGEST_LIST
    while True:
        head = _encode(_shorten(whole, kept, longest, 0))
        if len(head) <= MAX_INLINE_BYTES:
            return head
        if kept <= _SHORTEST and longest <= 2:
            return _encode(_least(whole))
        kept, longest = max(kept // 4, _SHORTEST), max(longest // 4, 2)


def _check_utf8(body: bytes | bytearray) -> None:
    """Msgspec lets invalid UTF-8 pass in what it skips. In pieces: as one text it could be four times as large."""
    if body.isascii():
        return
    decoder = codecs.getincrementaldecoder("utf-8")()
    for start in range(0, len(body), _PIECE):
        decoder.decode(body[start : start + _PIECE], start + _PIECE >= len(body))


# Out of the raw body: no more than the head may need ----------------------------------------------------------


class _Reader:
    """Decodes small values as they are, and of large ones the outline.

    `left` is what structure may still cost; when it is used up, texts are still read, and the outlines of objects.
    """

    def __init__(self) -> None:
        self.left = _STRUCTURE

    def members(self, outline: _Outline, depth: int) -> dict[str, Any]:
        read = {
            name: self._value(memoryview(raw), depth + 1, _UNREAD.get(name, ()))
            for name in outline.__struct_fields__
            if (raw := getattr(outline, name)) is not UNSET
        }
        if "role" in read:
            read.setdefault("content", "")
        return read

    def _value(self, raw: memoryview, depth: int, unread: tuple[Any, ...] = ()) -> Any:
        if raw.nbytes <= _SMALL_BYTES and self.left > 0:
            self.left -= raw.nbytes
            return _decode(raw)
        kind = bytes(raw[:1])
        if kind == b'"':
            return _shorten_text(_decode(raw), KEPT_BYTES)
        if kind == b"{":
            return self.members(_outline(raw), depth) if depth < _DEEPEST_LARGE else {}
        if kind == b"[":
            return self._elements(raw, depth, unread) if depth < _DEEPEST_LARGE else list(unread)
        return _decode(raw) if raw.nbytes <= _SMALL_BYTES else None

    def _elements(self, raw: memoryview, depth: int, unread: tuple[Any, ...]) -> list[Any]:
        """The first and the last ones; `unread` where there is a last one that is too dense to be found."""
        inner = raw[1:-1]
        size = inner.nbytes
        last, end = self._split(_reversed(inner), _BACKWARDS, b"]}")
        last = [(size - stop, size - start) for start, stop in last]
        first, _ = self._split(inner[: size - end], _FORWARDS, b"[{")
        values: dict[tuple[int, int], Any] = {}
        for spans in zip_longest(last, first):  # from the ends inwards: what comes last may find nothing left
            for span in spans:
                if span is not None and (element := _stripped(inner[slice(*span)])):
                    values[span] = self._value(element, depth + 1)
        return [values[span] for span in sorted(values)] + (list(unread) if not last and end < size else [])

    def _split(
        self, data: bytearray | memoryview, pattern: re.Pattern[bytes], opening: bytes
    ) -> tuple[list[tuple[int, int]], int]:
        """Where the first elements stand in a list without its brackets, and where the next one would."""
        found: list[tuple[int, int]] = []
        depth = start = 0
        budget = self.left // 4
        for mark in pattern.finditer(data):
            budget -= _MARK
            if budget < 0:
                return found, start
            self.left -= _MARK
            what = data[mark.start()]
            if what in b"[]{}":
                depth += 1 if what in opening else -1
            elif what in b"," and depth == 0:
                found.append((start, mark.start()))
                start = mark.end()
                if len(found) == _LONGEST_LIST // 2:
                    return found, start
        return [*found, (start, len(data))], len(data)


def _reversed(raw: memoryview) -> bytearray:
    backwards = bytearray(raw)
    backwards.reverse()  # in place; a slice with a step costs six times as much
    return backwards


def _stripped(raw: memoryview) -> memoryview:
    blanks = _BLANKS.match(raw)
    return raw[blanks.end() :] if blanks is not None else raw


# Into one message --------------------------------------------------------------------------------------------


def _shorten(node: Any, kept: int, longest: int, depth: int) -> Any:
    if isinstance(node, str):
        return _shorten_text(node, kept)
    if depth >= _DEEPEST:
        return None
    if isinstance(node, dict):
        items = list(node.items())
        return {
            key: _shorten(value, kept, longest, depth + 1)
            for key, value in _ends(items, max(longest, _LARGEST_OBJECT))
        }
    if isinstance(node, list):
        return [_shorten(value, kept, longest, depth + 1) for value in _ends(node, longest)]
    return node


def _ends(items: list[Any], longest: int) -> list[Any]:
    if len(items) <= longest:
        return items
    half = longest // 2
    return items[:half] + items[-half:]


def _shorten_text(text: str, kept: int) -> str:
    if len(text) <= 2 * kept:
        return text
    if text.startswith("data:"):
        return f"{text[:64].partition(';')[0]};{len(text)} characters"
    return text[:kept] + text[-kept:]


def _least(whole: dict[str, Any]) -> dict[str, Any]:
    """Of a body whose very structure is too large: what must be known, and nothing that speaks for an easy task."""
    small = {
        key: value
        for key in ("model", "stream", "max_tokens")
        if isinstance(value := whole.get(key), (str, bool, int)) and len(str(value)) <= KEPT_BYTES
    }
    return {**small, "messages": [{"role": "user", "content": ""}]}
