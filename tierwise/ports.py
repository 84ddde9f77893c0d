"""Which TCP ports are free, and who holds one that isn't."""

import random
import socket
from pathlib import Path

# Below the range from which Linux and macOS take source ports: one of those may be occupied for a moment by
# anybody's outgoing connection, just when a part that died wants its port back.
FREE_RANGE = range(20_000, 32_000)


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


class FreePorts:
    """Hands out ports that are free now, none of them twice."""

    def __init__(self) -> None:
        self._given: set[int] = set()

    def take(self, preferred: int | None = None, host: str = "127.0.0.1") -> int:
        """The preferred port where it is free, else another."""
        candidates = [preferred] if preferred else []
        candidates += random.sample(FREE_RANGE, 200)
        for port in candidates:
            if port not in self._given and is_free(port, host):
                self._given.add(port)
                return port
        raise OSError(f"no free TCP port found on {host} between {FREE_RANGE.start} and {FREE_RANGE.stop}")


def holder(port: int) -> str | None:
    """`PID 4711, nginx`, where the kernel tells us (Linux, and a process that we may look into)."""
    inodes = _listening_inodes(port)
    if not inodes:
        return None
    for process in Path("/proc").glob("[0-9]*"):
        try:
            for descriptor in (process / "fd").iterdir():
                if str(descriptor.readlink()) in inodes:
                    return f"PID {process.name}, {(process / 'comm').read_text().strip()}"
        except OSError:  # ended meanwhile, or another user's
            continue
    return None


def _listening_inodes(port: int) -> set[str]:
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for fields in map(str.split, lines):
            local, state, inode = fields[1], fields[3], fields[9]
            if state == "0A" and int(local.rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{inode}]")
    return inodes
