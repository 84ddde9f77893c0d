"""The head of a request: what it says about the body's end, and whether it was there before. Pure.

llhttp has refused what no reader should take (two lengths, a length with chunks, folded lines, blanks before a
colon, bare line ends). What it lets pass, and another reader might understand otherwise, is refused here.
"""

from __future__ import annotations

import re
from typing import Final, Generic, TypeVar

Headers = list[tuple[bytes, bytes]]
T = TypeVar("T")

MAX_BYTES: Final = 64 * 1024  # request line and headers; a proxy in front has less
MAX_HEADERS: Final = 128
LONGEST_KNOWN: Final = 4096
_MOST_DIGITS: Final = 7
_LENGTHS: Final = frozenset((4, 6, 14, 17))  # of the names below: no other is ever made lower-case
_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*", re.IGNORECASE)


class Ambiguous(Exception):
    """Another reader might take the body to end elsewhere, or the request to go elsewhere."""


class Framing:
    __slots__ = ("asks_to_go_on", "length", "origin")

    def __init__(self) -> None:
        self.length = 0  # of the body as announced; 0 where it is chunked
        self.asks_to_go_on = False  # `expect: 100-continue`
        self.origin = b""  # of the page that asks, where a browser does


def framing(headers: Headers, version: str) -> Framing:
    """Raises Ambiguous. Source: RFC 9112, 3.2 (Host), 6.1 and 6.3 (lengths); RFC 9110, 10.1.1 (Expect)."""
    read = Framing()
    hosts = 0
    for raw_name, value in headers:
        if len(raw_name) not in _LENGTHS:
            continue
        name = raw_name.lower()
        if name == b"host":
            hosts += 1
        elif name == b"content-length":
            read.length = int(value)
        elif name == b"transfer-encoding":
            if value.strip().lower() != b"chunked" or version == "1.0":
                raise Ambiguous
        elif name == b"expect":
            read.asks_to_go_on = version != "1.0" and value.strip().lower() == b"100-continue"
        elif name == b"origin":
            read.origin = value
    if hosts > 1 or (hosts == 0 and version != "1.0") or version not in {"1.0", "1.1"}:
        raise Ambiguous
    return read


def is_too_large(url: bytes, headers: Headers) -> bool:
    size = len(url) + sum(len(name) + len(value) + 4 for name, value in headers)
    return size > MAX_BYTES or len(headers) > MAX_HEADERS


class Known(Generic[T]):
    """A head that the parser has read on this connection, but for its `content-length`.

    Clients send the same head with each request; one that is byte for byte the same says the same, and need not be
    parsed again (the parser's callbacks are a third of the hot path's cost). `request` is what was made of it.
    """

    __slots__ = ("_end", "_start", "_start_size", "request")

    def __init__(self, start: bytes, end: bytes, request: T) -> None:
        self._start = start
        self._start_size = len(start)
        self._end = end
        self.request = request

    def body_of(self, data: bytes) -> bytes | None:
        """The body, where `data` is one whole request with this head, and nothing else."""
        if not data.startswith(self._start):
            return None
        start = self._start_size
        stop = data.find(b"\r", start, start + _MOST_DIGITS + 1)
        digits = data[start:stop]
        if stop < 0 or not digits.isdigit() or not data.startswith(self._end, stop):
            return None
        start = stop + len(self._end)
        return data[start:] if len(data) - start == int(digits) else None


def known(data: bytes, body_size: int, request: T) -> Known[T] | None:
    """What is to be recognised of `data`, from which the parser has read `request` from its head's first byte on.

    `body_size`: bytes of the body that came with it, all or some. None where `data` is not just that head and they.
    """
    head_size = len(data) - body_size
    if head_size > LONGEST_KNOWN or data.find(b"\r\n\r\n") != head_size - 4 or data[:2] == b"\r\n":
        return None
    found = _LENGTH.search(data, 0, head_size)
    if found is None:
        return None
    stop = data.index(b"\r", found.end())
    return Known(data[: found.end()], data[stop:head_size], request) if data[found.end() : stop].isdigit() else None
