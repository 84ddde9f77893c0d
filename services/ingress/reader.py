"""Bytes of one connection become requests. llhttp parses; here is what it leaves open: what is too large, which
requests are ours, a wish for another protocol, and heads that need not be parsed a second time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_to_bytes

import httptools

from services.ingress import cold, errors, heads
from services.ingress.doors import chat
from shared.contracts import MAX_INLINE_BYTES

if TYPE_CHECKING:
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

    from services.ingress.admission import Claim
    from services.ingress.doors.chat import Asked, Body
    from services.ingress.fast import HotProtocol
    from services.ingress.heads import Framing, Headers, Known

MAX_LESSONS: Final = 16  # heads learned on one connection; one whose heads always differ is left to the parser
CHUNK_OVERHEAD: Final = 16  # bytes on the wire for each of the body: chunks of one byte have six


class Request:
    """One request: first it comes in, then it waits for its turn, then it is answered."""

    __slots__ = (
        "announced",
        "asked",
        "asks_to_go_on",
        "body",
        "claim",
        "cycle",
        "is_old",
        "keep_alive",
        "origin",
        "size",
    )
    announced: int  # bytes of the body; 0 where it is chunked. On the hot route

    def __init__(self) -> None:
        self.asked: Asked | None = None
        self.body: Body = b""
        self.size = 0  # of the body, so far
        self.keep_alive = True
        self.is_old = False  # HTTP/1.0
        self.origin = b""
        self.asks_to_go_on = False  # `expect: 100-continue`, not answered yet
        self.claim: Claim | None = None  # of a body that is large or slow, while it is held
        self.cycle: RequestResponseCycle | None = None  # of a route of FastAPI

    def must_be_last(self) -> None:
        self.keep_alive = False
        if self.cycle is not None:
            self.cycle.keep_alive = False


class Reader:
    """Tells `connection` of each request: of ours when it is whole, of another route's when its head is."""

    def __init__(self, connection: HotProtocol) -> None:
        self._connection = connection
        self._parser = httptools.HttpRequestParser(self)
        self.is_deaf = False  # no further request of this connection is read
        self.incoming: Request | None = None
        self.is_within = False  # a message
        self.in_head = False  # of it
        self._message = 0  # counts them
        self._url = b""
        self._headers: Headers = []
        self._fed = 0  # bytes given to the parser just now,
        self._wire = 0  # before, of this message alone,
        self._first = 0  # and those that had its first byte among them
        self._upgrade: tuple[bytes, bytes, str, Headers] | None = None
        self.known: Known[Request] | None = None
        self._lesson: Request | None = None
        self._lessons = 0

    def stop(self) -> None:
        self.is_deaf = True
        self.known = None

    @property
    def wanted(self) -> int:
        """Bytes that the body which comes in still lacks, where it is ours and its length was announced."""
        request = self.incoming
        return request.announced - request.size if request is not None and request.cycle is None else 0

    def read(self, data: bytes | memoryview) -> None:
        self._fed = len(data)
        was_within, before = self.is_within, self._message
        rest: bytes | memoryview = data
        try:
            while rest:
                rest = self._feed(rest)
        except httptools.HttpParserCallbackError as error:
            self._connection.broke(error.__context__ or error)
        except httptools.HttpParserError:
            self._connection.refuse_unread(errors.NOT_HTTP)
        if self.is_deaf:
            return
        if was_within and self.is_within and self._message == before:
            self._wire += len(data)
            self._check_overhead()
        elif self._lesson is not None and not was_within and self._message == before + 1:
            self._learn(bytes(data), self._lesson)
        self._lesson = None

    def _feed(self, data: bytes | memoryview) -> bytes | memoryview:
        """What is still to be fed. A request that asks for another protocol is read as if it did not.

        (RFC 9110, 7.8. The parser would leave its body unread; Java's client asks for h2c with every first request.)
        """
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._upgrade is None:
                return b""
            method, url, version, headers = self._upgrade
            self._upgrade = None
            self._parser = httptools.HttpRequestParser(self)
            lines = [b"%b %b HTTP/%b" % (method, url, version.encode())]
            lines += [b"%b: %b" % header for header in headers if header[0].lower() != b"upgrade"]
            self._parser.feed_data(b"\r\n".join(lines) + b"\r\n\r\n")
            return memoryview(data)[upgrade.args[0] :]
        return b""

    def _check_overhead(self) -> None:
        """Bounds what is no body: an endless head, chunk extension or trailer, which the parser would gather."""
        size = self.incoming.size if self.incoming is not None else 0
        if self._wire > heads.MAX_BYTES + CHUNK_OVERHEAD * size or len(self._headers) > heads.MAX_HEADERS:
            self._connection.refuse_unread(errors.HEAD_TOO_LARGE)

    def _learn(self, data: bytes, request: Request) -> None:
        """`data` began between two messages, and only `request` began in it: else its first byte may be no head's."""
        if self._lessons < MAX_LESSONS:
            self._lessons += 1
            same = Request()  # shared by all that have this head; `keep_alive` changes only as the connection ends
            same.asked, same.origin = request.asked, request.origin
            self.known = heads.known(data, request.size, same)

    # The parser's side --------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self.is_within = self.in_head = True
        self._message += 1
        self._url = b""
        self._headers = []
        self._wire = 0
        self._first = self._fed
        self._connection.age = self._connection.idle = 0

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        self.in_head = False
        if self.is_deaf:
            return
        parser, connection = self._parser, self._connection
        method, version = parser.get_method(), parser.get_http_version()
        url, headers, self._headers = self._url, self._headers, []  # what comes after the body are trailers
        may_be_large = self._first + self._wire + self._fed > heads.MAX_BYTES or len(headers) > heads.MAX_HEADERS
        if may_be_large and heads.is_too_large(url, headers):
            connection.refuse_unread(errors.HEAD_TOO_LARGE)
        elif method == b"CONNECT":
            connection.refuse_unread(errors.NO_TUNNEL)
        elif parser.should_upgrade():
            self._upgrade = (method, url, version, headers)
        else:
            try:
                framing = heads.framing(headers, version)
                self._begin(method, url, version, headers, framing)
            except (heads.Ambiguous, cold.BadTarget):
                connection.refuse_unread(errors.NOT_HTTP)

    def on_body(self, body: bytes) -> None:
        request = self.incoming
        if request is None:
            return
        request.size += len(body)
        if request.cycle is not None:
            if not cold.take(request.cycle, body):
                self._connection.hold_for_route()
            return
        limit = self._connection.door.server.max_body_bytes
        if request.size > limit:
            self._connection.refuse_unread(errors.too_large(limit))
        elif not request.body:
            request.body = body
        else:
            if isinstance(request.body, bytes):
                request.body = bytearray(request.body)
            request.body += body  # grows in place: parts that are joined at the end are held twice
        if not request.announced and request.size - len(body) <= MAX_INLINE_BYTES < request.size <= limit:
            self._connection.claim(request, limit)  # chunked: as if the most had been announced

    def on_message_complete(self) -> None:
        self.is_within = False
        request, self.incoming = self.incoming, None
        if request is not None:
            self._connection.take_whole(request)

    def _begin(self, method: bytes, url: bytes, version: str, headers: Headers, framing: Framing) -> None:
        request = Request()
        request.keep_alive = self._parser.should_keep_alive()
        request.origin = framing.origin
        path = url.partition(b"?")[0]
        if (path != chat.PATH and _plain(path) != chat.PATH) or method != b"POST":
            self._connection.begin_cold(request, method.decode(), url, version, headers, framing)
            return
        request.is_old = version == "1.0"
        request.asked = chat.read(headers)
        request.asks_to_go_on = framing.asks_to_go_on
        if framing.length and request.keep_alive and not request.is_old and not framing.asks_to_go_on:
            self._lesson = request
        self._connection.begin_hot(request, framing.length)


def _plain(path: bytes) -> bytes:
    """`http://host/v1/chat/complet%69ons` is `/v1/chat/completions` (RFC 9112, 3.2.2; RFC 3986, 6.2.2)."""
    if not path.startswith(b"/"):
        _, _, rest = path.partition(b"://")
        path = b"/" + rest.partition(b"/")[2]
    return unquote_to_bytes(path) if b"%" in path else path
