"""A NATS server that one test has for itself, to freeze, kill and start again."""

from pathlib import Path

from tierwise.embedded.nats import NatsServer
from tierwise.ports import FreePorts


def own_nats(folder: Path, ports: FreePorts | None = None) -> NatsServer:
    """Not started yet: `nats_part` makes a part of it. `ports`: those that the test takes others from."""
    ports = ports or FreePorts()
    return NatsServer(
        server_name="own",
        port=ports.take(),
        monitor_port=ports.take(),
        user="tierwise",
        password="tests",
        folder=folder / "nats",
    )
