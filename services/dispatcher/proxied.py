"""Calls to a backend behind a proxy: the same as an `Origin` offers, carried out by httpx.

Forwarding, CONNECT, logins at the proxy and SOCKS are httpx's. It costs a task and about a millisecond a call, and
9 MB: imported only where a proxy is set. A request is sent once: httpx does not say whether an answer had begun.
"""

from __future__ import annotations

import asyncio
import functools
import os
import ssl
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Final

import httpx

from services.dispatcher.connection import Call
from services.dispatcher.failures import (
    Busy,
    CallbackRaised,
    ConnectFailed,
    Disconnected,
    Phase,
    ProtocolBroken,
    TimedOut,
    Unreadable,
    UpstreamFailure,
)
from services.dispatcher.proxies import ProxyUnusable
from services.dispatcher.upstream import DEFAULT_LIMITS, Limits, default_context, split_url

_PROXY_WANTS_LOGIN: Final = 407


class ProxiedExchange:
    """One call through the proxy: the caller's handle on it, and the task that carries it out."""

    def __init__(self, call: Call, silence_s: float | None, connect_s: float) -> None:
        self.call: Call | None = call  # None: it is over
        self.sent = False
        self.silence_s = silence_s
        self.began = False
        self.task: asyncio.Task[None] | None = None
        self.patience = asyncio.timeout(None)  # runs while the other side is waited for, and never in the queue
        self._connect_s = connect_s
        self._resumed = asyncio.Event()
        self._resumed.set()

    def cancel(self) -> None:
        if self.call is not None:
            self.call = None
            if self.task is not None and self.task is not asyncio.current_task():
                self.task.cancel()

    def pause(self) -> None:
        self._resumed.clear()

    def resume(self) -> None:
        self._resumed.set()

    def fail(self, failure: UpstreamFailure) -> None:
        call, self.call = self.call, None
        if call is not None:
            call.on_failure(failure)

    async def wants_more(self) -> bool:
        """Once it is not paused. From here on the backend is waited for."""
        self.allow(None)
        await self._resumed.wait()
        self.allow(self.silence_s)
        return self.call is not None

    def allow(self, seconds: float | None) -> None:
        self.patience.reschedule(None if seconds is None else asyncio.get_running_loop().time() + seconds)

    async def trace(self, event: str, details: dict[str, Any]) -> None:
        """What httpcore does for it: https://www.encode.io/httpcore/extensions/#trace."""
        if event.endswith(".connect_tcp.started"):
            self.allow(self._connect_s)
        elif event.endswith(".send_request_headers.started") and details["request"].method == b"POST":
            self.sent = True  # a CONNECT reaches the proxy alone
            self.allow(self.silence_s)


class ProxiedOrigin:
    """One backend behind one proxy. `post` begins a call. Raises ProxyUnusable, and ValueError for the url."""

    def __init__(
        self,
        url: str,
        proxy: str,
        *,
        headers: bytes = b"",
        max_connections: int = 256,
        ssl_context: ssl.SSLContext | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        parts = split_url(url)
        self.name = f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"
        self._url = url.rstrip("/")
        self._proxy = proxy
        # Else it opens a tunnel, and every answer is the backend's own.
        self._is_forwarded = parts.scheme == "http" and proxy.lower().startswith("http")
        self._headers = [
            (b"user-agent", b"tierwise"), *_pairs(headers),
            (b"accept-encoding", b"identity"), (b"content-type", b"application/json"),
        ]  # fmt: skip
        self._max_connections = max_connections
        self._ssl_context = ssl_context or default_context()
        self._limits = limits
        self._exchanges: set[ProxiedExchange] = set()
        self._client: httpx.AsyncClient | None = self._new_client()
        self._keeps = True
        self._is_closed = False
        self._closing: set[asyncio.Task[None]] = set()
        try:
            self._client.build_request("POST", self._url)
        except httpx.InvalidURL:
            raise ValueError("the url is none that httpx takes") from None

    def post(self, path: bytes, body: bytes, call: Call, silence_s: float | None = None) -> None:
        url = self._url + path.decode("ascii")
        exchange = ProxiedExchange(call, silence_s, self._limits.connect_s)
        call.exchange = exchange
        loop = asyncio.get_running_loop()
        if self._is_closed:
            loop.call_soon(exchange.fail, ConnectFailed(f"the pool of {self.name} was closed"))
        elif len(self._exchanges) >= self._max_connections + self._limits.waiting:
            loop.call_soon(exchange.fail, Busy(f"{self.name} has {len(self._exchanges)} calls under way and waiting"))
        else:
            self._exchanges.add(exchange)
            exchange.task = loop.create_task(self._carry_out(exchange, url, body))
            exchange.task.add_done_callback(functools.partial(self._ended, exchange))

    def close_when_idle(self) -> None:
        """From now on no connection is kept after its call. Calls that are under way, or come late, are served."""
        self._keeps = False
        self._rest()

    async def close(self) -> None:
        """Ends everything at once: calls under way fail. Returns when no connection is left."""
        self._is_closed = True
        exchanges = tuple(self._exchanges)
        for exchange in exchanges:
            exchange.fail(Disconnected(f"the pool of {self.name} was closed", began=exchange.began))
            if exchange.task is not None:
                exchange.task.cancel()
        await asyncio.gather(*(exchange.task for exchange in exchanges if exchange.task), return_exceptions=True)
        if self._client is not None:
            client, self._client = self._client, None
            await client.aclose()
        await asyncio.gather(*self._closing)

    def _ended(self, exchange: ProxiedExchange, _: asyncio.Task[None]) -> None:
        """Also where the task was cancelled before it ran."""
        self._exchanges.discard(exchange)
        self._rest()

    async def _carry_out(self, exchange: ProxiedExchange, url: str, body: bytes) -> None:
        try:
            failure = await self._try(exchange, url, body)
        except Exception as error:  # noqa: BLE001 — ours: the loop is told, and no other call is hurt
            asyncio.get_running_loop().call_exception_handler(
                {"message": "a call through a proxy raised", "exception": error}
            )
            failure = CallbackRaised(f"{type(error).__name__} in our handling of a call of {self.name}")
        if failure is not None:
            exchange.fail(failure)

    async def _try(self, exchange: ProxiedExchange, url: str, body: bytes) -> UpstreamFailure | None:
        try:
            async with exchange.patience:
                if self._client is None:
                    self._client = self._new_client()
                request = self._client.build_request(
                    "POST", url, content=body, headers=self._headers, extensions={"trace": exchange.trace}
                )
                response = await self._client.send(request, stream=True)
                try:
                    return await self._tell(exchange, response)
                finally:
                    await response.aclose()
        except TimeoutError:
            if not exchange.patience.expired():
                raise
            return self._timed_out(exchange)
        except httpx.TransportError as error:
            return self._failure_of(error, exchange)

    async def _tell(self, exchange: ProxiedExchange, response: httpx.Response) -> UpstreamFailure | None:
        exchange.began = True
        headers = [(name.lower(), value) for name, value in response.headers.raw]
        status = response.status_code
        encoding = response.headers.get("content-encoding", "").lower()
        is_readable = encoding in {"", "identity"}
        if status == _PROXY_WANTS_LOGIN and self._is_forwarded:
            exchange.sent = False  # to the backend
            return ConnectFailed(f"the proxy on the way to {self.name} wants a login")
        if status < 200:
            return ProtocolBroken(f"{self.name} answered with the status {status}")
        if not is_readable and status < 400:
            return Unreadable(
                f"{self.name} sent an answer in the encoding {encoding[:40]!r}, though none was asked for"
            )
        if exchange.call is not None:
            exchange.call.on_head(status, headers)
        parts = response.aiter_raw()
        while await exchange.wants_more():
            part = await anext(parts, None)
            call = exchange.call
            if call is None:
                break
            if part is None:
                exchange.call = None
                call.on_end()
            elif is_readable:
                call.on_body(part)
        return None

    def _timed_out(self, exchange: ProxiedExchange) -> TimedOut:
        if not exchange.sent:
            return TimedOut(f"{self.name} took no connection within {self._limits.connect_s:g} s", "connect")
        phase: Phase = "between_bytes" if exchange.began else "first_byte"
        return TimedOut(f"{self.name} sent nothing for {exchange.silence_s or 0:g} s", phase)

    def _failure_of(self, error: httpx.TransportError, exchange: ProxiedExchange) -> UpstreamFailure:
        """In the words of the direct way. Those of the library may quote what came, from the proxy too."""
        name, began = self.name, exchange.began
        if isinstance(error, httpx.TimeoutException):  # the system's own
            return self._timed_out(exchange)
        if isinstance(error, httpx.ProxyError):
            return ConnectFailed(f"the proxy on the way to {name} opened no way to it")
        if isinstance(error, httpx.ConnectError | httpx.UnsupportedProtocol):
            return ConnectFailed(f"cannot connect to {name} through its proxy: {_reason(error)}")
        is_protocol = isinstance(error, httpx.ProtocolError)
        if is_protocol and not str(error).startswith(("Server disconnected", "peer closed")):
            return ProtocolBroken(f"{name} sent what is not HTTP/1.1")
        when = "in the middle of its answer" if began else "without an answer"
        return Disconnected(f"{name} closed the connection {when}", began=began)

    def _rest(self) -> None:
        if not self._keeps and not self._exchanges and self._client is not None:
            client, self._client = self._client, None
            closing = asyncio.get_running_loop().create_task(client.aclose())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    def _new_client(self) -> httpx.AsyncClient:
        limits = self._limits
        try:
            return httpx.AsyncClient(
                proxy=self._proxy,
                trust_env=False,
                verify=self._ssl_context,
                timeout=None,  # noqa: S113 — each exchange has its own patience
                cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # one caller's are not the next one's
                limits=httpx.Limits(
                    max_connections=self._max_connections,
                    max_keepalive_connections=self._max_connections,
                    keepalive_expiry=limits.idle_s,
                ),
            )
        except ImportError:
            raise ProxyUnusable("a SOCKS proxy needs the package socksio, which is not installed") from None
        except (ValueError, httpx.InvalidURL):
            raise ProxyUnusable("the proxy set for it is no http://, https:// or socks5:// URL") from None


def _reason(error: BaseException) -> str:
    """Of the first cause that the system or TLS has a word for: never one that somebody sent."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"TLS: {cause.verify_message}"
        if isinstance(cause, OSError) and cause.errno and not isinstance(cause, ssl.SSLError):
            return os.strerror(cause.errno) if cause.errno > 0 else "no such name"
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__


def _pairs(lines: bytes) -> list[tuple[bytes, bytes]]:
    pairs = [line.partition(b": ") for line in lines.split(b"\r\n") if line]
    return [(name, value) for name, _, value in pairs]
