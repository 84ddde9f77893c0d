"""The embedded NATS server: its config, its part, and whether the one that answers is ours."""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import httpx

from tierwise.part import CannotStart, Leave, NotReady, Part
from tierwise.probes import loopback_client


@dataclass(frozen=True, kw_only=True)
class NatsServer:
    """`accounts` are for tests: users whose subjects and JetStream nobody else sees."""

    server_name: str
    port: int
    monitor_port: int
    user: str
    password: str
    folder: Path
    accounts: int = 0

    @property
    def url(self) -> str:
        return f"nats://{self.user}:{self.password}@127.0.0.1:{self.port}"

    def account_url(self, number: int) -> str:
        assert number < self.accounts
        return f"nats://test-{number}:{self.password}@127.0.0.1:{self.port}"


def config_text(server: NatsServer) -> str:
    """JSON's strings are NATS' strings, so a path may hold what it likes.

    - `listen`: the default would be every address of the machine.
    - `max_pending`: a reader that is further behind is dropped, and with it every request on its connection.
    - `max_file`: a roof that never binds; the streams carry the limits. The default is a share of what is free *now*,
      and would refuse tomorrow, on a fuller disk, the stream that it took today.
    - `sync_interval`: what a power cut may cost; a killed process costs nothing.
    """
    lines = [
        f"server_name: {json.dumps(server.server_name)}",
        f'listen: "127.0.0.1:{server.port}"',
        f'http: "127.0.0.1:{server.monitor_port}"',
        "max_payload: 1MB",
        "max_pending: 256MB",
        "jetstream {",
        f"  store_dir: {_quoted(server.folder / 'jetstream')}",
        "  max_mem: 256MB, max_file: 1TB, sync_interval: 10s",
        "}",
    ]
    if server.accounts:
        lines += ["accounts {", *(_account(server, number) for number in range(server.accounts)), "}"]
    else:
        lines.append(f"authorization {{ user: {json.dumps(server.user)}, password: {json.dumps(server.password)} }}")
    return "\n".join(lines) + "\n"


def nats_part(server: NatsServer) -> Part:
    binary = Path(sys.executable).parent / "nats-server"
    if not binary.exists():
        raise CannotStart(
            f"{binary} is missing: run `make install`, or name a NATS server of yours in TIERWISE_NATS_URL"
        )
    config = server.folder / "nats.conf"

    async def prepare() -> None:
        server.folder.mkdir(parents=True, exist_ok=True)
        config.touch(mode=0o600)
        config.write_text(config_text(server))

    async def probe() -> None:
        await _is_ours_and_ready(server)

    environment = dict(os.environ)
    if (os.cpu_count() or 1) <= 2:
        environment.setdefault("GOMAXPROCS", "1")  # halves what a message costs, where cores are few
    return Part(
        name="nats",
        command=(str(binary), "-c", str(config)),
        environment=environment,
        cwd=server.folder.parent,
        leave=Leave.STORE,
        prepare=prepare,
        probe=probe,
    )


async def _is_ours_and_ready(server: NatsServer) -> None:
    base = f"http://127.0.0.1:{server.monitor_port}"
    try:
        async with loopback_client() as client:
            name = (await client.get(f"{base}/varz")).json().get("server_name")
            if name != server.server_name:
                raise CannotStart(
                    f"port {server.monitor_port} answers as the NATS server {name!r}, which is not ours: start again"
                )
            health = await client.get(f"{base}/healthz", params={"js-enabled-only": "true"})
    except (httpx.HTTPError, ValueError) as error:
        raise NotReady(f"its monitoring port {server.monitor_port}") from error
    if health.status_code != httpx.codes.OK:
        raise NotReady("JetStream")


def _account(server: NatsServer, number: int) -> str:
    user, password = json.dumps(f"test-{number}"), json.dumps(server.password)
    return f"  T{number} {{ jetstream: enabled, users: [{{ user: {user}, password: {password} }}] }}"


def _quoted(path: Path) -> str:
    return json.dumps(str(path), ensure_ascii=False)
