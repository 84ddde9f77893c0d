"""Pages of other origins: those in `server.cors_origins` may ask from a browser, and read the answers.

No credentials: who pays is said by a header, never by a cookie.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

Origins = tuple[str, ...]
VARY: Final = "vary: origin\r\n"
EXPOSED: Final = "access-control-expose-headers: *\r\n"


def is_allowed(origin: str, origins: Origins) -> bool:
    return origin in origins or "*" in origins


def lines(origin: bytes, origins: Origins) -> str:
    """The header lines of an answer to a page of `origin`, beside `vary`; nothing where it may not read it."""
    if "*" in origins:
        return f"access-control-allow-origin: *\r\n{EXPOSED}"
    name = origin.decode("latin-1")
    return f"access-control-allow-origin: {name}\r\n{EXPOSED}" if name in origins else ""


def vary(origins: Origins) -> str:
    """The line of every answer, whoever asks: what is kept for one page must not be given to another."""
    return VARY if _differs(origins) else ""


def _differs(origins: Origins) -> bool:
    return bool(origins) and "*" not in origins


class Cors:
    """The same, and preflights, for the routes of `app`. `origins` are asked for at each request: they may change."""

    def __init__(self, app: ASGIApp, origins: Callable[[], Origins]) -> None:
        self._app = app
        self._origins = origins
        self._made_for: Origins = ()
        self._made: ASGIApp = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app
        if scope["type"] == "http":
            origins = self._origins()
            origin = next((value for name, value in scope["headers"] if name == b"origin"), b"").decode("latin-1")
            if origin and is_allowed(origin, origins):
                app = self._middleware(origins)
            elif _differs(origins):
                send = _varying(send)
            if scope["method"] == "HEAD":
                scope = {**scope, "method": "GET"}  # answered as GET is; the server leaves the body out
        await app(scope, receive, send)

    def _middleware(self, origins: Origins) -> ASGIApp:
        if origins != self._made_for:
            self._made_for = origins
            self._made = CORSMiddleware(
                self._app, allow_origins=origins, allow_methods=["*"], allow_headers=["*"], expose_headers=["*"]
            )
        return self._made


def _varying(send: Send) -> Send:
    async def send_varying(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).add_vary_header("origin")
        await send(message)

    return send_varying
