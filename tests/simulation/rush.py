"""Many callers and a small budget, in simulated time: how much of it is spent, and who is sent to the floor.

Nothing fails here; that budgets hold when things do is budgets.py's. A provider's answer costs half its reservation.
"""

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

from services.classifier.grants import TICK_S, Grants
from services.classifier.parking import Outcome
from services.ledger import leases
from shared.budgets import Limits, budget_day
from shared.contracts import Granted, GrantRequested
from shared.policy import Budget
from tests.simulation.budgets import EPOCH, Record, Store

SERVICE = "billing"
ZONE = "Europe/Berlin"
COST = 1_000_000
BATCH_EVERY_S = 0.2
HOP_S = 0.001
DEADLINE_S = 60.0


@dataclass
class Answer:
    at: float
    is_floor: bool
    waited_s: float


@dataclass
class Rush:
    """`callers` at once, each with one request after the other, until `offered` have been made."""

    callers: int = 100
    offered: int = 1000
    limit: int = 200 * COST
    classifiers: int = 1
    upstream_s: float = 0.1
    seed: int = 1
    answers: list[Answer] = field(default_factory=list)
    spent: int = 0
    most: int = 0  # that was spent and held at once

    def run(self) -> "Rush":
        self.random = random.Random(self.seed)
        self.now = EPOCH
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.order = count()
        self.store = Store(leases, {SERVICE: self.limit}, {SERVICE: ZONE})
        self.stream: list[Record] = []
        self.made = 0
        limits = Limits({SERVICE: Budget(daily_usd=self.limit / 1e9, timezone=ZONE)})
        self.grants = [self.new_classifier(number, limits) for number in range(self.classifiers)]
        self.later(self.random.uniform(0, BATCH_EVERY_S), self.settle)
        for _ in range(self.callers):
            self.later(self.random.uniform(0, 0.01), self.request)
        while len(self.answers) < self.offered:
            self.now, _, happens = heapq.heappop(self.events)
            happens()
            for day in self.store.days.values():
                self.most = max(self.most, day.spent + day.held)
        self.store.settle(self.stream)
        self.spent = sum(day.spent for day in self.store.days.values())
        return self

    def later(self, wait_s: float, happens: Callable[[], None]) -> None:
        heapq.heappush(self.events, (self.now + wait_s, next(self.order), happens))

    def hop(self) -> float:
        return self.random.uniform(HOP_S / 2, 2 * HOP_S)

    def new_classifier(self, number: int, limits: Limits) -> Grants:
        numbers = count()

        def send(message: GrantRequested) -> int:
            n = next(numbers)
            self.later(self.hop(), lambda: self.answer_wish(grants, n, message))
            return n

        def tick() -> None:
            grants.tick(self.now)
            self.later(TICK_S, tick)

        grants = Grants(f"classifier-{number}", send)
        grants.on_limits(limits, {}, self.now)
        self.later(self.random.uniform(0, TICK_S), tick)
        return grants

    def answer_wish(self, grants: Grants, number: int, message: GrantRequested) -> None:
        self.store.hear(message, self.now)
        granted = Granted(tuple(self.store.grant(asked, self.now) for asked in message.asked))
        self.later(self.hop(), lambda: grants.on_granted(number, granted, self.now))

    def request(self) -> None:
        if self.made == self.offered:
            return
        self.made += 1
        number, began = self.made, self.now
        at_us = int(began * 1e6)
        grants = self.random.choice(self.grants)

        def then(outcome: Outcome, lease_id: str) -> None:
            assert outcome is not Outcome.SILENT
            self.later(
                self.upstream_s * self.random.uniform(0.8, 1.2), lambda: self.answer(number, began, lease_id, waited)
            )
            waited = self.now - began

        lease_id = grants.reserve(SERVICE, at_us, 2 * COST, began + DEADLINE_S, began)
        if lease_id:
            then(Outcome.RESERVED, lease_id)
        else:
            grants.park(SERVICE, at_us, 2 * COST, began + DEADLINE_S, began, then)

    def answer(self, number: int, began: float, lease_id: str, waited_s: float) -> None:
        account = (SERVICE, budget_day(ZONE, int(began * 1e6)).day)
        self.stream.append(Record((number, 0), account, lease_id, 2 * COST, COST))
        self.answers.append(Answer(self.now, not lease_id, waited_s))
        self.request()

    def settle(self) -> None:
        records, self.stream = self.stream, []
        self.store.settle(records)
        self.later(BATCH_EVERY_S, self.settle)
