"""The hot route's HTTP: uvicorn's protocol, which takes `POST /v1/chat/completions` itself, without ASGI.

Every other route goes to uvicorn's own callbacks and so to FastAPI, on the same connection. (Through raw ASGI the
hot route costs three times as much; through FastAPI, ten times.) Answers leave in the order of their requests:
further ones on the same connection wait.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, ClassVar, Final
from urllib.parse import unquote_to_bytes

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from services.ingress import errors, render
from services.ingress.doors import chat
from shared.contracts import AnswerHead, PlanRefused, Refusal

if TYPE_CHECKING:
    from services.ingress.calls import Call
    from services.ingress.doors.chat import ChatDoor

MAX_WAITING: Final = 16  # pipelined requests kept while one is answered; more are not read
LINGER_BYTES: Final = 64 * 1024 * 1024  # what is read and thrown away after a 413, so that the answer arrives
LINGER_S: Final = 5.0
IDLE_SWEEP_S: Final = 5.0
IDLE_SWEEPS: Final = 15  # 75 s without a byte, and nothing being answered: as nginx and most servers have it


class _Request:
    """One request of the hot route as it comes in."""

    __slots__ = ("asks_to_go_on", "body", "headers", "keep_alive", "size", "version")

    def __init__(self, headers: chat.Headers) -> None:
        self.headers = headers
        self.body: list[bytes] = []
        self.size = 0
        self.keep_alive = True
        self.version = "1.1"
        self.asks_to_go_on = False  # `expect: 100-continue`, not answered yet


class HotProtocol(HttpToolsProtocol):
    """One connection. A subclass made by `protocol_for` knows its door."""

    door: ClassVar[ChatDoor]
    sweeper: ClassVar[asyncio.TimerHandle | None] = None  # one for all connections: a timer a request is too dear

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._request: _Request | None = None  # coming in
        self._call: Call | None = None  # being answered
        self._answering: _Request | None = None
        self._waiting: deque[_Request] = deque()
        self._cold_url = b""
        self._cold_headers: chat.Headers = []
        self._is_chunked = False
        self._lingering = -1  # bytes still thrown away; -1: not lingering
        self._deaf = False  # no request of this connection is read any more
        self._idle_sweeps = 0
        self._common_of: object = None
        self._common = ""
        self.is_slow = False

    # asyncio's side -----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        super().connection_made(transport)
        if type(self).sweeper is None:
            type(self).sweeper = self.loop.call_later(IDLE_SWEEP_S, self._sweep)

    def connection_lost(self, exc: Exception | None) -> None:
        self._waiting.clear()
        call, self._call = self._call, None
        if call is not None and self.door.calls is not None:
            self.door.calls.left(call)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._lingering >= 0:
            self._lingering -= len(data)
            if self._lingering < 0:
                self.transport.abort()
            return
        if self._deaf:
            return
        self._idle_sweeps = 0
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # To `Upgrade: h2c` and the like the answer is HTTP/1.1 (RFC 9110, 7.8), and then the connection ends.
            self._read_no_more()
        except httptools.HttpParserError:
            self.send_400_response("")

    def pause_writing(self) -> None:
        self.is_slow = True
        super().pause_writing()

    def resume_writing(self) -> None:
        self.is_slow = False
        super().resume_writing()
        if self._call is not None and self._call.flight and self.door.calls is not None:
            self.door.calls.taken(self._call)

    def shutdown(self) -> None:
        """uvicorn stops: what is being answered is answered, then the connection closes."""
        if self._answering is not None:
            self._answering.keep_alive = False
            self._waiting.clear()
            self._deaf = True
        else:
            super().shutdown()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's words
        """Not HTTP. Also reached where one of our own callbacks raised, which the log has then."""
        self._refuse_unread(errors.NOT_HTTP)

    # The parser's side --------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._cold_url = b""
        self._cold_headers = []

    def on_url(self, url: bytes) -> None:
        self._cold_url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._cold_headers.append((name, value))

    def on_headers_complete(self) -> None:
        if self._deaf:
            return
        path = self._cold_url.partition(b"?")[0]
        if (path == chat.PATH or _plain(path) == chat.PATH) and self.parser.get_method() == b"POST":
            self._begin_request()
        elif self._answering is not None or self._waiting:
            # uvicorn would answer it ahead of ours. Closing after our answers is HTTP's way to say: ask again.
            self._read_no_more()
        else:
            self._hand_over()

    def on_body(self, body: bytes) -> None:
        request = self._request
        if request is not None:
            request.size += len(body)
            if request.size > self.door.server.max_body_bytes:
                self._too_large(request)
            else:
                request.body.append(body)
        elif not self._deaf:
            super().on_body(body)

    def on_message_complete(self) -> None:
        request, self._request = self._request, None
        if request is None:
            if not self._deaf:
                super().on_message_complete()
            return
        if self._deaf or self._lingering >= 0:
            return
        if self.parser.should_upgrade():  # the parser has not read its body, nor will it
            self._refuse_unread(errors.NO_UPGRADE)
            return
        request.keep_alive = self.parser.should_keep_alive()
        if self._is_busy:
            self._waiting.append(request)
            if len(self._waiting) >= MAX_WAITING:
                self.flow.pause_reading()
        else:
            self._open(request)

    def on_response_complete(self) -> None:
        """uvicorn has answered a request of another route: ours that came after it are next."""
        super().on_response_complete()
        self._idle_sweeps = 0
        if self.transport.is_closing() or not self.cycle.response_complete:  # the next of uvicorn's own
            return
        if self._waiting:
            self._unset_keepalive_if_required()
            self._open(self._waiting.popleft())
        elif self._request is not None:
            self._unset_keepalive_if_required()
            self._let_go_on(self._request)

    def _begin_request(self) -> None:
        self._request = request = _Request(self._cold_headers)
        request.version = self.parser.get_http_version()
        for name, value in self._cold_headers:
            size = len(name)
            if size == 14 and name.lower() == b"content-length":
                if int(value) > self.door.server.max_body_bytes:
                    self._too_large(request)
                    return
            elif size == 6 and name.lower() == b"expect" and value.lower() == b"100-continue":
                request.asks_to_go_on = True
                self._let_go_on(request)

    def _let_go_on(self, request: _Request) -> None:
        if request.asks_to_go_on and not self._is_busy:
            request.asks_to_go_on = False
            self.transport.write(render.CONTINUE)

    @property
    def _is_busy(self) -> bool:
        """A request of this connection is not answered yet."""
        cycle = self.cycle
        return self._answering is not None or bool(self._waiting) or not (cycle is None or cycle.response_complete)

    def _hand_over(self) -> None:
        super().on_message_begin()
        super().on_url(self._cold_url)
        for name, value in self._cold_headers:
            super().on_header(name, value)
        super().on_headers_complete()

    def _open(self, request: _Request) -> None:
        self._answering = request
        body = request.body[0] if len(request.body) == 1 else b"".join(request.body)
        try:
            call = self.door.open(self, request.headers, body)
        except Exception as error:  # noqa: BLE001 - httptools would make a 400 of it and hide it
            self._broke(error)
            return
        if self._answering is request:
            self._call = call

    # Answers ------------------------------------------------------------------------------------------------

    def answer(self, call: Call, head: AnswerHead, body: bytes) -> None:
        request = self._answering
        if request is None:
            return
        rendered = render.answer(
            head, call.request_id, common=self._common_lines(), keep_alive=request.keep_alive, chunked=False
        )
        self.transport.write(rendered + body)
        self._finish()

    def begin(self, call: Call, head: AnswerHead) -> None:
        request = self._answering
        if request is None:
            return
        if head.body_bytes < 0 and request.version != "1.1":
            request.keep_alive = False
        self._is_chunked = head.body_bytes < 0 and request.version == "1.1"
        self.transport.write(
            render.answer(
                head,
                call.request_id,
                common=self._common_lines(),
                keep_alive=request.keep_alive,
                chunked=self._is_chunked,
            )
        )

    def chunk(self, call: Call, data: bytes) -> None:  # noqa: ARG002 - the Caller protocol has it
        if data and self._answering is not None:
            self.transport.write(b"%x\r\n%b\r\n" % (len(data), data) if self._is_chunked else data)

    def end(self, call: Call, data: bytes) -> None:
        if self._answering is None:
            return
        if self._is_chunked:
            self.transport.write((b"%x\r\n%b\r\n" % (len(data), data) if data else b"") + render.LAST_CHUNK)
        else:
            self.chunk(call, data)
        self._finish()

    def refuse(self, call: Call, refusal: Refusal, plan: PlanRefused | None = None) -> None:
        request = self._answering
        if request is None:
            return
        body = errors.body(refusal, call.request_id)
        head = render.refusal(
            refusal,
            call.request_id,
            len(body),
            common=self._common_lines(),
            keep_alive=request.keep_alive,
            plan=plan,
        )
        self.transport.write(head + body)
        self._finish()

    def abort(self, call: Call) -> None:  # noqa: ARG002 - the Caller protocol has it
        self._call = self._answering = None
        self.transport.abort()

    def _finish(self) -> None:
        request, self._answering, self._call = self._answering, None, None
        self._idle_sweeps = 0
        if request is not None and not request.keep_alive:
            self._deaf = True
            self.transport.close()
        elif self._waiting:
            self.flow.resume_reading()
            self.loop.call_soon(self._open_next)
        elif self._request is not None:
            self._let_go_on(self._request)

    def _open_next(self) -> None:
        if self._waiting and self._answering is None and not self.transport.is_closing():
            self._open(self._waiting.popleft())

    def _too_large(self, request: _Request) -> None:
        """Said before the body has come. What is still coming is read and dropped: closing would lose the answer."""
        self._request = None
        request.body.clear()
        self._refuse_unread(errors.too_large(self.door.server.max_body_bytes))

    def _broke(self, error: Exception) -> None:
        self.loop.call_exception_handler({"message": "the chat door failed on a request", "exception": error})
        request, self._answering, self._call = self._answering, None, None
        if request is None:
            return
        self._waiting.clear()
        self._refuse_unread(errors.BROKEN)

    def _refuse_unread(self, refusal: Refusal) -> None:
        """The connection's last answer. What is still coming is read and dropped: closing would lose the answer.

        Where an earlier request is not answered yet, its answer is the last, and this one is not given.
        """
        if self._read_no_more():
            return
        self.door.count(refusal)
        request_id = self.door.mint()
        body = errors.body(refusal, request_id)
        head = render.refusal(refusal, request_id, len(body), common=self._common_lines(), keep_alive=False)
        self.transport.write(head + body)
        self._lingering = LINGER_BYTES
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(LINGER_S, self.transport.abort)

    def _read_no_more(self) -> bool:
        """The connection closes once what came before is answered. False: there is nothing to be answered."""
        self._deaf = True
        last = self._waiting[-1] if self._waiting else self._answering
        if last is not None:
            last.keep_alive = False
            return True
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            return False
        cycle.keep_alive = False
        if cycle.more_body and not cycle.response_started and not self.pipeline:
            cycle.disconnected = True  # it is this request that cannot be read on: it waits for its body in vain
            cycle.message_event.set()
            return False
        return True

    def _sweep(self) -> None:
        """Closes the connections that nobody uses."""
        type(self).sweeper = None
        for connection in list(self.connections):
            if isinstance(connection, HotProtocol) and not connection._is_busy:
                connection._idle_sweeps += 1
                if connection._idle_sweeps > IDLE_SWEEPS:
                    connection.transport.close()
        if self.connections:
            type(self).sweeper = self.loop.call_later(IDLE_SWEEP_S, self._sweep)

    def _common_lines(self) -> str:
        """`date` and `server`; uvicorn makes a new list of them once a second."""
        headers = self.server_state.default_headers
        if headers is not self._common_of:
            self._common_of = headers
            self._common = "".join(f"{name.decode()}: {value.decode()}\r\n" for name, value in headers)
        return self._common


def _plain(path: bytes) -> bytes:
    """`http://host/v1/chat/complet%69ons` is `/v1/chat/completions` (RFC 9112, 3.2.2; RFC 3986, 6.2.2)."""
    if not path.startswith(b"/"):
        _, _, rest = path.partition(b"://")
        path = b"/" + rest.partition(b"/")[2]
    return unquote_to_bytes(path) if b"%" in path else path


def protocol_for(door: ChatDoor) -> type[asyncio.Protocol]:
    """The class that uvicorn makes connections of."""
    return type("ChatProtocol", (HotProtocol,), {"door": door})
