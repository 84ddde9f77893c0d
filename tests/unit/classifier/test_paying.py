"""Plans of services that have a budget: who waits, who is paid, who is sent to the floor. The bus is a list."""

import asyncio
import json
from datetime import UTC, datetime

import msgspec
import pytest

from services.classifier.grants import TICK_S
from services.classifier.handlers import Handlers
from services.classifier.letters import ANSWERS_WITHIN_S
from services.classifier.listed import LARGEST_CAP
from services.classifier.metrics import Counts
from services.classifier.purser import Purser
from shared.contracts import (
    ExplainRequested,
    Frame,
    Grant,
    Granted,
    GrantRequested,
    PlanRefused,
    RequestPlanned,
    RequestReceived,
    TokensCounted,
    TokensTold,
    encode,
    pack,
    unpack,
)
from shared.hotbus import NO_RESPONDERS
from shared.policy import from_tree

ID = "req_0123456789ab0000002a"
NOON_US = int(datetime(2026, 11, 25, 12, tzinfo=UTC).timestamp() * 1e6)
NANO = 1_000_000_000
INPUT = {"input_per_1m": 0}
PRICES = {"small-1": ("small", 1), "large-1": ("large", 100), "large-2": ("large", 200)}
WINDOWS = dict.fromkeys(PRICES, 100_000)
PROVE = b'{"model":"auto","messages":[{"role":"user","content":"Prove it."}]}'
# "Prove it." is 7 tokens or so; 100 of an answer at 200 dollars a million are 20 thousandths of a dollar.
WORST = 20_000_000


class Bus:
    def __init__(self):
        self.now = 100.0
        self.published = []

    def time(self):
        return self.now

    def publish(self, subject, payload, reply=b""):
        self.published.append((subject, payload, reply))

    async def subscribe(self, subject, _callback, **_queue):
        return subject

    async def unsubscribe(self, subject):
        self.published.append((b"unsubscribed", subject, b""))


class Classifier:
    def __init__(self, **budget):
        self.bus = Bus()
        self.purser = Purser(self.bus, "classifier-1")
        self.handlers = Handlers(self.bus, "classifier-1", Counts(), self.purser)
        budget = {"daily_usd": 0.3, **budget}
        self.limit = int(budget["daily_usd"] * NANO)
        self.set({"default": budget})
        self.purser.grants.tick(self.bus.now)

    def set(self, budgets):
        backends = [
            {
                "name": name,
                "tier": tier,
                "provider": "vllm",
                "base_url": "http://x",
                "model": name,
                "price": {**INPUT, "output_per_1m": price},
                "context_window": WINDOWS[name],
            }
            for name, (tier, price) in PRICES.items()
        ]
        tree = {"tiers": ["small", "large"], "backends": backends, "budgets": budgets}
        self.handlers.on_policy(from_tree(tree, {}), 7)

    def ask(self, max_tokens=100, model="auto", **fields):
        body = {"model": model, "messages": [{"role": "user", "content": "Prove it."}]}
        payload = json.dumps(body | ({"max_tokens": max_tokens} if max_tokens else {})).encode()
        received = RequestReceived(ID, NOON_US, "chat", "billing", "", 60_000, len(payload), **fields)
        self.handlers._on_request(b"", b"", pack(received, payload), b"")

    def wishes(self):
        return [(one, reply) for subject, one, reply in self.bus.published if subject == b"budget.grant"]

    def grant(self, amount, *, spent=0, held=None):
        payload, reply = self.wishes()[-1]
        [wish] = msgspec.msgpack.decode(payload, type=GrantRequested).asked
        held = amount if held is None else held
        grant = Grant(wish.service, wish.day, wish.lease_id, amount, self.limit, spent, held)
        self.purser._on_answer(reply, b"", encode(Granted((grant,))), b"")

    def fall_silent(self):
        self.purser._on_answer(self.wishes()[-1][1], b"", b"", NO_RESPONDERS)

    def plans(self):
        return [
            (msgspec.msgpack.decode(unpack(payload)[0], type=RequestPlanned), reply)
            for subject, payload, reply in self.bus.published
            if subject == b"dispatch"
        ]

    @property
    def plan(self):
        [(plan, _)] = self.plans()
        return plan

    @property
    def refusal(self):
        [frame] = [one for subject, one, _ in self.bus.published if subject.startswith(b"_INBOX.req")]
        assert frame[0] == Frame.REFUSED
        return msgspec.msgpack.decode(frame[11:], type=PlanRefused).refusal


def test_a_plan_waits_for_its_lease_and_says_which_it_is_and_what_was_reserved():
    one = Classifier()
    one.ask()
    assert one.plans() == []
    assert list(one.handlers.held()) == [ID]
    one.bus.now += 0.125
    one.grant(2 * WORST)
    assert list(one.handlers.held()) == []
    assert (one.plan.lease_id, one.plan.reserved_nano_usd) == ("classifier-1.1", WORST)
    assert one.plan.candidates == ("large-1", "large-2", "small-1")
    assert one.plan.deadline_ms == 60_000 - 125


def test_where_there_is_enough_the_dearest_candidate_is_reserved_for_too():
    one = Classifier(daily_usd=0.32)
    one.ask()
    one.grant(8 * WORST)
    one.ask()
    assert [plan.reserved_nano_usd for plan, _ in one.plans()] == [2 * WORST, WORST], "8 times as much, and no more"


def test_what_costs_nothing_waits_for_no_ledger(monkeypatch):
    for name, (tier, _) in PRICES.items():
        monkeypatch.setitem(PRICES, name, (tier, 0))
    one = Classifier(on_exhausted="reject", daily_usd=0)
    one.ask()
    assert (one.plan.lease_id, len(one.plan.candidates), one.wishes()) == ("", 3, [])


def test_what_may_cost_something_if_it_is_handed_on_is_reserved_for_though_its_first_choice_is_free(monkeypatch):
    """One more than nothing, so that it has a lease: no ledger grants nothing, and who waits for it is refused."""
    monkeypatch.setitem(PRICES, "large-1", ("large", 0))
    monkeypatch.setitem(PRICES, "large-2", ("large", 0))
    one = Classifier()
    one.ask()
    one.grant(NANO // 4, spent=NANO // 4)
    assert (one.plan.lease_id, one.plan.reserved_nano_usd, len(one.plan.candidates)) == ("classifier-1.1", 100_001, 3)


@pytest.mark.parametrize("budget", [{"on_exhausted": "reject"}, {"when_ledger_is_away": "reject"}, {}])
@pytest.mark.parametrize("silent", [False, True])
def test_and_where_nothing_is_left_or_nobody_knows_it_is_carried_out_where_it_is_free(monkeypatch, budget, silent):
    monkeypatch.setitem(PRICES, "large-1", ("large", 0))
    one = Classifier(**budget)
    one.ask()
    assert one.plans() == []
    if silent:
        one.fall_silent()
    else:
        one.grant(0, spent=one.limit, held=0)
    assert (one.plan.lease_id, one.plan.candidates) == ("", ("large-1",))
    assert "budget_downgrade" not in one.plan.reasons
    assert list(one.handlers.held()) == []


def test_what_nobody_took_is_free_again_and_its_caller_is_told():
    one = Classifier()
    one.ask()
    one.grant(WORST)
    [(_, reply)] = one.plans()
    one.handlers._on_paid_undelivered(reply, b"", b"", NO_RESPONDERS)
    assert one.refusal.code == "no_dispatcher"
    one.ask()
    assert len(one.plans()) == 2, "the same money"


def test_a_service_without_a_limit_pays_nothing():
    one = Classifier()
    one.set({"legal": {"daily_usd": 1}})
    one.ask()
    assert one.plan.lease_id == ""
    assert one.wishes() == []


def test_what_is_refused_goes_to_the_floor_and_is_bound_by_no_lease():
    one = Classifier()
    one.ask()
    one.grant(0, spent=one.limit, held=0)
    assert one.plan.candidates == ("small-1",)
    assert one.plan.reasons[0] == "budget_downgrade"
    assert one.plan.lease_id == ""


def test_the_next_is_sent_there_at_once():
    one = Classifier()
    one.ask()
    one.grant(0, spent=one.limit, held=0)
    one.ask()
    assert len(one.plans()) == 2
    assert len(one.wishes()) == 1


def test_who_waited_in_vain_is_decided_again_by_what_is_free():
    """The dearer of the two has no room any more; the cheaper has."""
    one = Classifier()
    one.ask()
    one.grant(0, spent=100_000_000, held=185_000_000)
    for _ in range(60):
        one.bus.now += TICK_S
        one.purser.grants.tick(one.bus.now)
        payload, _ = one.wishes()[-1]
        wish = msgspec.msgpack.decode(payload, type=GrantRequested).asked
        if one.plans():
            break
        if wish and wish[0].lease_id and not one.plans():
            fits = wish[0].need <= 15_000_000
            one.grant(wish[0].need if fits else 0, spent=100_000_000, held=185_000_000)
    assert one.plan.candidates == ("large-1", "small-1")
    assert one.plan.reserved_nano_usd == 10_000_000
    assert one.plan.lease_id


def test_on_exhausted_reject_is_402():
    one = Classifier(on_exhausted="reject")
    one.ask()
    one.grant(0, spent=one.limit, held=0)
    assert (one.refusal.status, one.refusal.code, one.refusal.may_retry) == (402, "budget_exhausted", False)


def test_a_refusal_tells_what_is_spent_though_nobody_has_asked_yet():
    """The limit was lowered below what this request may cost: no ledger is needed to refuse it."""
    one = Classifier(on_exhausted="reject", daily_usd=0.001)
    one.ask()
    assert list(one.handlers.held()) == [ID]
    one.grant(0, spent=640_000_000, held=5_000_000)
    assert one.refusal.code == "budget_exhausted"
    assert "0.64 USD are spent and 0.005 reserved of 0.001" in one.refusal.message
    assert list(one.handlers.held()) == []


def test_a_refusal_does_not_wait_for_a_ledger_that_is_away():
    one = Classifier(on_exhausted="reject", daily_usd=0.001)
    one.ask()
    one.fall_silent()
    assert one.refusal.code == "budget_exhausted"


@pytest.mark.parametrize("on_exhausted", ["downgrade", "reject"])
def test_a_ledger_that_is_away_sends_to_the_floor_where_the_budget_says_so(on_exhausted):
    one = Classifier(on_exhausted=on_exhausted)
    one.ask()
    one.fall_silent()
    assert one.plan.reasons[0] == "budget_downgrade"
    assert one.plan.candidates == ("small-1",)


def test_what_is_at_the_floor_already_is_served_there_while_nobody_knows_what_is_spent():
    one = Classifier()
    one.ask(model="auto:cheap")
    one.fall_silent()
    assert one.plan.candidates == ("small-1",)
    assert one.plan.reasons[0] == "budget_downgrade"


def test_and_a_pin_is_not_told_that_the_budget_is_spent():
    one = Classifier()
    one.ask(model="large-1")
    one.fall_silent()
    assert (one.refusal.status, one.refusal.code, one.refusal.may_retry) == (503, "budget_unknown", True)


def test_or_is_ignored():
    one = Classifier(when_ledger_is_away="allow")
    one.ask()
    one.fall_silent()
    assert (one.plan.lease_id, one.plan.candidates) == ("", ("large-1", "large-2", "small-1"))


def test_or_refuses():
    one = Classifier(when_ledger_is_away="reject")
    one.ask()
    one.fall_silent()
    assert (one.refusal.status, one.refusal.code, one.refusal.may_retry) == (503, "budget_unknown", True)


def test_silence_is_noticed_by_the_clock_too():
    one = Classifier()
    one.ask()
    end = one.bus.now + ANSWERS_WITHIN_S + TICK_S
    while one.bus.now < end:
        one.bus.now += TICK_S
        one.purser.grants.tick(one.bus.now)
    assert one.plan.reasons[0] == "budget_downgrade"


def test_a_plan_without_a_cap_does_not_take_most_of_the_budget():
    """Of five dollars it might take more than three, at the dearer of the two; half is enough at the other."""
    one = Classifier(daily_usd=5)
    one.ask(max_tokens=0)
    payload, _ = one.wishes()[-1]
    [wish] = msgspec.msgpack.decode(payload, type=GrantRequested).asked
    assert wish.need == LARGEST_CAP * 100_000
    one.grant(wish.need)
    assert (one.plan.output_cap, one.plan.reserved_nano_usd) == (LARGEST_CAP, wish.need)


def test_it_rather_takes_more_of_it_than_go_to_a_dearer_backend_whose_answers_are_shorter(monkeypatch):
    monkeypatch.setitem(WINDOWS, "large-2", 2_000)
    one = Classifier(daily_usd=5)
    one.ask(max_tokens=0)
    one.grant(LARGEST_CAP * 100_000)
    assert one.plan.candidates[0] == "large-1"


def test_who_asks_how_it_would_be_decided_is_told_of_the_same_cap():
    """The whole of the budget would allow a longer answer than the half of it that one plan takes."""
    one = Classifier(daily_usd=3.24)
    one.ask(max_tokens=0)
    one.grant(2 * NANO)
    asked = pack(ExplainRequested(RequestReceived(ID, NOON_US, "chat", "billing", "", 60_000, len(PROVE))), PROVE)
    one.handlers._on_explain(b"", b"inbox", asked, b"")
    told = json.loads(unpack(one.bus.published[-1][1])[1])
    assert 0 < one.plan.output_cap < LARGEST_CAP
    assert told["max_tokens"] == one.plan.output_cap
    assert told["budget"]["available_usd"] == "3.24"


async def stopping(one, within_s):
    await one.handlers.start()
    task = asyncio.create_task(one.handlers.stop(within_s))
    left = [(b"unsubscribed", subject, b"") for subject in ("explain", "route.*")]
    await asyncio.sleep(0)
    assert one.bus.published[-2:] == left
    return task


async def test_who_waits_for_money_as_a_classifier_is_stopped_gets_it():
    one = Classifier()
    one.ask()
    task = await stopping(one, 5)
    await asyncio.sleep(0.05)
    assert not task.done()
    one.grant(2 * WORST)
    await task
    one.purser.grants.stop(one.bus.now)
    assert (one.plan.lease_id, one.plan.candidates[0]) == ("classifier-1.1", "large-1")


async def test_and_no_longer_than_a_stop_may_take():
    one = Classifier()
    one.ask()
    await (await stopping(one, 0.05))
    one.purser.grants.stop(one.bus.now)
    assert one.plan.reasons[0] == "budget_downgrade"


async def test_who_has_nobody_that_waits_stops_at_once():
    one = Classifier()
    await (await stopping(one, 60))


def test_a_failure_of_one_who_waited_is_told_to_its_caller_and_spares_the_others(monkeypatch, caplog):
    one = Classifier()
    one.ask()
    one.ask(send=1)
    failed = []

    def fails(self, held, outcome, waited_ms):
        failed.append(held)
        if len(failed) == 1:
            raise RuntimeError("a bug")
        self._dispatch(held.plan, held.body)

    class Loop:
        def call_exception_handler(self, context):
            assert "a bug" in str(context["exception"])

    monkeypatch.setattr(Handlers, "_on_outcome", fails)
    monkeypatch.setattr("asyncio.get_running_loop", Loop)
    one.grant(NANO)
    assert one.refusal.code == "internal_error"
    assert len(one.plans()) == 1


def test_a_plan_reserves_for_as_many_tokens_as_its_provider_counts(monkeypatch):
    monkeypatch.setitem(INPUT, "input_per_1m", 50)

    def reserved(*counts):
        one = Classifier(daily_usd=5)
        one.purser._on_tokens(b"", b"", encode(TokensTold(counts)), b"")
        one.ask()
        one.grant(NANO)
        return one.plan.reserved_nano_usd

    as_estimated = reserved()
    assert reserved(TokensCounted("large-2", 7, 1_007)) == as_estimated  # it is another's
    assert reserved(TokensCounted("large-1", 7, 1_007)) == as_estimated + 2 * 1_000 * 50_000
