"""Every process' own small door for operators: /healthz, /readyz, /metrics, on TIERWISE_OPS_PORT.

The standard library's server in a thread: no framework in processes that are to stay small, and a health check
is answered even while the loop is busy. What it reads, the loop may change at any moment: one look has to do, at a
number, a length, or a copy such as `list(a_dict)`; whoever walks through the loop's own dict fails under load.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from socketserver import TCPServer, ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from shared.settings import OpsSettings

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment


class Readiness:
    """What a process still waits for before it can serve, by name. Empty: ready."""

    def __init__(self, *parts: str) -> None:
        self._waiting = dict.fromkeys(parts)

    def done(self, part: str) -> None:
        self._waiting.pop(part, None)

    def lost(self, part: str) -> None:
        self._waiting[part] = None

    def set(self, part: str, *, ready: bool) -> None:
        (self.done if ready else self.lost)(part)

    @property
    def waiting_for(self) -> list[str]:
        return list(self._waiting)

    @property
    def ready(self) -> bool:
        return not self._waiting


class OpsServer:
    """Serves until `close`. `port` is the one it got."""

    def __init__(
        self, settings: OpsSettings, service: str, readiness: Readiness, registry: CollectorRegistry
    ) -> None:
        self._server = make_server(
            settings.host,
            settings.port,
            _application(service, readiness, lambda: generate_latest(registry)),
            server_class=_Server,
            handler_class=_QuietHandler,
        )
        self.port: int = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, name="ops", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def server_bind(self) -> None:
        # HTTPServer's own looks the host's name up in the DNS, which takes seconds on a machine without one.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.socket.getsockname()[:2]
        self.setup_environ()


class _QuietHandler(WSGIRequestHandler):
    timeout = 10

    def log_message(self, *_: Any) -> None:
        """A scrape every few seconds is no news."""


def _application(
    service: str, readiness: Readiness, metrics: Callable[[], bytes]
) -> Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]]:
    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        content_type = "application/json"
        if path == "/metrics":
            status, body, content_type = "200 OK", metrics(), CONTENT_TYPE_LATEST
        elif path == "/healthz":
            status, body = "200 OK", json.dumps({"status": "alive", "service": service}).encode()
        elif path == "/readyz":
            waiting = readiness.waiting_for
            status = "503 Service Unavailable" if waiting else "200 OK"
            body = json.dumps(
                {"status": "waiting" if waiting else "ready", "service": service, "waiting_for": waiting}
            ).encode()
        else:
            status = "404 Not Found"
            body = json.dumps({"error": {"message": "here are /healthz, /readyz and /metrics"}}).encode()
        start_response(status, [("content-type", content_type), ("content-length", str(len(body)))])
        return [body]

    return application
