"""Each way in which money leaves a budget day and comes back. What holds in any order of them: tests/simulation."""

import pytest

from services.ledger import leases
from services.ledger.leases import GRACE_S, SILENT_S, Day, Lease
from shared.contracts import GrantAsked, LeaseReported

LONGEST_S = 600.0
NOW = 1_795_406_000.0  # 2026-11-23T03:13:20Z


def wish(need=10, waiting=0, ahead=0, lease_id="c1.1"):
    return GrantAsked("billing", "2026-11-25", lease_id, need, waiting, ahead)


@pytest.mark.parametrize(
    ("free", "asked", "granted"),
    [
        (1000, wish(10, 10, 0), 10),
        (1000, wish(10, 300, 0), 300),
        (100, wish(10, 300, 0), 100),
        (9, wish(10, 300, 0), 0),
        (10, wish(10, 10, 80), 10),
        (1000, wish(10, 10, 80), 80),
        (1000, wish(10, 10, 900), 125),
        (400, wish(10, 0, 900), 50),
        (79, wish(10, 0, 900), 0),
        (-5, wish(10, 10, 80), 0),
        (0, wish(0, 0, 0), 0),
        (1000, wish(10, 10, 80, lease_id=""), 0),
    ],
    ids=[
        "what is needed",
        "all that wait",
        "as many of them as there is money for",
        "nothing that no plan fits into",
        "the last of it",
        "and some ahead",
        "ahead at most an eighth of what is free",
        "with nobody waiting too",
        "which near the limit is nothing",
        "a limit that was lowered",
        "no wish",
        "only a question",
    ],
)
def test_how_much_is_granted(free, asked, granted):
    assert leases.offer(free, asked) == granted


def test_a_grant_debits_the_day_in_full():
    day = Day(1000, spent=200)
    lease = leases.grant(day, wish(10, 100), NOW, LONGEST_S)
    assert lease == Lease("billing", "2026-11-25", 100, NOW + SILENT_S + LONGEST_S + GRACE_S)
    assert (day.held, day.free, day.rest) == (100, 700, 800)


def test_what_is_lost_of_a_lease_is_what_it_was_charged_less_what_was_told_since():
    day, lease = leased()
    leases.settle(day, lease, 30, 5)
    assert lease.lost == 0
    leases.give_up(day, lease)
    assert lease.lost == 70
    leases.settle(day, lease, 30, 5)
    leases.hear(day, lease, LeaseReported("c1.1", 80, 0), NOW, LONGEST_S)
    assert (lease.lost, day.spent) == (20, 5 + 5 + 20)


def leased(amount=100, limit=1000):
    day = Day(limit)
    lease = leases.grant(day, wish(1, amount), NOW, LONGEST_S)
    assert lease is not None
    return day, lease


def test_what_a_holder_does_not_keep_is_free_at_once():
    day, lease = leased()
    leases.hear(day, lease, LeaseReported("c1.1", 60), NOW, LONGEST_S)
    assert (day.held, lease.kept) == (60, 60)


def test_reports_in_any_order_and_number_come_to_the_last():
    day, lease = leased()
    for kept in (60, 40, 60, 40, 100):
        leases.hear(day, lease, LeaseReported("c1.1", kept), NOW, LONGEST_S)
    assert (day.held, lease.kept) == (40, 40)


@pytest.mark.parametrize(
    ("ends_in_ms", "due_in_s"), [(-1, SILENT_S + LONGEST_S + GRACE_S), (2500, 2.5 + GRACE_S), (0, GRACE_S)]
)
def test_a_lease_is_due_after_its_last_request_and_one_in_use_after_the_longest(ends_in_ms, due_in_s):
    day, lease = leased()
    leases.hear(day, lease, LeaseReported("c1.1", 60, ends_in_ms), NOW, LONGEST_S)
    assert lease.due_at == NOW + due_in_s


def test_a_record_releases_its_reservation_and_leaves_its_cost():
    day, lease = leased()
    leases.settle(day, lease, 50, 20)
    assert (day.spent, day.held, lease.outstanding) == (20, 50, 50)


def test_a_call_that_cost_more_than_was_reserved_is_charged_all_the_same():
    day, lease = leased()
    leases.settle(day, lease, 50, 70)
    assert (day.spent, day.held) == (70, 50)


def test_a_silent_lease_is_charged_with_all_that_is_outstanding_and_once():
    day, lease = leased()
    leases.settle(day, lease, 50, 20)
    assert leases.give_up(day, lease) == 50
    assert leases.give_up(day, lease) == 0
    assert (day.spent, day.held) == (70, 0)


def test_a_record_that_comes_later_corrects_the_charge():
    day, lease = leased()
    leases.give_up(day, lease)
    leases.settle(day, lease, 50, 20)
    assert (day.spent, day.held) == (70, 0)


def test_a_holder_that_comes_back_corrects_the_charge():
    day, lease = leased()
    leases.give_up(day, lease)
    leases.hear(day, lease, LeaseReported("c1.1", 30), NOW, LONGEST_S)
    assert (day.spent, day.held) == (30, 0)


@pytest.mark.parametrize("day", ["2026-11-22", "2026-11-23", "2026-11-24"])
def test_only_today_is_leased(day):
    assert leases.lent_day(day, "UTC", NOW) == "2026-11-23"


@pytest.mark.parametrize("off", [-60, 0, 60])
def test_at_midnight_it_is_both_days_for_clocks_differ(off):
    midnight = 1_795_478_400.0  # 2026-11-24T00:00:00Z
    for day in ("2026-11-23", "2026-11-24"):
        assert leases.lent_day(day, "UTC", midnight + off) == day
