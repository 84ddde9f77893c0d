"""Usage on its way to the ledger: written before the answer it belongs to, kept until JetStream has it.

Not a promise against everything: a record is lost if this process and NATS both die within one ack round trip.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw

from shared.contracts import Hot, RequestUsage, UsageRecorded, encode
from shared.hotbus import HotBus

MESSAGE_BYTES: Final = 512 * 1024  # of records in one message; NATS takes 1 MB
SEND_AGAIN_AFTER_S: Final = 2.0  # an ack takes a millisecond; a busy disk, a second
MAX_UNACKED_BYTES: Final = 64 * 1024 * 1024
_AGAIN_AT_ONCE: Final = 64  # messages sent again in one sweep
_SUBJECT: Final = UsageRecorded.subject.encode()
_HEADERS: Final = b"NATS/1.0\r\nNats-Msg-Id: %b\r\n\r\n"


class _Batch(Hot, frozen=True, array_like=True, gc=False):
    """UsageRecorded with its records packed already."""

    batch_id: str
    records: list[Raw]


class _Unacked(msgspec.Struct):
    wire: bytes
    sent_at: float


class UsageJournal:
    """What is recorded leaves in the next write of the bus, ahead of the answers in it."""

    def __init__(self, bus: HotBus, instance: str) -> None:
        self._bus = bus
        self._instance = instance
        self._inbox = f"_INBOX.{instance}.usage."
        self._records: list[Raw] = []
        self._unacked: dict[int, _Unacked] = {}
        self._next = 0
        self.unacked_bytes = 0
        self.sent_again = 0

    async def start(self) -> None:
        await self._bus.subscribe(f"{self._inbox}*", self._on_ack)
        self._bus.before_write = self._write
        self._bus.on_back(self.send_all_again)

    @property
    def is_full(self) -> bool:
        """Nothing more may be begun: the ledger's stream has not taken what is here."""
        return self.unacked_bytes >= MAX_UNACKED_BYTES

    @property
    def unacked(self) -> int:
        return len(self._unacked)

    @property
    def settled(self) -> bool:
        return not self._unacked and not self._records

    def record(self, usage: RequestUsage) -> None:
        """Raises OverflowError for a number that no message can hold: here, where it ends one flight and no other."""
        self._records.append(Raw(encode(usage)))
        self._bus.wake()

    def sweep(self, now: float) -> None:
        """Sends again what has waited too long for its ack."""
        late = [n for n, message in self._unacked.items() if now - message.sent_at >= SEND_AGAIN_AFTER_S]
        for n in late[:_AGAIN_AT_ONCE]:
            self._send_again(n, now)

    def send_all_again(self) -> None:
        """After a reconnect: JetStream knows by the message id what it already has."""
        now = self._bus.time()
        for n in self._unacked:
            self._send_again(n, now)

    def _send_again(self, n: int, now: float) -> None:
        message = self._unacked[n]
        message.sent_at = now
        self.sent_again += 1
        self._bus.write(message.wire)

    def _write(self) -> list[bytes]:
        if not self._records:
            return []
        records, self._records = self._records, []
        wires: list[bytes] = []
        batch: list[Raw] = []
        size = 0
        for record in records:
            length = memoryview(record).nbytes
            if size + length > MESSAGE_BYTES:
                wires.append(self._keep(batch))
                batch, size = [], 0
            batch.append(record)
            size += length
        wires.append(self._keep(batch))
        return wires

    def _keep(self, records: list[Raw]) -> bytes:
        self._next = n = self._next + 1
        batch_id = f"{self._instance}.{n}"
        headers = _HEADERS % batch_id.encode()
        payload = encode(_Batch(batch_id, records))
        wire = b"HPUB %b %b%d %d %d\r\n%b%b\r\n" % (
            _SUBJECT,
            self._inbox.encode(),
            n,
            len(headers),
            len(headers) + len(payload),
            headers,
            payload,
        )
        self._unacked[n] = _Unacked(wire, self._bus.time())
        self.unacked_bytes += len(wire)
        return wire

    def _on_ack(self, subject: bytes, _reply: bytes, payload: bytes, status: bytes) -> None:
        if status or b'"error"' in payload:
            return  # JetStream is away or full: the sweep sends it again
        message = self._unacked.pop(int(subject.rpartition(b".")[2]), None)
        if message is not None:
            self.unacked_bytes -= len(message.wire)
