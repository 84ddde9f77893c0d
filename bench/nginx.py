"""nginx, where it is installed: the cheapest backend, and, by `proxy_pass`, the least that forwarding costs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.processes import Server, free_port, listening
from bench.traffic import ANSWER

# One worker: what is measured next to it needs the other core. Bodies stay in memory; nginx would write those over
# 16 KB to a file. Its `return` answers before a body has been read, so it is asked with small ones only.
CONFIG = """
worker_processes 1;
worker_rlimit_nofile 16384;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  keepalive_timeout 300s;
  client_max_body_size 0;
  client_body_buffer_size 1m;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
{parts}
}}
"""
ANSWERING = """
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    default_type application/json;
    location / {{ return 200 '{answer}'; }}
  }}
"""
FORWARDING = """
  upstream to_{name} {{ server 127.0.0.1:{to}; keepalive 1024; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://to_{name};
      proxy_http_version 1.1;
      proxy_set_header Connection "";
    }}
  }}
"""


def has_nginx() -> bool:
    return shutil.which("nginx") is not None


@contextmanager
def nginx_backend(folder: Path) -> Iterator[Server]:
    """Answers every request at once, with its files in `folder`, until left."""
    port = free_port()
    with _nginx(folder, ANSWERING.format(port=port, answer=ANSWER.decode()), port) as server:
        yield server


@contextmanager
def nginx_proxy(folder: Path, backends: dict[str, Server]) -> Iterator[dict[str, Server]]:
    """Forwards to each of `backends` from a port of its own. One process, which is not the backend's."""
    ports = {name: free_port() for name in backends}
    parts = [FORWARDING.format(name=name, port=ports[name], to=to.port) for name, to in backends.items()]
    with _nginx(folder, "".join(parts), *ports.values()) as server:
        yield {name: Server(port, server.pid) for name, port in ports.items()}


@contextmanager
def _nginx(folder: Path, parts: str, *ports: int) -> Iterator[Server]:
    folder.mkdir()
    config = folder / "nginx.conf"
    config.write_text(CONFIG.format(folder=folder, parts=parts))
    with listening(["nginx", "-c", str(config), "-e", str(folder / "error.log")], *ports) as server:
        yield server
