"""A backend of ours that speaks OpenAI's chat wire, and does to each request what the test has written for it.

It has a thread and a loop of its own, so that a test may block. What is timed is released by the test, event by
event; nothing here sleeps but to be slow on purpose.
"""

import asyncio
import json
import struct
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, Self

HELD_BACK_AFTER_S = 0.5  # how long a write must wait before its reader is called slow
MODEL = "mock"


class Gate:
    """Holds a behaviour back until the test lets it go on, so many steps at a time."""

    def __init__(self) -> None:
        self._steps = asyncio.Semaphore(0)
        self._lock = threading.Lock()
        self._early = 0  # released before anybody waited
        self._loop: asyncio.AbstractEventLoop | None = None

    def release(self, steps: int = 1) -> None:
        with self._lock:
            if self._loop is None:
                self._early += steps
                return
        for _ in range(steps):
            self._loop.call_soon_threadsafe(self._steps.release)

    async def passed(self) -> None:
        with self._lock:
            self._loop = asyncio.get_running_loop()
            early, self._early = self._early, 0
        for _ in range(early):
            self._steps.release()
        await self._steps.acquire()


class Request:
    """One request as it came, and what became of it."""

    def __init__(self, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> None:
        self.line, _, fields = head.decode("latin-1").partition("\r\n")
        self.headers = {
            name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields.split("\r\n"))
        }
        self.body = body
        self.was_cut = threading.Event()  # the router closed the connection before the answer was whole
        self.was_answered = threading.Event()
        self.is_held_back = threading.Event()  # the router does not read on
        self._writer = writer

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        waiting = asyncio.ensure_future(self._writer.drain())
        waiting.add_done_callback(lambda task: task.cancelled() or task.exception())  # this may have been cancelled
        done, _ = await asyncio.wait([waiting], timeout=HELD_BACK_AFTER_S)
        if not done:
            self.is_held_back.set()
        await waiting

    def reset(self) -> None:
        """Ends the connection by a RST."""
        linger = struct.pack("ii", 1, 0)
        self._writer.get_extra_info("socket").setsockopt(1, 13, linger)  # SOL_SOCKET, SO_LINGER
        self._writer.close()


Behaviour = Callable[[Request], Awaitable[None]]


# Behaviours -------------------------------------------------------------------------------------------------


def answer(text: str = "hello", *, usage: tuple[int, int] | None = (7, 3), after_s: float = 0) -> Behaviour:
    """A `chat.completion`; `usage` is (prompt, completion) tokens."""

    async def behave(request: Request) -> None:
        if after_s:
            await asyncio.sleep(after_s)
        whole: dict[str, Any] = {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": MODEL,
            "choices": [
                {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}},
            ],
        }
        if usage is not None:
            whole["usage"] = _usage(usage)
        await request.write(response(200, json.dumps(whole).encode()))

    return behave


def gated(gate: Gate, then: Behaviour | None = None) -> Behaviour:
    """Nothing until the test says so."""

    async def behave(request: Request) -> None:
        await gate.passed()
        await (then or answer())(request)

    return behave


def refuse(status: int, message: str = "no", *, retry_after: str = "", code: str | None = None) -> Behaviour:
    async def behave(request: Request) -> None:
        said = {"error": {"message": message, "type": "mock_error", "param": None, "code": code}}
        headers = {"retry-after": retry_after} if retry_after else {}
        await request.write(response(status, json.dumps(said).encode(), headers))

    return behave


def raw(body: bytes, content_type: str = "application/json") -> Behaviour:
    """A 200 with whatever."""

    async def behave(request: Request) -> None:
        await request.write(response(200, body, {"content-type": content_type}))

    return behave


def stalled() -> Behaviour:
    """Not a byte, for ever."""

    async def behave(_: Request) -> None:
        await asyncio.Event().wait()

    return behave


def dies(after: bytes = b"") -> Behaviour:
    """The connection is reset, after these bytes."""

    async def behave(request: Request) -> None:
        await request.write(after)
        request.reset()

    return behave


def stream(
    texts: Iterable[str],
    *,
    gate: Gate | None = None,
    pause_s: float = 0.0,
    usage: tuple[int, int] | None = (7, 3),
    ends: str = "done",
) -> Behaviour:
    """Server-sent events, each released by `gate` where there is one, with a pause after each.

    Usage is sent only where it was asked for. `ends` is how: "done"; "cut", "reset" or "stall" after the last text;
    "error", an event with one.
    """

    async def behave(request: Request) -> None:
        head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        await request.write(head.encode() + _chunk(_event({"role": "assistant", "content": ""})))
        for text in texts:
            if gate is not None:
                await gate.passed()
            await request.write(_chunk(_event({"content": text})))
            if pause_s:
                await asyncio.sleep(pause_s)
        if gate is not None:
            await gate.passed()
        if ends == "error":
            said = b'data: {"error":{"message":"the mock fell over","type":"server_error"}}\n\n'
            await request.write(_chunk(said) + _chunk(b""))
        elif ends == "stall":
            await asyncio.Event().wait()
        elif ends == "reset":
            request.reset()
        elif ends == "cut":
            raise _CloseNow
        else:
            last = _event({}, finish_reason="stop")
            if usage is not None and (request.json.get("stream_options") or {}).get("include_usage"):
                last += _event(None, usage=_usage(usage))
            await request.write(_chunk(last + b"data: [DONE]\n\n") + b"0\r\n\r\n")

    return behave


def as_asked(after_s: float) -> Behaviour:
    """Plain or streamed, as the request wants it, and slow enough that something is always under way."""
    plain, streamed = answer(after_s=after_s), stream(["hel", "lo"])

    async def behave(request: Request) -> None:
        if not request.json.get("stream"):
            await plain(request)
            return
        await asyncio.sleep(after_s)
        await streamed(request)

    return behave


def response(status: int, body: bytes, headers: dict[str, str] | None = None) -> bytes:
    fields = {"content-type": "application/json", "content-length": str(len(body)), **(headers or {})}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} Mock\r\n{lines}\r\n".encode() + body


def _event(delta: Any, *, finish_reason: str | None = None, usage: Any = None) -> bytes:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish_reason}]
    event = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": MODEL, "choices": choices}
    if usage is not None:
        event["usage"] = usage
    return b"data: " + json.dumps(event, separators=(",", ":")).encode() + b"\n\n"


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _usage(usage: tuple[int, int]) -> dict[str, int]:
    return {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)}


class _CloseNow(Exception):
    """The connection is closed in the middle of an answer."""


# The server -------------------------------------------------------------------------------------------------


_NOTHING_HERE = b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\ncontent-type: application/json\r\n\r\n{}"


class Upstream:
    """Listens while entered. `script` is for the next requests, in their order; then comes what `always` said.

    Who asks for its models, as an ingress does that publishes a policy, is told that there are none.
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._script: deque[Behaviour] = deque()
        self._always = answer()
        self.requests: list[Request] = []

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = self._do(self._listen())
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def script(self, *behaviours: Behaviour) -> None:
        self._script.extend(behaviours)

    def always(self, behaviour: Behaviour) -> None:
        self._always = behaviour

    def reset(self) -> None:
        """As it began; what is still under way goes on."""
        self._script.clear()
        self._always = answer()
        self.requests.clear()

    async def _listen(self) -> asyncio.Server:
        def connection() -> asyncio.StreamReaderProtocol:
            return asyncio.StreamReaderProtocol(_Reader(limit=2**26), self._serve)

        return await self._loop.create_server(connection, "127.0.0.1", 0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                request = Request(head[:-4], b"", writer)
                request.body = await reader.readexactly(int(request.headers.get("content-length", "0")))
                if head.startswith(b"GET "):
                    writer.write(_NOTHING_HERE)
                    continue
                behave = self._script.popleft() if self._script else self._always
                self.requests.append(request)
                if not await self._answer(request, behave, reader):
                    return
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            return
        finally:
            writer.close()

    async def _answer(self, request: Request, behave: Behaviour, reader: asyncio.StreamReader) -> bool:
        """Whether the connection can take another request."""
        assert isinstance(reader, _Reader)
        answering = asyncio.ensure_future(behave(request))
        listening = asyncio.ensure_future(reader.ended.wait())
        await asyncio.wait([answering, listening], return_when=asyncio.FIRST_COMPLETED)
        if not answering.done():
            request.was_cut.set()
        for task in (answering, listening):
            task.cancel()
        try:
            await answering
        except (_CloseNow, asyncio.CancelledError):
            return False
        except ConnectionError:
            request.was_cut.set()
            return False
        request.was_answered.set()
        return True

    async def _stop(self) -> None:
        self._server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)


class _Reader(asyncio.StreamReader):
    """Tells of the other side's end without reading up to it."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.ended = asyncio.Event()

    def feed_eof(self) -> None:
        super().feed_eof()
        self.ended.set()

    def set_exception(self, exc: BaseException) -> None:
        super().set_exception(exc)
        self.ended.set()
