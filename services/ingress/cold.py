"""A request of another route than the hot one: uvicorn's cycle carries it through FastAPI, at its turn."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl

if TYPE_CHECKING:
    from uvicorn import Config
    from uvicorn._types import HTTPScope
    from uvicorn.server import ServerState

    from services.ingress.heads import Headers

MOST_UNREAD: Final = 64 * 1024  # bytes of a body that the route has not taken; more are not read


class BadTarget(Exception):
    """No target of a request (RFC 9112, 3.2)."""


class Flow(FlowControl):
    """One connection's; the cycle tells it when it can take more of its body."""

    def __init__(self, transport: asyncio.Transport, on_wanted: Callable[[], None]) -> None:
        super().__init__(transport)
        self._on_wanted = on_wanted

    def resume_reading(self) -> None:
        self._on_wanted()


class Cold:
    """The other routes of one connection."""

    def __init__(
        self,
        config: Config,
        state: ServerState,
        app_state: dict[str, Any],
        transport: asyncio.Transport,
        on_wanted: Callable[[], None],
    ) -> None:
        self._config = config
        self._state = state
        self._app_state = app_state
        self._transport = transport
        self.flow = Flow(transport, on_wanted)

    def cycle(
        self, method: str, target: bytes, version: str, headers: Headers, *,
        goes_on: bool, keep_alive: bool, on_response: Callable[[], None],
    ) -> RequestResponseCycle:  # fmt: skip
        """One that has not been started. Raises BadTarget."""
        raw_path, query = _parts(target)
        root = self._config.root_path
        path = raw_path.decode("latin-1")
        transport = self._transport
        scope = {
            "type": "http",
            "asgi": {"version": self._config.asgi_version, "spec_version": "2.3"},
            "http_version": version,
            "server": get_local_addr(transport),
            "client": get_remote_addr(transport),
            "scheme": "https" if is_ssl(transport) else "http",
            "method": method,
            "root_path": root,
            "path": root + (unquote(path) if "%" in path else path),
            "raw_path": root.encode() + raw_path,
            "query_string": query,
            "headers": [(name.lower(), value) for name, value in headers],
            "state": self._app_state.copy(),
        }
        return RequestResponseCycle(
            scope=cast("HTTPScope", scope),
            transport=transport,
            flow=self.flow,
            logger=logging.getLogger("uvicorn.error"),
            access_logger=logging.getLogger("uvicorn.access"),
            access_log=False,
            default_headers=self._state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=goes_on,
            keep_alive=keep_alive,
            on_response=on_response,
        )

    def start(self, cycle: RequestResponseCycle) -> None:
        cycle.default_headers = self._state.default_headers  # of now: it may have waited
        task = asyncio.get_running_loop().create_task(cycle.run_asgi(self._config.loaded_app))
        task.add_done_callback(self._state.tasks.discard)
        self._state.tasks.add(task)


def take(cycle: RequestResponseCycle, body: bytes) -> bool:
    """False: the route should take what has come before more is read."""
    if cycle.response_complete:
        return True
    cycle.body += body
    cycle.message_event.set()
    return len(cycle.body) <= MOST_UNREAD


def complete(cycle: RequestResponseCycle) -> None:
    """The body's end has come."""
    cycle.more_body = False
    cycle.message_event.set()


def disconnect(cycle: RequestResponseCycle) -> None:
    """The caller is gone, or what it sends can no longer be read."""
    cycle.disconnected = not cycle.response_complete
    cycle.message_event.set()


def _parts(target: bytes) -> tuple[bytes, bytes]:
    if target == b"*":
        return b"*", b""
    try:
        parsed = httptools.parse_url(target)
    except httptools.HttpParserInvalidURLError:
        raise BadTarget from None
    return parsed.path or b"/", parsed.query or b""
