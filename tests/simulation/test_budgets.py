from types import SimpleNamespace

import pytest

from services.ledger import leases
from tests.simulation.budgets import simulate
from tests.simulation.rush import COST, Rush


@pytest.mark.parametrize("seed", range(1, 41))
def test_no_budget_is_overspent_and_nothing_stays_reserved_whatever_happens(seed):
    world = simulate(seed, 2000)
    assert min(world.tally[name] for name in ("at once", "reserved", "refused")) > 0


def test_some_wait_for_a_ledger_in_vain():
    assert sum(simulate(seed, 2000).tally["silent"] for seed in range(1, 6)) > 0


def some_seeds(rules):
    for seed in range(1, 11):
        simulate(seed, 2000, rules)


def rules_but(**changed):
    return SimpleNamespace(**{**vars(leases), **changed})


def a_grant_debits_nothing(day, asked, now, longest_s):
    held = day.held
    lease = leases.grant(day, asked, now, longest_s)
    day.held = held
    return lease


def what_was_given_back_is_not_remembered(day, lease, reported, now, longest_s):
    """So each report counts what the one before has counted."""
    kept = lease.kept
    leases.hear(day, lease, reported, now, longest_s)
    lease.kept = kept


def a_silent_lease_returns_its_money(day, lease):
    spent = day.spent
    leases.give_up(day, lease)
    day.spent = spent


def what_is_told_late_corrects_no_charge(day, lease, reserved, cost):
    spent = day.spent
    leases.settle(day, lease, reserved, cost)
    if lease.charged:
        day.spent = spent + cost


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        ({"grant": a_grant_debits_nothing}, "is above|less than nothing is held"),
        ({"hear": what_was_given_back_is_not_remembered}, "is above|less than nothing is held|not what the leases"),
        ({"give_up": a_silent_lease_returns_its_money}, "is above|the books have"),
        ({"settle": what_is_told_late_corrects_no_charge}, "the books have|is above"),
    ],
    ids=[
        "a grant debits nothing",
        "what was given back is counted again",
        "a silent lease returns its money",
        "what is told late corrects no charge",
    ],
)
def test_a_broken_line_of_the_protocol_is_noticed(broken, complaint):
    with pytest.raises(AssertionError, match=complaint):
        some_seeds(rules_but(**broken))


@pytest.mark.parametrize("upstream_s", [0.005, 0.1, 1.0, 8.0])
@pytest.mark.parametrize("classifiers", [1, 3])
def test_a_rush_spends_nearly_all_of_a_small_budget_and_never_more(classifiers, upstream_s):
    rush = Rush(classifiers=classifiers, upstream_s=upstream_s).run()
    assert rush.most <= rush.limit
    assert rush.spent >= 0.95 * rush.limit
    assert rush.spent == COST * sum(not answer.is_floor for answer in rush.answers)


def test_the_first_requests_of_a_service_are_not_sent_to_the_floor():
    rush = Rush(callers=100, offered=100).run()
    assert not any(answer.is_floor for answer in rush.answers)
    assert max(answer.waited_s for answer in rush.answers) < 0.05


def test_where_there_is_enough_nobody_waits_for_the_ledger_but_the_first():
    rush = Rush(callers=20, offered=5000, limit=100_000 * COST).run()
    waited = [answer for answer in rush.answers if answer.waited_s]
    assert not any(answer.is_floor for answer in rush.answers)
    assert len(waited) < 50
