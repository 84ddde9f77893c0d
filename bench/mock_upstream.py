"""A backend that is no bottleneck: it answers every POST at once, always the same. nginx where there is one.

nginx also serves the row that shows what forwarding costs at least: `proxy_pass` to itself.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httptools

from bench.processes import ended, until_it_listens
from bench.traffic import ANSWER

# `daemon off` and one worker: what is measured next to it needs the other core.
NGINX = """
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  keepalive_timeout 300s;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  upstream mock {{ server 127.0.0.1:{port}; keepalive 256; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port};
    default_type application/json;
    location / {{ return 200 '{answer}'; }}
  }}
  server {{
    listen 127.0.0.1:{proxy_port};
    location / {{ proxy_pass http://mock; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}
}}
"""


@dataclass(frozen=True)
class Mock:
    url: str
    proxy_url: str | None  # nginx' proxy_pass to the same; None where there is no nginx
    pid: int


@contextmanager
def mock_upstream(folder: Path) -> Iterator[Mock]:
    """Runs until left, with its files in `folder`."""
    port, proxy_port = _free_port(), _free_port()
    nginx = shutil.which("nginx")
    if nginx is None:
        command = [sys.executable, "-m", "bench.mock_upstream", str(port)]
    else:
        config = folder / "nginx.conf"
        config.write_text(NGINX.format(folder=folder, port=port, proxy_port=proxy_port, answer=ANSWER.decode()))
        command = [nginx, "-c", str(config), "-e", str(folder / "nginx-error.log")]
    process = subprocess.Popen(command)
    with ended(process):
        until_it_listens(process, port)
        yield Mock(f"http://127.0.0.1:{port}", nginx and f"http://127.0.0.1:{proxy_port}", process.pid)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class _Answering(asyncio.Protocol):
    """The stand-in for nginx."""

    _response = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
        len(ANSWER),
        ANSWER,
    )

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self._transport.write(self._response)


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(_Answering, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    uvloop.run(_serve(int(sys.argv[1])))
