"""Budgets under loss, duplication, reordering, crashes and clocks that differ, in one thread.

`python -m tests.simulation.budgets --seed N [--runs N] [--steps N]` replays. The classifiers' side is
services/classifier/grants.py, the ledger's services/ledger/leases.py, both as they are; what may happen to them is
the list `World.actions`. The oracle is the provider's bill: what was called, whoever still knows of it.
"""

import argparse
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType

from msgspec.structs import replace as replace_struct

from services.classifier.grants import Grants
from services.classifier.parking import Outcome
from services.ledger import leases
from services.ledger.leases import Day, Lease
from shared.budgets import Limit, Limits, budget_day
from shared.contracts import Grant, GrantAsked, Granted, GrantRequested
from shared.policy import Budget

Account = tuple[str, str]  # service and day

EPOCH = 1_795_406_000.0  # a moment of 2026
MIDNIGHTS = (1_795_474_800.0, 1_795_496_400.0)  # in Berlin and in New York
LONGEST_S = 60.0  # the longest deadline of a request
SKEW_S = 60.0
LIMITS = (100, 1000, 20_000, 1_000_000, 10_000_000)
SERVICES = {"billing": "Europe/Berlin", "legal": "America/New_York"}


@dataclass
class Request:
    number: int
    service: str
    received_at_us: int
    amount: int  # what is reserved for it
    deadline_s: float
    send: int = 0


@dataclass
class Record:
    """A usage record, as far as budgets look at it."""

    key: tuple[int, int]
    account: Account
    lease_id: str
    reserved: int
    cost: int


@dataclass
class Message:
    arrive: Callable[[], None]
    asked: tuple[str, ...] | None = None  # leases; None: a plan, or NATS' word about one


class Store:
    """What PostgreSQL would hold. Each method is a transaction."""

    def __init__(self, rules: ModuleType, limits: dict[str, int], zones: dict[str, str]) -> None:
        self.rules = rules
        self.zones = zones
        self.limits = limits
        self.days: dict[Account, Day] = {}
        self.leases: dict[str, Lease] = {}
        self.recorded: set[tuple[int, int]] = set()
        self.paid: Counter[Account] = Counter()  # by records of leases: what the books have of them

    def day(self, account: Account) -> Day:
        return self.days.setdefault(account, Day(self.limits[account[0]]))

    def hear(self, message: GrantRequested, now: float) -> None:
        for report in message.reported:
            lease = self.leases.get(report.lease_id)
            if lease is None:  # given back before it was asked for: it will not be granted any more
                self.leases[report.lease_id] = Lease("", "", 0, now)
            elif lease.service:
                self.rules.hear(self.day((lease.service, lease.day)), lease, report, now, LONGEST_S)

    def grant(self, asked: GrantAsked, now: float) -> Grant:
        lent = replace_struct(asked, day=leases.lent_day(asked.day, self.zones[asked.service], now))
        day = self.day((lent.service, lent.day))
        granted = 0
        if asked.lease_id in self.leases:
            granted = self.leases[asked.lease_id].kept  # the same wish again
        elif asked.lease_id:
            lease = self.rules.grant(day, lent, now, LONGEST_S)
            if lease is not None:
                self.leases[asked.lease_id] = lease
                granted = lease.kept
        return Grant(asked.service, asked.day, asked.lease_id, granted, day.limit, day.spent, day.held)

    def settle(self, records: list[Record]) -> None:
        for record in records:
            if record.key in self.recorded:
                continue
            self.recorded.add(record.key)
            if record.lease_id:
                lease = self.leases[record.lease_id]
                self.rules.settle(self.day((lease.service, lease.day)), lease, record.reserved, record.cost)
                self.paid[lease.service, lease.day] += record.cost
            else:
                self.day(record.account).floor += record.cost

    def give_up(self, until: float) -> None:
        for lease in self.leases.values():
            if lease.due_at <= until and lease.outstanding:
                self.rules.give_up(self.day((lease.service, lease.day)), lease)

    def set_limit(self, service: str, limit: int) -> None:
        self.limits[service] = limit
        for (name, _), day in self.days.items():
            if name == service:
                day.limit = limit


@dataclass
class Classifier:
    name: str
    grants: Grants
    clock: float  # how far its clock that only goes forward is off

    alive = True


@dataclass
class Ledger:
    clock: float
    fetched: list[int] = field(default_factory=list)
    is_saved = False


@dataclass
class Flight:
    request: Request
    lease_id: str
    cost: int = 0
    is_called: bool = False


@dataclass
class Dispatcher:
    flights: list[Flight] = field(default_factory=list)


class World:
    def __init__(self, seed: int, rules: ModuleType = leases) -> None:
        self.random = random.Random(seed)
        self.now = self.random.choice(MIDNIGHTS) - self.random.uniform(-SKEW_S, 2000)  # so that days change
        self.store = Store(rules, {service: self.random.choice(LIMITS) for service in SERVICES}, SERVICES)
        self.budgets = {service: Budget(daily_usd=0, timezone=zone) for service, zone in SERVICES.items()}
        self.network: list[Message] = []
        self.doubled: set[str] = set()  # leases that were asked for by a message that came twice
        self.stream: dict[int, tuple[float, Record]] = {}  # what is not acked, and when it was stored
        self.published: list[Record] = []
        self.messages = 0
        self.requests: list[Request] = []
        self.processes = 0
        self.bill: Counter[Account] = Counter()
        self.planned: Counter[str] = Counter()  # by lease: what plans that left were reserved
        self.ceiling: dict[Account, int] = {}
        self.tally: Counter[str] = Counter()
        self.nats_clock = self.skew()
        self.ledgers = [Ledger(self.skew()) for _ in range(2)]
        self.dispatchers = [Dispatcher() for _ in range(2)]
        self.classifiers = [self.new_classifier() for _ in range(3)]
        self.actions: list[tuple[Callable[[], object], int]] = [
            (self.receive_request, 24),
            (self.send_again, 1),
            (self.deliver, 80),
            (self.lose_message, 1),
            (self.double_message, 1),
            (self.call_upstream, 24),
            (self.answer, 24),
            (self.publish_again, 1),
            (self.fetch, 8),
            (self.save, 8),
            (self.ack, 8),
            (self.give_up, 1),
            (self.tick, 24),
            (self.wait, 16),
            (self.kill_classifier, 1),
            (self.kill_ledger, 1),
            (self.kill_dispatcher, 1),
            (self.set_limit, 1),
        ]
        self.pauses = [0.001] * 60 + [0.05] * 12 + [0.3] * 3 + [1.0] * 6 + [5.0, 40.0, 150.0, 4000.0]
        self.choices = [action for action, weight in self.actions for _ in range(weight)]

    def step(self) -> None:
        action = self.random.choice(self.choices)
        if action() is not False:
            self.tally[action.__name__] += 1
        self.check()

    def skew(self) -> float:
        return self.random.uniform(-SKEW_S, SKEW_S)

    # Callers and classifiers ---------------------------------------------------------------------------------

    def new_classifier(self) -> Classifier:
        self.processes += 1
        name = f"classifier-{self.processes}"
        classifier = Classifier(
            name, Grants(name, lambda message: self.ask(classifier, message)), self.skew() - EPOCH
        )
        limits = Limits(self.budgets)
        for service, limit in self.store.limits.items():
            limits._limits[service] = Limit(limit, timezone=SERVICES[service])
        classifier.grants.on_limits(limits, {}, self.time_at(classifier))
        return classifier

    def time_at(self, classifier: Classifier) -> float:
        return self.now + classifier.clock

    def receive_request(self) -> None:
        service = self.random.choice(list(SERVICES))
        amount = self.random.randint(
            1, max(1, self.store.limits[service] // self.random.choice([4, 20, 100, 1000, 10_000]))
        )
        received_at_us = int((self.now + self.skew()) * 1e6)
        request = Request(len(self.requests), service, received_at_us, amount, self.random.uniform(0.1, LONGEST_S))
        self.requests.append(request)
        self.decide(self.random.choice(self.classifiers), request)

    def send_again(self) -> bool:
        """Its holder was thought dead. Both may be carried out, and both are paid."""
        request = self.random.choice(self.requests[-20:]) if self.requests else None
        if request is None or request.send:
            return False
        request.send = 1
        again = Request(
            request.number, request.service, request.received_at_us, request.amount, request.deadline_s, 1
        )
        self.decide(self.random.choice(self.classifiers), again)
        return True

    def decide(self, classifier: Classifier, request: Request) -> None:
        now = self.time_at(classifier)
        grants, service, at_us = classifier.grants, request.service, request.received_at_us
        lease_id = grants.reserve(service, at_us, request.amount, now + request.deadline_s, now)
        assert lease_id is not None
        if lease_id:
            self.tally["at once"] += 1
            self.plan(classifier, request, lease_id)
            return

        def then(outcome: Outcome, lease_id: str) -> None:
            self.tally[outcome.value] += 1
            if classifier.alive:
                self.plan(classifier, request, lease_id)  # without one: to the floor

        grants.park(service, at_us, request.amount, now + request.deadline_s, now, then)

    def plan(self, classifier: Classifier, request: Request, lease_id: str) -> None:
        self.planned[lease_id] += request.amount
        if lease_id and self.random.random() < 0.02:

            def bounce() -> None:
                """NATS says that nobody is there to take it."""
                if classifier.alive:
                    classifier.grants.undelivered(lease_id, request.amount)
                    self.planned[lease_id] -= request.amount

            self.network.append(Message(bounce))
            return
        dispatcher = self.random.choice(self.dispatchers)
        self.network.append(Message(lambda: dispatcher.flights.append(Flight(request, lease_id))))

    def tick(self) -> None:
        classifier = self.random.choice(self.classifiers)
        classifier.grants.tick(self.time_at(classifier))

    def ask(self, classifier: Classifier, message: GrantRequested) -> int:
        self.messages += 1
        number = self.messages
        asked = tuple(one.lease_id for one in message.asked)
        self.network.append(Message(lambda: self.hear(classifier, number, message), asked))
        return number

    # Dispatchers and the provider ----------------------------------------------------------------------------

    def call_upstream(self) -> bool:
        dispatcher = self.random.choice(self.dispatchers)
        waiting = [flight for flight in dispatcher.flights if not flight.is_called]
        if waiting:
            self.call(waiting[0])
        return bool(waiting)

    def call(self, flight: Flight) -> None:
        flight.is_called = True
        left = flight.request.amount
        for _ in range(self.random.choice([1, 1, 1, 2])):  # a second attempt only within what is reserved
            cost = self.random.randint(0, left)
            left -= cost
            flight.cost += cost
        if flight.lease_id:
            lease = self.store.leases.get(flight.lease_id)
            assert lease is not None, "money was spent of a lease that no ledger granted"
            assert lease.service, "money was spent of a lease that was never granted"
            self.bill[lease.service, lease.day] += flight.cost

    def answer(self) -> bool:
        """Or a refusal before any call: it is told too, for something was reserved for it."""
        dispatcher = self.random.choice(self.dispatchers)
        if not dispatcher.flights:
            return False
        self.tell(dispatcher.flights.pop(self.random.randrange(len(dispatcher.flights))))
        return True

    def tell(self, flight: Flight) -> None:
        request = flight.request
        account = (request.service, budget_day(SERVICES[request.service], request.received_at_us).day)
        key = (request.number, request.send)
        self.publish(Record(key, account, flight.lease_id, request.amount, flight.cost))

    def publish(self, record: Record) -> None:
        self.published.append(record)
        self.messages += 1
        self.stream[self.messages] = (self.now + self.nats_clock, record)

    def publish_again(self) -> bool:
        if not self.published:
            return False
        self.publish(self.random.choice(self.published[-50:]))
        return True

    # Ledgers -------------------------------------------------------------------------------------------------

    def hear(self, classifier: Classifier, number: int, message: GrantRequested) -> None:
        """Transaction by transaction; it may be killed before each, and before it answers."""
        ledger = self.random.choice(self.ledgers)
        now = self.now + ledger.clock
        if self.random.random() < 0.005:
            self.reply(classifier, number, Granted(away=True))
            return
        if self.random.random() < 0.01:
            return
        self.store.hear(message, now)
        grants = []
        for asked in message.asked:
            if self.random.random() < 0.01:
                return
            grants.append(self.store.grant(asked, now))
        if self.random.random() < 0.01:
            return
        self.reply(classifier, number, Granted(tuple(grants)))

    def reply(self, classifier: Classifier, number: int, granted: Granted) -> None:
        def arrive() -> None:
            if classifier.alive:
                classifier.grants.on_granted(number, granted, self.time_at(classifier))

        self.network.append(Message(arrive, ()))

    def fetch(self) -> bool:
        ledger = self.random.choice(self.ledgers)
        if ledger.fetched or not self.stream:
            return False
        waiting = list(self.stream)
        ledger.fetched = self.random.sample(waiting, min(len(waiting), self.random.randint(1, 30)))
        return True

    def save(self) -> bool:
        """The commit may come, and the ledger not hear of it: it saves again."""
        ledger = self.random.choice(self.ledgers)
        if not ledger.fetched or ledger.is_saved:
            return False
        self.store.settle([self.stream[i][1] for i in ledger.fetched if i in self.stream])
        ledger.is_saved = self.random.random() < 0.9
        return True

    def ack(self) -> bool:
        ledger = self.random.choice(self.ledgers)
        if not ledger.is_saved:
            return False
        for i in ledger.fetched:
            if self.random.random() < 0.9:
                self.stream.pop(i, None)
        ledger.fetched, ledger.is_saved = [], False
        return True

    def give_up(self) -> None:
        ledger = self.random.choice(self.ledgers)
        read_until = min([at for at, _ in self.stream.values()], default=self.now + self.nats_clock)
        self.store.give_up(min(self.now + ledger.clock, read_until))

    # Faults, time, operators ---------------------------------------------------------------------------------

    def deliver(self) -> bool:
        """Any of them: the order in which they were sent says nothing."""
        if not self.network:
            return False
        self.network.pop(self.random.randrange(min(len(self.network), 30))).arrive()
        return True

    def lose_message(self) -> bool:
        if not self.network:
            return False
        self.network.pop(self.random.randrange(len(self.network)))
        return True

    def double_message(self) -> bool:
        """Between classifiers and ledgers. A plan comes once at most, for NATS never delivers twice."""
        twice = [message for message in self.network[:30] if message.asked is not None]
        if not twice:
            return False
        message = self.random.choice(twice)
        self.doubled.update(message.asked or ())
        self.network.append(message)
        return True

    def wait(self) -> None:
        """Mostly so little that answers are in time; now and then past a renewal, a lease's end, a day's."""
        self.now += self.random.choice(self.pauses)

    def kill_classifier(self) -> None:
        place = self.random.randrange(len(self.classifiers))
        victim = self.classifiers[place]
        if self.random.random() < 0.3:
            victim.grants.stop(self.time_at(victim))
        victim.alive = False
        self.classifiers[place] = self.new_classifier()

    def kill_ledger(self) -> None:
        ledger = self.random.choice(self.ledgers)
        ledger.fetched, ledger.is_saved = [], False

    def kill_dispatcher(self) -> None:
        self.random.choice(self.dispatchers).flights.clear()

    def set_limit(self) -> None:
        service = self.random.choice(list(SERVICES))
        self.store.set_limit(service, self.random.choice([0, *LIMITS]))

    # What must hold ------------------------------------------------------------------------------------------

    def check(self) -> None:
        for account, day in self.store.days.items():
            used = day.spent + day.held
            ceiling = max(day.limit, min(self.ceiling.get(account, 0), used))  # a lowered limit undoes no spending
            assert used <= max(day.limit, self.ceiling.get(account, 0)), f"{account}: {used} is above {ceiling}"
            assert day.held >= 0, f"{account}: less than nothing is held"
            assert day.spent >= 0, f"{account}: less than nothing is spent"
            assert self.bill[account] <= used, f"{account}: the bill of {self.bill[account]} is above {used}"
            self.ceiling[account] = ceiling
        if self.messages % 64 == 0:
            self.check_leases()

    def check_leases(self) -> None:
        held: Counter[Account] = Counter()
        lost: Counter[Account] = Counter()
        for lease in self.store.leases.values():
            assert 0 <= lease.settled <= lease.kept, "more of a lease came back than was granted"
            lost[lease.service, lease.day] += lease.lost
            if not lease.charged:
                held[lease.service, lease.day] += lease.outstanding
        for account, day in self.store.days.items():
            assert day.held == held[account], f"{account}: what is held is not what the leases hold"
            booked = self.store.paid[account] + lost[account]
            assert day.spent == booked, f"{account}: {day.spent} is spent, and the books have {booked}"

    def settle_down(self) -> None:
        """No more faults: what is under way arrives, callers are answered, leases end."""
        for _ in range(60):  # six seconds, so that idle leases end and are told of
            while self.network:
                self.network.pop(0).arrive()
                self.check()
            for classifier in self.classifiers:
                classifier.grants.tick(self.time_at(classifier))
            for dispatcher in self.dispatchers:
                for flight in dispatcher.flights:
                    if not flight.is_called:
                        self.call(flight)
                    self.tell(flight)
                dispatcher.flights.clear()
            self.now += 0.1
        self.store.settle([record for _, record in self.stream.values()])
        self.stream.clear()
        self.now += leases.SILENT_S + LONGEST_S + leases.GRACE_S + 3 * SKEW_S
        self.give_up()
        self.check()
        self.check_leases()
        living = {classifier.name for classifier in self.classifiers}
        for lease_id, lease in self.store.leases.items():
            # A wish that came twice may be granted after its refusal, and the answer be lost: then it is charged.
            if lease_id.partition(".")[0] in living and lease_id not in self.doubled:
                assert lease.kept == self.planned[lease_id], "what no plan was given did not return"
        for account, day in self.store.days.items():
            assert day.held == 0, f"{account}: {day.held} stays reserved for ever"
            charged = sum(
                lease.outstanding
                for lease in self.store.leases.values()
                if lease.charged and (lease.service, lease.day) == account
            )
            assert day.spent - charged <= self.bill[account] <= day.spent, f"{account}: the books are not the bill"


def simulate(seed: int, steps: int, rules: ModuleType = leases) -> World:
    world = World(seed, rules)
    step = 0
    try:
        for step in range(steps):  # noqa: B007
            world.step()
        world.settle_down()
    except AssertionError as broken:
        again = f"python -m tests.simulation.budgets --seed {seed} --runs 1 --steps {steps}"
        raise AssertionError(f"seed {seed}, step {step}: {broken}; again with: {again}") from broken
    return world


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs", type=int, default=600, help="each of the next seed")
    parser.add_argument("--steps", type=int, default=2000, help="of a run")
    arguments = parser.parse_args()
    tally: Counter[str] = Counter()
    began = time.monotonic()
    for seed in range(arguments.seed, arguments.seed + arguments.runs):
        tally += simulate(seed, arguments.steps).tally
    happened = ", ".join(f"{name} {times}" for name, times in sorted(tally.items()))
    steps = arguments.runs * arguments.steps
    print(f"budgets: {steps} steps in {time.monotonic() - began:.0f} s, all held; {happened}")  # noqa: T201


if __name__ == "__main__":
    main()
