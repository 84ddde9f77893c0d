import pytest

from services.ledger import core
from services.ledger.core import Verdict
from tests.simulation.ledger import simulate


@pytest.mark.parametrize("seed", range(1, 9))
def test_every_request_is_recorded_once_whatever_happens(seed):
    world = simulate(seed, 400)
    assert len(world.books.rows) > 100
    assert world.books.resends
    assert world.books.conflicts


def everything_is_recorded(known, entries):
    return [(entry, Verdict.RESEND) for entry in entries]


def a_second_send_is_a_duplicate(known, entries):
    return [
        (entry, Verdict.DUPLICATE if verdict in {Verdict.RESEND, Verdict.INSTEAD} else verdict)
        for entry, verdict in core.settle(known, entries)
    ]


def the_first_that_comes_is_the_row(known, entries):
    return [
        (entry, Verdict.RESEND if verdict is Verdict.INSTEAD else verdict)
        for entry, verdict in core.settle(known, entries)
    ]


@pytest.mark.parametrize(
    ("rule", "complaint"),
    [
        (everything_is_recorded, "twice"),
        (a_second_send_is_a_duplicate, "missing"),
        (the_first_that_comes_is_the_row, "order of delivery"),
    ],
)
def test_a_broken_rule_is_noticed(rule, complaint):
    with pytest.raises(AssertionError, match=rf"seed 1.*{complaint}"):
        simulate(1, 400, rule)
