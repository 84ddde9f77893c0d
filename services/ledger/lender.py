"""Lends budgets: answers classifiers' wishes and operators' words, and charges leases that nobody speaks of any more.

It runs in a thread and a loop of its own (services/ledger/apart.py), on connections of its own: a batch of usage
keeps the process' loop for twenty milliseconds, and a grant is due in five.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

import asyncpg
import msgspec
import structlog
from nats.errors import Error as NatsError
from nats.js.errors import KeyNotFoundError

from services.ledger import budget_days, budgets
from services.ledger.line import Line, until_not_crossed
from services.ledger.metrics import Metrics
from services.ledger.stream_state import read_until
from shared.budgets import Limits
from shared.contracts import (
    Answered,
    BudgetChangeRequested,
    Granted,
    GrantRequested,
    Refusal,
    encode,
    pack,
)
from shared.hotbus import HotBus
from shared.ops import Readiness
from shared.policy import Budget, Policy
from shared.settings import DatabaseSettings, NatsSettings
from shared.streams import BUDGETS, CURRENT, ensure_bucket

QUEUE: Final = "ledger"
LINES: Final = 4  # connections that answer: who waits for rows that a batch of usage holds keeps nobody from others
ANSWER_WITHIN_S: Final = 1.0  # whoever asked has called us silent long before
MAX_WAITING: Final = 1000  # messages; one more is told that we are away
LOOK_EVERY_S: Final = 0.5  # for a new policy, and what another ledger was told
APPLY_EVERY_S: Final = 30.0  # without a change too: days begin
GIVE_UP_EVERY_S: Final = 5.0
FORGET_EVERY_S: Final = 300.0

_FAULTS: Final = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)

log = structlog.get_logger()
_wishes = msgspec.msgpack.Decoder(GrantRequested)
_change = msgspec.msgpack.Decoder(BudgetChangeRequested)
_budget = msgspec.json.Decoder(Budget)
_AWAY: Final = encode(Granted(away=True))
_NOT_STORED: Final = Refusal(503, "database_away", "the budget cannot be stored now; try again in a moment",
                             "server_error", retry_after_s=1)  # fmt: skip


class Lender:
    """`run` until cancelled, on any loop; `use` and `stop` may be called from another."""

    def __init__(
        self,
        nats: NatsSettings,
        database: DatabaseSettings,
        readiness: Readiness,
        metrics: Metrics,
    ) -> None:
        self._nats = nats
        self._database = database
        self._readiness = readiness
        self._metrics = metrics
        self.on_limits: Callable[[Limits], object] = lambda _: None  # called in this thread, with what holds now
        self._policy: Policy | None = None
        self._applied: tuple[Policy, dict[str, Budget]] | None = None
        self._limits = Limits()
        self._longest_s = 600.0
        self._waiting: asyncio.Queue[tuple[bytes, bytes, bytes]] = asyncio.Queue()
        self._missed = ""
        self._knows = asyncio.Event()  # what limits hold

    def use(self, policy: Policy) -> None:
        self._policy = policy

    async def run(self) -> None:
        bus = await HotBus.connect(self._nats.url, "tierwise-ledger-lender")

        def on_message(subject: bytes, reply: bytes, payload: bytes, _status: bytes) -> None:
            if self._waiting.qsize() >= MAX_WAITING:
                bus.publish(reply, self._cannot(subject))
            else:
                self._waiting.put_nowait((subject, reply, payload))

        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._keep(bus))
                await self._knows.wait()  # a ledger that begins must not say for the others that it is away
                for event in (GrantRequested, BudgetChangeRequested):
                    await bus.subscribe(event.subject, on_message, queue=QUEUE)
                for _ in range(LINES):
                    group.create_task(self._answer(bus))
        finally:
            await bus.close()

    # Answering ----------------------------------------------------------------------------------------------

    async def _answer(self, bus: HotBus) -> None:
        line = Line(self._database, "ledger-lender")
        try:
            while not _is_cancelled():
                subject, reply, payload = await self._waiting.get()
                try:
                    async with asyncio.timeout(ANSWER_WITHIN_S):
                        connection = await line.connected()
                        if subject == GrantRequested.subject.encode():
                            answer = encode(await self._lend(connection, _wishes.decode(payload)))
                        else:
                            answer = await self._change(connection, _change.decode(payload), bus)
                except msgspec.MsgspecError as error:
                    log.error("budget_message_unreadable", subject=subject.decode(), because=str(error))
                    continue
                except _FAULTS as fault:
                    line.drop()
                    self._lost(fault)
                    answer = self._cannot(subject)
                bus.publish(reply, answer)
        finally:
            line.drop()

    async def _lend(self, connection: asyncpg.Connection, message: GrantRequested) -> Granted:
        now = time.time()
        if message.reported:
            await until_not_crossed(
                connection, lambda: budgets.hear(connection, message.reported, now, self._longest_s)
            )
        # Whose budget is not known here is left out: one of us has not seen the other's policy yet.
        asked = [(one, limit) for one in message.asked if (limit := self._limits.of(one.service)) is not None]
        wishes = [(one, limit) for one, limit in asked if one.lease_id]
        others = [(one, limit) for one, limit in asked if not one.lease_id]
        grants = [await budgets.grant(connection, one, limit, now, self._longest_s) for one, limit in wishes]
        for grant in grants:
            (self._metrics.grants if grant.granted else self._metrics.refused_grants).inc()
        if others:
            grants += await budgets.stand(connection, others, now)
        return Granted(tuple(grants))

    async def _change(self, connection: asyncpg.Connection, asked: BudgetChangeRequested, bus: HotBus) -> bytes:
        try:
            budget = _budget.decode(asked.budget) if asked.budget else None
        except msgspec.MsgspecError as error:
            return pack(Answered(Refusal(400, "invalid_budget", f"this is no budget: {error}")))
        await until_not_crossed(connection, lambda: budget_days.set_budget(connection, asked.service, budget))
        words = await self._apply(connection)
        with suppress(NatsError, OSError):  # whoever looks next tells the others
            await _tell(bus, words)
        log.info("budget_set", service=asked.service, budget=asked.budget or "the file's")
        return pack(Answered(), b"{}")

    @staticmethod
    def _cannot(subject: bytes) -> bytes:
        return _AWAY if subject == GrantRequested.subject.encode() else pack(Answered(_NOT_STORED))

    # Keeping ------------------------------------------------------------------------------------------------

    async def _keep(self, bus: HotBus) -> None:
        line = Line(self._database, "ledger-lender")
        applied_at = gave_up_at = forgot_at = 0.0
        try:
            while not _is_cancelled():
                now = time.monotonic()
                try:
                    connection = await line.connected()
                    if now - applied_at >= APPLY_EVERY_S or await self._has_changed(connection):
                        await self._apply(connection)
                        applied_at = now
                    if self._applied is not None:
                        await _tell(bus, self._applied[1])
                    if now - gave_up_at >= GIVE_UP_EVERY_S:
                        gave_up_at = now
                        await self._give_up(connection, bus)
                    if now - forgot_at >= FORGET_EVERY_S:
                        forgot_at = now
                        await budgets.forget(connection)
                except _FAULTS as fault:
                    line.drop()
                    self._lost(fault)
                except NatsError as fault:
                    self._lost(fault)
                else:
                    self._back()
                await asyncio.sleep(LOOK_EVERY_S)
        finally:
            line.drop()

    async def _has_changed(self, connection: asyncpg.Connection) -> bool:
        if self._policy is None:
            return False
        return self._applied != (self._policy, await budget_days.operators_words(connection))

    async def _apply(self, connection: asyncpg.Connection) -> dict[str, Budget]:
        """What holds now, made the days' and this process'. Returns operators' words."""
        policy = self._policy
        if policy is None:
            return {}
        limits, words = await until_not_crossed(
            connection, lambda: budget_days.apply(connection, policy.budgets, time.time())
        )
        self._limits = limits
        self._longest_s = policy.server.request_timeout_s
        if self._applied != (policy, words):
            self.on_limits(limits)
        self._applied = (policy, words)
        self._knows.set()
        return dict(words)

    async def _give_up(self, connection: asyncpg.Connection, bus: HotBus) -> None:
        """Not before the stream was read past a lease's end: a record that waits there is no lost one."""
        now = time.time()
        until = min(now, await read_until(bus))
        charged = await until_not_crossed(connection, lambda: budgets.give_up(connection, until, now))
        for lease_id, (lease, amount) in charged.items():
            self._metrics.charged_nano_usd.inc(amount)
            log.warning("lease_charged", lease_id=lease_id, service=lease.service, day=lease.day, nano_usd=amount)

    def _back(self) -> None:
        if self._applied is not None:
            self._readiness.done("budgets")
        if self._missed:
            log.info("returned", part="budgets")
            self._missed = ""

    def _lost(self, fault: Exception) -> None:
        """Said once for each reason."""
        self._readiness.lost("budgets")
        because = f"{type(fault).__name__}: {fault}"
        if because != self._missed:
            log.warning("waiting_for", part="budgets", because=because)
        self._missed = because


def _is_cancelled() -> bool:
    """Also where what was waited for has forgotten it (services/ledger/apart.py): no group tells its tasks again."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _tell(bus: HotBus, words: Mapping[str, Budget]) -> None:
    """Operators' words into KV, where every classifier follows them; nothing where they stand there already."""
    bucket = await ensure_bucket(bus.client.jetstream(), BUDGETS)
    payload = msgspec.json.encode(words)
    try:
        if (await bucket.get(CURRENT)).value == payload:
            return
    except KeyNotFoundError:
        if not words:
            return
    await bucket.put(CURRENT, payload)
