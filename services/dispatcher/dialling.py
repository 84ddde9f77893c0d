"""From a name to an open socket: every address of it gets its turn, within the one limit that the caller keeps."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Sequence
from itertools import chain, zip_longest
from typing import Any, Final

NEXT_ADDRESS_S: Final = 0.25  # RFC 8305 §8: how long an address may be silent before the next is tried beside it
# A host that vanished without a word after it took a request: noticed in half a minute, however long its model may
# think. No TCP_USER_TIMEOUT: it would also end what merely waits, in the backend's queue or for a slow reader.
PROBED_AFTER_S: Final = 15
PROBED_EVERY_S: Final = 5
PROBES: Final = 3

Address = tuple[socket.AddressFamily, socket.SocketKind, int, str, Any]  # as getaddrinfo has it


async def dial(host: str, port: int) -> socket.socket:
    """A connected socket. Raises OSError with what each address said, UnicodeError for what cannot be a name."""
    addresses = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return await first_of(addresses)


async def first_of(addresses: Sequence[Address]) -> socket.socket:
    """The first that connects. Each is tried when the one before has failed, or been silent for a moment."""
    if len(addresses) == 1:
        return await _connected(addresses[0])
    left = deque(_families_in_turn(addresses))
    attempts: set[asyncio.Task[socket.socket]] = set()
    faults: list[str] = []
    try:
        while left or attempts:
            if left:
                attempts.add(asyncio.create_task(_connected(left.popleft())))
            patience_s = NEXT_ADDRESS_S if left else None
            done, _ = await asyncio.wait(attempts, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
            for attempt in done:
                attempts.remove(attempt)
                error = attempt.exception()
                if error is None:
                    return attempt.result()
                if not isinstance(error, OSError):
                    raise error
                faults.append(str(error))
    finally:
        for attempt in attempts:
            attempt.add_done_callback(_close_socket)
            attempt.cancel()
    raise OSError("; ".join(faults) or "the name has no address")


async def _connected(address: Address) -> socket.socket:
    family, kind, protocol, _, where = address
    opened = socket.socket(family, kind, protocol)
    try:
        opened.setblocking(False)
        for option, value in _OPTIONS:
            opened.setsockopt(socket.IPPROTO_TCP, option, value)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        await asyncio.get_running_loop().sock_connect(opened, where)
    except BaseException:
        opened.close()
        raise
    return opened


def _close_socket(attempt: asyncio.Task[socket.socket]) -> None:
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().close()


def _families_in_turn(addresses: Sequence[Address]) -> list[Address]:
    """The resolver's order, but never two of one family in a row while the other has one left: RFC 8305 §4."""
    first = [address for address in addresses if address[0] == addresses[0][0]]
    others = [address for address in addresses if address[0] != addresses[0][0]]
    return [address for address in chain(*zip_longest(first, others)) if address is not None]


# Those that this system has; macOS and Windows lack some.
_OPTIONS: Final = tuple(
    (getattr(socket, name), value)
    for name, value in {
        "TCP_NODELAY": 1,
        "TCP_KEEPIDLE": PROBED_AFTER_S,
        "TCP_KEEPINTVL": PROBED_EVERY_S,
        "TCP_KEEPCNT": PROBES,
    }.items()
    if hasattr(socket, name)
)
