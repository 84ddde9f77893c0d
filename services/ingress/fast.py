"""The hot route's HTTP: one connection. `POST /v1/chat/completions` is answered here, without ASGI.

Every other route goes to FastAPI (cold.py), at its turn: answers leave in the order of their requests. (Through raw
ASGI the hot route costs three times as much; through FastAPI, ten times.) Bytes become requests in reader.py; how
long a connection may keep us waiting is told in sweeper.py, how many large bodies are held at once in admission.py.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

from services.ingress import cold, cors, errors, render, sweeper
from services.ingress.admission import Admission, Claim
from services.ingress.reader import Reader, Request
from shared.contracts import MAX_INLINE_BYTES, AnswerHead, PlanRefused, Refusal

if TYPE_CHECKING:
    from uvicorn import Config
    from uvicorn.server import ServerState

    from services.ingress.calls import Call
    from services.ingress.doors.chat import Body, ChatDoor
    from services.ingress.heads import Framing, Headers

MAX_WAITING: Final = 16  # pipelined requests kept while one is answered; more are not read
MAX_CONNECTIONS: Final = 20_000  # one more is closed unanswered
PIECE_BYTES: Final = 16 * 1024  # of one read, parsed at once: it may hold ten thousand requests of 2 KB each
LINGER_BYTES: Final = 64 * 1024 * 1024  # what is read and thrown away after a 413, so that the answer arrives
PROBES: Final = 4  # interim answers; some clients take no more than five
PROBE_AGAIN_S: Final = 0.02

# Why nothing is read for now.
LINE: Final = 1  # enough requests wait
ROOM: Final = 2  # a large body waits for room
ROUTE: Final = 4  # a route of FastAPI has not taken what came
TAKER: Final = 8  # the answers before have not been taken; nothing is being answered meanwhile


class HotProtocol(asyncio.Protocol):
    """One connection. A subclass made by `protocol_for` knows its door."""

    door: ClassVar[ChatDoor]
    admission: ClassVar[Admission]
    sweeper: ClassVar[sweeper.Sweeper]
    unwritten: ClassVar[list[HotProtocol]]  # connections that have something in `_out`
    transport: asyncio.Transport

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._server = (config, server_state, app_state)
        self._state = server_state
        self._connections = cast(
            "set[HotProtocol]", server_state.connections
        )  # uvicorn wants whatever has `shutdown`
        self._loop = _loop or asyncio.get_running_loop()
        self._reader = Reader(self)
        self._cold: cold.Cold | None = None  # where this connection has asked for another route
        self._line: deque[Request] = deque()
        self._unparsed = memoryview(b"")  # the rest of one read, while enough requests wait
        self._current: Request | None = None  # being answered; there is one wherever one waits
        self._call: Call | None = None  # of `_current`, on the hot route
        self._has_begun = False  # its head is written
        self._is_chunked = False
        self._out: list[bytes] = []  # of a stream: what came in one turn of the loop leaves in one write
        self._held = 0  # LINE, ROOM, ROUTE, TAKER
        self._lingering = -1  # bytes still thrown away; -1: not lingering
        self.age = 0  # of the message that comes in, in sweeps
        self.idle = 0  # likewise, since the last answer or the last message's first byte
        self._written = 0  # bytes, but for those of FastAPI's routes
        self._pace = sweeper.Pace()
        self._probes = -1  # sent to see whether a half-closed client is there; -1: it is not half closed
        self.is_slow = False
        self._common_of: object = None
        self._common = ""

    # asyncio's side -----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        self.transport = transport
        if len(self._connections) >= MAX_CONNECTIONS:
            self._reader.stop()
            transport.close()
            return
        self._connections.add(self)
        self.sweeper.watch(self._connections)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's words
        self._connections.discard(self)
        self._stop_reading()
        self._drop_all()
        if self._cold is not None:
            self._cold.flow.resume_writing()

    def data_received(self, data: bytes) -> None:
        reader = self._reader
        known = reader.known
        if known is not None and self._current is None and not reader.is_within:
            body = known.body_of(data)
            if body is not None and len(body) <= self.door.largest_inline:
                self._current = known.request
                self._open(known.request, body)
                return
        if self._lingering >= 0:
            self._lingering -= len(data)
            if self._lingering < 0:
                self.transport.abort()
        elif not reader.is_deaf:
            if len(data) <= PIECE_BYTES:
                reader.read(data)
            else:
                self._unparsed = memoryview(data)
                # The head alone, then its body in one piece: one that is put together costs three times as much.
                self._parse_on(0 if reader.is_within else data.find(b"\r\n\r\n", 0, PIECE_BYTES) + 4)

    def eof_received(self) -> bool:
        """The client has sent all that it will. What it asked for is answered, unless it is gone altogether."""
        if not self._read_no_more():
            return False
        self._probes = 0
        self._probe()
        self._loop.call_later(PROBE_AGAIN_S, self._probe)
        return True

    def pause_writing(self) -> None:
        self.is_slow = True
        if self._current is None and not self._reader.is_deaf:
            self._hold(TAKER)
        if self._cold is not None:
            self._cold.flow.pause_writing()

    def resume_writing(self) -> None:
        self.is_slow = False
        if self._cold is not None:
            self._cold.flow.resume_writing()
        if self._call is not None and self._call.flight and self.door.calls is not None:
            self.door.calls.taken(self._call)
        if self._held & TAKER:
            self._go_on_for_taker()  # last: its answer may be too much again

    def shutdown(self) -> None:
        """uvicorn stops: what is being answered is answered, then the connection closes."""
        for request in self._line:
            self._drop(request)
        self._line.clear()
        current = self._current
        if current is None or self._reader.incoming is not current:
            self._stop_reading()
        if current is None:
            self.transport.close()
        else:
            current.must_be_last()

    # From the reader ----------------------------------------------------------------------------------------

    def begin_hot(self, request: Request, length: int) -> None:
        """`length` as it was announced; 0 where it was not."""
        self._reader.incoming = request
        request.announced = length
        limit = self.door.server.max_body_bytes
        if length > limit:
            self.refuse_unread(errors.too_large(limit))
            return
        if length > MAX_INLINE_BYTES:
            self.claim(request, length)
        if request.asks_to_go_on:
            self._let_go_on()

    def begin_cold(
        self, request: Request, method: str, url: bytes, version: str, headers: Headers, framing: Framing
    ) -> None:
        """Raises BadTarget."""
        if self._cold is None:
            self._cold = cold.Cold(*self._server, self.transport, self._read_on_for_route)
        request.keep_alive = request.keep_alive and version == "1.1"
        request.cycle = self._cold.cycle(
            method, url, version, headers, goes_on=framing.asks_to_go_on,
            keep_alive=request.keep_alive, on_response=lambda: self._cold_answered(request),
        )  # fmt: skip
        self._reader.incoming = request
        self._queue(request)

    def take_whole(self, request: Request) -> None:
        if request.cycle is not None:
            cold.complete(request.cycle)
        else:
            if request.claim is not None and request.claim.has_room and request.size > MAX_INLINE_BYTES:
                self.admission.shrink(request.claim, request.size)
            elif request.claim is not None:
                # It was only slow; or one read brought it whole, and it is held, room or not.
                self._give_up_claim(request.claim)
                request.claim = None
            self._queue(request)
        if not request.keep_alive:
            self._reader.stop()

    def claim(self, request: Request, size: int) -> None:
        if request.claim is not None:
            self._give_up_claim(request.claim)  # nobody holds room and waits for more
        request.claim = Claim(size, self._read_on_in_room)
        if not self.admission.enter(request.claim):
            self.age = 0
            self._hold(ROOM)

    def hold_for_route(self) -> None:
        self._hold(ROUTE)

    # Reading, and not ---------------------------------------------------------------------------------------

    def _parse_on(self, size: int = 0) -> None:
        """`size`: of the first piece; 0 leaves it to what is being read."""
        while len(self._line) < MAX_WAITING:
            if not self._unparsed or self._reader.is_deaf:
                self._read_on(LINE)
                return
            size = size or max(PIECE_BYTES, self._reader.wanted)
            piece, self._unparsed, size = self._unparsed[:size], self._unparsed[size:], 0
            self._reader.read(piece)

    def _read_on_in_room(self) -> None:
        self.age = 0
        self._read_on(ROOM)
        self._let_go_on()

    def _read_on_for_route(self) -> None:
        self._read_on(ROUTE)

    def _go_on_for_taker(self) -> None:
        self._read_on(TAKER)
        if self._current is not None:
            self._start(self._current)
        else:
            self._let_go_on()

    def _hold(self, why: int) -> None:
        if not self._held and not self.transport.is_closing():
            self.transport.pause_reading()
        self._held |= why

    def _read_on(self, why: int) -> None:
        if self._held & why:
            self._held &= ~why
            if not self._held and not self.transport.is_closing():
                self.transport.resume_reading()

    def _let_go_on(self) -> None:
        """`100 Continue`, once the answers before it are given and there is room."""
        request = self._reader.incoming
        if request is None or self._current is not None or self._held & (ROOM | TAKER):
            return
        if request.asks_to_go_on:
            request.asks_to_go_on = False
            self._write(render.CONTINUE)

    def _stop_reading(self) -> None:
        """Of what comes in just now, the rest will not come; a route of FastAPI would wait for it in vain."""
        self._reader.stop()
        request, self._reader.incoming = self._reader.incoming, None
        if request is None or (request.cycle is not None and request.cycle.response_started):
            return
        self._drop(request)
        if request is self._current:
            self._current = None
        elif request in self._line:
            self._line.remove(request)

    def _drop(self, request: Request) -> None:
        self._let_body_go(request)
        if request.cycle is not None:
            cold.disconnect(request.cycle)

    def _drop_all(self) -> None:
        call, self._call = self._call, None
        current, self._current = self._current, None
        for request in (*self._line, *([current] if current is not None else [])):
            self._drop(request)
        self._line.clear()
        if call is not None and self.door.calls is not None:
            self.door.calls.left(call)

    def _let_body_go(self, request: Request) -> None:
        request.body = b""
        if request.claim is not None:
            claim, request.claim = request.claim, None
            self._give_up_claim(claim)

    def _give_up_claim(self, claim: Claim) -> None:
        waited = not claim.has_room
        self.admission.leave(claim)
        if waited:
            self._read_on(ROOM)

    # Whose turn it is ---------------------------------------------------------------------------------------

    def _queue(self, request: Request) -> None:
        if self._current is None:
            self._current = request
            self._start(request)
        else:
            self._line.append(request)
            if len(self._line) >= MAX_WAITING:
                self._hold(LINE)

    def _start(self, request: Request) -> None:
        if self._current is not request or self.transport.is_closing():
            return
        if self.is_slow:
            self._hold(TAKER)
        elif request.cycle is not None and self._cold is not None:
            self._cold.start(request.cycle)
        else:
            body, request.body = request.body, b""
            self._open(request, body)

    def _open(self, request: Request, body: Body) -> None:
        try:
            assert request.asked is not None
            call = self.door.open(self, request.asked, body)
        except Exception as error:  # noqa: BLE001 - httptools would make a 400 of it and hide it
            self.broke(error)
            return
        if self._current is request:
            self._call = call

    def _finish(self) -> None:
        """The current request is answered."""
        request, self._current, self._call = self._current, None, None
        self._has_begun = False
        self.idle = 0
        if request is None:
            return
        if request.claim is not None:
            self._let_body_go(request)
        if not request.keep_alive:
            self._stop_reading()
            self.transport.close()
        elif self._line:
            self._current = following = self._line.popleft()
            self._loop.call_soon(self._start, following)
            if self._held & LINE:
                self._parse_on()
        elif self.is_slow:
            self._hold(TAKER)
        elif self._reader.incoming is not None:
            self._let_go_on()

    def _cold_answered(self, request: Request) -> None:
        self._state.total_requests += 1
        self._read_on(ROUTE)
        if self._current is request and request.cycle is not None:
            request.keep_alive = request.cycle.keep_alive
            self._finish()

    # Answers ------------------------------------------------------------------------------------------------

    def answer(self, call: Call, head: AnswerHead, body: bytes) -> None:
        request = self._current
        if request is None:
            return
        rendered = render.answer(head, call.request_id, self._lines(request), _connection(request))
        whole = rendered + body
        self._written += len(whole)  # `_write` without the call
        self.transport.write(whole)
        self._finish()

    def begin(self, call: Call, head: AnswerHead) -> None:
        request = self._current
        if request is None:
            return
        self._has_begun = True
        self._let_body_go(request)
        if head.body_bytes >= 0:
            self._is_chunked = False
            rendered = render.answer(head, call.request_id, self._lines(request), _connection(request))
        else:
            self._is_chunked = not request.is_old
            request.keep_alive = request.keep_alive and self._is_chunked
            rendered = render.stream(
                head, call.request_id, self._lines(request), _connection(request), chunked=self._is_chunked
            )
        self._write_soon(rendered)

    def chunk(self, call: Call, data: bytes) -> None:  # noqa: ARG002 - the Caller protocol has it
        if not data or self._current is None:
            return
        if self._is_chunked:
            self._write_soon(b"%x\r\n" % len(data), data, b"\r\n")
        else:
            self._write_soon(data)

    def end(self, call: Call, data: bytes) -> None:
        if self._current is None:
            return
        self.chunk(call, data)
        if self._is_chunked:
            self._out.append(render.LAST_CHUNK)
        self._write_now()
        self._finish()

    def refuse(self, call: Call, refusal: Refusal, plan: PlanRefused | None = None) -> None:
        request = self._current
        if request is None:
            return
        self._write_refusal(refusal, call.request_id, self._lines(request), _connection(request), plan)
        self._finish()

    def abort(self, call: Call) -> None:  # noqa: ARG002 - the Caller protocol has it
        self._call = None  # it is over already
        self._drop_all()
        self.transport.abort()

    def _write_soon(self, *parts: bytes) -> None:
        """With what else comes in this turn of the loop: a write costs four times as much as a chunk."""
        if not self._out:
            if not self.unwritten:
                self._loop.call_soon(self._write_all)
            self.unwritten.append(self)
        self._out += parts

    def _write_now(self) -> None:
        out, self._out = self._out, []
        if out and not self.transport.is_closing():
            self._write(b"".join(out))

    def _write(self, data: bytes) -> None:
        self._written += len(data)
        self.transport.write(data)

    @classmethod
    def _write_all(cls) -> None:
        unwritten, cls.unwritten = cls.unwritten, []
        for connection in unwritten:
            connection._write_now()

    def _write_refusal(
        self, refusal: Refusal, request_id: str, common: str, connection: str, plan: PlanRefused | None = None
    ) -> None:
        body = errors.body(refusal, request_id)
        self._write(render.refusal(refusal, request_id, len(body), common, connection, plan) + body)

    def broke(self, error: BaseException) -> None:
        """A bug of ours; the loop's handler logs it."""
        self._loop.call_exception_handler({"message": "the chat door failed on a request", "exception": error})
        if self._has_begun and self._call is not None:
            self.transport.abort()  # an answer is half written
            return
        self._drop_all()
        if self._reader.is_deaf:
            self.transport.close()
        else:
            self.refuse_unread(errors.BROKEN)

    def refuse_unread(self, refusal: Refusal) -> None:
        """The connection's last answer. What is still coming is read and dropped: closing would lose the answer.

        Where an earlier request is not answered yet, its answer is the last, and this one is not given; nor is it
        where a route of FastAPI has answered before the body came.
        """
        if self._reader.is_deaf:
            return
        incoming = self._reader.incoming
        if incoming is not None and incoming.cycle is not None and incoming.cycle.response_complete:
            self._stop_reading()
            self._linger()
            return
        origin = incoming.origin if incoming is not None else b""
        if self._read_no_more():
            return
        self.door.count(refusal)
        common = self._common_lines() + (cors.lines(origin, self.door.server.cors_origins) if origin else "")
        self._write_refusal(refusal, self.door.mint(), common, render.CLOSES)
        self._linger()

    def _linger(self) -> None:
        self._lingering = LINGER_BYTES
        self.age = 0
        self._read_on(LINE | ROOM | ROUTE | TAKER)
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def _read_no_more(self) -> bool:
        """The connection closes once what came before is answered. False: there is nothing to be answered."""
        self._stop_reading()
        last = self._line[-1] if self._line else self._current
        if last is None:
            return False
        last.must_be_last()
        return True

    # Who keeps us waiting -----------------------------------------------------------------------------------

    def swept(self) -> None:
        """A second has passed."""
        transport = self.transport
        if self._pace.is_stuck(self._written, transport.get_write_buffer_size()):
            transport.abort()
        elif self._lingering >= 0:
            self.age += 1
            if self.age > sweeper.LINGER:
                transport.abort()
        elif self._probes >= 0:
            self._probe()
        elif self._held & ROOM:
            self.age += 1
            if self.age > sweeper.ROOM:
                self.refuse_unread(errors.NO_ROOM)
        elif self._reader.is_within and not self._reader.is_deaf and not self._held:
            self._watch_incoming()
        elif self._current is None and not self._held & TAKER:
            self.idle += 1
            if self.idle > sweeper.IDLE:
                self._stop_reading()
                transport.close()

    def _watch_incoming(self) -> None:
        request = self._reader.incoming
        if request is not None and request.cycle is None and request.claim is None:
            # A small body is not counted, so that it costs nothing; but for one that takes its time.
            self.claim(request, request.announced or MAX_INLINE_BYTES)
        if self._current is not None and self._current is not request:
            return  # it may be waiting for our answer
        self.age += 1
        size = request.size if request is not None else 0
        if sweeper.is_too_slow(self.age, size, self.door.server.request_timeout_s, in_head=self._reader.in_head):
            self.refuse_unread(errors.TOO_SLOW)

    def _probe(self) -> None:
        """Writes what changes nothing to a client that half closed. One that is gone resets the connection then."""
        request = self._current
        if request is None or request.is_old or request.cycle is not None or self._probes >= PROBES:
            return
        if self._has_begun and not self._is_chunked:
            return
        self._probes += 1
        self._write_now()
        # A zero before a chunk's size is part of it (RFC 9112, 7.1).
        self._write(b"0" if self._has_begun else render.CONTINUE)

    # What every answer says ---------------------------------------------------------------------------------

    def _lines(self, request: Request) -> str:
        common = self._common_lines()
        return common + cors.lines(request.origin, self.door.server.cors_origins) if request.origin else common

    def _common_lines(self) -> str:
        """`date`, `server` and `vary`; uvicorn makes a new list once a second, and a new policy waits for it."""
        headers = self._state.default_headers
        if headers is not self._common_of:
            self._common_of = headers
            common = "".join(f"{name.decode()}: {value.decode()}\r\n" for name, value in headers)
            self._common = common + cors.vary(self.door.server.cors_origins)
        return self._common


def _connection(request: Request) -> str:
    if not request.keep_alive:
        return render.CLOSES
    return render.STAYS_AS_ASKED if request.is_old else render.STAYS


def protocol_for(door: ChatDoor, admission: Admission | None = None) -> type[HotProtocol]:
    """The class that uvicorn makes connections of."""
    shared = {"door": door, "admission": admission or Admission(), "sweeper": sweeper.Sweeper(), "unwritten": []}
    return type("ChatProtocol", (HotProtocol,), shared)
