"""A dispatcher's or classifier's sign of life, and its answer to the question which requests it holds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from shared.contracts import Beat, ClaimAsked, Claimed, encode
from shared.hotbus import HotBus

BEAT_EVERY_S: Final = 0.2

_claim = msgspec.msgpack.Decoder(ClaimAsked)


class Pulse:
    """Answers claims from `listen` on, and beats from `start` to `stop`. `held` names the requests in hand."""

    def __init__(self, bus: HotBus, service: str, instance: str, held: Callable[[], Iterable[str]]) -> None:
        self._bus = bus
        self._service = service
        self._instance = instance
        self._held = held
        self._subject = f"{Beat.subject}.{service}".encode()
        self._timer: asyncio.TimerHandle | None = None

    async def listen(self) -> None:
        """Before there can be anything to claim."""
        await self._bus.subscribe(ClaimAsked.subject, self._on_claim)

    def start(self) -> None:
        """Once requests can be taken: whoever hears of it sends some."""
        self._beat()

    def stop(self) -> None:
        """The last beat says that nothing is held any more, so that nobody waits for the silence."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._send(leaving=True)

    def _beat(self) -> None:
        self._send(leaving=False)
        self._timer = asyncio.get_running_loop().call_later(BEAT_EVERY_S, self._beat)

    def _send(self, *, leaving: bool) -> None:
        in_flight = sum(1 for _ in self._held())
        self._bus.publish(self._subject, encode(Beat(self._service, self._instance, in_flight, leaving)))

    def _on_claim(self, _subject: bytes, reply: bytes, payload: bytes, _status: bytes) -> None:
        asked = _claim.decode(payload)
        mine = tuple(request_id for request_id in self._held() if request_id.startswith(asked.ingress))
        self._bus.publish(reply, encode(Claimed(self._instance, mine)))
