"""Calls to a backend behind a proxy: the same as an `Origin` offers, carried out by httpx.

Forwarding, CONNECT, logins at the proxy and SOCKS are httpx's. It costs a task and about a millisecond a call, and
15 MB: imported only where a proxy is set.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from typing import Any, Final

import httpx

from services.dispatcher.connection import Call
from services.dispatcher.failures import (
    Busy,
    CallbackRaised,
    ConnectFailed,
    Disconnected,
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

    def __init__(self, call: Call) -> None:
        self.call: Call | None = call  # None: it is over
        self.sent = False
        self.task: asyncio.Task[None] | None = None
        self.is_on_new_connection = False
        self.began = False
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

    async def until_resumed(self) -> None:
        await self._resumed.wait()

    async def trace(self, event: str, details: dict[str, Any]) -> None:
        """What httpcore does for it: https://www.encode.io/httpcore/extensions/#trace."""
        if event.endswith(".connect_tcp.started"):
            self.is_on_new_connection = True
        elif event.endswith(".send_request_headers.started") and details["request"].method == b"POST":
            self.sent = True  # a CONNECT reaches the proxy alone


class ProxiedOrigin:
    """One backend behind one proxy. `post` begins a call. Raises ProxyUnusable."""

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
        self._headers = [(b"user-agent", b"tierwise"), *_pairs(headers)]
        self._max_connections = max_connections
        self._ssl_context = ssl_context or default_context()
        self._limits = limits
        self._exchanges: set[ProxiedExchange] = set()
        self._client: httpx.AsyncClient | None = self._new_client()
        self._keeps = True
        self._is_closed = False
        self._closing: set[asyncio.Task[None]] = set()

    def post(self, path: bytes, body: bytes, call: Call, *, streamed: bool = False) -> None:
        exchange = ProxiedExchange(call)
        call.exchange = exchange
        loop = asyncio.get_running_loop()
        if self._is_closed:
            loop.call_soon(exchange.fail, ConnectFailed(f"the pool of {self.name} was closed"))
        elif len(self._exchanges) >= self._max_connections + self._limits.waiting:
            loop.call_soon(exchange.fail, Busy(f"{self.name} has {len(self._exchanges)} calls under way and waiting"))
        else:
            self._exchanges.add(exchange)
            exchange.task = loop.create_task(self._carry_out(exchange, path.decode("ascii"), body, streamed=streamed))

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

    async def _carry_out(self, exchange: ProxiedExchange, path: str, body: bytes, *, streamed: bool) -> None:
        try:
            loop = asyncio.get_running_loop()
            since = loop.time()
            failure = await self._try(exchange, path, body, streamed=streamed)
            # A server that closed a kept connection while the request was on its way has not read it.
            if (
                isinstance(failure, Disconnected)
                and not (exchange.began or exchange.is_on_new_connection)
                and loop.time() - since <= self._limits.stale_s
            ):
                failure = await self._try(exchange, path, body, streamed=streamed)
            if failure is not None:
                exchange.fail(failure)
        finally:
            self._exchanges.discard(exchange)
            self._rest()

    async def _try(
        self, exchange: ProxiedExchange, path: str, body: bytes, *, streamed: bool
    ) -> UpstreamFailure | None:
        limits = self._limits
        patience_s = limits.first_streamed_byte_s if streamed else limits.first_byte_s
        try:
            if self._client is None:
                self._client = self._new_client()
            request = self._client.build_request(
                "POST", self._url + path, content=body, headers=self._request_headers(),
                extensions={"trace": exchange.trace},
            )  # fmt: skip
            async with asyncio.timeout(patience_s):
                response = await self._client.send(request, stream=True)
            try:
                return await self._tell(exchange, response)
            finally:
                await response.aclose()
        except (httpx.TransportError, TimeoutError) as error:
            return self._failure_of(error, exchange, patience_s)

    async def _tell(self, exchange: ProxiedExchange, response: httpx.Response) -> UpstreamFailure | None:
        exchange.began = True
        headers = [(name.lower(), value) for name, value in response.headers.raw]
        status = response.status_code
        encoding = response.headers.get("content-encoding", "identity").lower()
        if status == _PROXY_WANTS_LOGIN:
            return ConnectFailed(f"the proxy on the way to {self.name} wants a login")
        if status < 200:
            return ProtocolBroken(f"{self.name} answered with the status {status}")
        if encoding != "identity" and status < 400:
            return Unreadable(
                f"{self.name} sent an answer in the encoding {encoding[:40]!r}, though none was asked for"
            )
        try:
            if exchange.call is not None:
                exchange.call.on_head(status, headers)
            async for part in _parts(exchange, response):
                if exchange.call is not None and encoding == "identity":
                    exchange.call.on_body(part)
            call, exchange.call = exchange.call, None
            if call is not None:
                call.on_end()
        except httpx.TransportError:
            raise
        except Exception as error:  # noqa: BLE001 — ours: the loop is told, and no other call is hurt
            asyncio.get_running_loop().call_exception_handler(
                {"message": "a call raised while it was told of its answer", "exception": error}
            )
            return CallbackRaised(f"{type(error).__name__} in our handling of {self.name}'s answer")
        return None

    def _failure_of(self, error: Exception, exchange: ProxiedExchange, patience_s: float | None) -> UpstreamFailure:
        """In the words of the direct way. Those of the library may quote what came."""
        name, limits, began = self.name, self._limits, exchange.began
        if isinstance(error, httpx.ConnectTimeout):
            return TimedOut(f"{name} took no connection within {limits.connect_s:g} s", "connect")
        if isinstance(error, httpx.ReadTimeout):
            return TimedOut(f"{name} sent nothing for {limits.between_bytes_s or 0:g} s", "between_bytes")
        if isinstance(error, TimeoutError):
            return TimedOut(f"{name} sent nothing for {patience_s or 0:g} s", "first_byte")
        if isinstance(error, httpx.ConnectError | httpx.ProxyError | httpx.UnsupportedProtocol):
            return ConnectFailed(f"cannot connect to {name} through its proxy: {error}")
        is_protocol = isinstance(error, httpx.ProtocolError)
        if is_protocol and not str(error).startswith(("Server disconnected", "peer closed")):
            return ProtocolBroken(f"{name} sent what is not HTTP/1.1")
        when = "in the middle of its answer" if began else "without an answer"
        return Disconnected(f"{name} closed the connection {when}", began=began)

    def _request_headers(self) -> list[tuple[bytes, bytes]]:
        return [*self._headers, (b"accept-encoding", b"identity"), (b"content-type", b"application/json")]

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
                timeout=httpx.Timeout(None, connect=limits.connect_s, read=limits.between_bytes_s),
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


async def _parts(exchange: ProxiedExchange, response: httpx.Response) -> AsyncIterator[bytes]:
    """The body as it comes, as long as it is wanted."""
    async for part in response.aiter_raw():
        await exchange.until_resumed()
        if exchange.call is None:
            return
        yield part


def _pairs(lines: bytes) -> list[tuple[bytes, bytes]]:
    pairs = [line.partition(b": ") for line in lines.split(b"\r\n") if line]
    return [(name, value) for name, _, value in pairs]
