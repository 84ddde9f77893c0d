"""Finds the requests that died with whoever held them: what nobody who lives claims is lost.

One inquiry at a time (liveness.py), for all that is in doubt. What becomes of a lost request is its owner's to say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from services.ingress.liveness import Inquiry, Liveness
from shared.contracts import Beat, ClaimAsked, Claimed, encode, inbox
from shared.hotbus import HotBus

CLAIM_EVERY_S: Final = 0.5

_beat = msgspec.msgpack.Decoder(Beat)
_claimed = msgspec.msgpack.Decoder(Claimed)

# Which requests may be held by one of these instances, now; and which of them nobody holds.
Doubtful = Callable[[set[str], float], list[str]]
Lost = Callable[[Iterable[str]], None]


class DeathWatch:
    """`watch` once a sweep. Beats and claims come from the bus."""

    def __init__(self, bus: HotBus, ingress_id: str, doubtful: Doubtful, lost: Lost) -> None:
        self._bus = bus
        self._ingress_id = ingress_id
        self._doubtful = doubtful
        self._lost = lost
        self.liveness = Liveness()
        self._inquiry: Inquiry | None = None
        self._next_inquiry = 0.0
        self._questions = 0

    async def start(self) -> None:
        await self._bus.subscribe(inbox(self._ingress_id, "claimed.*"), self._on_claimed)
        await self._bus.subscribe(f"{Beat.subject}.*", self._on_beat)
        self._bus.on_back(self.deaf)

    def deaf(self) -> None:
        """We could not have heard anyone: nobody is blamed for that, and an inquiry under way is void."""
        self.liveness.deaf(self._bus.time())
        self._inquiry = None

    def watch(self, now: float) -> None:
        silent = self.liveness.silent(now)
        if self._inquiry is None:
            if silent and now >= self._next_inquiry and (doubtful := self._doubtful(silent, now)):
                self._next_inquiry = now + CLAIM_EVERY_S
                self._inquiry = Inquiry(doubtful, self.liveness.living(), now)
                self._ask()
        elif self._inquiry.is_late(now):
            self._inquiry = None
        else:
            self._conclude(self._inquiry, now)

    def _on_beat(self, _subject: bytes, _reply: bytes, payload: bytes, _status: bytes) -> None:
        self.liveness.heard(_beat.decode(payload), self._bus.time())

    def _on_claimed(self, subject: bytes, _reply: bytes, payload: bytes, status: bytes) -> None:
        inquiry = self._inquiry
        if status or inquiry is None or subject != self._claims_inbox():
            return
        claimed = _claimed.decode(payload)
        inquiry.answered(claimed.instance, claimed.request_ids)
        self._conclude(inquiry, self._bus.time())

    def _conclude(self, inquiry: Inquiry, now: float) -> None:
        living = self.liveness.living()
        if not inquiry.is_over(living):
            return
        if inquiry.unclaimed and not inquiry.is_second:
            inquiry.ask_again(living, now)
            self._ask()
            return
        self._inquiry = None
        self._lost(inquiry.unclaimed)

    def _ask(self) -> None:
        self._questions += 1
        self._bus.publish(ClaimAsked.subject.encode(), encode(ClaimAsked(self._ingress_id)), self._claims_inbox())

    def _claims_inbox(self) -> bytes:
        return inbox(self._ingress_id, f"claimed.{self._questions}").encode()
