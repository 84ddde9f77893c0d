"""One connection of the door without a socket: bytes go in, and calls are answered, when a test says so."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any, Self

import uvicorn
from prometheus_client import CollectorRegistry, generate_latest
from uvicorn.server import ServerState

from services.ingress.admission import Admission
from services.ingress.api import CurrentPolicy, build_api
from services.ingress.cors import Cors
from services.ingress.doors.chat import ChatDoor
from services.ingress.fast import protocol_for
from services.ingress.metrics import Counts
from shared.contracts import MAX_INLINE_BYTES, AnswerHead
from shared.ops import Readiness

CHAT = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}"
HEALTH = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
STREAM = AnswerHead(200, "text/event-stream", -1, "general", "small", "small-1", "m", (), 1, 1)
LARGE = b'{"a":"%b"}' % (b"x" * MAX_INLINE_BYTES)


def run(scene: Callable[[], Awaitable[None]]) -> None:
    """On a loop of its own; what reaches its handler fails the test."""

    async def watched() -> None:
        faults: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: faults.append(context))
        await scene()
        assert not faults

    asyncio.run(watched())


def chat(body: bytes = b"{}", *lines: bytes, version: bytes = b"1.1") -> bytes:
    head = [b"POST /v1/chat/completions HTTP/" + version, b"host: x", b"content-length: %d" % len(body), *lines]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


def chunked(*parts: bytes, lines: tuple[bytes, ...] = (), trailers: bytes = b"") -> bytes:
    head = [b"POST /v1/chat/completions HTTP/1.1", b"host: x", b"transfer-encoding: chunked", *lines]
    body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
    return b"\r\n".join(head) + b"\r\n\r\n" + body + b"0\r\n" + trailers + b"\r\n"


class Transport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.unsent = 0
        self.closed = False
        self.aborted = False
        self.reads = True

    def write(self, data: Any) -> None:
        assert not self.closed
        self.written += data

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = self.aborted = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        assert self.reads
        self.reads = False

    def resume_reading(self) -> None:
        assert not self.reads
        self.reads = True

    def can_write_eof(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return self.unsent

    @property
    def statuses(self) -> list[int]:
        return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+) ", self.written)]


class Calls:
    """Every request is taken, and answered when the test says so."""

    def __init__(self) -> None:
        self.counts = Counts()
        self.sent: list[Any] = []
        self.requests: list[tuple[Any, bytes]] = []  # all that ever came: the event, and the body or its head
        self.gone: list[Any] = []
        self.credit: list[Any] = []

    def send(self, call: Any, received: Any, body: bytes) -> None:
        assert type(body) is bytes
        self.sent.append(call)
        self.requests.append((received, body))

    def left(self, call: Any) -> None:
        self.gone.append(call)
        if call in self.sent:
            self.sent.remove(call)

    def taken(self, call: Any) -> None:
        self.credit.append(call)

    @property
    def bodies(self) -> list[bytes]:
        return [body for _, body in self.requests]


class World:
    """One process: what its connections share."""

    def __init__(self, api: Any = None, admission: Admission | None = None) -> None:
        self.door = ChatDoor("req_0123456789ab")
        self.calls = Calls()
        self.door.calls = self.calls  # type: ignore[assignment]
        api = api or build_api(CurrentPolicy(), Readiness(), CollectorRegistry(), self.door.mint)
        self.config = uvicorn.Config(
            Cors(api, lambda: self.door.server.cors_origins), lifespan="off", log_config=None, ws="none"
        )
        self.config.load()
        self.admission = admission or Admission()
        self.state = ServerState()
        self.protocol = protocol_for(self.door, self.admission)

    def connect(self) -> "Connection":
        return Connection(self)

    def sweep(self, times: int = 1) -> None:
        for _ in range(times):
            self.protocol.sweeper.sweep(self.state.connections)  # type: ignore[arg-type]


class Connection:
    def __init__(self, world: World | None = None) -> None:
        self.world = world = world or World()
        self.door, self.calls = world.door, world.calls
        self.transport = Transport()
        self.protocol = world.protocol(world.config, world.state, {})
        self.protocol.connection_made(self.transport)

    def receive(self, data: bytes) -> Self:
        """As a transport does: nothing where reading is paused or the connection is closed."""
        if self.transport.reads and not self.transport.closed:
            self.protocol.data_received(data)
        return self

    def lose(self) -> None:
        self.transport.closed = True
        self.protocol.connection_lost(None)

    def answer(self, body: bytes = b"{}") -> None:
        call = self.calls.sent.pop(0)
        head = AnswerHead(200, "application/json", len(body), "general", "small", "small-1", "m", (), 1, 1)
        call.caller.answer(call, head, body)

    def begin(self) -> Any:
        call = self.calls.sent.pop(0)
        call.flight = b"inbox"
        call.caller.begin(call, STREAM)
        return call

    async def settle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    async def answer_all(self, most: int = 100) -> None:
        """Whatever is asked, until nothing is."""
        for _ in range(most):
            await self.settle()
            if not self.calls.sent:
                return
            self.answer(b"answer to %b" % self.calls.bodies[len(self.calls.requests) - len(self.calls.sent)])

    @property
    def statuses(self) -> list[int]:
        return self.transport.statuses

    @property
    def counted(self) -> dict[int, float]:
        registry = CollectorRegistry()
        registry.register(self.calls.counts)
        lines = generate_latest(registry).decode()
        return {int(k): float(v) for k, v in re.findall(r'tierwise_requests_total\{status="(\d+)"\} (\S+)', lines)}


def code(connection: Connection) -> Any:
    """Of the error that was written last."""
    return json.loads(connection.transport.written.rpartition(b"\r\n\r\n")[2])["error"]["code"]
