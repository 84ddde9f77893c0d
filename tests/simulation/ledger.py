"""The ledger under loss, duplication, reordering and crashes: its core, a stream and books in memory, one thread.

`python -m tests.simulation.ledger --seed N [--steps N]` replays a run. The books follow services/ledger/core.py, as
services/ledger/store.py does in SQL; what NATS and PostgreSQL may do to a ledger is the list `World.actions`.
"""

import argparse
import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum, auto

from services.ledger import books, core
from services.ledger.books import SUMMED, Answer, Sums
from services.ledger.core import Entry, Standing, Verdict
from shared.contracts import AttemptUsage, RequestUsage
from tests.support.usage import NOON_US, message, usage

Settle = Callable[[dict[str, list[Standing]], Iterable[Entry]], list[tuple[Entry, Verdict]]]


@dataclass
class Books:
    """What PostgreSQL would hold. Lists, not dictionaries: that nothing is there twice is to be shown, not given."""

    settle: Settle
    rows: list[Entry] = field(default_factory=list)
    resends: list[Entry] = field(default_factory=list)
    attempts: list[tuple[str, int, AttemptUsage]] = field(default_factory=list)
    conflicts: list[Entry] = field(default_factory=list)
    days: Sums = field(default_factory=dict)

    def record(self, entries: list[Entry]) -> None:
        """As the store does: what has no row yet is plainly new; the rest is settled in the order of its coming."""
        there = {row.usage.request_id for row in self.rows}
        rest = []
        for entry in entries:
            if entry.usage.request_id in there:
                rest.append(entry)
            else:
                there.add(entry.usage.request_id)
                self.rows.append(entry)
                self._add_attempts(entry)
                books.add(self.days, [entry])
        known: dict[str, list[Standing]] = {}
        for entry in [*self.rows, *self.resends]:
            known.setdefault(entry.usage.request_id, []).append(core.standing(entry))
        for entry, verdict in self.settle(known, rest):
            if verdict is Verdict.CONFLICT:
                self.conflicts.append(entry)
            if verdict is Verdict.RESEND:
                self.resends.append(entry)
            if verdict is Verdict.INSTEAD:
                old = next(row for row in self.rows if row.usage.request_id == entry.usage.request_id)
                self.rows.remove(old)
                books.take_back(self.days, answer(old))
                self.resends.append(old)
                self.rows.append(entry)
            if verdict in core.RECORDED:
                self._add_attempts(entry)
                books.add(self.days, [entry], answers=verdict is Verdict.INSTEAD)

    def _add_attempts(self, entry: Entry) -> None:
        self.attempts += [(entry.usage.request_id, entry.usage.send, call) for call in entry.usage.attempts]


def answer(entry: Entry) -> Answer:
    """As the row of a request tells it."""
    told = {name: getattr(entry.usage, name) for name in Answer.__struct_fields__ if name != "day"}
    return Answer(day=entry.day, **told)


class Phase(Enum):
    IDLE = auto()
    FETCHED = auto()
    SAVED = auto()


@dataclass
class Ledger:
    phase: Phase = Phase.IDLE
    held: list[int] = field(default_factory=list)


class World:
    def __init__(self, seed: int, settle: Settle = core.settle) -> None:
        self.random = random.Random(seed)
        self.books = Books(settle)
        self.stream: dict[int, bytes] = {}  # what is not acked
        self.in_flight: set[int] = set()  # of it, what a ledger is thought to hold
        self.ledgers = [Ledger(), Ledger()]
        self.sent: dict[tuple[str, int], RequestUsage] = {}
        self.published: list[bytes] = []
        self.messages = 0
        self.tally: Counter[str] = Counter()
        self.actions: list[tuple[Callable[[], object], int]] = [
            (self.answer_requests, 5),
            (self.publish_again, 1),
            (self.record_other_content, 1),
            (self.fetch, 6),
            (self.save, 6),
            (self.ack, 6),
            (self.crash, 1),
            (self.let_ack_wait_pass, 1),
        ]

    def step(self) -> None:
        action = self.random.choices([action for action, _ in self.actions], [weight for _, weight in self.actions])[
            0
        ]
        if action() is not False:
            self.tally[action.__name__] += 1
        self.check()

    def settle_down(self) -> None:
        """No more faults: what is in the stream is delivered, saved and acked."""
        for ledger in self.ledgers:
            self.crash(ledger)
        while self.stream:
            self.fetch()
            self.save(faults=False)
            self.ack(loss=0)
            self.check()
        self.check_all_is_there()

    # What happens --------------------------------------------------------------------------------------------

    def answer_requests(self) -> None:
        records = []
        for _ in range(self.random.randint(1, 4)):
            number = len(self.sent) + 1
            earlier = [one for one in self.sent.values() if one.send == 0 and (one.request_id, 1) not in self.sent]
            if earlier and self.random.random() < 0.15:  # its dispatcher was thought dead, and both went on
                first = self.random.choice(earlier)
                record = self.some_usage(int(first.request_id[-4:]), send=1)
            else:
                record = self.some_usage(number)
            self.sent[record.request_id, record.send] = record
            records.append(record)
        self.publish(message(*records, batch_id=f"dispatcher.{self.messages}"))

    def some_usage(self, number: int, send: int = 0) -> RequestUsage:
        calls = tuple(
            {
                "cost_nano_usd": self.random.randrange(10_000),
                "started_at_us": NOON_US + self.random.randrange(5_000_000),
            }
            for _ in range(self.random.randint(0, 3))
        )
        status = 200 if calls and self.random.random() < 0.8 else 503
        category, baseline = self.random.choice(("code", "general")), self.random.randrange(10_000)
        return usage(number, send=send, calls=calls, status=status, category=category, baseline_nano_usd=baseline)

    def publish(self, payload: bytes) -> None:
        self.published.append(payload)
        self.messages += 1
        self.stream[self.messages] = payload

    def publish_again(self) -> bool:
        """A dispatcher that had no ack, after the stream's duplicate window."""
        if self.published:
            self.publish(self.random.choice(self.published))
        return bool(self.published)

    def record_other_content(self) -> bool:
        recorded = [entry.usage for entry in self.books.rows]
        if recorded:
            wrong = self.random.choice(recorded)
            changed = usage(int(wrong.request_id[-4:]), send=wrong.send, reason="forged", cost_nano_usd=1)
            self.publish(message(changed, batch_id="another"))
        return bool(recorded)

    def fetch(self) -> bool:
        ledger = self.one_in(Phase.IDLE)
        waiting = sorted(set(self.stream) - self.in_flight)
        if ledger is None or not waiting:
            return False
        ledger.held = self.random.sample(waiting, min(len(waiting), self.random.randint(1, 6)))
        ledger.phase = Phase.FETCHED
        self.in_flight.update(ledger.held)
        return True

    def save(self, *, faults: bool = True) -> bool:
        ledger = self.one_in(Phase.FETCHED)
        if ledger is None:
            return False
        if faults and self.random.random() < 0.1:
            return False  # PostgreSQL is away; the batch is kept
        held = [self.stream.get(i) or self.published[i - 1] for i in ledger.held]
        self.books.record(core.read(held).entries)
        if not faults or self.random.random() >= 0.1:  # else it was committed, and nobody heard so
            ledger.phase = Phase.SAVED
        return True

    def ack(self, loss: float = 0.2) -> bool:
        ledger = self.one_in(Phase.SAVED)
        if ledger is None:
            return False
        for i in ledger.held:
            self.in_flight.discard(i)
            if self.random.random() >= loss:
                self.stream.pop(i, None)
        ledger.phase, ledger.held = Phase.IDLE, []
        return True

    def crash(self, ledger: Ledger | None = None) -> None:
        ledger = ledger or self.random.choice(self.ledgers)
        self.in_flight.difference_update(ledger.held)
        ledger.phase, ledger.held = Phase.IDLE, []

    def let_ack_wait_pass(self) -> None:
        """All that is held may go to the other ledger too."""
        self.in_flight.clear()

    def one_in(self, phase: Phase) -> Ledger | None:
        return next((ledger for ledger in self.ledgers if ledger.phase is phase), None)

    # What must hold ------------------------------------------------------------------------------------------

    def check(self) -> None:
        books = self.books
        rows = Counter(entry.usage.request_id for entry in books.rows)
        assert not [request for request, times in rows.items() if times > 1], "a request is there twice"
        calls = Counter((request, send, call.attempt) for request, send, call in books.attempts)
        assert not [call for call, times in calls.items() if times > 1], "a paid call is there twice"
        for entry in [*books.rows, *books.resends]:
            sent = self.sent[entry.usage.request_id, entry.usage.send]
            assert entry.usage == sent, "a record was changed"
        assert self.cost_of_requests() == self.cost_of_attempts(), "requests and attempts differ in their cost"
        assert self.of_days("requests") == len(books.rows), "a day counts other requests than there are"
        assert self.of_days("cost_nano_usd") == self.cost_of_attempts(), "a day's cost is not that of its calls"
        baselines = sum(entry.usage.baseline_nano_usd for entry in books.rows)
        assert self.of_days("baseline_nano_usd") == baselines, "a day's baseline is not that of its requests"

    def check_all_is_there(self) -> None:
        books = self.books
        assert {entry.usage.request_id for entry in books.rows} == {request for request, _ in self.sent}
        kept = {(entry.usage.request_id, entry.usage.send) for entry in [*books.rows, *books.resends]}
        assert kept == set(self.sent), "a send is missing"
        assert self.cost_of_attempts() == sum(one.cost_nano_usd for one in self.sent.values()), "money is missing"
        for entry in books.rows:
            sends = [one for (request, _), one in self.sent.items() if request == entry.usage.request_id]
            best = min(sends, key=lambda one: (one.status >= 400, core.answered_at_us(one), one.send))
            assert entry.usage == best, "which send is the request's row depends on the order of delivery"

    def cost_of_requests(self) -> int:
        return sum(entry.usage.cost_nano_usd for entry in [*self.books.rows, *self.books.resends])

    def of_days(self, column: str) -> int:
        return sum(sums[SUMMED.index(column)] for sums in self.books.days.values())

    def cost_of_attempts(self) -> int:
        return sum(call.cost_nano_usd for _, _, call in self.books.attempts)


def simulate(seed: int, steps: int, settle: Settle = core.settle) -> World:
    world = World(seed, settle)
    step = 0
    try:
        for step in range(steps):  # noqa: B007
            world.step()
        world.settle_down()
    except AssertionError as broken:
        again = f"python -m tests.simulation.ledger --seed {seed} --steps {steps}"
        raise AssertionError(f"seed {seed}, step {step}: {broken}; again with: {again}") from broken
    return world


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=2000)
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}, {arguments.steps} steps", flush=True)  # noqa: T201
    world = simulate(arguments.seed, arguments.steps)
    happened = ", ".join(f"{name} {times}" for name, times in sorted(world.tally.items()))
    print(  # noqa: T201
        f"each of {len(world.books.rows)} requests is there once, {world.cost_of_attempts()} nano-dollars in all; "
        f"{len(world.books.resends)} resends, {len(world.books.conflicts)} conflicts; {happened}"
    )


if __name__ == "__main__":
    main()
