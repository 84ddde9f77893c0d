"""Two hundred streams at once, and one reader among them that stops reading."""

import asyncio
import json
from pathlib import Path
from urllib.parse import urlsplit

from tests.support.caller import PATH, chat, texts
from tests.support.upstream import Request, stream
from tests.support.wait import eventually

READERS = 199
WORDS = ["word "] * 40
MUCH = ["x" * 64 * 1024] * 4096  # 256 MiB: it could be nowhere without being seen
PAUSE_S = 0.05
BOUND_MIB = 48


async def paced(request: Request) -> None:
    """One who stops reading gets much, at once; the others get words, as a model says them."""
    if request.json.get("user") == "stops":
        await stream(MUCH)(request)
    else:
        await stream(WORDS, pause_s=PAUSE_S)(request)


class Reader:
    """One connection that asks for a stream."""

    async def ask(self, url: str, user: str, limit: int = 2**16) -> None:
        parts = urlsplit(url)
        self._reader, self._writer = await asyncio.open_connection(parts.hostname, parts.port, limit=limit)
        body = json.dumps(chat(stream=True, user=user)).encode()
        head = f"POST {PATH} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
        self._writer.write(head.encode() + body)
        self.head = await self._reader.readuntil(b"\r\n\r\n")

    async def events(self) -> list[str]:
        """All of them; chunked framing stands between, on lines of its own."""
        answer = (await self._reader.read(-1)).decode()
        return [line for line in answer.splitlines() if line.startswith("data: ")]

    def leave(self) -> None:
        self._writer.transport.abort()


async def test_who_stops_reading_holds_back_nobody_but_himself(router):
    router.first.always(paced)
    router.second.always(paced)  # takes what the first has no room for
    held_before = memory_mib(router)
    stopped, readers = Reader(), [Reader() for _ in range(READERS)]
    await stopped.ask(router.url, "stops", limit=1024)
    [his] = router.first.requests
    await eventually(his.is_held_back.is_set, "the backend to wait for its reader")
    try:
        await asyncio.gather(*(reader.ask(router.url, "reads") for reader in readers))
        said = await asyncio.gather(*(reader.events() for reader in readers))
        assert [texts(events) for events in said] == ["".join(WORDS)] * READERS
        assert {events[-1] for events in said} == {"data: [DONE]"}
        assert not his.was_answered.is_set(), "it waits, and goes on waiting"
        assert not his.was_cut.is_set()
        assert memory_mib(router) - held_before < BOUND_MIB
    finally:
        stopped.leave()
        for reader in readers:
            reader.leave()
    await eventually(his.was_cut.is_set, "the call of the one that left to be ended")


def memory_mib(router) -> float:
    """What the two processes that a stream passes hold."""
    return sum(resident_mib(router.stack.processes[name]) for name in ("ingress", "dispatcher"))


def resident_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024
