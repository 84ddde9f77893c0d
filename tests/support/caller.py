"""A caller of the router who sees every byte: plain answers, streams event by event, and a crowd that never rests."""

import http.client
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlsplit

from tests.support.wait import PATIENCE_S, wait_until

PATH = "/v1/chat/completions"
HELLO: Mapping[str, Any] = {"model": "auto", "messages": [{"role": "user", "content": "Say hello."}]}


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    took_s: float

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def request_id(self) -> str:
        return self.headers["x-tierwise-request-id"]

    @property
    def text(self) -> str:
        return str(self.json["choices"][0]["message"]["content"])

    @property
    def error(self) -> dict[str, Any]:
        """Checked to be of OpenAI's shape, with the request's id."""
        error = self.json["error"]
        assert set(error) == {"message", "type", "param", "code", "request_id"}, error
        assert error["message"], error
        assert error["type"], error
        assert error["request_id"] == self.request_id == self.headers["x-request-id"]
        assert self.headers["content-type"] == "application/json"
        return dict(error)


def chat(**changes: Any) -> dict[str, Any]:
    return {**HELLO, **changes}


class Caller:
    """One connection. Each call is begun by `send` and ended by `answer`, or read by `event`; `ask` is both."""

    def __init__(self, url: str, timeout_s: float = 30) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def receive_buffer(self, size: int) -> None:
        """So small that a peer soon sees that nobody reads."""
        self._connection.connect()
        self._connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)

    def ask(self, body: Any = HELLO, **headers: str) -> Answer:
        self.send(body, **headers)
        return self.answer()

    def send(self, body: Any = HELLO, **headers: str) -> None:
        """`headers`: `tierwise_priority="bulk"` is `X-Tierwise-Priority: bulk`."""
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {_header(name): value for name, value in headers.items()}
        self._began = time.monotonic()
        self._connection.request("POST", PATH, payload, {"content-type": "application/json", **named})

    def answer(self) -> Answer:
        self.head()
        return self.read()

    def read(self) -> Answer:
        """What comes after the head."""
        return Answer(self._response.status, self.headers, self._response.read(), time.monotonic() - self._began)

    @property
    def headers(self) -> dict[str, str]:
        return {name.lower(): value for name, value in self._response.getheaders()}

    def head(self) -> http.client.HTTPResponse:
        self._response = self._connection.getresponse()
        return self._response

    def event(self) -> str:
        """The next event of a stream, without its blank line; empty at its end."""
        lines: list[str] = []
        while True:
            line = self._response.readline().decode()
            if line in {"\n", ""}:
                return "".join(lines)
            lines.append(line.rstrip("\n"))

    def events(self) -> list[str]:
        """All that are left."""
        return list(iter(self.event, ""))

    def hang_up(self) -> None:
        assert self._connection.sock is not None
        self._connection.sock.shutdown(socket.SHUT_RDWR)
        self._connection.close()


def _header(name: str) -> str:
    written = name.replace("_", "-")
    return f"x-{written}" if written.startswith("tierwise-") else written


def ask(url: str, body: Any = HELLO, **headers: str) -> Answer:
    with Caller(url) as caller:
        return caller.ask(body, **headers)


def data(event: str) -> Any:
    """What an event's `data:` line holds."""
    assert event.startswith("data: "), event
    return json.loads(event.removeprefix("data: "))


def texts(events: list[str]) -> str:
    chunks = [data(event) for event in events if event.startswith("data: {")]
    return "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks if chunk["choices"])


@dataclass
class Crowd:
    """Callers who ask again and again until left, plain and streamed in turn.

    `answered` are the ids of the requests that got their whole answer, which must be "hello".
    """

    url: str
    callers: int = 12
    answered: list[str] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)  # by status and code, or by what broke
    slowest_s: float = 0.0

    def __enter__(self) -> Self:
        self._leaving = threading.Event()
        self._ended = [0] * self.callers  # requests of each caller
        self._threads = [threading.Thread(target=self._call, args=(i,), daemon=True) for i in range(self.callers)]
        for thread in self._threads:
            thread.start()
        self.wait_for_answers()
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    def leave(self) -> None:
        self._leaving.set()
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive(), "a caller hangs"

    def wait_for_answers(self, more: int = 50, within_s: float = PATIENCE_S) -> None:
        enough = len(self.answered) + more
        wait_until(
            lambda: len(self.answered) >= enough, f"{more} more requests to be answered ({self.refused})", within_s
        )

    def wait_for_each(self, within_s: float = PATIENCE_S) -> None:
        """What is under way now has ended, for every caller, and so has one request after it."""
        enough = [ended + 2 for ended in self._ended]
        wait_until(
            lambda: all(now >= then for now, then in zip(self._ended, enough, strict=True)),
            f"every caller to get on ({self.refused})",
            within_s,
        )

    def be_served_for(self, seconds: float, longest_gap_s: float = 10) -> None:
        """Goes on for so long, and fails as soon as nobody was answered for `longest_gap_s`."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.wait_for_answers(1, longest_gap_s)

    def check_that_all_was_said(self) -> None:
        """Nobody was left with half an answer, or with none: where there was no answer, there was a 503."""
        assert all(refused.startswith(("503 ", "stream ")) for refused in self.refused), self.refused

    def _call(self, number: int) -> None:
        caller = Caller(self.url)
        streamed = False
        while not self._leaving.is_set():
            streamed = not streamed
            began = time.monotonic()
            try:
                request_id, refused = _streamed(caller) if streamed else _plain(caller)
            except (OSError, http.client.HTTPException) as error:
                request_id, refused = "", type(error).__name__
                caller.__exit__()
                caller = Caller(self.url)
            self.slowest_s = max(self.slowest_s, time.monotonic() - began)
            self._ended[number] += 1
            if refused:
                self.refused[refused] += 1
                self._leaving.wait(0.05)  # as an SDK would: a door that is shut is not hammered
            else:
                self.answered.append(request_id)
        caller.__exit__()


def _plain(caller: Caller) -> tuple[str, str]:
    """The request's id, and what was wrong with its answer."""
    answer = caller.ask()
    if answer.status == 200:
        assert answer.text == "hello"
        return answer.request_id, ""
    return answer.request_id, f"{answer.status} {answer.error['code']}"


def _streamed(caller: Caller) -> tuple[str, str]:
    caller.send(chat(stream=True))
    if caller.head().status != 200:
        answer = caller.read()
        return answer.request_id, f"{answer.status} {answer.error['code']}"
    request_id = caller.headers["x-tierwise-request-id"]
    events = caller.events()
    if events[-1] == "data: [DONE]":
        assert texts(events) == "hello"
        return request_id, ""
    error = data(events[-1]).get("error") if events else None
    if error is None:
        return request_id, "cut"
    assert error["request_id"] == request_id
    return request_id, f"stream {error['code']}"
