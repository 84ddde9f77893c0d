"""A backend that is no bottleneck: it answers every POST at once, always the same. nginx where there is one.

nginx also serves the row that shows what forwarding costs at least, by `proxy_pass`.
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
error_log {folder}/error.log;
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
  {upstream}
  server {{
    listen 127.0.0.1:{port};
    default_type application/json;
    location / {{ {location} }}
  }}
}}
"""


@dataclass(frozen=True)
class Server:
    url: str
    port: int
    pid: int


def has_nginx() -> bool:
    return shutil.which("nginx") is not None


@contextmanager
def mock_upstream(folder: Path) -> Iterator[Server]:
    """Runs until left, with its files in `folder`."""
    if has_nginx():
        with _nginx(folder / "mock", "", f"return 200 '{ANSWER.decode()}';") as server:
            yield server
    else:
        port = _free_port()
        with _listening([sys.executable, "-m", "bench.mock_upstream", str(port)], port) as server:
            yield server


@contextmanager
def nginx_proxy(folder: Path, mock: Server) -> Iterator[Server]:
    """What forwarding costs at least. A process of its own, so that the mock's work is not counted with it."""
    upstream = f"upstream mock {{ server 127.0.0.1:{mock.port}; keepalive 256; keepalive_requests 1000000000; }}"
    location = 'proxy_pass http://mock; proxy_http_version 1.1; proxy_set_header Connection "";'
    with _nginx(folder / "proxy", upstream, location) as server:
        yield server


@contextmanager
def _nginx(folder: Path, upstream: str, location: str) -> Iterator[Server]:
    folder.mkdir()
    port = _free_port()
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, port=port, upstream=upstream, location=location))
    with _listening(["nginx", "-c", str(config), "-e", str(folder / "error.log")], port) as server:
        yield server


@contextmanager
def _listening(command: list[str], port: int) -> Iterator[Server]:
    process = subprocess.Popen(command)
    with ended(process):
        until_it_listens(process, port)
        yield Server(f"http://127.0.0.1:{port}", port, process.pid)


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
