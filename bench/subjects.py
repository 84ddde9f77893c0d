"""Who is measured: the backends alone, nginx in front of them, Tierwise, the peers. One more is a new `Subject`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.load import Door
from bench.nginx import has_nginx, nginx_backend, nginx_proxy
from bench.peers import litellm, tensorzero
from bench.processes import CannotRun, free_port, listening
from bench.router import tierwise
from bench.subject import DIRECT, FAST, LITELLM, NGINX, OWN, PATH, TENSORZERO, TIERWISE, Backends, Running, Subject


@contextmanager
def backends(folder: Path) -> Iterator[Backends]:
    """Both, until left, with their files in `folder`."""
    port = free_port()
    with listening([sys.executable, "-m", "bench.mock", str(port)], port) as own:
        if not has_nginx():
            yield {FAST: own, OWN: own}
            return
        with nginx_backend(folder / "fast") as fast:
            yield {FAST: fast, OWN: own}


def subjects(to: Backends, folder: Path, cache: Path) -> list[Subject]:
    """In the order of the table; the others are compared with the first. `cache` has the peers' environments."""
    return [
        Subject(DIRECT, lambda: _direct(to)),
        Subject(NGINX, lambda: _nginx(to, folder)),
        Subject(TIERWISE, lambda: tierwise(to, folder)),
        Subject(TENSORZERO, lambda: tensorzero(to, folder, cache)),
        Subject(LITELLM, lambda: litellm(to, folder, cache)),
    ]


@contextmanager
def _direct(to: Backends) -> Iterator[Running]:
    yield Running({name: Door(server.url + PATH, "mock", {}) for name, server in to.items()})


@contextmanager
def _nginx(to: Backends, folder: Path) -> Iterator[Running]:
    if not has_nginx():
        raise CannotRun("nginx is not installed")
    with nginx_proxy(folder / "proxy", dict(to)) as proxies:
        doors = {name: Door(proxy.url + PATH, "mock", {}) for name, proxy in proxies.items()}
        yield Running(doors, {"nginx": proxies[FAST].pid})
