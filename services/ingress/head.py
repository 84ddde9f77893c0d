"""The head of a body too large for one message: what the classifier reads of it. Pure.

The same object with long texts cut to their first and last 8 KiB, and image and file data replaced by type and
size, so that the classifier's features.py reads it like any body. Where that is not small enough, texts are cut
shorter and the middle of long lists goes.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from shared.contracts import MAX_INLINE_BYTES, Refusal

KEPT_BYTES: Final = 8 * 1024  # at either end of a text
_SHORTEST: Final = 32
_LONGEST_LIST: Final = 1024
_LARGEST_OBJECT: Final = 32  # fewer keys than this are never cut: a message without its role would be none
_DEEPEST: Final = 64  # nothing that decides lies deeper

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class BadBody(Exception):
    """Not JSON, or not an object; `refusal` says which."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


def cut(body: bytes) -> bytes:
    """At most MAX_INLINE_BYTES of `body`, as JSON. Raises BadBody."""
    try:
        whole = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadBody(Refusal(400, "invalid_json", f"the body is not valid JSON: {error}")) from None
    if not isinstance(whole, dict):
        raise BadBody(Refusal(400, "invalid_json", "the body must be a JSON object with `model` and `messages`"))
    kept, longest = KEPT_BYTES, _LONGEST_LIST
    while True:
        head = _encode(_shorten(whole, kept, longest, 0))
        if len(head) <= MAX_INLINE_BYTES:
            return head
        if kept <= _SHORTEST and longest <= 2:
            return _encode(_least(whole))
        kept, longest = max(kept // 4, _SHORTEST), max(longest // 4, 2)


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
