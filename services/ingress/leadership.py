"""Which ingress leads: the one that holds the lease, a key in KV that NATS drops when nobody renews it.

NATS drops it LEASE_S after the last renewal. Who holds it believes in it for less, counted from before the renewal
was asked for: so one that stood still, or has lost NATS, no longer leads when another begins. The lease also says
what the leader has to tell the others, who read it at every turn.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import msgspec
from nats.errors import Error as NatsError
from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError

from shared.streams import LEADERS, ensure_bucket

if TYPE_CHECKING:
    from nats.js.kv import KeyValue

    from shared.hotbus import HotBus

LEASE_S: Final = 2.0
BELIEVED_S: Final = 1.4
TURN_S: Final = 0.4  # three renewals may fail before the lease is gone
KEY: Final = "policy"


class Refused(msgspec.Struct, frozen=True):
    """A file that is not in force, and why."""

    at: str  # ISO 8601, UTC
    faults: tuple[str, ...]


class Lease(msgspec.Struct, frozen=True):
    """What stands in KV: who leads, and what it says of its file."""

    holder: str
    file: str = ""
    refused: Refused | None = None


class Term:
    """What one candidate knows of the lease. Pure: time, in seconds, is an argument."""

    def __init__(self) -> None:
        self._until = float("-inf")
        self._seen = 0
        self.another_leads = False  # seen alive: its lease was renewed under our eyes

    def leads(self, now: float) -> bool:
        return now < self._until

    def renewed(self, asked_at: float) -> None:
        self._until = asked_at + BELIEVED_S
        self._seen, self.another_leads = 0, False

    def lost(self) -> None:
        self._until = float("-inf")

    def saw(self, revision: int) -> None:
        """Another's lease. That of one who died is not renewed."""
        self.lost()
        self.another_leads = self.another_leads or self._seen not in {0, revision}
        self._seen = revision

    def saw_none(self) -> None:
        self.lost()
        self._seen, self.another_leads = 0, False


class Leadership:
    """One candidate, or (not `eligible`) one who only looks on."""

    def __init__(
        self, bus: HotBus, instance: str, *, eligible: bool = True, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._bus = bus
        self._eligible = eligible
        self._now = now
        self._term = Term()
        self._others: Lease | None = None
        self._revision = 0
        self._kept: KeyValue | None = None
        self.mine = Lease(instance)  # what is said of us while we lead

    @property
    def leads(self) -> bool:
        return self._term.leads(self._now())

    @property
    def another_leads(self) -> bool:
        return self._term.another_leads

    @property
    def lease(self) -> Lease | None:
        """The leader's; None while there is none."""
        return self.mine if self.leads else self._others

    async def campaign(self) -> None:
        """Until cancelled; then the lease is given back, so that nobody has to wait for its end."""
        try:
            while True:
                try:
                    await self._turn()
                except (NatsError, OSError, TimeoutError):  # NATS is away, or lost its store
                    self._kept = None
                await asyncio.sleep(TURN_S)
        finally:
            if self.leads and self._bus.connected:
                with suppress(NatsError, OSError, TimeoutError):
                    await (await self._bucket()).delete(KEY, last=self._revision)

    async def _turn(self) -> None:
        asked_at = self._now()
        bucket = await self._bucket()
        try:
            entry = await bucket.get(KEY)
        except KeyNotFoundError:
            entry = None
        if entry is not None and entry.value is not None and entry.revision is not None:
            lease = _read(entry.value)
            if lease.holder != self.mine.holder:
                self._others = lease
                self._term.saw(entry.revision)
                return
        self._others = None
        if not self._eligible:
            self._term.saw_none()
            return
        payload = msgspec.json.encode(self.mine)
        try:
            if entry is None or entry.revision is None:
                self._revision = await bucket.create(KEY, payload)
            else:
                self._revision = await bucket.update(KEY, payload, last=entry.revision)
        except KeyWrongLastSequenceError:
            self._term.saw_none()  # another was quicker: the next turn sees who
        else:
            self._term.renewed(asked_at)

    async def _bucket(self) -> KeyValue:
        if self._kept is None:
            js = self._bus.client.jetstream(timeout=LEASE_S)
            self._kept = await ensure_bucket(js, LEADERS, history=1, ttl_s=LEASE_S)
        return self._kept


def _read(payload: bytes) -> Lease:
    try:
        return msgspec.json.decode(payload, type=Lease)
    except ValueError:  # a later Tierwise's, of another shape: it leads all the same
        return Lease("unknown")
