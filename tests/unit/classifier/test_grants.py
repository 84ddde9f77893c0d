"""A classifier's side of budgets, with the ledger's answers given by hand."""

from datetime import UTC, datetime

import pytest

from services.classifier.grants import SETTLING_WAITS_S, TICK_S, Grants
from services.classifier.letters import ANSWERS_WITHIN_S, LOST_AFTER_S
from services.classifier.parking import MAX_PARKED, Outcome
from shared.budgets import Limits
from shared.contracts import Grant, Granted, LeaseReported
from shared.policy import Budget

NOON_US = int(datetime(2026, 11, 25, 12, tzinfo=UTC).timestamp() * 1e6)
DAY_US = 86_400_000_000
LIMIT = 1_000_000_000  # nano-dollars, one dollar
DEADLINE = 600.0


class Classifier:
    def __init__(self, **budgets):
        self.sent = []
        self.answered = 0
        self.outcomes = []
        self.now = 100.0
        self.grants = Grants("c1", self._send)
        self.set(**(budgets or {"default": Budget(daily_usd=1)}))
        self.grants.tick(self.now)

    def _send(self, message):
        self.sent.append(message)
        return len(self.sent) - 1

    def set(self, **budgets):
        self.grants.on_limits(Limits(budgets), {"small": 0, "large": 1}, self.now)

    def reserve(self, amount, service="billing", at_us=NOON_US):
        return self.grants.reserve(service, at_us, amount, self.now + DEADLINE, self.now)

    def park(self, amount, service="billing", at_us=NOON_US, deadline=DEADLINE):
        self.grants.park(service, at_us, amount, self.now + deadline, self.now, self._then)

    def _then(self, outcome, lease_id):
        self.outcomes.append((outcome, lease_id))

    def purse(self, service="billing", at_us=NOON_US):
        self.grants.moment_us = at_us
        return self.grants.get(service)

    @property
    def wish(self):
        return self.sent[-1].asked[-1]

    def wishes(self, lease_id):
        return [wish for message in self.sent for wish in message.asked if wish.lease_id == lease_id]

    def grant(self, amount, *, limit=LIMIT, spent=0, held=None, wish=None, number=None):
        wish = wish or self.wish
        number = len(self.sent) - 1 if number is None else number
        held = amount if held is None else held
        answer = Grant(wish.service, wish.day, wish.lease_id, amount, limit, spent, held)
        self.grants.on_granted(number, Granted((answer,)), self.now)

    def holding(self, amount):
        """With a lease of so much in hand."""
        self.park(1)
        self.grant(amount + 1)
        self.outcomes.clear()
        return self

    def wait(self, seconds, granting=None):
        """Time passes; the ledger is silent, or grants so much to every wish."""
        end = self.now + seconds
        while self.now < end - 1e-9:
            self.now += TICK_S
            self.grants.tick(self.now)
            if granting is not None:
                for number in range(self.answered, len(self.sent)):
                    self.answer(number, granting)
            self.answered = len(self.sent)

    def answer(self, number, granting):
        grants = [
            Grant(wish.service, wish.day, wish.lease_id, granting if wish.lease_id else 0, LIMIT, 0, granting)
            for wish in self.sent[number].asked
        ]
        self.grants.on_granted(number, Granted(tuple(grants)), self.now)


def test_the_first_plan_of_a_service_waits_for_one_grant_and_the_next_for_nobody():
    one = Classifier()
    assert one.reserve(1000) == ""
    one.park(1000)
    assert one.outcomes == []
    assert (one.wish.service, one.wish.day, one.wish.need, one.wish.waiting) == ("billing", "2026-11-25", 1000, 1000)
    assert one.wish.ahead > one.wish.need
    one.grant(100_000)
    assert one.outcomes == [(Outcome.RESERVED, "c1.1")]
    assert one.reserve(1000) == "c1.1"
    assert len(one.sent) == 1


def test_a_service_without_a_limit_has_no_purse_and_needs_no_lease():
    one = Classifier(billing=Budget(daily_usd=1))
    assert one.reserve(1000, service="legal") is None
    assert one.purse("legal") is None
    assert one.sent == []


def test_the_default_is_each_services_own():
    one = Classifier().holding(100_000)
    assert one.reserve(10, service="legal") == ""
    one.park(10, service="legal")
    assert one.wish.service == "legal"


def test_more_is_asked_for_before_the_lease_is_used_up():
    one = Classifier().holding(10_000)
    for _ in range(9):
        assert one.reserve(1000) == "c1.1"
    assert one.wish.lease_id == "c1.2"
    assert one.wish.waiting == 0
    assert one.reserve(1000) == "c1.1"
    one.grant(50_000)
    assert one.reserve(1000) == "c1.2"
    assert one.outcomes == []


def test_plans_are_served_in_the_order_of_their_coming_and_nobody_overtakes():
    one = Classifier().holding(500)
    one.park(600)
    assert one.reserve(100) == ""
    one.park(100)
    one.grant(650, wish=one.wish)
    assert one.outcomes == [(Outcome.RESERVED, one.outcomes[0][1])]
    one.grant(100)
    assert [outcome for outcome, _ in one.outcomes] == [Outcome.RESERVED] * 2


def test_a_crumb_goes_back_with_the_next_wish():
    one = Classifier().holding(500)
    one.park(600)
    assert one.sent[-1].reported == (LeaseReported("c1.1", 1, int(DEADLINE * 1000)),)


def test_refused_is_what_the_day_has_not_left_and_the_refusal_holds_for_a_second():
    one = Classifier()
    one.park(1000)
    one.grant(0, spent=LIMIT - 999, held=0)
    assert one.outcomes == [(Outcome.REFUSED, "")]
    one.park(1000)
    assert one.outcomes == [(Outcome.REFUSED, "")] * 2
    assert len(one.sent) == 1
    assert one.reserve(500) == ""
    one.park(500)
    assert len(one.sent) == 2, "a smaller one may still fit"
    one.grant(500, spent=LIMIT - 999)
    one.wait(1.1)
    one.park(1000)
    assert one.wish.need == 1000


def test_where_money_is_held_and_not_spent_plans_wait_for_it_to_settle():
    one = Classifier()
    one.park(1000)
    one.grant(0, spent=0, held=LIMIT)
    assert one.outcomes == []
    wishes = len(one.sent)
    one.wait(0.2)
    assert len(one.sent) > wishes
    one.grant(1000, spent=LIMIT // 2, held=LIMIT // 2)
    assert [outcome for outcome, _ in one.outcomes] == [Outcome.RESERVED]


@pytest.mark.parametrize(("deadline", "at_most"), [(DEADLINE, SETTLING_WAITS_S), (2.0, 0.5)])
def test_they_wait_for_two_seconds_or_a_quarter_of_what_their_request_has_left(deadline, at_most):
    one = Classifier()
    one.park(1000, deadline=deadline)
    while not one.outcomes and one.now < 110:
        if one.sent[-1].asked and one.wish.lease_id:
            one.grant(0, held=LIMIT)
        one.wait(TICK_S)
    assert one.outcomes == [(Outcome.REFUSED, "")]
    assert at_most <= one.now - 100 <= at_most + 2 * TICK_S


def test_a_silent_ledger_is_said_to_be_silent_and_what_is_in_hand_is_spent():
    one = Classifier().holding(1500)
    assert one.reserve(1000) == "c1.1"
    one.park(1000)
    one.wait(ANSWERS_WITHIN_S + TICK_S)
    assert one.outcomes == [(Outcome.SILENT, "")]
    one.park(1000)
    assert one.outcomes == [(Outcome.SILENT, "")] * 2, "nobody waits twice for the same silence"


def test_what_is_in_hand_is_spent_while_the_ledger_is_away():
    one = Classifier().holding(100_000)
    one.grants.on_away(0, one.now)
    assert one.reserve(1000) == "c1.1"


def test_a_ledger_that_is_back_is_noticed_without_a_request():
    one = Classifier()
    one.park(1000)
    one.grants.on_away(0, one.now)
    assert one.outcomes == [(Outcome.SILENT, "")]
    one.wait(0.5)
    one.grants.on_granted(len(one.sent) - 1, Granted(), one.now)
    one.park(1000)
    assert len(one.outcomes) == 1, "it waits for a grant again"


def test_a_ledger_without_its_database_is_away():
    one = Classifier()
    one.park(1000)
    one.grants.on_granted(0, Granted(away=True), one.now)
    assert one.outcomes == [(Outcome.SILENT, "")]


def test_a_ledger_that_does_not_know_a_service_yet_is_not_away():
    """It has not seen our policy: whoever waits for another service's money is not sent to the floor for that."""
    one = Classifier()
    one.park(1000, service="known")
    known = one.wish
    one.park(1000, service="new")
    one.grants.on_granted(len(one.sent) - 1, Granted(), one.now)
    assert one.outcomes == []
    one.grant(5000, wish=known, number=0)
    assert one.outcomes == [(Outcome.RESERVED, known.lease_id)]
    one.wait(0.2)
    assert (one.wish.service, one.wish.need) == ("new", 1000), "asked for again"
    one.grant(5000)
    assert one.outcomes[1:] == [(Outcome.RESERVED, one.wish.lease_id)]


def test_a_message_that_was_lost_is_no_silence_where_another_was_answered():
    """Of two ledgers one was killed: who waited for it asks the other, and nobody is sent to the floor."""
    one = Classifier()
    one.park(1000, service="unlucky")
    lost = one.wish
    one.now += 0.1
    one.park(1000, service="lucky")
    one.grant(5000)
    one.outcomes.clear()
    one.park(10_000, service="waiting")
    waiting, number = one.wish, len(one.sent) - 1
    one.wait(ANSWERS_WITHIN_S - 0.05)
    assert one.outcomes == []
    one.grant(50_000, wish=waiting, number=number)
    one.wait(0.2)
    assert one.outcomes == [(Outcome.RESERVED, waiting.lease_id)]
    assert (one.wish.service, one.wish.need) == ("unlucky", 1000)
    assert one.wish.lease_id != lost.lease_id
    one.grant(5000)
    assert one.outcomes[1:] == [(Outcome.RESERVED, one.wish.lease_id)]


def test_a_service_that_the_ledger_never_knows_is_as_where_it_is_away():
    one = Classifier()
    one.park(1000, service="new")
    for _ in range(50):
        for number in range(one.answered, len(one.sent)):
            one.grants.on_granted(number, Granted(), one.now)
        one.answered = len(one.sent)
        one.now += TICK_S
        one.grants.tick(one.now)
    assert one.outcomes == [(Outcome.SILENT, "")]


def test_whoever_stood_still_itself_blames_nobody():
    one = Classifier()
    one.park(1000)
    one.now += 30
    one.grants.tick(one.now)
    assert one.outcomes == [(Outcome.REFUSED, "")], "it has waited long enough, but the ledger is not away"
    one.park(1000)
    assert len(one.outcomes) == 1


def test_a_grant_that_comes_after_the_silence_is_given_back():
    one = Classifier()
    one.park(1000)
    wish = one.wish
    one.wait(ANSWERS_WITHIN_S + TICK_S)
    one.grant(5000, wish=wish, number=0)
    one.wait(1.1)
    assert LeaseReported(wish.lease_id, 0, 0) in one.sent[-1].reported
    assert one.reserve(1000) == ""


def test_every_second_what_the_next_two_do_not_need_goes_back():
    one = Classifier().holding(100_000_000)
    one.reserve(1000)
    one.wait(1.1)
    [report] = one.sent[-1].reported
    assert report == LeaseReported("c1.1", 3 * 1001)
    assert one.reserve(1000) == "c1.1"


def test_an_idle_service_gives_everything_back_and_is_forgotten():
    one = Classifier().holding(100_000)
    one.wait(2.2, granting=0)
    assert one.sent[-1].reported[-1].kept == 1
    one.wait(1.1, granting=0)
    told = len(one.sent)
    one.wait(70, granting=0)
    assert len(one.sent) == told
    assert len(one.grants) == 0


def test_a_report_is_repeated_until_the_ledger_has_heard_it():
    one = Classifier().holding(100_000)
    one.wait(1.1, granting=0)
    one.wait(1.0)
    [told] = one.sent[-1].reported
    assert (told.lease_id, told.kept) == ("c1.1", 1)
    count = len(one.sent)
    one.wait(LOST_AFTER_S)
    assert {message.reported for message in one.sent[count:]} == {()}, "one that is away is asked whether it is back"
    one.wait(2.2, granting=0)
    assert told in [report for message in one.sent[count:] for report in message.reported]
    one.wait(1.1, granting=0)
    count = len(one.sent)
    one.wait(5.0, granting=0)
    assert len(one.sent) == count


def test_what_ended_is_told_once_and_not_with_every_wish():
    """Of a thousand services that asked for something at once, a thousand messages told a thousand leases each."""
    one = Classifier()
    for number in range(100):
        one.park(10, service=f"service-{number}")
        one.grant(10)
    one.wait(2.2, granting=0)
    for number in range(100):
        one.park(10, service=f"other-{number}")
    ended = [report for message in one.sent for report in message.reported if report.ends_in_ms >= 0]
    assert len(ended) == 100


def test_a_lease_that_is_old_is_changed_for_a_new_one():
    one = Classifier().holding(100_000)
    ended = []
    while not ended:
        assert one.now < 113, "more than ten seconds have passed"
        assert one.reserve(100)
        one.wait(0.2, granting=50_000)
        ended = [report for message in one.sent for report in message.reported if report.ends_in_ms >= 0]
    assert one.reserve(100) != ended[0].lease_id


def test_a_limit_that_was_lowered_takes_what_is_in_hand():
    one = Classifier().holding(100_000)
    one.reserve(1000)
    one.wait(1.1)
    one.grant(0, limit=500, held=2000)
    assert one.reserve(100) == ""
    one.wait(1.1)
    assert one.sent[-1].reported[-1].kept == 1001


def test_a_new_policy_takes_what_is_in_hand_and_asks_again_for_those_who_wait():
    one = Classifier().holding(100_000)
    one.park(200_000)
    asked = one.wish.lease_id
    one.set(default=Budget(daily_usd=2))
    reported = {report.lease_id: report.kept for message in one.sent for report in message.reported}
    assert reported == {"c1.1": 1, asked: 0}
    assert [wish.waiting for wish in one.sent[-1].asked] == [200_000]
    assert one.purse().limit_nano_usd == 2 * LIMIT


def test_those_who_wait_go_on_without_a_lease_where_the_limit_is_gone():
    one = Classifier()
    one.park(1000)
    one.set(legal=Budget(daily_usd=1))
    assert one.outcomes == [(Outcome.RESERVED, "")]


def test_a_new_day_begins_with_nothing_refused():
    one = Classifier()
    one.park(1000)
    one.grant(0, spent=LIMIT, held=0)
    assert one.outcomes == [(Outcome.REFUSED, "")]
    assert one.purse().exhausted
    tomorrow = NOON_US + DAY_US
    assert not one.purse(at_us=tomorrow).exhausted
    one.park(1000, at_us=tomorrow)
    assert one.wish.day == "2026-11-26"
    one.grant(5000)
    assert one.outcomes[-1][0] is Outcome.RESERVED
    assert one.purse(at_us=NOON_US).exhausted, "a request of yesterday is yesterday's"


def test_the_day_begins_at_midnight_of_the_budgets_time_zone():
    one = Classifier(default=Budget(daily_usd=1, timezone="Europe/Berlin"))
    almost = int(datetime(2026, 11, 25, 22, 59, 59, tzinfo=UTC).timestamp() * 1e6)
    one.park(1000, at_us=almost)
    assert one.wish.day == "2026-11-25"
    one.park(1000, at_us=almost + 1_000_000)
    assert one.wish.day == "2026-11-26"
    assert one.purse(at_us=almost).resets_at == "2026-11-25T23:00:00+00:00"


def test_the_purse_has_what_is_not_spent_and_who_waited_in_vain_gets_what_is_not_held():
    one = Classifier(billing=Budget(daily_usd=1, on_exhausted="reject", downgrade_to="large"))
    assert one.purse().available_nano_usd == LIMIT, "nothing else is known yet"
    one.park(1000)
    one.grant(10_000, spent=600_000_000, held=300_010_000)
    purse = one.purse()
    assert purse.available_nano_usd == 400_000_000
    assert (purse.spent_nano_usd, purse.reserved_nano_usd) == (600_000_000, 300_010_000)
    assert (purse.floor_tier, purse.rejects, purse.exhausted) == (1, True, False)
    assert one.grants.refused("billing", NOON_US).available_nano_usd == 100_000_000 - 10_000 + 9000


def test_what_nobody_took_can_be_reserved_again():
    one = Classifier().holding(1000)
    assert one.reserve(1000) == "c1.1"
    one.grants.undelivered("c1.1", 1000)
    assert one.reserve(1000) == "c1.1"


def test_what_nobody_took_goes_back_where_its_lease_has_ended():
    one = Classifier().holding(5000)
    one.reserve(1000)
    one.grants.stop(one.now)
    assert one.sent[-1].reported == (LeaseReported("c1.1", 1001, int(DEADLINE * 1000)),)
    one.grants.on_granted(len(one.sent) - 1, Granted(), one.now)
    one.grants.undelivered("c1.1", 1000)
    one.wait(1.1)
    assert one.sent[-1].reported[0].kept == 1


def test_who_waits_at_the_stop_is_told():
    one = Classifier()
    one.park(1000)
    one.grants.stop(one.now)
    assert one.outcomes == [(Outcome.SILENT, "")]
    assert one.sent[-1].reported == (LeaseReported("c1.1", 0, 0),)


def test_the_queue_has_an_end():
    one = Classifier()
    for _ in range(MAX_PARKED + 1):
        one.park(1)
    assert one.outcomes == [(Outcome.SILENT, "")]


def test_an_answer_that_comes_twice_is_one_lease():
    one = Classifier()
    one.park(1000)
    wish = one.wish
    one.grant(5000, wish=wish)
    one.grant(5000, wish=wish)
    assert one.grants.refused("billing", NOON_US).available_nano_usd == LIMIT - 5000 + 4000


def test_a_wish_that_is_refused_and_then_granted_to_a_second_copy_is_given_back():
    one = Classifier()
    one.park(1000)
    wish = one.wish
    one.grant(0, spent=LIMIT, held=0)
    one.grant(5000, wish=wish, number=0)
    one.wait(1.1)
    assert LeaseReported(wish.lease_id, 0, 0) in one.sent[-1].reported
