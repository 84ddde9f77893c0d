"""Takes usage from its stream into the books: fetch all that waits, save it in one transaction, then ack.

A transaction costs PostgreSQL as much as sixty rows, so where all was fetched the next look is after LINGER_S.

Nothing is acked that is not saved, so a crash anywhere brings messages again, and the store knows them. While
PostgreSQL is away the batch in hand is kept and nothing more is fetched: the stream is the queue. Nor is anything
fetched before a policy was seen, which says in whose time zone a service's day begins.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final, TypeVar

import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig

from services.ledger import core
from services.ledger.core import Entry, Poison, Validation, Verdict
from services.ledger.days import Days
from services.ledger.metrics import Metrics
from services.ledger.pull import ACK, NAK, TERM, Message, Puller, PullFault
from services.ledger.store import DatabaseAway, DataRefused, Store
from shared.hotbus import HotBus
from shared.ops import Readiness
from shared.settings import NatsSettings
from shared.streams import USAGE, ensure_stream

DURABLE: Final = "ledger"
MESSAGES_A_FETCH: Final = 1000
BYTES_A_FETCH: Final = 640 * 1024  # some 2,500 records: four times as many cost a fifth more each, and 25 MiB
FETCH_WAIT_S: Final = 0.5  # of an idle ledger; a message that comes meanwhile is handed over at once
LINGER_S: Final = 0.2  # between two looks at the stream; a row is due 2 s after its answer
# A batch is saved in milliseconds, and after 8 s its connection is given up. Longer would only keep the rows of a
# ledger that was killed waiting; shorter would hand a slow batch to a second ledger, which does no harm.
ACK_WAIT_S: Final = 10
MAX_ACK_PENDING: Final = 20 * MESSAGES_A_FETCH  # ten ledgers', with one batch in hand and one on its way
BACK_OFF_S: Final = (0.05, 0.1, 0.2, 0.5, 1.0)  # then the last for ever: rows are due soon after the return
LOOK_EVERY_S: Final = 1.0  # at the database while there is nothing to write, so that /readyz tells the truth

log = structlog.get_logger()

T = TypeVar("T")
Recorded = TypeVar("Recorded", Entry, Validation)


class Consumer:
    """`run` until cancelled. Keeps `readiness`' parts "database" and "usage-stream"."""

    def __init__(self, nats: NatsSettings, store: Store, readiness: Readiness, metrics: Metrics) -> None:
        self._nats = nats
        self._store = store
        self._readiness = readiness
        self._metrics = metrics
        self._looked_at = 0.0
        self._missed: dict[str, str] = {}
        self._days = Days({})
        self._days_are_known = asyncio.Event()

    def use(self, days: Days) -> None:
        """From now on. What was saved stays where it is."""
        self._days = days
        self._days_are_known.set()

    async def run(self) -> None:
        bus = await self._looking_at_database(HotBus.connect(self._nats.url, "tierwise-ledger-usage"))
        puller = Puller(bus, USAGE, DURABLE, messages=MESSAGES_A_FETCH, size=BYTES_A_FETCH, wait_s=FETCH_WAIT_S)
        try:
            await self._looking_at_database(self._days_are_known.wait())
            while True:
                if await self._subscribe(bus.client, puller):
                    await self._work(puller)
        finally:
            await puller.stop()
            await bus.close()

    async def _looking_at_database(self, what: Coroutine[Any, Any, T]) -> T:
        """Waits for `what`, and looks at the database meanwhile."""
        waiting = asyncio.create_task(what)
        try:
            while not waiting.done():
                await self._look_at_database()
                await asyncio.wait({waiting}, timeout=LOOK_EVERY_S)
        finally:
            waiting.cancel()
        return waiting.result()

    async def _subscribe(self, client: Client, puller: Puller) -> bool:
        try:
            await make_durable(client)
            await puller.start()
        except (NatsError, OSError) as error:
            self._lost("usage-stream", error)
            await asyncio.sleep(FETCH_WAIT_S)
            await self._idle()
            return False
        self._ready("usage-stream")
        return True

    async def _work(self, puller: Puller) -> None:
        """Until a fault of the stream."""
        while True:
            try:
                messages = await puller.fetch()
            except PullFault as fault:
                self._lost("usage-stream", fault)
                puller.hand_back()
                await asyncio.sleep(FETCH_WAIT_S)
                return
            if not messages:
                await self._idle()
                continue
            try:
                poisoned = await self._take_in(messages)
            except asyncio.CancelledError:  # a clean stop: whoever is next need not wait for ACK_WAIT_S
                puller.answer(NAK, messages)
                raise
            puller.answer(ACK, [message for i, message in enumerate(messages) if i not in poisoned])
            puller.answer(TERM, [messages[i] for i in poisoned])
            if not puller.more_waits:
                await asyncio.sleep(LINGER_S)

    async def _take_in(self, messages: Sequence[Message]) -> set[int]:
        """Saves what `messages` say. Returns which of them had something that can never be saved."""
        self._measure(messages)
        reading = core.read((message.payload for message in messages), self._days.of)
        poison = reading.poison
        poison += await self._save(reading.entries, self._store.record)
        poison += await self._save(reading.validations, self._store.record_validations)
        for one in poison:
            await self._bury(one)
        return {one.message for one in poison}

    async def _save(
        self,
        records: Sequence[Recorded],
        record: Callable[[Sequence[Recorded]], Awaitable[Sequence[tuple[Recorded, Verdict]]]],
    ) -> list[Poison]:
        """All of `records` but those that PostgreSQL refuses: they are found by halving, and returned."""
        if not records:
            return []
        try:
            others = await self._until_saved(lambda: record(records))
        except DataRefused as refusal:
            if len(records) == 1:
                return [Poison(bytes(records[0].raw), f"PostgreSQL refuses it: {refusal}", records[0].message)]
            middle = len(records) // 2
            return await self._save(records[:middle], record) + await self._save(records[middle:], record)
        for one, verdict in others:
            self._tell(one, verdict)
        self._metrics.records.inc(len(records) - sum(verdict not in core.RECORDED for _, verdict in others))
        return []

    async def _bury(self, poison: Poison) -> None:
        await self._until_saved(lambda: self._store.bury(poison))
        self._metrics.poison.inc()
        log.error("usage_poison", digest=poison.digest.hex(), reason=poison.reason, see="tierwise.ledger_poison")

    def _tell(self, entry: Entry | Validation, verdict: Verdict) -> None:
        named = {"request_id": entry.usage.request_id}
        if isinstance(entry, Entry):
            named["send"] = str(entry.usage.send)
        if verdict is Verdict.DUPLICATE:
            self._metrics.duplicates.inc()
        elif verdict is Verdict.CONFLICT:
            self._metrics.conflicts.inc()
            log.error("usage_conflict", **named, fingerprint=entry.fingerprint, see="tierwise.ledger_conflicts")
        else:
            self._metrics.resends.inc()
            log.warning("request_paid_twice", **named, see="tierwise.ledger_resends")

    async def _until_saved(self, save: Callable[[], Awaitable[T]]) -> T:
        """The result of `save`, asked for until PostgreSQL answers. Raises DataRefused."""
        attempt = 0
        while True:
            try:
                result = await save()
            except DatabaseAway as away:
                self._lost("database", away)
                await asyncio.sleep(BACK_OFF_S[min(attempt, len(BACK_OFF_S) - 1)])
                attempt += 1
            else:
                self._ready("database")
                return result

    async def _idle(self) -> None:
        self._metrics.pending.set(0)
        self._metrics.lag.set(0)
        if time.monotonic() - self._looked_at >= LOOK_EVERY_S:
            await self._look_at_database()

    async def _look_at_database(self) -> None:
        try:
            await self._store.check()
        except DatabaseAway as away:
            self._lost("database", away)
        else:
            self._ready("database")
        self._looked_at = time.monotonic()

    def _measure(self, messages: Sequence[Message]) -> None:
        self._metrics.pending.set(messages[-1].pending)
        self._metrics.lag.set(time.time() - messages[0].stored_at_s)

    def _ready(self, part: str) -> None:
        self._readiness.done(part)
        if self._missed.pop(part, None):
            log.info("returned", part=part)

    def _lost(self, part: str, error: Exception) -> None:
        """Said once for each reason, not at every attempt."""
        self._readiness.lost(part)
        because = f"{type(error).__name__}: {error}"
        if self._missed.get(part) != because:
            log.warning("waiting_for", part=part, because=because)
        self._missed[part] = because


async def make_durable(client: Client) -> None:
    """The durable that all ledgers share, made or brought up to date."""
    js = client.jetstream()
    await ensure_stream(js, USAGE)
    await js.add_consumer(
        USAGE,
        ConsumerConfig(
            durable_name=DURABLE,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=ACK_WAIT_S,
            max_deliver=-1,
            max_ack_pending=MAX_ACK_PENDING,
        ),
    )
